"""The runs of a store: found by filters, walked over all pages, or named by id."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core.choice import Moment, Texts
from ..core.control import Alive
from ..core.reader import Page, StoreReader
from ..errors import RunNotFoundError, WrongTypeError
from ..records.artifact import ArtifactRecord
from ..records.grammar import check_index, shown
from ..records.run import ProjectRecord, RunRecord
from .columns import is_field, sorted_by
from .source import Payloads
from .view import RunView

if TYPE_CHECKING:
    import pandas

PAGE_SIZE = 100


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

    def runs(
        self, *, ids: Texts = None, project: Texts = None, status: Texts = None, tag: Texts = None,
        config: Mapping[str, Any] | None = None, name: Texts = None, started_after: Moment = None,
        started_before: Moment = None, sort: str = "-started_at", limit: int | None = None,
    ) -> Iterator[RunView]:  # fmt: skip
        """All runs that match, page by page; the newest first.

        Args:
            ids, project, status, tag, name: equal to this, or to one of a list.
            config: values of the run's configuration by dotted path, such as ``{"optimizer.lr": 0.1}``.
            started_after, started_before: inclusive bounds of the start, a datetime or RFC 3339 text.
            sort: ``started_at``, ``updated_at``, ``name``, ``project``, ``status`` or ``id``; ``-`` for descending.
                Or a metric such as ``-val/acc:max`` or a setting such as ``lr``, which reads all runs that match;
                those without a value come last.
            limit: at most so many.
        """
        left = check_index(limit, "limit")
        if isinstance(sort, str) and not is_field(sort):
            found = self.runs(
                ids=ids, project=project, status=status, tag=tag, config=config, name=name, started_after=started_after,
                started_before=started_before,
            )  # fmt: skip
            yield from sorted_by(list(found), sort)[:left]
            return
        cursor: str | None = None
        while left is None or left > 0:
            page = self.page(
                ids=ids, project=project, status=status, tag=tag, config=config, name=name, started_after=started_after,
                started_before=started_before, sort=sort, limit=PAGE_SIZE if left is None else min(PAGE_SIZE, left),
                after=cursor,
            )  # fmt: skip
            yield from page.runs
            left = None if left is None else left - len(page.runs)
            cursor = page.next
            if cursor is None:
                return

    def page(
        self, *, ids: Texts = None, project: Texts = None, status: Texts = None, tag: Texts = None,
        config: Mapping[str, Any] | None = None, name: Texts = None, started_after: Moment = None,
        started_before: Moment = None, sort: str = "-started_at", limit: int = PAGE_SIZE, after: str | None = None,
    ) -> RunPage:  # fmt: skip
        """One page of runs; ``after`` is the ``next`` of the page before. See ``runs`` for the filters."""
        found: Page = self._reader.runs(
            ids=ids, project=project, status=status, tag=tag, config=config, name=name, started_after=started_after,
            started_before=started_before, sort=sort, limit=limit, after=after,
        )  # fmt: skip
        return RunPage(tuple(self._view(record) for record in found.items), found.next)

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
                f"no run {run_id!r} in {self.location or 'this store'}; "
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


def _payload_of_run(run: RunRecord, artifact: ArtifactRecord) -> bytes:
    from ..storage.artifacts import read_payload

    return read_payload(Path(run.run_path), artifact)
