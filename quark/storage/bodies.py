"""Finds records by a field of their body, which is JSON text, in the words of each database."""

from typing import Any

import msgspec
import sqlalchemy as sa

from ..records.line import encode
from .schema import records

# Neither database finds a NUL in JSON: there, and in what is looked for, it is another character.
_NUL, _STAND_IN = r"\u0000", r"\uf8ff"
_body = sa.func.replace(records.c.body, _NUL, _STAND_IN)


def _as_json(value: Any) -> str:
    return encode(value).decode().replace(_NUL, _STAND_IN)


def _types_of(value: Any) -> tuple[str, ...]:
    """The types that SQLite gives to JSON values that may equal this one."""
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    if isinstance(value, (int, float)):
        return ("integer", "real")
    return ("text",) if isinstance(value, str) else ("object",) if isinstance(value, dict) else ("null",)


class SqliteBodies:
    """Values compare as JSON does: SQLite reads true as 1, so the types are compared as well."""

    @classmethod
    def field_is(cls, name: str, value: Any) -> Any:
        """Whether a field has a value; None for one that is null or missing."""
        field = sa.func.json_extract(_body, f"$.{name}")
        if value is None:
            return field.is_(None)
        return sa.and_(sa.func.json_type(_body, f"$.{name}").in_(_types_of(value)), field == cls._wanted(value))

    @classmethod
    def field_holds(cls, name: str, value: Any) -> Any:
        """Whether a field is a list that has the value."""
        items = sa.func.json_each(_body, f"$.{name}").table_valued("value", "type")
        return sa.exists().where(items.c.value == cls._wanted(value), items.c.type.in_(_types_of(value)))

    @classmethod
    def inner(cls, *path: str) -> Any:
        """A value within a field, to be compared with others of its kind."""
        return sa.func.json_extract(_body, "$." + ".".join(path))

    @classmethod
    def inner_is(cls, text: str, *path: str) -> Any:
        """Whether a value within a field is this text; null where there is none."""
        return cls.inner(*path) == text

    @staticmethod
    def _wanted(value: Any) -> Any:
        """Text and numbers as they are, objects as the text in which they are stored."""
        text = _as_json(value)
        return msgspec.json.decode(text) if isinstance(value, str) else text if isinstance(value, dict) else value


class PostgresBodies:
    """Values compare as JSON does."""

    @classmethod
    def field_is(cls, name: str, value: Any) -> Any:
        """Whether a field has a value; None for one that is null or missing."""
        wanted = cls._wanted(value)
        return sa.false() if wanted is None else sa.func.coalesce(cls._field(name), cls._json("null")) == wanted

    @classmethod
    def field_holds(cls, name: str, value: Any) -> Any:
        """Whether a field is a list that has the value."""
        wanted = cls._wanted(value)
        return sa.false() if wanted is None else sa.func.coalesce(cls._field(name).op("@>")(wanted), sa.false())

    @classmethod
    def inner(cls, *path: str) -> Any:
        """A value within a field, to be compared with others of its kind."""
        return sa.func.jsonb_extract_path(cls._json(_body), *path)

    @classmethod
    def inner_is(cls, text: str, *path: str) -> Any:
        """Whether a value within a field is this text; null where there is none."""
        return cls.inner(*path) == cls._wanted(text)

    @classmethod
    def _field(cls, name: str) -> Any:
        return cls.inner(name)

    @classmethod
    def _wanted(cls, value: Any) -> Any:
        """The value as JSON; None for one that no JSON holds."""
        if isinstance(value, float) and value != value:
            return None
        return cls._json(_as_json(value))

    @staticmethod
    def _json(text: Any) -> Any:
        from sqlalchemy.dialects.postgresql import JSONB

        return sa.cast(sa.literal(text, sa.Text) if isinstance(text, str) else text, JSONB)


BODIES: dict[str, Any] = {"sqlite": SqliteBodies, "postgresql": PostgresBodies}
"""By the name of SQLAlchemy's dialect."""
