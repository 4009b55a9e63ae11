"""HookEngine: what activations and gradients of every layer do, at a cadence, without a step that feels it."""

from collections.abc import Iterator
from typing import Any, cast

from ...core.reader import RecordFilter
from ...errors import WrongTypeError
from ...records.configs import HookEngineConfig
from ...records.grammar import one_of, shown
from ...records.layer import LayerSummaryRecord
from ..wide import log_values
from .changed import tell_change
from .compiled import kernels
from .eager import EagerStep, can_run_eagerly
from .exchange import GradientExchange
from .naming import unwrapped
from .optimizers import given_optimizers
from .probe import Probe
from .probing import Probing
from .scale import LossScale, checked_scale
from .selection import checked_model, select_again, select_layers
from .silence import Silence
from .structure import Structure
from .watched import Layer
from .watchers import checked_name
from .writing import bodies, put


class HookEngine(Probing):
    """Records summaries of a model's activations and gradients in the steps of a schedule.

    The hooks are on the model only while a probed step lasts; in all other steps nothing of it runs.

    Args:
        session: a TrainingSession, or the RunContext of one.
        model: the network; for one in wrappers (DDP, FSDP, checkpointing) the names are those of the network inside.
        optimizer: the optimizer that trains it, or a list of several, if there is one; what it does to the parameters
            is recorded by ParameterDiagnostics.
        config: which layers, when, and what of them; the defaults if omitted.
        grad_scale: what the loss is multiplied by in mixed precision: a ``torch.amp.GradScaler``, a number, or a
            callable that returns one. Gradients are recorded as they would be without it.
        name: what the records call the watcher, to tell several networks of one run apart. The first network needs
            none; a further one is named after its class.

    Raises:
        MissingDependencyError: torch is not installed.
        WrongTypeError: an argument is of a wrong type.
        SchemaValidationError: the filters fit no layer, and the message names the nearest; the name is taken.
    """

    __module__ = "quark"

    def __init__(
        self,
        session: Any,
        model: Any,
        optimizer: Any = None,
        *,
        config: HookEngineConfig | None = None,
        grad_scale: Any = None,
        name: str | None = None,
    ) -> None:
        if config is not None and not isinstance(config, HookEngineConfig):
            raise WrongTypeError(f"config must be a HookEngineConfig, got {shown(config)}")
        self._config = config = config or HookEngineConfig()
        super().__init__(
            session, model, checked_name(name), config.schedule, config.raise_on_error, config.batch_size
        )  # fmt: skip
        checked_model(model)
        self._into_compiled = config.compiled == "eager" and can_run_eagerly()
        chosen = select_layers(model, config.filters, into_compiled=self._into_compiled)
        given_optimizers(optimizer)
        self.optimizer = optimizer
        self._grad_scale = checked_scale(grad_scale)
        self._kernels = kernels()
        self._exchange = GradientExchange(model, config.schedule.every_n_steps)
        self._layers = [Layer(name, module, config) for name, module in chosen.items()]
        self._structure = Structure(model)
        self._network = unwrapped(model)
        self._silence = Silence(self._handle)
        self._enter()
        self._silence.before(chosen, config.compiled)

    @property
    def instrumented_module_names(self) -> tuple[str, ...]:
        """The names of the layers that are watched, in the order of ``model.named_modules()``."""
        return tuple(layer.name for layer in self._layers)

    def _new_probe(self, step: int, epoch: int | None, *, early: bool) -> Probe:
        self._follow(step)
        scale = LossScale(self._grad_scale)
        eagerly = EagerStep() if self._into_compiled else None
        return Probe(self._layers, self._network, self._config, step, epoch, scale, self._kernels, self._failed,
                     early=early, eagerly=eagerly)  # fmt: skip

    def _follow(self, step: int) -> None:
        """Watch the layers that the model has now, where it was changed since the last probe."""
        if self._structure.same():
            return
        self._structure = Structure(self.model)
        before = {layer.name: layer for layer in self._layers}
        chosen = select_again(self.model, self._config.filters, into_compiled=self._into_compiled)
        self._layers = [
            before[name] if name in before and before[name].module is module else Layer(name, module, self._config)
            for name, module in chosen.items()
        ]
        replaced = [name for name in chosen if name in before and before[name].module is not chosen[name]]
        tell_change(self._handle, "layers", set(before), set(chosen), replaced, step)

    def _lines(self, probe: Probe, time_ns: int) -> Iterator[bytes]:
        journal = self._handle.journal
        for body in bodies(probe, self._name):
            yield put(journal, "layer", body.module_name, body, probe.step, probe.epoch, time_ns)
        times = self._exchange.times()
        if times:
            log_values(self._handle, times, probe.step, probe.epoch, time_ns)
        self._silence.after(probe)

    def _on_close(self) -> None:
        super()._on_close()
        if self._config.capture_forward and not self._handle.disabled:
            self._silence.close(self._layers)

    def flush(self) -> tuple[LayerSummaryRecord, ...]:
        """Bring everything to the store; the summaries made since the last flush, at most ``batch_size``."""
        return cast("tuple[LayerSummaryRecord, ...]", self._take_recent())

    def read(
        self, *, module_name: str | None = None, module_type: str | None = None, summary_type: str | None = None,
        hook_direction: str | None = None, step: int | None = None, step_min: int | None = None,
        step_max: int | None = None, epoch: int | None = None, epoch_min: int | None = None,
        epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[LayerSummaryRecord, ...]:  # fmt: skip
        """The watcher's layer summaries in the order of recording, the first ``limit``; bounds are inclusive."""
        self._settle()
        if summary_type is not None:
            one_of(summary_type, ("activation", "gradient"), "summary_type")
        if hook_direction is not None:
            one_of(hook_direction, ("forward", "backward"), "hook_direction")
        where = {
            "module_name": module_name, "module_type": module_type, "summary_type": summary_type,
            "hook_direction": hook_direction, "watcher": (self._name,),
        }  # fmt: skip
        return self._read(
            LayerSummaryRecord, where, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip
