"""What the run runs on: commit, host, interpreter, packages, hardware and command, read in about a millisecond."""

import os
import platform
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..records.grammar import clean_json, clean_text, shown
from ..redaction import redact_arguments, redact_text
from .capture.script import script_path
from .git import git_state

_ALLOWED_VARIABLES = re.compile(
    r"(?:CUDA_\w+|NCCL_\w+|OMP_NUM_THREADS|MKL_NUM_THREADS|SLURM_(?:JOB_ID|JOB_NAME|NNODES|NTASKS|PROCID|NODEID|ARRAY_TASK_ID)|"
    r"RANK|LOCAL_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_PORT|NODE_RANK|PYTORCH_CUDA_ALLOC_CONF)\Z"
)


def capture_environment() -> dict[str, Any]:
    """The environment as JSON values. Variables are taken by a list of allowed names, never by exclusion.

    It never raises: each field is read by itself, and one that cannot be read is None and named in ``unreadable``.
    """
    captured: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for name in _FIELDS:
        captured[name] = _read(name, unreadable)
    if unreadable:
        captured["unreadable"] = unreadable
    if os.environ.get("QUARK_RUN_FILE"):
        captured["launcher"] = "quark run"
    return captured


def read_field(name: str) -> Any:
    """One field of the environment, or None where it cannot be read."""
    return _read(name, {})


def _read(name: str, unreadable: dict[str, str]) -> Any:
    try:
        return clean_json(_FIELDS[name](), name)
    except Exception as error:  # noqa: BLE001  whatever the machine does, the training starts
        unreadable[name] = type(error).__name__
        return None


def _command() -> list[str]:
    """The command line; arguments that are no text (an embedding program may set any) as what they look like."""
    arguments = [
        part if isinstance(part, str) else os.fsdecode(part) if isinstance(part, bytes) else shown(part)
        for part in getattr(sys, "argv", ())
    ]
    return redact_arguments([clean_text(part) for part in arguments])


def _script() -> str | None:
    path = script_path()
    return None if path is None else redact_text(clean_text(path))


def _variables() -> dict[str, str]:
    allowed = {name: value for name, value in os.environ.items() if _ALLOWED_VARIABLES.match(name)}
    return {name: redact_text(clean_text(value)) for name, value in allowed.items()}


def _user() -> str | None:
    """The login name. A directory of users that a network serves is asked only where no variable holds it."""
    named = os.environ.get("LOGNAME") or os.environ.get("USER")
    if named:
        return clean_text(named)
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        return str(os.getuid())


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _gpu_names() -> list[str]:
    """The names that the driver publishes as files; asking the driver itself would take longer than a start may."""
    names = []
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            found = re.search(r"Model:\s*(.+)", information.read_text(errors="replace"))
        except OSError:
            continue
        if found:
            names.append(found.group(1).strip())
    return names


def _loaded_packages() -> dict[str, str]:
    """The versions of the packages that the program has imported so far."""
    found = {}
    for name, module in sys.modules.copy().items():  # a copy is made in one go; another thread may be importing
        if "." in name or name.startswith("_") or name in sys.stdlib_module_names:
            continue
        version = getattr(module, "__dict__", {}).get("__version__")
        if isinstance(version, str):
            found[name] = str(version)  # torch's is a subclass that JSON encoders refuse
    return dict(sorted(found.items()))


_FIELDS: dict[str, Callable[[], Any]] = {
    "host": lambda: socket.gethostname(),
    "user": _user,
    "platform": lambda: platform.platform(terse=True),
    "python": lambda: platform.python_version(),
    "pid": lambda: os.getpid(),
    "command": _command,
    "script": _script,
    "working_directory": lambda: redact_text(clean_text(os.getcwd())),
    "cpu_count": lambda: os.cpu_count(),
    "memory_bytes": _memory_bytes,
    "gpus": _gpu_names,
    "packages": _loaded_packages,
    "variables": _variables,
    "git": git_state,
}
