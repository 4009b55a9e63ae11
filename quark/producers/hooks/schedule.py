"""In which steps a producer looks at the model."""

from ...records.configs import HookScheduleConfig


class Schedule:
    """A HookScheduleConfig as a question that costs next to nothing: ``step in schedule``."""

    def __init__(self, config: HookScheduleConfig) -> None:
        self._every = config.every_n_steps
        self._start = config.start_step
        self._stop = float("inf") if config.stop_step is None else config.stop_step
        self._explicit = frozenset(config.explicit_steps)

    def __contains__(self, step: int) -> bool:
        """Whether ``step`` is probed: on the cadence within its bounds (inclusive), or named explicitly."""
        start = self._start
        if self._every is not None and start <= step <= self._stop and not (step - start) % self._every:
            return True
        return step in self._explicit
