"""Small answers about a run: which metrics it has, what they were last, how many records of each kind."""

from collections.abc import Collection, Iterator

import msgspec
import numpy as np
import sqlalchemy as sa

from ..records.naming import NAME, metric_key
from ..records.ready import ready
from .arrays import unpacked_points
from .columns import unpack_values
from .schema import chunk_data, chunks, fragments, records, series


def read_keys(connection: sa.Connection, run_pk: int) -> list[str]:
    """The metric keys of a run, sorted."""
    query = sa.select(series.c.key).where(series.c.run_pk == run_pk)
    return sorted(map(_text, connection.execute(query).scalars()))


def _text(key: object) -> str:
    if not isinstance(key, str):  # SQLite takes anything anywhere
        raise TypeError(f"the key of a metric is {key!r:.80}")
    return key


def read_names(connection: sa.Connection, run_pk: int) -> dict[str, dict[str, str]]:
    """The names that a run recorded, by what they are of and by key; of several the first one counts."""
    query = sa.select(records.c.body).where(
        records.c.run_pk == run_pk, records.c.kind == "run", records.c.label.in_((NAME, "start"))
    )
    made: dict[str, dict[str, str]] = {}
    for body in connection.execute(query.order_by(records.c.pk)).scalars():
        try:
            line = msgspec.json.decode(body, type=ready(_Named))
        except msgspec.MsgspecError:  # whoever may write to a service may write any line
            continue
        for of, named in (*line.names.items(), (line.of, {line.key: line.name})):
            for key, name in named.items():
                made.setdefault(of, {}).setdefault(key, name)
    made.pop("", None)
    return made


class _Named(msgspec.Struct):
    """A line with one name, or the start of an exported run with all of them."""

    of: str = ""
    key: str = ""
    name: str = ""
    names: dict[str, dict[str, str]] = {}


def read_latest(connection: sa.Connection, run_pk: int) -> dict[str, tuple[int | None, float]]:
    """The last step and value of every key: as the store notes them, and of what is not packed yet with their sign."""
    query = sa.select(series.c.pk, series.c.key, series.c.last_step, series.c.last_value)
    rows = connection.execute(query.where(series.c.run_pk == run_pk).order_by(series.c.key)).all()
    last: dict[int, tuple[int | None, float]] = {
        pk: (None if step is None else int(step), float(value)) for pk, _, step, value in rows if value is not None
    }
    if connection.dialect.name == "sqlite":
        last.update(_signed_zeros(connection, run_pk))
    for *_, points in unpacked_points(connection, run_pk):
        numbers, from_end = np.unique(points["series"][::-1], return_index=True)
        newest = points[len(points) - 1 - from_end]
        for number, step, value in zip(
            numbers.tolist(), newest["step"].tolist(), newest["value"].tolist(), strict=True
        ):
            last[number] = (None if step < 0 else step, value)
    return {_text(key): last[pk] for pk, key, *_ in rows if pk in last}


def _signed_zeros(connection: sa.Connection, run_pk: int) -> Iterator[tuple[int, tuple[int | None, float]]]:
    """The last values that are zero, from the end of their chunks: a column of SQLite holds -0.0 as 0.0."""
    newest = (
        sa.select(sa.func.max(chunks.c.pk))
        .join(series, series.c.pk == chunks.c.series_pk)
        .where(series.c.run_pk == run_pk, series.c.last_value == 0)
        .group_by(chunks.c.series_pk)
    )
    query = (
        sa.select(series.c.pk, series.c.last_step, chunks.c.count, chunk_data.c.value_data)
        .join_from(chunks, chunk_data, chunk_data.c.chunk_pk == chunks.c.pk)
        .join(series, series.c.pk == chunks.c.series_pk)
        .where(chunks.c.pk.in_(newest))
    )
    for pk, step, count, values in connection.execute(query):
        yield pk, (None if step is None else int(step), float(unpack_values(values, count)[-1]))


def read_counts(connection: sa.Connection, run_pk: int) -> dict[str, int]:
    """Records by kind; kinds without any are left out, and so are the lines of the lifecycle."""
    packed = sa.select(sa.func.coalesce(sa.func.sum(series.c.count), 0)).where(series.c.run_pk == run_pk)
    unpacked = sa.select(sa.func.coalesce(sa.func.sum(fragments.c.count), 0)).where(fragments.c.run_pk == run_pk)
    points = int(connection.execute(packed).scalar_one()) + int(connection.execute(unpacked).scalar_one())
    query = sa.select(records.c.kind, sa.func.count()).where(records.c.run_pk == run_pk, records.c.kind != "run")
    made = {kind: count for kind, count in connection.execute(query.group_by(records.c.kind))}
    return {"metric": points, **made} if points else made


def read_size(connection: sa.Connection, run_pk: int, key: str | None) -> int:
    """Points of a run that are not packed yet, and of a key those that are."""
    unpacked = sa.select(sa.func.coalesce(sa.func.sum(fragments.c.count), 0)).where(fragments.c.run_pk == run_pk)
    packed = sa.select(sa.func.coalesce(sa.func.sum(series.c.count), 0)).where(
        series.c.run_pk == run_pk, series.c.key == key
    )
    queries = (unpacked,) if key is None else (unpacked, packed)
    return sum(int(connection.execute(query).scalar_one()) for query in queries)


def read_sizes(connection: sa.Connection, run_pk: int, keys: Collection[str]) -> tuple[int, int]:
    """Points of a run that are not packed yet, and those of the longest of some metrics that are."""
    unpacked = read_size(connection, run_pk, None)
    wanted = {metric_key(key) for key in keys}
    query = sa.select(sa.func.max(series.c.count)).where(series.c.run_pk == run_pk, series.c.key.in_(wanted))
    return unpacked, connection.execute(query).scalar_one() or 0
