"""The handlers that Ignite's loggers have, for a QuarkLogger: what an engine puts out, and parameters of optimizers."""

from typing import Any

from ignite.handlers.base_logger import BaseOptimizerParamsHandler, BaseOutputHandler

from .values import numbers


class OutputHandler(BaseOutputHandler):
    """Records an engine's output, metrics or attributes of its state as ``tag/name``.

    Args:
        tag: the namespace, such as ``"train"``.
        metric_names: names of metrics of the engine, or ``"all"``.
        output_transform: makes a number or a dictionary of the engine's output; a number is named ``output``.
        global_step_transform: gets engine and event and says the step; the engine's iteration if omitted.
        state_attributes: names of attributes of the engine's state.

    Raises:
        TypeError, ValueError: as for the handlers of Ignite's other loggers.
    """

    def __init__(
        self, tag: str, metric_names: Any = None, output_transform: Any = None, global_step_transform: Any = None,
        state_attributes: list[str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(tag, metric_names, output_transform, global_step_transform, state_attributes)
        self._own_step = global_step_transform is None

    def __call__(self, engine: Any, logger: Any, event_name: Any) -> None:
        """Record what the engine holds now."""
        state = engine.state
        step = state.iteration if self._own_step else self.global_step_transform(engine, event_name)
        logger.record(self._values(state), step=step, epoch=state.epoch if self._own_step else None)

    def _values(self, state: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.metric_names is not None:
            names = state.metrics if self.metric_names == "all" else self.metric_names
            found.update((name, state.metrics[name]) for name in names if name in state.metrics)
        if self.output_transform is not None:
            output = self.output_transform(state.output)
            found.update(output if isinstance(output, dict) else {"output": output})
        for name in self.state_attributes or ():
            found[name] = getattr(state, name, None)
        return dict(numbers(found, self.tag or ""))


class OptimizerParamsHandler(BaseOptimizerParamsHandler):
    """Records a parameter of an optimizer's groups, by default the learning rate, as ``tag/lr/group_0``.

    Args:
        optimizer: an optimizer, or an object with ``param_groups``.
        param_name: the parameter.
        tag: a namespace.
    """

    def __call__(self, engine: Any, logger: Any, event_name: Any) -> None:
        """Record what the groups hold now."""
        prefix = f"{self.tag}/" if self.tag else ""
        groups = enumerate(self.optimizer.param_groups)
        found = {f"{prefix}{self.param_name}/group_{at}": group[self.param_name] for at, group in groups}
        logger.record(dict(numbers(found, "")), step=engine.state.iteration, epoch=engine.state.epoch)
