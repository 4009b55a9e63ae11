"""Sessions: starting, resuming and ending runs."""

from .api import add_log, add_tag, end_run, resume_run, start_run
from .current import current_run
from .session import TrainingSession

__all__ = ["TrainingSession", "add_log", "add_tag", "current_run", "end_run", "resume_run", "start_run"]
