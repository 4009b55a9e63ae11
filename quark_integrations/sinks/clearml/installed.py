"""The clearml package: whether it is there, whether it knows a server, and a quiet connection to that."""

import importlib.util
import logging
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from quark import MissingDependencyError

INSTALL = 'pip install "quark-tracker[clearml]"'
TIMEOUT_S = 30.0


def demand() -> None:
    """Refuse to go on without the package, which is not imported here, and let it import without warnings.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if importlib.util.find_spec("clearml") is None:
        raise MissingDependencyError(
            f"ClearMLSink needs the package 'clearml'; install it with: {INSTALL}; "
            "until then the records wait in the journal"
        )
    # clearml's own use of deprecated names is not to end the mirror where warnings are errors
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(clearml|pyparsing)(\..*)?")


def said_offline() -> bool:
    """Whether CLEARML_OFFLINE_MODE, or its old name, is set to something that means yes."""
    said = os.environ.get("CLEARML_OFFLINE_MODE") or os.environ.get("TRAINS_OFFLINE_MODE") or ""
    return said.strip().lower() not in ("", "0", "false", "no", "off")


def has_credentials() -> bool:
    """Whether clearml knows a key or a token, from the environment or its configuration file."""
    from clearml.backend_api.session.defs import ENV_ACCESS_KEY, ENV_AUTH_TOKEN
    from clearml.config import config_obj

    return bool(ENV_AUTH_TOKEN.get() or ENV_ACCESS_KEY.get(default=config_obj.get("api.credentials.access_key", None)))


def address() -> str:
    """The API server that clearml is configured for."""
    from clearml.backend_api import Session

    return str(Session.get_api_server_host())


def session_folder(task_id: str) -> Path:
    """Where clearml keeps an offline session."""
    from clearml.config import get_offline_dir

    return Path(get_offline_dir(task_id))


@cache
def _quiet_session() -> Any:
    from clearml.backend_api import Session

    class QuietSession(Session):
        """clearml's session, with one try for each request: who calls it tries again by himself.

        clearml's own tries 240 times, and its offline mode is a switch of the whole process that the user may turn.
        """

        _offline_mode = False
        _session_initial_timeout = (10.0, TIMEOUT_S)
        _session_timeout = (10.0, TIMEOUT_S)
        _write_session_timeout = (10.0, 2 * TIMEOUT_S)

    return QuietSession


def connect() -> Any:
    """A session with the server of the configuration.

    Raises:
        Whatever clearml raises: there is no server, or it does not know the key.
    """
    logger = logging.getLogger("quark.clearml")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False  # what goes wrong is raised as well
    return _quiet_session()(logger=logger, verbose=False, http_retries_config={"total": 0})
