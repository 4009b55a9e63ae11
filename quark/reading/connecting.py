"""Opens the runs of a Quark service for reading."""

import shlex
from pathlib import Path

from ..client.connection import Connection, namespace_of
from ..client.remote import RemoteStore
from ..session.placement import Placement, resolve_storage_dir
from .store import Store


def connect(
    url: str | None = None, *, user_key: str | None = None, storage_dir: str | Path | None = None,
    auth_mode: str | None = None, timeout_s: float | None = None,
) -> Store:  # fmt: skip
    """The runs of a Quark service, as ``quark.open`` gives those of a directory; close it, or use it with ``with``.

    Nothing is asked of the service before something is read.

    Args:
        url: address of the service; QUARK_PERSISTENCE_URL if omitted.
        user_key: the key; QUARK_USER_KEY if omitted.
        storage_dir: the storage namespace, as runs were started with it; QUARK_STORAGE_DIR if omitted.
        auth_mode: how the key travels, ``header`` or ``bearer``; QUARK_PERSISTENCE_AUTH_MODE if omitted.
        timeout_s: seconds that a request may take; QUARK_PERSISTENCE_TIMEOUT_SECONDS if omitted.

    Raises:
        ConfigurationError: an address or setting that cannot be used.
    """
    connection = Connection(
        url, user_key=user_key, auth_mode=auth_mode, timeout_s=timeout_s, namespace=namespace_of(storage_dir)
    )
    remote = RemoteStore(connection)
    placement = Placement(resolve_storage_dir(storage_dir))
    return Store(
        remote, location=connection.url, payloads=remote.payload, files=placement.run_path,
        options=_options(url, storage_dir),
    )  # fmt: skip


def _options(url: str | None, storage_dir: str | Path | None) -> str:
    """What names the service again on the command line, as far as the environment does not."""
    address = "" if url is None else f" --url {shlex.quote(url)}"
    return address if storage_dir is None else f"{address} -d {shlex.quote(str(storage_dir))}"
