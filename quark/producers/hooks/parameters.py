"""ParameterDiagnostics: what every optimizer step does to every parameter."""

import logging
import re
from collections.abc import Iterator
from typing import Any, cast

from ...core.handle import RunHandle
from ...core.reader import RecordFilter
from ...errors import ClosedError, SchemaValidationError, WrongTypeError
from ...records.grammar import shown
from ...records.layer import qualified_name
from ...records.parameter import ParameterSummaryRecord
from ..events import log_event
from ..wide import log_values
from .change import MOST_STEPS, Change, ParameterProbe, Watched
from .changed import tell_change
from .compiled import kernels
from .config import ParameterDiagnosticsConfig
from .copies import Copies
from .naming import named_parameters
from .notices import MOST_NAMES, notice
from .optimizers import given_optimizers, trained_by
from .probing import Probing
from .scale import ScaledGradients, checked_scale
from .selection import checked_model, nearest
from .structure import Structure
from .tensors import local_shape, shape_of
from .watchers import checked_name
from .writing import ParameterBody, put

OFTEN = 10
"""Steps from probe to probe up to which the memory for a copy of the parameters is held in between."""

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]")
logger = logging.getLogger("quark")


class ParameterDiagnostics(Probing):
    """Records norms of parameters, gradients and updates at each optimizer step within the steps of a schedule.

    Args:
        session: a TrainingSession, or the RunContext of one.
        model: the network; for one in wrappers (DDP, FSDP, checkpointing) the names are those of the network inside.
        optimizer: the optimizer that trains it, or a sequence of several; wrappers of frameworks are looked into.
        config: which parameters, when, and what of them; the defaults if omitted.
        grad_scale: what the loss is multiplied by in mixed precision: a ``torch.amp.GradScaler``, a number, or a
            callable that returns one. Gradients are recorded as they would be without it.
        name: what the records call the watcher, to tell several networks of one run apart.

    Raises:
        MissingDependencyError: torch is not installed.
        WrongTypeError: an argument is of a wrong type.
        SchemaValidationError: no parameter is left to watch, or the name is taken; in strict mode also where the
            optimizer trains none of the parameters, which is a warning otherwise.
    """

    __module__ = "quark"

    def __init__(
        self,
        session: Any,
        model: Any,
        optimizer: Any,
        *,
        config: ParameterDiagnosticsConfig | None = None,
        grad_scale: Any = None,
        name: str | None = None,
    ) -> None:
        if config is not None and not isinstance(config, ParameterDiagnosticsConfig):
            raise WrongTypeError(f"config must be a ParameterDiagnosticsConfig, got {shown(config)}")
        self._config = config = config or ParameterDiagnosticsConfig()
        super().__init__(
            session, model, checked_name(name), config.schedule, config.raise_on_error, config.batch_size
        )  # fmt: skip
        self._parameters = _select(checked_model(model), config)
        self._structure = Structure(model)
        self._optimizers = _checked_optimizers(optimizer)
        self._hold_against(self._parameters)
        self._grad_scale = checked_scale(grad_scale)
        every = config.schedule.every_n_steps
        self._copies = Copies(kept=every is not None and every <= OFTEN, kernels=kernels())
        self._unfinished: ParameterProbe | None = None
        self._told_left_out = False
        self._enter()
        if not self._handle.disabled:
            _tell_left_out(self._handle, model, self._optimizers)

    def _hold_against(self, parameters: list[Watched]) -> None:
        """An optimizer of another model is a fault of the training: it is told, and the training goes on."""
        if self._handle.disabled or trained_by(self._optimizers) & {id(one.parameter) for one in parameters}:
            return
        error = SchemaValidationError(
            "the optimizer trains none of the parameters that are watched; pass the one that was built from this "
            "model's parameters()"
        )
        if self._handle.strict:
            raise error
        logger.warning("quark: %s", error)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the parameters that are watched, in the order of ``model.named_parameters()``."""
        return tuple(one.name for one in self._parameters)

    def _new_probe(self, step: int, epoch: int | None, *, early: bool) -> ParameterProbe:
        self._finish()
        self._follow(step)
        return ParameterProbe(
            self._parameters, self._optimizers, self._copies, self._config, step, epoch,
            ScaledGradients(self._grad_scale), self._failed, early=early,
        )  # fmt: skip

    def _follow(self, step: int) -> None:
        """Watch the parameters that the model has now, where it was changed since the last probe."""
        if self._structure.same():
            return
        self._structure = Structure(self.model)
        before = {one.name: one.parameter for one in self._parameters}
        now = _chosen(named_parameters(self.model), self._config)
        for name, parameter in now.items():
            held = before.get(name)
            if hasattr(held, "to_local") and not hasattr(parameter, "to_local"):
                now[name] = held  # gathered for a pass at the moment; the optimizer trains the shard
        self._parameters = [Watched(name, parameter) for name, parameter in now.items()]
        replaced = [name for name in now if name in before and before[name] is not now[name]]
        tell_change(self._handle, "parameters", set(before), set(now), replaced, step)
        if replaced or set(before) != set(now):
            _tell_left_out(self._handle, self.model, self._optimizers)

    def begin_step(self, step: int, *, epoch: int | None = None) -> bool:
        """As for every producer; a probe without an optimizer step lasts to the end of the next step that has one."""
        if self._unfinished is not None and self._unfinished.saw_training:
            self._guarded("close", self._finish)
        probed = super().begin_step(step, epoch=epoch)
        if self._unfinished is not None and type(step) is int:
            self._unfinished.finished_in = step
        return probed

    def end_step(self) -> None:
        """Record what was seen; where no optimizer has stepped, go on to the end of the next step in which it does."""
        probe = self._probe
        if isinstance(probe, ParameterProbe) and not probe.saw_training and not self._closed:
            self._probe = None
            self._guarded("look", probe.look)
            self._unfinished = probe
        else:
            super().end_step()
            if self._unfinished is not None and self._unfinished.saw_training:
                self._guarded("close", self._finish)

    def _finish(self) -> None:
        """Record the probe that lasts beyond its step."""
        probe, self._unfinished = self._unfinished, None
        if probe is not None:
            self._end(probe)

    def _settle(self) -> None:
        self._guarded("close", self._finish)
        super()._settle()

    def _lines(self, probe: ParameterProbe, time_ns: int) -> Iterator[bytes]:
        journal = self._handle.journal
        values: dict[str, float] = {}
        for change in probe.changes():
            try:
                body = _body(change, self._name)
                line = put(journal, "parameter", body.parameter_name, body, probe.step, probe.epoch, time_ns)
            except ClosedError:
                raise
            except Exception as error:  # noqa: BLE001  a foreign class of parameter leaves the others alone
                self._failed("parameter_record", error)
                continue
            yield line
            if self._config.emit_scalar_metrics:
                values.update(_metrics(body))
        if values:
            log_values(self._handle, values, probe.step, probe.epoch, time_ns)
        self._tell(probe)

    def _tell(self, probe: ParameterProbe) -> None:
        """Say once what the probe has met: optimizers that were made since, more steps than are recorded."""
        known = {id(one) for one in self._optimizers}
        added = [one for one in probe.added if id(one) not in known]
        if added:
            self._optimizers = [*self._optimizers, *added]
            names = ", ".join(type(one).__name__ for one in added)
            notice(
                self._handle, "watched_optimizers_changed",
                f"from step {probe.step} on watched parameters are trained by an optimizer that the watcher was not "
                f"given ({names}); its steps are recorded too",
                {"optimizers": [type(one).__name__ for one in added]}, step=probe.step,
            )  # fmt: skip
        if probe.left_out and not self._told_left_out:
            self._told_left_out = True
            notice(
                self._handle, "optimizer_steps_left_out",
                f"in step {probe.step} {probe.left_out} steps of an optimizer were not recorded: the first "
                f"{MOST_STEPS} of a step of the training are",
                {"left_out": probe.left_out, "most_steps": MOST_STEPS}, step=probe.step,
            )  # fmt: skip

    def flush(self) -> tuple[ParameterSummaryRecord, ...]:
        """Bring everything to the store; the summaries made since the last flush, at most ``batch_size``."""
        return cast("tuple[ParameterSummaryRecord, ...]", self._take_recent())

    def read(
        self, *, parameter_name: str | None = None, step: int | None = None, step_min: int | None = None,
        step_max: int | None = None, epoch: int | None = None, epoch_min: int | None = None,
        epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[ParameterSummaryRecord, ...]:  # fmt: skip
        """The watcher's parameter summaries in the order of recording, the first ``limit``; bounds are inclusive."""
        self._settle()
        return self._read(
            ParameterSummaryRecord, {"parameter_name": parameter_name, "watcher": (self._name,)}, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip


def _tell_left_out(handle: RunHandle, model: Any, optimizers: list[Any]) -> None:
    """Record which parameters will not change: the frozen ones, and those that no optimizer holds. Exact and free."""
    trained = trained_by(optimizers)
    named = named_parameters(model)
    left_out = [name for name, one in named.items() if one.requires_grad and id(one) not in trained]
    frozen = [name for name, one in named.items() if not one.requires_grad]
    if left_out or frozen:
        payload = {
            "parameters": len(named), "not_optimized": left_out[:MOST_NAMES], "not_optimized_count": len(left_out),
            "frozen": frozen[:MOST_NAMES], "frozen_count": len(frozen),
        }  # fmt: skip
        log_event(handle, "parameters_watched", severity="warning" if left_out else "info", payload=payload)


def _select(model: Any, config: ParameterDiagnosticsConfig) -> list[Watched]:
    named = named_parameters(model)
    if not named:
        raise SchemaValidationError(f"model must have parameters to watch, got {type(model).__name__} without any")
    for pattern in (*config.include_name_patterns, *config.exclude_name_patterns):
        if not any(re.search(pattern, name) for name in named):
            raise SchemaValidationError(
                f"ParameterDiagnosticsConfig has a pattern that fits no parameter: {pattern!r}; "
                f"{nearest(pattern, named)}"
            )
    chosen = _chosen(named, config)
    if not chosen:
        raise SchemaValidationError(
            "the patterns of ParameterDiagnosticsConfig exclude every parameter; leave one of them out"
        )
    return [Watched(name, parameter) for name, parameter in chosen.items()]


def _chosen(named: dict[str, Any], config: ParameterDiagnosticsConfig) -> dict[str, Any]:
    """The parameters that the patterns let through."""

    def wanted(name: str) -> bool:
        included = not config.include_name_patterns or any(re.search(p, name) for p in config.include_name_patterns)
        return included and not any(re.search(p, name) for p in config.exclude_name_patterns)

    return {name: parameter for name, parameter in named.items() if wanted(name)}


def _checked_optimizers(given: Any) -> list[Any]:
    several = given_optimizers(given)
    if not several or not all(hasattr(optimizer, "register_step_post_hook") for optimizer in several):
        raise WrongTypeError(
            f"optimizer must be a torch.optim.Optimizer or a list of several, got {shown(given)}; pass the one that "
            "trains the model"
        )
    return several


def _body(change: Change, watcher: str | None) -> ParameterBody:
    ratio = None
    if change.update_norm is not None and change.weight_norm:
        ratio = change.update_norm / change.weight_norm
    parameter = change.watched.parameter
    local = local_shape(parameter)
    if local is not None:
        change.details["local_shape"] = local
    return ParameterBody(
        change.watched.name, change.call, int(parameter.numel()), shape_of(parameter), change.weight_norm,
        change.gradient_norm, change.update_norm, ratio, change.details, watcher,
    )  # fmt: skip


def _metrics(body: ParameterBody) -> Iterator[tuple[str, float]]:
    name = _UNNAMEABLE.sub("_", qualified_name(body.watcher, body.parameter_name))
    name = name if name[0].isalnum() else f"p{name}"
    for field in ("weight_norm", "gradient_norm", "update_norm", "update_ratio"):
        value = getattr(body, field)
        if value is not None:
            yield f"quark/params/{name}/{field}", value
