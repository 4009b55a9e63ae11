"""The Quark service: one place for a team's runs, over HTTP."""

from .app import create_app
from .config import ServiceConfig

__all__ = ["ServiceConfig", "create_app"]
