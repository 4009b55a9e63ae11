"""The Quark service: one place for a team's runs, over HTTP."""

from ..errors import require_all

require_all(("cryptography", "httptools", "litestar", "prometheus_client", "uvicorn", "zstandard"), "service")

from .app import create_app  # noqa: E402  after the check, whose error says what to install
from .config import ServiceConfig  # noqa: E402

__all__ = ["ServiceConfig", "create_app"]
