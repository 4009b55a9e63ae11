"""What the run runs on: commit, host, interpreter, packages, hardware and command, read in about a millisecond."""

import os
import platform
import re
import socket
import sys
from pathlib import Path
from typing import Any

from ..redaction import redact_arguments, redact_text
from ..settings import setting

_ALLOWED_VARIABLES = re.compile(
    r"(?:CUDA_\w+|NCCL_\w+|OMP_NUM_THREADS|MKL_NUM_THREADS|SLURM_(?:JOB_ID|JOB_NAME|NNODES|NTASKS|PROCID|NODEID|ARRAY_TASK_ID)|"
    r"RANK|LOCAL_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_PORT|NODE_RANK|PYTORCH_CUDA_ALLOC_CONF)\Z"
)


def capture_environment() -> dict[str, Any]:
    """The environment as JSON values. Variables are taken by a list of allowed names, never by exclusion."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "command": redact_arguments(sys.argv),
        "working_directory": redact_text(os.getcwd()),
        "cpu_count": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpu_names(),
        "packages": _loaded_packages(),
        "variables": {name: redact_text(value) for name, value in os.environ.items() if _ALLOWED_VARIABLES.match(name)},
        "git": git_state(),
        **({"launcher": "quark run"} if setting("QUARK_RUN_FILE") else {}),
    }


def git_state(start: Path | None = None) -> dict[str, str] | None:
    """Commit, branch and remote of the working directory, read from the files of the repository; None outside one."""
    try:
        directory = (start or Path.cwd()).resolve()
        for parent in (directory, *directory.parents):
            if (parent / ".git").exists():
                return _read_git(parent / ".git")
    except OSError:
        return None
    return None


def _read_git(git: Path) -> dict[str, str] | None:
    if git.is_file():  # a worktree or submodule: the file names the directory
        git = (git.parent / git.read_text().partition("gitdir:")[2].strip()).resolve()
    common = git / (git / "commondir").read_text().strip() if (git / "commondir").exists() else git
    head = (git / "HEAD").read_text().strip()
    state: dict[str, str] = {}
    if head.startswith("ref: "):
        name = head[5:]
        state["branch"] = redact_text(name.removeprefix("refs/heads/"))
        commit = _resolve_ref(git, common, name)
    else:
        commit = head
    if commit is None:
        return None
    state["commit"] = commit
    remote = re.search(r"url\s*=\s*(\S+)", (common / "config").read_text()) if (common / "config").exists() else None
    if remote:
        state["remote"] = redact_text(remote.group(1))
    return state


def _resolve_ref(git: Path, common: Path, name: str) -> str | None:
    for root in (git, common):
        if (root / name).exists():
            return (root / name).read_text().strip()
    packed = common / "packed-refs"
    if packed.exists():
        for line in packed.read_text().splitlines():
            if line.endswith(" " + name):
                return line.split(" ", 1)[0]
    return None


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
            found = re.search(r"Model:\s*(.+)", information.read_text())
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
