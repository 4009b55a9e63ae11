"""A process that has imported everything once and forks children in milliseconds: clients, or services."""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import traceback
from typing import Any

from tests.children import child_environment

ROLES = ("client", "service")


class Nursery:
    """Starts children of one role, each from a mapping that says what it is to do."""

    def __init__(self, role: str, environment: dict[str, str], log: str) -> None:
        own = child_environment()
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.nursery", role], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=file, env={**own, **environment, "OPENBLAS_NUM_THREADS": "1"}, text=True,
            )  # fmt: skip

    def start(self, task: dict[str, Any]) -> int:
        """The process id of a new child."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it; its children are the caller's to end."""
        self._process.communicate()


def _live(role: str, task: dict[str, Any]) -> None:
    if role == "client":
        from .client import live

        live(**task)
    else:
        from .service import live

        live(**task)


def _import(role: str) -> None:
    if role == "client":
        from quark import ArtifactStore, EventLogger, ServiceSink, start_run  # noqa: F401

        from . import client  # noqa: F401
    else:
        from quark.service import server  # noqa: F401

        from . import service  # noqa: F401


def main(role: str) -> None:
    """Fork a child for every line of the input, and tell its process id."""
    _import(role)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            faulthandler.enable()  # a child that ends by itself says why in the log
            try:
                _live(role, json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
