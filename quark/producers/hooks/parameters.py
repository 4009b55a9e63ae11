"""ParameterDiagnostics: what every optimizer step does to every parameter."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from ...core.handle import RunHandle
from ...core.reader import RecordFilter
from ...errors import SchemaValidationError, WrongTypeError
from ...records.grammar import shown
from ...records.parameter import ParameterSummaryRecord
from ..events import log_event
from ..metrics import log_values
from .change import Change, ParameterProbe, Watched
from .compiled import kernels
from .config import ParameterDiagnosticsConfig
from .copies import Copies
from .engine import checked_optimizer
from .probing import Probing
from .selection import checked_model, nearest, unwrapped
from .writing import ParameterBody, put

OFTEN = 10
"""Steps from probe to probe up to which the memory for a copy of the parameters is held in between."""

MOST_NAMES = 500
"""So many names an event holds; their number is told in full."""

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]")


class ParameterDiagnostics(Probing):
    """Records norms of parameters, gradients and updates at each optimizer step within the steps of a schedule.

    Args:
        session: a TrainingSession, or the RunContext of one.
        model: the network; for one wrapped by DDP or FSDP the names are those of the network inside.
        optimizer: the optimizer that trains it, or a sequence of several.
        config: which parameters, when, and what of them; the defaults if omitted.

    Raises:
        MissingDependencyError: torch is not installed.
        WrongTypeError: an argument is of a wrong type.
        SchemaValidationError: no parameter is left to watch, or the optimizer trains none of them.
    """

    __module__ = "quark"

    def __init__(
        self, session: Any, model: Any, optimizer: Any, *, config: ParameterDiagnosticsConfig | None = None
    ) -> None:
        if config is not None and not isinstance(config, ParameterDiagnosticsConfig):
            raise WrongTypeError(f"config must be a ParameterDiagnosticsConfig, got {shown(config)}")
        self._config = config or ParameterDiagnosticsConfig()
        super().__init__(session, self._config.schedule, self._config.raise_on_error, self._config.batch_size)
        self._parameters = _select(checked_model(model), self._config)
        self._optimizers = _checked_optimizers(optimizer, self._parameters)
        every = self._config.schedule.every_n_steps
        self._copies = Copies(kept=every is not None and every <= OFTEN, kernels=kernels())
        if not self._handle.disabled:
            _tell_left_out(self._handle, model, self._optimizers)
        self._handle.attach(self)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the parameters that are watched, in the order of ``model.named_parameters()``."""
        return tuple(one.name for one in self._parameters)

    def _new_probe(self, step: int, epoch: int | None) -> ParameterProbe:
        return ParameterProbe(self._parameters, self._optimizers, self._copies, self._config, step, epoch, self._failed)

    def _lines(self, probe: ParameterProbe, time_ns: int) -> Iterator[bytes]:
        journal = self._handle.journal
        values: dict[str, float] = {}
        for change in probe.changes():
            body = _body(change)
            yield put(journal, "parameter", body.parameter_name, body, probe.step, probe.epoch, time_ns)
            if self._config.emit_scalar_metrics:
                values.update(_metrics(body))
        if values:
            log_values(self._handle, values, probe.step, probe.epoch, time_ns)

    def flush(self) -> tuple[ParameterSummaryRecord, ...]:
        """Bring everything to the store; the summaries made since the last flush, at most ``batch_size``."""
        return cast("tuple[ParameterSummaryRecord, ...]", self._take_recent())

    def read(
        self, *, parameter_name: str | None = None, step: int | None = None, step_min: int | None = None,
        step_max: int | None = None, epoch: int | None = None, epoch_min: int | None = None,
        epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[ParameterSummaryRecord, ...]:  # fmt: skip
        """The run's parameter summaries in the order of recording, the first ``limit``; bounds are inclusive."""
        self._settle()
        return self._read(
            ParameterSummaryRecord, {"parameter_name": parameter_name}, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip


def _tell_left_out(handle: RunHandle, model: Any, optimizers: list[Any]) -> None:
    """Record which parameters will not change: the frozen ones, and those that no optimizer holds. Exact and free."""
    trained = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    named = dict(unwrapped(model).named_parameters())
    left_out = [name for name, one in named.items() if one.requires_grad and id(one) not in trained]
    frozen = [name for name, one in named.items() if not one.requires_grad]
    if left_out or frozen:
        payload = {
            "parameters": len(named), "not_optimized": left_out[:MOST_NAMES], "not_optimized_count": len(left_out),
            "frozen": frozen[:MOST_NAMES], "frozen_count": len(frozen),
        }  # fmt: skip
        log_event(handle, "parameters_watched", severity="warning" if left_out else "info", payload=payload)


def _select(model: Any, config: ParameterDiagnosticsConfig) -> list[Watched]:
    named = dict(unwrapped(model).named_parameters())
    if not named:
        raise SchemaValidationError(f"model must have parameters to watch, got {type(model).__name__} without any")
    for pattern in (*config.include_name_patterns, *config.exclude_name_patterns):
        if not any(re.search(pattern, name) for name in named):
            raise SchemaValidationError(
                f"ParameterDiagnosticsConfig has a pattern that fits no parameter: {pattern!r}; "
                f"{nearest(pattern, named)}"
            )

    def wanted(name: str) -> bool:
        included = not config.include_name_patterns or any(re.search(p, name) for p in config.include_name_patterns)
        return included and not any(re.search(p, name) for p in config.exclude_name_patterns)

    chosen = [Watched(name, parameter) for name, parameter in named.items() if wanted(name)]
    if not chosen:
        raise SchemaValidationError(
            "the patterns of ParameterDiagnosticsConfig exclude every parameter; leave one of them out"
        )
    return chosen


def _checked_optimizers(given: Any, parameters: list[Watched]) -> list[Any]:
    several = list(given) if isinstance(given, Sequence) else [given]
    for optimizer in several:
        if optimizer is None or not hasattr(checked_optimizer(optimizer), "register_step_post_hook"):
            raise WrongTypeError(f"optimizer must be a torch.optim.Optimizer, got {shown(optimizer)}")
    watched = {id(one.parameter) for one in parameters}
    if not any(id(p) in watched for optimizer in several for group in optimizer.param_groups for p in group["params"]):
        raise SchemaValidationError(
            "the optimizer trains none of the parameters that are watched; pass the one that was built from this "
            "model's parameters()"
        )
    return several


def _body(change: Change) -> ParameterBody:
    ratio = None
    if change.update_norm is not None and change.weight_norm:
        ratio = change.update_norm / change.weight_norm
    parameter = change.watched.parameter
    return ParameterBody(
        change.watched.name, change.call, parameter.numel(), tuple(parameter.shape), change.weight_norm,
        change.gradient_norm, change.update_norm, ratio, change.details,
    )  # fmt: skip


def _metrics(body: ParameterBody) -> Iterator[tuple[str, float]]:
    name = _UNNAMEABLE.sub("_", body.parameter_name)
    name = name if name[0].isalnum() else f"p{name}"
    for field in ("weight_norm", "gradient_norm", "update_norm", "update_ratio"):
        value = getattr(body, field)
        if value is not None:
            yield f"quark/params/{name}/{field}", value
