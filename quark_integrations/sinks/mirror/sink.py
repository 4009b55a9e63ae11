"""The life of a run's twin in a backend: opened once, fed from where it stands, ended truly, and found again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quark import RecordBatch, RunManifest, RunMark, Sink, StepState, StopReason, status_of

from .link import Link
from .sayings import Saying, sayings_of

NOTES = "notes"
"""The note of a link that keeps the run's own notes, by the record that said each."""

NAMES = "names"
"""The note of a link that keeps the names under which metrics were logged, by key: the run says each only once."""

END = "end"
"""The note of a link that keeps the run's own end: the process that reads it may die before it has told the backend."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run when it is opened in a backend; after a crash it comes from the run's own first line."""

    run_id: str
    project: str
    name: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    git_commit: str | None = None
    parent_run_id: str | None = None
    started_at: str = ""
    attempt: int = 1
    run_path: str = ""


class MirrorSink(Sink):
    """A sink whose backend has runs of its own. A subclass says how one is opened, fed and ended there.

    Nothing of it is called in the training thread but ``__init__``, which must therefore neither import the backend
    nor reach out to it. The twin's identity and the positions lie in a ``Link`` beside the run, so that a resumed run,
    ``quark sync`` and ``quark export`` go on with the same twin from where it stands.
    """

    def __init__(self) -> None:
        self._manifest: RunManifest | None = None
        self._link: Link | None = None
        self._elsewhere: Path | None = None
        self._opened = False

    # What a subclass says

    def target(self) -> str:
        """What tells two mirrors of this kind apart: the backend's address and the project there."""
        raise NotImplementedError

    def connect(self, manifest: RunManifest) -> None:
        """Import the backend and make its client; raise MissingDependencyError with the pip line if it is missing."""

    def open_twin(self, facts: RunFacts) -> None:
        """Open the run in the backend, or again by ``link.backend_id``; set the link's ``backend_id`` and ``owned``."""
        raise NotImplementedError

    def take(self, batch: RecordBatch) -> None:
        """Send the records of a batch. Called again with the same batch after a fault."""
        raise NotImplementedError

    def tag_twin(self, tag: str) -> None:
        """A tag was added to the run."""

    def configure_twin(self, values: Mapping[str, Any]) -> None:
        """A part of the configuration was learned after the start; it replaces what its names held."""

    def summarize_twin(self, saying: Saying) -> None:
        """Results that stand for the run as a whole were set."""

    def describe_twin(self, notes: Sequence[str]) -> None:
        """A note was written; ``notes`` are all of them, the oldest first."""

    def end_twin(self, status: str, reason: str) -> None:
        """Send what waits for the end and set the terminal status: completed, failed or interrupted.

        Called for joined runs too (``link.owned`` is False), which must be left open.
        """
        raise NotImplementedError

    # What they share

    @property
    def link(self) -> Link:
        """The run's link with the backend, as it stands now if the sink works in a process of its own."""
        if self._elsewhere is not None:
            return Link.read(self._elsewhere)
        if self._link is None:
            raise RuntimeError(f"{type(self).__name__} has no run yet; add it to a run with add_tracker")
        return self._link

    @property
    def stated_end(self) -> Mapping[str, Any]:
        """What the run's own end says (``status``, ``reason``, ``ended_at``), also if an earlier process was told."""
        return self.link.notes.get(END, {})

    def on_start(self, manifest: RunManifest) -> None:
        """Connect, and find the twin that an earlier process left."""
        self._manifest = manifest
        self._link = Link.load(manifest.run_path, self.name, self.target())
        self.connect(manifest)

    def tell(self) -> str:
        """Where the link lies."""
        return str(self.link.path)

    def told(self, content: str) -> None:
        """The link is kept by another process."""
        self._elsewhere = Path(content)

    def position(self, writer_id: str) -> int | None:
        """The next number of a writer that the backend lacks."""
        return self.link.positions.get(writer_id, 0)

    def write(self, batch: RecordBatch) -> None:
        """Open the twin with the first batch, then send it; the position moves when all of it was taken."""
        marks = batch.marks()
        if not self._opened:
            self.open_twin(self._facts(marks))
            self._opened = True
            self.link.status = None
            self.link.save()
        for mark in marks:
            if mark.action == "tag" and isinstance(tag := mark.content.get("tag"), str):
                self.tag_twin(tag)
            elif mark.action == "config" and isinstance(values := mark.content.get("values"), Mapping):
                self.configure_twin(values)
            elif mark.action in ("start", "resume"):
                self.link.notes.pop(END, None)
                self._learn((mark.content.get("names") or {}).get("metric") or {})
            elif mark.action == "name" and mark.content.get("of") == "metric":
                self._learn({mark.content.get("key"): mark.content.get("name")})
            elif mark.action == "end":
                self.link.notes[END] = dict(mark.content)
        writer_id = batch.origin.writer_id
        held = self.position(writer_id) or 0
        if batch.stop > held:
            news = batch.after(held)
            self.take(news)
            self._say(news)
        self.link.positions[writer_id] = max(held, batch.stop)
        self.link.save()

    @property
    def names(self) -> Mapping[str, str]:
        """The names under which metrics were logged, by key; a key that is not there is a name itself."""
        return self.link.notes.get(NAMES, {})

    def _learn(self, names: Mapping[Any, Any]) -> None:
        new = {key: name for key, name in names.items() if isinstance(key, str) and isinstance(name, str)}
        if new:
            self.link.notes[NAMES] = {**self.names, **new}

    @property
    def notes(self) -> list[str]:
        """The notes of the run so far, the oldest first."""
        return list(self.link.notes.get(NOTES, {}).values())

    def _say(self, batch: RecordBatch) -> None:
        told: dict[str, str] = self.link.notes.get(NOTES, {})
        before = told
        for saying in sayings_of(batch):
            if saying.note is None:
                self.summarize_twin(saying)
            else:
                told = {**({} if saying.replaces else told), saying.key: saying.note}
        if told != before:
            self.link.notes[NOTES] = told
            self.describe_twin(self.notes)

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """End the twin with the status that the run's own end states, else with that of ``reason``."""
        stated = self.stated_end
        why = str(stated.get("reason") or reason)
        status = str(stated.get("status") or status_of(why))
        if not self._opened:
            if self.link.backend_id is None or self.link.status == status:
                return
            self.open_twin(self._facts([]))
            self._opened = True
        self.end_twin(status, why)
        self.link.status = status
        self.link.save()

    def _facts(self, marks: list[RunMark]) -> RunFacts:
        manifest = self._manifest
        if manifest is None:
            raise RuntimeError(f"{type(self).__name__}.write was called before on_start")
        facts = RunFacts(
            manifest.run_id, manifest.project, manifest.name, manifest.params, manifest.tags, manifest.environment,
            manifest.git_commit, manifest.parent_run_id, manifest.started_at, manifest.attempt, manifest.run_path,
        )  # fmt: skip
        for mark in marks:
            run = mark.content.get("run")
            if mark.action == "start" and isinstance(run, Mapping):
                facts = replace(
                    facts, project=run.get("project_name") or facts.project, name=run.get("name"),
                    params=run.get("config") or {}, tags=tuple(run.get("tags") or ()),
                    environment=run.get("environment") or {}, git_commit=run.get("git_commit"),
                    parent_run_id=run.get("parent_run_id"), started_at=run.get("started_at") or facts.started_at,
                )  # fmt: skip
        return facts
