"""What looks into a network while a framework trains it: its layers, and its parameters if its optimizers are known."""

from collections.abc import Sequence
from typing import Any

import quark


class Probes:
    """The watchers of one network, armed and read together in the steps of their schedule.

    Args:
        run: the session.
        model: the network.
        optimizers: all that train it; without any the parameters are left out.
        hooks: what to record of the layers, and in which steps; the steps are those of the parameters too.
        grad_scale: the gradient scaler of mixed precision, if there is one.
    """

    def __init__(
        self, run: Any, model: Any, optimizers: Sequence[Any], hooks: quark.HookEngineConfig | None, grad_scale: Any
    ) -> None:
        several = list(optimizers)
        config = hooks or quark.HookEngineConfig()
        self._watchers: list[Any] = [
            quark.HookEngine(run, model, several or None, config=config, grad_scale=grad_scale)
        ]
        if not several:
            return
        settings = quark.ParameterDiagnosticsConfig(schedule=config.schedule, raise_on_error=config.raise_on_error)
        try:
            self._watchers.append(
                quark.ParameterDiagnostics(run, model, several, config=settings, grad_scale=grad_scale)
            )
        except quark.QuarkError as error:  # a network without parameters, optimizers of another one
            run.report("parameters", error)

    def begin_step(self, step: int, *, epoch: int | None = None) -> None:
        """A step begins."""
        for watcher in self._watchers:
            watcher.begin_step(step, epoch=epoch)

    def end_step(self) -> None:
        """The step is over."""
        for watcher in self._watchers:
            watcher.end_step()
