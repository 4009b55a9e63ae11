"""What a run records without being asked: the code that it runs, installed packages, printed lines, the machine."""

from .capture import Capture, start_capture

__all__ = ["Capture", "start_capture"]
