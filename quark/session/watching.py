"""The probes of ``run.watch``: armed in steps, and what is done in a loop that does not say when its steps begin."""

from typing import Any

MOST_LOOKED_AT = 1000
"""Steps of a gap that are held against the schedules."""

_NO_STEPS = (
    "run.watch saw a model train, but no step of the run: nothing of it is recorded; loop with run.steps(...), or call "
    "run.step(number) or run.log(values, step=number) in every step"
)
_GAP = (
    "run.watch could not tell which step a pass of the model belongs to, for the steps of the run are logged with gaps "
    "({} after {}): what it saw in between is not recorded; loop with run.steps(...), or log every step"
)
_AFTER_STEPS = (
    "run.watch looks into the steps of run.steps(...), and a loop of another kind goes on behind them from step {} on: "
    "nothing of it is recorded; loop with run.steps(...) there too"
)
_A_LOOP = 10
"""So many numbers in a row are a loop, and not values of a test or two."""


class Watching:
    """The probes of a run.

    ``run.steps`` says when a step begins and ends. In a loop of one's own only ``run.step(n)`` or
    ``run.log(..., step=n)`` do: a step is awaited then, and what a probe sees of a training until its number comes
    belongs to it. Where values are logged before the model is called, the number begins the step instead of ending it.

    Args:
        session: the run.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._probes: list[Any] = []
        self.awaiting = False
        self.walked = False
        self._driven = False
        self._outside = range(0)
        self._numbered = False
        self._announced = False
        self._warned = False
        self._last: int | None = None

    def add(self, probe: Any) -> None:
        """Arm ``probe`` (``begin_step``, ``end_step``, ``await_step``, ...) from now on."""
        self._probes.append(probe)
        self.awaiting = not self._driven

    def remove(self, probe: Any) -> None:
        """Never arm ``probe`` again."""
        self._probes = [one for one in self._probes if one is not probe]
        self.awaiting = self.awaiting and bool(self._probes)

    def __iter__(self) -> Any:
        return iter(self._probes)

    def begin(self, step: int, epoch: int | None, *, walked: bool = False) -> None:
        """A step begins: the probes arm themselves as their schedules say; ``walked``: it is one of ``run.steps``."""
        self._driven, self.awaiting, self.walked = True, False, walked
        for probe in self._probes:
            probe.begin_step(step, epoch=epoch)

    def end(self) -> None:
        """The step is over: the probes record what they saw."""
        for probe in self._probes:
            probe.end_step()

    def expect(self, step: int, epoch: int | None) -> None:
        """A step is next whose beginning nobody announces."""
        for probe in self._probes:
            probe.await_step(step, epoch=epoch)

    def outside(self, step: int) -> None:
        """A step is numbered by hand after a loop over ``run.steps``: many in a row are a loop that nobody watches.

        Whether such a number begins its step or ends it cannot be told any more, so that what is seen has no step.
        """
        begin = self._outside.start if self._outside.stop == step else step
        self._outside = range(begin, step + 1)
        if len(self._outside) >= _A_LOOP and any(p.should_probe(n) for p in self._probes for n in self._outside):
            self.walked = False
            self._warn(_AFTER_STEPS.format(begin))

    def stepped(self, step: int, epoch: int | None) -> None:
        """``run.step`` says that a step is done."""
        self._numbered = True
        self.awaiting = False
        self._done(step, ended=step)
        self._passed(step, step)
        if not self._driven:
            self.expect(step + 1, epoch)
        elif self.walked and self._session.current_step is None:
            self.outside(step)

    def logged(self, step: int, epoch: int | None) -> None:
        """``run.log`` names a step beyond the last, and is all that tells of the steps."""
        if any(probe.saw_training for probe in self._probes):
            self._done(step, ended=step - 1 if self._announced else step)
        elif any(probe.awaited is not None for probe in self._probes):
            self._announced = True  # nothing was seen yet: the step begins now
            self._drop()
        self._passed(step, step - 1 if self._announced else step)
        self.expect(step if self._announced else step + 1, epoch)

    def _done(self, step: int, *, ended: int) -> None:
        """The step ``ended`` is over, as the number ``step`` tells."""
        for probe in self._probes:
            awaited = probe.awaited
            if awaited is None or awaited == ended:
                probe.end_step()
            elif awaited < ended:
                if probe.saw_training:
                    self._warn(_GAP.format(step, awaited - 1))
                probe.discard()

    def _passed(self, step: int, ended: int) -> None:
        """Warn if steps up to ``ended`` should have been probed and nobody told when they were."""
        last, self._last = self._last, step
        if last is None or self._warned or step <= last + 1:
            return
        unknown = range(last + 1, min(ended, last + MOST_LOOKED_AT) + 1)
        if any(probe.should_probe(number) for probe in self._probes for number in unknown):
            self._warn(_GAP.format(step, last))

    def _drop(self) -> None:
        for probe in self._probes:
            if probe.awaited is not None:
                probe.discard()

    def close(self) -> None:
        """The run ends: no step is going on any more."""
        unseen = any(probe.awaited is not None and probe.saw_training for probe in self._probes)
        if unseen and not (self._driven or self._numbered):
            self._warn(_NO_STEPS)
        self._drop()
        self.end()

    def _warn(self, message: str) -> None:
        from ..producers.hooks.notices import notice

        if not self._warned:
            self._warned = True
            notice(self._session, "watch_without_steps", message, {})
