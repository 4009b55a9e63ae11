"""A run that is handed to another process: the handle that arrives there is silent, for the run is recorded here."""

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from ..core.openruns import open_run
from ..core.reader import StoreReader
from ..errors import SessionStoreError
from ..records.base import Record
from .disabled import SilentSession, unrecorded_context

R = TypeVar("R", bound=Record)
logger = logging.getLogger("quark")

_warned: set[str] = set()


def handed_on(run_id: str, project: str, name: str | None) -> Any:
    """What a pickled session becomes: itself where its run is open, else a silent handle."""
    return open_run(run_id) or HandedRun(run_id, project, name)


class HandedRun(SilentSession):
    """A session that has the run's identity and records nothing; the first record that it is given warns."""

    def __init__(self, run_id: str, project: str, name: str | None) -> None:
        super().__init__(unrecorded_context(run_id, project, name))

    def reader(self) -> StoreReader:
        """It cannot be read through the copy.

        Raises:
            SessionStoreError: always.
        """
        raise SessionStoreError(
            f"run {self.run_id} is recorded by another process and cannot be read through this copy; "
            "read it with quark.open or quark.connect"
        )

    def _warn(self) -> None:
        if self.run_id not in _warned:
            _warned.add(self.run_id)
            logger.warning(
                "quark: run %s is recorded by the process that started it; what is logged to its copy in this process "
                "is ignored; return values to that process, or start a run here with parent_run_id=%r",
                self.run_id, self.run_id,
            )  # fmt: skip

    def log(
        self, values: Mapping[str, Any] | None = None, *, step: int | None = None, epoch: int | None = None, **more: Any
    ) -> None:
        """Nothing, with one warning."""
        self._warn()

    def log_values(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Nothing, with one warning."""
        self._warn()

    def step(
        self, step: int, metrics: Mapping[str, Any] | None = None, *, epoch: int | None = None,
        worker_id: int | str | None = None,
    ) -> None:  # fmt: skip
        """Nothing, with one warning."""
        self._warn()

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """A record that nobody keeps, with one warning."""
        self._warn()
        return super().emit(cls, fields, step=step, epoch=epoch, timestamp=timestamp)

    def log_artifact(self, file: Any, name: str | None = None, **options: Any) -> None:
        """Nothing, with one warning."""
        self._warn()

    def finish(self, reason: str | None = None, *, timeout_s: float | None = None) -> None:
        """Nothing: the process that started the run ends it."""
