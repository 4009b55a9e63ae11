"""The runs of a store: found by filters, walked over all pages, or named by id."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack, overload

from ..core.choice import RunFilters, Texts, check_fields
from ..core.control import Alive
from ..core.reader import StoreReader
from ..errors import RunNotFoundError, WrongTypeError
from ..producers.reports import Checkpoint, UnrecordedValues, unrecorded_of
from ..records.artifact import ArtifactRecord
from ..records.event import EventRecord
from ..records.grammar import check_index, shown
from ..records.run import ProjectRecord, RunRecord
from .checkpoints import Bounds, checkpoints
from .columns import is_field, sorted_by
from .source import Payloads
from .view import RunView

if TYPE_CHECKING:
    import pandas

PAGE_SIZE = 100
MOST_RUNS = 500
"""Runs that one question may name."""

RECENT = 200
"""Runs whose names are looked at for one that was misspelt."""

LONGEST_NAME = 80
"""Characters of a name that are compared with it."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, and the cursor with which ``Store.page`` goes on behind them; None at the end."""

    runs: tuple[RunView, ...]
    next: str | None


class Store:
    """The runs that a store holds. Get one from ``quark.open``.

    Args:
        reader: what answers, an embedded store or a service.
        location: the directory or address, for messages.
        payloads: gives the payload of an artifact; by default the file in the run's directory.
        on_close: called once, after the reader is closed.
        alive: whether a process that writes a run lives, where that can be seen directly; else its heartbeats tell.
        on_purge: removes the files of a run that was purged.
        files: the directory of a run's files on this machine; by default what the run was recorded with.
        options: what names it on the command line, such as `` -d quark-runs``, for messages.
    """

    __module__ = "quark"

    def __init__(
        self, reader: StoreReader, *, location: str = "", payloads: Payloads | None = None,
        on_close: Callable[[], None] | None = None, alive: Alive | None = None,
        on_purge: Callable[[str], object] | None = None, files: Callable[[str], Path] | None = None,
        options: str = "",
    ) -> None:  # fmt: skip
        self._reader = reader
        self._files = files
        self._on_close = on_close
        self._payloads = payloads or _payload_of_run
        self._alive = alive
        self._on_purge = on_purge
        self.location = location
        self.options = options

    @overload
    def runs(
        self, *, sort: str = ..., offset: int = ..., limit: int | None = ..., id_after: str | None = ...,
        select: None = None, **filters: Unpack[RunFilters],
    ) -> Iterator[RunView]: ...  # fmt: skip

    @overload
    def runs(
        self, *, sort: str = ..., offset: int = ..., limit: int | None = ..., id_after: str | None = ...,
        select: Collection[str], **filters: Unpack[RunFilters],
    ) -> Iterator[dict[str, Any]]: ...  # fmt: skip

    def runs(
        self, *, sort: str = "-started_at", offset: int = 0, limit: int | None = None, id_after: str | None = None,
        select: Collection[str] | None = None, **filters: Unpack[RunFilters],
    ) -> Iterator[Any]:  # fmt: skip
        """All runs that match, page by page; the newest first.

        Args:
            ids, project, status, tag, name: equal to this, or to one of a list.
            name_ilike: the name matches this pattern, or one of a list, whatever the case of its letters: ``%``
                stands for any text, ``_`` for one character, and a backslash takes a meaning away.
            config: values of the run's configuration by dotted path, such as ``{"optimizer.lr": 0.1}``.
            started_after, started_before: inclusive bounds of the start, a datetime or RFC 3339 text.
            where: a query such as ``'status:failed lr<1e-3 max:val/acc>0.9 tag:x "text"'``: terms that must all hold,
                ``-`` before one negates it. ``status``, ``project``, ``tag``, ``name``, ``id`` (its start) and ``has``
                (a setting or metric) stand before a colon; settings, fields of the run, and ``last:``, ``min:``,
                ``max:`` or ``best:`` of a metric are compared with ``< <= > >= = !=``. Other words are looked for in
                id, name, project and tags.
            sort: ``started_at``, ``updated_at``, ``name``, ``project``, ``status`` or ``id``; ``-`` for descending.
                Or a metric such as ``-val/acc:max`` or a setting such as ``lr``, which reads all runs that match;
                those without a value come last.
            offset: leave out the first so many.
            limit: at most so many.
            id_after: only runs that come behind the run of this id in the order.
            select: read only these fields of each run, such as ``("id", "status")``, and give a dict of them instead of
                a RunView: a long list without configurations and environments is many times quicker.

        Raises:
            WrongTypeError, SchemaValidationError: a filter, order or field that runs do not have.
            RunNotFoundError: there is no run ``id_after``.
        """
        left = check_index(limit, "limit")
        if isinstance(sort, str) and not is_field(sort):
            yield from self._sorted_by_column(sort, check_index(offset, "offset") or 0, left, id_after, select, filters)
            return
        cursor: str | None = None
        while left is None or left > 0:
            found = self._reader.runs(
                sort=sort, offset=offset, limit=PAGE_SIZE if left is None else min(PAGE_SIZE, left), after=cursor,
                id_after=id_after, select=select, **filters,
            )  # fmt: skip
            yield from found.items if select is not None else map(self._view, found.items)
            left = None if left is None else left - len(found.items)
            cursor, offset, id_after = found.next, 0, None
            if cursor is None:
                return

    def _sorted_by_column(
        self, sort: str, offset: int, limit: int | None, id_after: str | None, select: Collection[str] | None,
        filters: RunFilters,
    ) -> Iterator[Any]:  # fmt: skip
        fields = check_fields(select)
        views = sorted_by(list(self.runs(**filters)), sort)
        if id_after is not None:
            places = [place for place, view in enumerate(views) if view.id == id_after]
            if not places:
                raise RunNotFoundError(f"no run {id_after!r} is among those that are listed", code="run_not_found")
            views = views[places[0] + 1 :]
        for view in views[offset:][:limit]:
            yield view if fields is None else {name: getattr(view.record, name) for name in fields}

    def page(
        self, *, sort: str = "-started_at", offset: int = 0, limit: int = PAGE_SIZE, after: str | None = None,
        id_after: str | None = None, **filters: Unpack[RunFilters],
    ) -> RunPage:  # fmt: skip
        """One page of runs; ``after`` is the ``next`` of the page before. See ``runs`` for the filters."""
        found = self._reader.runs(sort=sort, offset=offset, limit=limit, after=after, id_after=id_after, **filters)
        return RunPage(tuple(map(self._view, found.items)), found.next)

    def run(self, run_id: str) -> RunView:
        """The run with this id, or with an id that begins so, or with this name, if it is the only one.

        Raises:
            RunNotFoundError: no run, or several.
        """
        if not isinstance(run_id, str) or not run_id:
            raise WrongTypeError(f"run takes the id of a run or the start of one, got {shown(run_id)}")
        try:
            return self._view(self._reader.run(run_id))
        except RunNotFoundError:
            found = self._named(run_id)
        if not found:
            raise RunNotFoundError(
                f"no run {run_id!r} in {self.location or 'this store'}; {self._similar(run_id)}"
                f"list those that it holds with: quark runs{self.options}",
                code="run_not_found",
            )
        if len(found) > 1:
            several = ", ".join(view.id for view in found[:5]) + (", ..." if len(found) > 5 else "")
            raise RunNotFoundError(
                f"{run_id!r} names {len(found)} runs: {several}; write more of the id", code="run_ambiguous"
            )
        return found[0]

    def _named(self, text: str) -> list[RunView]:
        by_id = [view for view in self.runs(sort="id") if view.id.startswith(text)]
        return by_id or ([] if "\0" in text else list(self.runs(name=text)))

    def _similar(self, name: str) -> str:
        """Names of recent runs that a name resembles, as a question."""
        import difflib

        known = dict.fromkeys(view.name[:LONGEST_NAME] for view in self.runs(limit=RECENT) if view.name)
        near = difflib.get_close_matches(name[:LONGEST_NAME], known, n=3)
        return f"did you mean {', '.join(map(repr, near))}? Else " if near else ""

    def to_pandas(self, keys: Iterable[str] | None = None, **filters: Any) -> "pandas.DataFrame":
        """The runs as a data frame with a row a run.

        The columns: id, name, project, status, reason, started_at, duration_s and tags; ``config.lr`` for each setting;
        ``summary.NAME``; and of each metric ``last.KEY``, with ``best.KEY`` where the name says which value is best.

        Args:
            keys: which metrics; by default all but the machine's own (``system/``).
            filters: which runs, as for ``runs``, such as ``project="digits"`` or ``sort="-val/acc:max"``.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        from .table import runs_frame

        return runs_frame(self.runs(**filters), keys)

    def checkpoints(
        self, *, ids: Texts = None, project: Texts = None, run: Texts = None, status: Texts = None,
        **bounds: Unpack[Bounds],
    ) -> Iterator[Checkpoint]:  # fmt: skip
        """Checkpoints of all runs, page by page; of one place in a run only what was written there last.

        Args:
            ids, project, run, status: the identity of the checkpoint, the name of its project, the id of its run, and
                ``complete`` or ``incomplete``: equal to this, or to one of a list.
            bounds: bounds, order, ``offset`` and ``limit`` as of a RecordFilter; ``created_after`` and
                ``created_before`` are bounds of ``Checkpoint.timestamp``, and ``sort="-timestamp"`` is newest first.

        Raises:
            WrongTypeError, SchemaValidationError: a filter or order that checkpoints do not have.
        """
        filters = {"ids": ids, "project": project, "run": run, "status": status}
        return checkpoints(self._reader, bounds, filters)

    def unrecorded(self, run_ids: Iterable[str]) -> dict[str, UnrecordedValues]:
        """How many values each of these runs was given and does not hold; ``RunView.unrecorded`` asks for one run."""
        wanted = list(dict.fromkeys(run_ids))
        events: dict[str, list[EventRecord]] = {run_id: [] for run_id in wanted}
        for start in range(0, len(wanted), MOST_RUNS):
            for event in _unrecorded(self._reader, wanted[start : start + MOST_RUNS]):
                events[event.run_id].append(event)
        return {run_id: unrecorded_of(found) for run_id, found in events.items()}

    def projects(self) -> list[ProjectRecord]:
        """The projects that have runs here, by name."""
        return list(self._reader.projects())

    def deleted(self) -> Iterator[RunView]:
        """The runs that are deleted and not purged yet, the latest started first; only what they were is known of them.

        In a service this needs a key that reaches all projects.
        """
        cursor: str | None = None
        while True:
            page = self._reader.deleted_runs(limit=PAGE_SIZE, after=cursor)
            yield from map(self._view, page.items)
            cursor = page.next
            if cursor is None:
                return

    def restore(self, run_id: str) -> RunView:
        """Bring a deleted run back, by its id, the start of it, or its name, if it is the only one deleted of them.

        Raises:
            RunNotFoundError: there is none, several, or it was purged.
        """
        try:
            self._reader.restore_run(run_id)
        except RunNotFoundError:
            run_id = self._deleted_id(run_id)
            self._reader.restore_run(run_id)
        return self._view(self._reader.run(run_id))

    def _deleted_id(self, text: str) -> str:
        views = list(self.deleted())
        ids = [view.id for view in views if view.id.startswith(text)] or [v.id for v in views if v.name == text]
        if len(ids) == 1:
            return ids[0]
        listed = f"quark runs --deleted{self.options}"
        if not ids:
            raise RunNotFoundError(
                f"no deleted run {text!r}; list those that there are with: {listed}", code="run_not_found"
            )
        raise RunNotFoundError(
            f"{text!r} names {len(ids)} deleted runs: {', '.join(ids[:5])}; write more of the id ({listed})",
            code="run_ambiguous",
        )

    def purge(self, *, older_than_s: float = 30 * 86400.0) -> list[str]:
        """Remove for good what was deleted at least so many seconds ago, files included; the ids of those runs.

        In a service this needs a key with the scope admin, and payloads of artifacts stay, for runs share them.
        """
        purged = self._reader.purge(older_than_s)
        if self._on_purge is not None:
            for run_id in purged:
                self._on_purge(run_id)
        return purged

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """The JSON Schema that the configurations of a project's runs must match; None if there is none."""
        return self._reader.blueprint(project)

    def set_blueprint(self, project: str, schema: Mapping[str, Any] | None) -> None:
        """Set the JSON Schema that the configurations of a project's runs must match from now on; None removes it.

        Raises:
            SchemaValidationError, WrongTypeError: it is no JSON Schema that stands by itself.
        """
        self._reader.set_blueprint(project, schema)

    def close(self) -> None:
        """Let go of the store; again is allowed."""
        self._reader.close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.location or self._reader!r}>"

    def _view(self, record: RunRecord) -> RunView:
        return RunView(self._reader, record, self._payloads, self._alive, self._files)


def _unrecorded(reader: StoreReader, run_ids: list[str]) -> Iterator[EventRecord]:
    cursor: int | None = None
    while True:
        events, cursor = reader.unrecorded(run_ids, cursor)
        yield from events  # type: ignore[misc]
        if cursor is None:
            return


def _payload_of_run(run: RunRecord, artifact: ArtifactRecord) -> bytes:
    from ..storage.artifacts import read_payload

    return read_payload(Path(run.run_path), artifact)
