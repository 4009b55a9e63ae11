"""What goes on inside a network: summaries of its layers and parameters, at the steps of a schedule."""

from .config import ParameterDiagnosticsConfig
from .engine import HookEngine
from .parameters import ParameterDiagnostics

__all__ = ["HookEngine", "ParameterDiagnostics", "ParameterDiagnosticsConfig"]
