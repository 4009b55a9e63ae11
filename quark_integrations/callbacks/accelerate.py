"""Records a training loop under Accelerate as a Quark run: ``Accelerator(log_with=QuarkGeneralTracker())``.

Importing ``QuarkGeneralTracker`` also makes ``log_with="quark"`` known to Accelerate 1.15 and newer.
"""

import sys
import time
import types
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import quark

from .settings import plain

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker
else:
    GeneralTracker = object  # the real one comes in when the tracker is asked for

__all__ = ["QuarkGeneralTracker"]

MACHINE_EVERY_S = 1.0
"""A record of the machine is kept this often, along with what is logged."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has QuarkGeneralTracker")
    return _tracker_class()


class Tracker(GeneralTracker):
    """Records what ``accelerator.log`` is given in a Quark run.

    ``init_trackers`` starts the run, of the project and with the configuration that it is given. ``end_training`` ends
    it: with the exception that is under way, if there is one. Where it is not called, the end of the process decides.
    In a job of many processes the main process alone calls its trackers; there is one run, and each value once.

    Args:
        project: name of the project; the one of ``init_trackers`` if omitted.
        run: a session that was started already; it is written to, and ended by whoever started it.
        config: configuration of the run, besides that of ``init_trackers``.
        tags: tags of the run.
        storage_dir: where the run is kept; as for ``quark.start_run``.
        name: a name for people.
        trackers: trackers and sinks of the run, or names of sinks such as ``"jsonl"``.
        telemetry: record what the machine does, once a second.
        strict_mode: raise on bad metric names and values instead of counting and warning.
        close_timeout_s: seconds that the end of the run waits for its sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.

    Attributes:
        run: the session; None before ``init_trackers``. In all but the main process one that records nothing.
    """

    name: ClassVar[str] = "quark"
    requires_logging_directory: ClassVar[bool] = False
    main_process_only: ClassVar[bool] = True

    def __init__(
        self, project: str | None = None, *, run: Any = None, config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None, storage_dir: str | Path | None = None, name: str | None = None,
        trackers: Iterable[Any] | str = (), telemetry: bool = True, strict_mode: bool = False,
        close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._options = {
            "tags": tags, "storage_dir": storage_dir, "name": name, "trackers": trackers, "strict_mode": strict_mode,
            "close_timeout_s": close_timeout_s,
        }  # fmt: skip
        self._project = project
        self._config = plain(config or {})
        self._wants_telemetry = telemetry
        self._given = self.run = run
        self._telemetry: Any = None
        self._machine_due = 0.0
        self._context: BaseException | None = None
        self._begun = False

    @property
    def tracker(self) -> Any:
        """The session: what ``accelerator.get_tracker("quark", unwrap=True)`` returns."""
        return self.run

    def start(self) -> None:
        """``init_trackers`` is called: start the run. The one of an earlier call ends: every fold is a run of its own.

        Raises:
            SchemaValidationError, WrongTypeError, ConfigurationError: an option of the run is wrong.
        """
        asked = _call_of("init_trackers")
        accelerator = asked.get("self")
        if accelerator is not None and self._is_over(accelerator):
            return
        if not import_module("accelerate.state").PartialState().is_main_process:
            self.run = self._given or quark.DisabledSession(str(self._project or asked.get("project_name") or "quark"))
            return
        self.finish()
        self._context = sys.exception()
        config = {**plain(asked.get("config") or {}), **self._config}
        if self._given is None:
            self.run = quark.start_run(
                project=self._project or asked.get("project_name"), config=config, **self._options
            )
        else:
            self.store_init_configuration(config)
        if self._wants_telemetry and not self.run.disabled:
            gpus = bool(self.run.manifest.environment.get("gpus"))
            self._telemetry = quark.SystemTelemetry(self.run, config=quark.SystemTelemetryConfig(capture_gpu=gpus))

    def _is_over(self, accelerator: Any) -> bool:
        """Whether this tracker belongs to an earlier call of ``init_trackers`` alone, which Accelerate starts again.

        Accelerate adds trackers at every call and keeps the old ones: one that was given by its name is made anew, one
        that was given as an object comes a second time. Each is to be there once, or values would be, too, twice.
        """
        trackers, given = accelerator.trackers, accelerator.log_with
        at = next((at for at, tracker in enumerate(trackers) if tracker is self), None)
        if at is None:
            return False
        behind = [tracker for tracker in trackers[at + 1 :] if tracker is not self]
        over = self._begun and not any(tracker is self for tracker in given)
        self._begun = True
        if not over:
            trackers[at + 1 :] = behind
            return False
        self.finish()
        trackers[at:] = behind
        if behind:
            behind[0].start()  # Accelerate goes on with the one after it
        return True

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Add to the configuration of the run; what the user said when he made the tracker goes before it."""
        if self.run is not None and self.run.status == "running":
            self.run.config.update({name: value for name, value in plain(values).items() if name not in self._config})

    def log(self, values: Mapping[str, Any], step: int | None = None, epoch: int | None = None, **options: Any) -> None:
        """Record values: numbers as metrics, texts as an event. A call without ``step`` counts up from the last one.

        ``accelerator.log(values, log_kwargs={"quark": {"epoch": 3}})`` says the epoch.
        """
        run = self.run
        if run is None or run.status != "running":
            return
        texts = {str(key): value for key, value in values.items() if isinstance(value, str)}
        numbers = {str(key): value for key, value in values.items() if not isinstance(value, str)}
        if numbers:
            run.log(numbers, step=step, epoch=epoch)
        if texts:
            quark.EventLogger(run).log("text_logged", step=step, epoch=epoch, payload=texts)
        self._look_at_machine(step if step is not None else max(run.next_step - 1, 0), epoch)

    def _look_at_machine(self, step: int, epoch: int | None) -> None:
        now = time.monotonic()
        if self._telemetry is not None and now >= self._machine_due:
            self._machine_due = now + MACHINE_EVERY_S
            self._telemetry.record_step(step, epoch=epoch)

    def finish(self) -> None:
        """``end_training`` is called: end the run, with the exception that is under way, if there is one."""
        run = self.run
        if run is None or run is self._given or run.status != "running":
            return
        error = sys.exception()
        if error is not None and error is not self._context:
            run.__exit__(type(error), error, error.__traceback__)
        elif run.stop_requested:
            run.finish(run.stop_reason)
        else:
            run.__exit__(None, None, None)


