"""The blueprints of projects in a store."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.blueprint import check_schema

if TYPE_CHECKING:
    from .database import Database


class Blueprints:
    """The part of a store that keeps blueprints."""

    _database: "Database"

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """The JSON Schema of a project's configurations; None if it has none."""
        with self._database.snapshot() as connection:
            row = connection.execute("SELECT content FROM blueprints WHERE project = ?", (project,)).fetchone()
            return None if row is None else msgspec.json.decode(row[0], type=dict[str, Any])

    def set_blueprint(self, project: str, schema: Mapping[str, Any] | None) -> None:
        """Set the JSON Schema of a project's configurations; None removes it.

        Raises:
            SchemaValidationError, WrongTypeError: it is none that can be used.
        """
        content = None if schema is None else msgspec.json.encode(check_schema(schema)).decode()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM blueprints WHERE project = ?", (project,))
            if content is not None:
                connection.execute("INSERT INTO blueprints VALUES (?, ?, ?)", (project, content, time.time_ns()))
