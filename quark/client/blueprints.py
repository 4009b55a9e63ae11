"""The blueprints of a service's projects."""

from collections.abc import Mapping
from typing import Any, Protocol

from ..core.blueprint import check_schema
from .connection import Connection


class _Connected(Protocol):
    connection: Connection


class RemoteBlueprints:
    """The part of a remote store that keeps blueprints; the same methods as those of a store in a database."""

    def blueprint(self: _Connected, project: str) -> dict[str, Any] | None:
        """The JSON Schema of a project's configurations; None if it has none."""
        return self.connection.get("/blueprint", project=project)["blueprint"]

    def set_blueprint(self: _Connected, project: str, schema: Mapping[str, Any] | None) -> None:
        """Set the JSON Schema of a project's configurations; None removes it."""
        wanted = None if schema is None else check_schema(schema)
        self.connection.write("PUT", "/blueprint", {"blueprint": wanted}, project=project)