if TYPE_CHECKING:
    QuarkGeneralTracker = Tracker


def _call_of(function: str) -> Mapping[str, Any]:
    """The arguments of a function that is being called: Accelerate tells a finished tracker neither project nor config.

    They are wanted before the run starts, so that it starts with them.
    """
    frame = sys._getframe(2)
    for _ in range(5):
        if frame is None:
            break
        if frame.f_code.co_name == function:
            return frame.f_locals
        frame = frame.f_back
    return {}


@cache
def _tracker_class() -> type[Tracker]:
    """The tracker as a subclass of Accelerate's; it is pickled by its name in this module."""
    try:
        tracking = import_module("accelerate.tracking")
    except ImportError as error:
        raise quark.MissingDependencyError(
            f"this needs Accelerate, which could not be imported ({error}); "
            'install it with: pip install "quark-tracker[accelerate]"'
        ) from error
    body = {"__module__": __name__, "__qualname__": "QuarkGeneralTracker", "__doc__": Tracker.__doc__}
    bases = (Tracker, tracking.GeneralTracker)
    made = types.new_class("QuarkGeneralTracker", bases, {}, lambda space: space.update(body))
    register = getattr(tracking, "register_tracker_class", None)
    if register is not None and Tracker.name not in tracking.LOGGER_TYPE_TO_CLASS:
        register(made)
    return made
