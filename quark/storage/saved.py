"""Views of a project's runs that people saved: which charts and columns they look at, as the page writes it down."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import SchemaValidationError
from ..records.base import format_timestamp
from ..records.line import encode

if TYPE_CHECKING:
    from .database import Database

MAX_VIEW = 16 << 10
"""Bytes of a view as JSON."""

MAX_VIEWS = 200
"""Views of one project."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A view of a project under a name; ``content`` is any JSON object."""

    name: str
    project: str
    content: dict[str, Any]
    updated_at: str


class SavedViews:
    """The part of a store that keeps views."""

    _database: "Database"

    def views(self, project: str) -> list[SavedView]:
        """The views of a project, by name."""
        query = "SELECT name, content, updated_at FROM views WHERE project = ? ORDER BY name"
        with self._database.snapshot() as connection:
            rows = connection.execute(query, (project,)).fetchall()
        return [_view(project, *row) for row in rows]

    def view(self, project: str, name: str) -> SavedView | None:
        """The view of a name; None if there is none."""
        query = "SELECT name, content, updated_at FROM views WHERE project = ? AND name = ?"
        with self._database.snapshot() as connection:
            row = connection.execute(query, (project, name)).fetchone()
        return None if row is None else _view(project, *row)

    def save_view(self, project: str, name: str, content: dict[str, Any] | None) -> bool:
        """Keep a view in the place of the one that has its name; None removes it. Whether there was one.

        Raises:
            SchemaValidationError: it is too large, or the project has too many.
        """
        text = None if content is None else encode(content)
        if text is not None and len(text) > MAX_VIEW:
            raise SchemaValidationError(
                f"a view has at most {MAX_VIEW} bytes of JSON, got {len(text)}; show less in it"
            )
        with self._database.writing() as connection:
            where = (project, name)
            had = connection.execute("DELETE FROM views WHERE project = ? AND name = ?", where).rowcount > 0
            if text is not None:
                query = "SELECT count(*) FROM views WHERE project = ?"
                (held,) = connection.execute(query, (project,)).fetchone()
                if held >= MAX_VIEWS:
                    raise SchemaValidationError(f"a project has at most {MAX_VIEWS} views; delete one of them")
                connection.execute(
                    "INSERT INTO views (project, name, content, updated_at) VALUES (?, ?, ?, ?)",
                    (project, name, text.decode(), time.time_ns()),
                )
        return had


def _view(project: str, name: str, content: str, updated_at: int) -> SavedView:
    return SavedView(name, project, msgspec.json.decode(content, type=dict[str, Any]), format_timestamp(updated_at))
