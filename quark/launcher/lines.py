"""The lines that a command printed, as far as they are kept."""

from ..session.capture.lines import PrintedLine, PrintedLines

__all__ = ["PrintedLine", "PrintedLines"]
