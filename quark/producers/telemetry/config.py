"""The settings of the system telemetry."""

from typing import Annotated

from ...records.base import frozen
from ...records.configs import Config, Size
from ...records.fields import Count, says


@frozen
class SystemTelemetryConfig(Config):
    """How often the machine is recorded, and what of it.

    Raises:
        SchemaValidationError, WrongTypeError: a field breaks its rule; the message names it.
    """

    sample_every_n_steps: Annotated[Size, says("record every so many steps, from step 0")] = 1
    emit_scalar_metrics: Annotated[bool, says("mirror the fields that have a value as metrics below system/")] = True
    capture_cpu: Annotated[bool, says("sample processor, memory and the process's own memory")] = True
    capture_gpu: Annotated[bool, says("sample the GPU")] = True
    gpu_index: Annotated[
        Count | None, says("which GPU, counted as CUDA counts those that the process sees; null: the one in use")
    ] = None
