"""W&B's own client as the sink uses it: quiet, without its own monitoring, and many rows in one go."""

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import quark

logger = logging.getLogger("quark")

FLUSH_S = 1.0
"""How often wandb-core brings a part of a block to its file; a killed trainer loses what came since."""

ROWS_AT_ONCE = 200


def imported() -> ModuleType:
    """The module ``wandb``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise quark.MissingDependencyError(
            f"WandbSink needs the package wandb, which could not be imported ({error}); "
            'install it with: pip install "quark-tracker[wandb]"; until then the records wait in the journal'
        ) from error
    return wandb


def chosen_mode(mode: str | None, directory: str | None) -> str:
    """``mode``, else WANDB_MODE, else online for those who are logged in; offline, with a warning, for others."""
    said = mode or os.environ.get("WANDB_MODE")
    if said:
        return {"dryrun": "offline", "run": "online"}.get(said, said)
    if _logged_in():
        return "online"
    logger.warning(
        "W&B: nobody is logged in here, so the run is written offline to %s; to see it online: wandb login, then "
        "wandb sync DIR for each offline-run directory there; mode='offline' or WANDB_MODE=offline silences this",
        Path(directory or os.environ.get("WANDB_DIR") or ".").resolve() / "wandb",
    )
    return "offline"


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import netrc
    from urllib.parse import urlsplit

    from wandb.sdk import wandb_setup

    settings = wandb_setup.singleton().settings
    host = urlsplit(settings.base_url).hostname or ""
    files = [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]
    for path in [os.path.expanduser(name) for name in files if name]:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(path).authenticators(host):
                return True
    return bool(settings.api_key)


def quiet_settings(finish_timeout_s: float, *, owned: bool) -> Any:
    """W&B's settings: nothing printed or captured, no monitoring of its own, an end that is bounded in time."""
    import wandb

    return wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True,
        x_disable_machine_info=True, x_save_requirements=False, x_transaction_log_flush_interval=FLUSH_S,
        finish_timeout=finish_timeout_s, x_update_finish_state=owned,
    )  # fmt: skip


def send(run: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add history rows to a run, as ``run.log`` does with each, in an eighth of its time.

    ``run.log`` waits for another thread with every row. Rows that hold numbers only are handed over many at once, as
    the same messages; where a release of W&B has no such door, ``run.log`` is called.

    Raises:
        ConnectionError: wandb-core is gone.
    """
    waiting: list[Mapping[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) >= ROWS_AT_ONCE:
            _hand_over(run, waiting)
            waiting = []
    if waiting:
        _hand_over(run, waiting)


def _hand_over(run: Any, rows: list[Mapping[str, Any]]) -> None:
    door = getattr(run, "_interface", None)
    asyncer, client, stream_id = (getattr(door, name, None) for name in ("_asyncer", "_client", "_stream_id"))
    if asyncer is None or client is None or stream_id is None or getattr(run, "_is_finished", True):
        for row in rows:
            run.log(dict(row))
        return
    requests = [_request(row, stream_id) for row in rows]

    async def publish() -> None:
        for request in requests:
            await client.publish(request)

    asyncer.run(publish)


def _request(row: Mapping[str, Any], stream_id: str) -> Any:
    from wandb.proto import wandb_server_pb2

    request = wandb_server_pb2.ServerRequest()  # pyright: ignore[reportAttributeAccessIssue]  made at import
    record = request.record_publish
    record._info.stream_id = stream_id
    record.control.local = True
    history = record.request.partial_history
    for key, value in row.items():
        item = history.item.add()
        item.key = key
        item.value_json = _json(value)
    history.action.flush = True
    return request


def _json(value: float) -> str:
    """A number as W&B writes it; NaN and infinities have names there."""
    text = repr(value)
    return _SPECIAL.get(text, text)


_SPECIAL = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def reset() -> None:
    """Forget a wandb-core that is gone, so that the next ``wandb.init`` starts a new one."""
    import wandb
    from wandb.sdk import wandb_setup

    connection = getattr(wandb_setup.singleton(), "_connection", None)
    # it is dead already: its complaint about that is no news
    with contextlib.suppress(Exception):
        wandb.teardown()
    process = getattr(getattr(connection, "_proc", None), "_process", None)
    if process is not None:
        process.poll()  # W&B itself would leave a zombie
