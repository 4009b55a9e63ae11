"""What the machine did during a step, or at a moment."""

from typing import Annotated, ClassVar

from .base import Record, frozen, kind
from .fields import Bytes, Count, Epoch, Metadata, Milliseconds, Percent, Ratio, Step, says
from .literals import TelemetryBoundary


@kind
@frozen
class SystemTelemetryRecord(Record):
    """Timing, processor, memory and GPU of one step or moment; what could not be read is null."""

    kind: ClassVar[str] = "telemetry"
    label_field: ClassVar[str | None] = "boundary"
    plural: ClassVar[str] = "telemetry"
    noun: ClassVar[str] = "telemetry records"

    boundary: Annotated[TelemetryBoundary, says("step: measured over a training step; time: a moment outside steps")]
    step: Step | None = None
    epoch: Epoch | None = None
    step_time_ms: Annotated[Milliseconds | None, says("wall time of the step, ms")] = None
    data_time_ms: Annotated[Milliseconds | None, says("time until the batch was ready, ms")] = None
    compute_time_ms: Annotated[Milliseconds | None, says("the rest of the step, ms")] = None
    cpu_usage_percent: Annotated[Percent | None, says("use of the processors available to the process, 0 to 100")] = (
        None
    )
    ram_usage_percent: Annotated[Percent | None, says("memory in use of what is available to the job, 0 to 100")] = None
    ram_used_bytes: Annotated[Bytes | None, says("memory in use on the machine or in the control group, bytes")] = None
    process_rss_bytes: Annotated[Bytes | None, says("resident memory of the process, bytes")] = None
    gpu_index: Annotated[Count | None, says("which GPU the GPU fields are about")] = None
    gpu_utilization_percent: Annotated[Percent | None, says("share of time in which the GPU was busy, 0 to 100")] = None
    gpu_memory_used_bytes: Annotated[Bytes | None, says("memory in use on the GPU by all processes, bytes")] = None
    gpu_memory_usage_percent: Annotated[Percent | None, says("memory in use on the GPU, 0 to 100")] = None
    gpu_memory_allocated_bytes: Annotated[Bytes | None, says("memory that torch's tensors hold on the GPU, bytes")] = (
        None
    )
    gpu_memory_reserved_bytes: Annotated[Bytes | None, says("memory that torch reserves on the GPU, bytes")] = None
    gpu_memory_peak_allocated_bytes: Annotated[
        Bytes | None,
        says("most that torch's tensors have held on the GPU since the process or the peak was begun, bytes"),
    ] = None
    gpu_memory_fragmentation_ratio: Annotated[
        Ratio | None, says("share of the memory that torch's allocator holds and no tensor uses, 0 to 1")
    ] = None
    gpu_memory_inactive_split_bytes: Annotated[
        Bytes | None, says("free pieces of blocks that are in use, which torch cannot give back to the GPU, bytes")
    ] = None
    overflow_count: Annotated[Count, says("gradient overflows so far in the run")] = 0
    skipped_step_count: Annotated[Count, says("optimizer steps skipped so far in the run")] = 0
    metadata: Metadata
