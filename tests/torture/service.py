"""A service under torture, and builds of it with a planted fault that the accounts must notice."""

from collections.abc import Callable
from functools import partial
from typing import Any


def live(db: str, data: str, port: int, mutant: str | None) -> None:
    """Serve until somebody ends this."""
    from pathlib import Path

    from quark.service import ServiceConfig
    from quark.service.server import serve

    if mutant is not None:
        MUTANTS[mutant]()
    serve(ServiceConfig.of(db, Path(data)), host="127.0.0.1", port=port)


def _with_appends(changed: Callable[[Callable[[], Any], Any, Any], Any]) -> None:
    """Put ``changed(append, connection, batch)`` in the place of every append."""
    from quark.storage.append import Appender

    true = Appender.append

    def append(self: Any, connection: Any, batch: Any, **options: Any) -> Any:
        return changed(partial(true, self, connection, batch, **options), connection, batch)

    Appender.append = append  # type: ignore[method-assign]


def _set_mark(connection: Any, batch: Any, mark: int) -> None:
    run_pk = connection.lock_run(batch.origin.run_id)
    if run_pk is not None:
        connection.execute(
            "UPDATE writers SET next = ? WHERE run_pk = ? AND id = ?", (mark, run_pk, batch.origin.writer_id)
        )


def stores_again() -> None:
    """Deduplication is off: a batch that comes again is stored again."""

    def changed(append: Callable[[], Any], connection: Any, batch: Any) -> Any:
        _set_mark(connection, batch, batch.first)
        return append()

    _with_appends(changed)


def marks_too_far() -> None:
    """The mark moves a record further than the rows, for every second batch."""
    count = 0

    def changed(append: Callable[[], Any], connection: Any, batch: Any) -> Any:
        nonlocal count
        work = append()
        count += 1
        if count % 2 == 0:
            work.mark += 1
            _set_mark(connection, batch, work.mark)
        return work

    _with_appends(changed)


MUTANTS: dict[str, Callable[[], None]] = {"stores_again": stores_again, "marks_too_far": marks_too_far}
"""Builds with a fault, by name."""
