"""Finds records by a field of their body, which is JSON text, in the words of each database."""

from typing import Any

import sqlalchemy as sa

from ..records.line import encode
from .schema import records


class SqliteBodies:
    """Values compare as SQLite reads them out of JSON: true is 1."""

    @staticmethod
    def field_is(name: str, value: Any) -> Any:
        """Whether a field has a value; None for one that is null or missing."""
        field = sa.func.json_extract(records.c.body, f"$.{name}")
        return field.is_(None) if value is None else field == value

    @staticmethod
    def field_holds(name: str, value: Any) -> Any:
        """Whether a field is a list that has the value."""
        return sa.exists().where(sa.func.json_each(records.c.body, f"$.{name}").table_valued("value").c.value == value)


class PostgresBodies:
    """Values compare as JSON does. A NUL, which PostgreSQL's JSON refuses, is another character on both sides."""

    _NUL, _STAND_IN = r"\u0000", r"\uf8ff"

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
    def _field(cls, name: str) -> Any:
        body = cls._json(sa.func.replace(records.c.body, cls._NUL, cls._STAND_IN))
        return sa.func.jsonb_extract_path(body, name)

    @classmethod
    def _wanted(cls, value: Any) -> Any:
        """The value as JSON; None for one that no JSON holds."""
        if isinstance(value, float) and value != value:
            return None
        try:
            text = encode(value).decode()
        except UnicodeEncodeError:
            return None
        return cls._json(text.replace(cls._NUL, cls._STAND_IN))

    @staticmethod
    def _json(text: Any) -> Any:
        from sqlalchemy.dialects.postgresql import JSONB

        return sa.cast(sa.literal(text, sa.Text) if isinstance(text, str) else text, JSONB)


BODIES: dict[str, Any] = {"sqlite": SqliteBodies, "postgresql": PostgresBodies}
"""By the name of SQLAlchemy's dialect."""
