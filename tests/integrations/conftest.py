"""Servers that the tests of several modules share."""

from .mlflow_server import mlflow_quiet, mlflow_server, mlflow_template  # noqa: F401  fixtures
