"""What the machine does while a network trains: step timings, processor, memory and GPU."""

from .config import SystemTelemetryConfig
from .scope import StepTelemetryScope
from .telemetry import SystemTelemetry

__all__ = ["StepTelemetryScope", "SystemTelemetry", "SystemTelemetryConfig"]
