"""ClearMLSink: a run becomes a task in ClearML, complete, while it trains, after a crash, or long afterwards."""

import dataclasses
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from quark import ArtifactRecord, ConfigurationError, RecordBatch, RunManifest

from ..mirror import TABLES, KeptRows, LayerSeries, Link, MirrorSink, RunFacts, Saying
from . import installed
from .content import artifact_of, comment_of, config_fields, fields_of, single_values, table_of, tasks_of
from .points import Points

if TYPE_CHECKING:
    from .twin import Twin

logger = logging.getLogger("quark")

STATUSES = {"completed": "completed", "failed": "failed", "interrupted": "stopped"}
TABLES_EVERY_S = 30.0
ONLINE, OFFLINE = "online", "offline"


class ClearMLSink(MirrorSink):
    """Mirrors a run into ClearML.

    A task that is open when the sink is made (``Task.init()``), or that ``task`` names, is joined: it gets everything,
    and is neither closed nor retitled. Otherwise the sink opens a task, and ends it with its true status: completed,
    failed or stopped. None of ClearML's automatic logging is turned on by it, no thread and no hook is set.

    Making the sink neither imports clearml nor reaches out to it. All requests are made in a process of its own, or
    on a thread of its own where the program has imported clearml itself.

    Args:
        project_name: project of the task; the project of the run if omitted.
        task_name: name of the task; the run's name, or its id, if omitted.
        task: a clearml ``Task`` to join, or the id of one. None: the open one, if clearml is imported and has one.
        join: False: never join the open task.
        offline: True: write an offline session; False: never. None: as CLEARML_OFFLINE_MODE says, else online for who
            has credentials, else offline with a warning.
        layers: which layers and parameters become series: shell patterns of their names, or a ``LayerSeries``.
        artifacts: whether files of the run are uploaded.
        notes: text that stands first in the task's comment.
        table_rows: rows that a table shows at most; alerts are all kept.
        tables_every_s: seconds between two updates of the tables while the run goes on; an offline session gets them
            in the end.
        strict_mode: raise at once if clearml is not installed.

    Raises:
        ConfigurationError: an option that cannot be used.
        MissingDependencyError: clearml is not installed, and ``strict_mode`` is on.
    """

    name: ClassVar[str] = "clearml"
    package: ClassVar[str] = "clearml"
    isolates: ClassVar[bool] = True

    def __init__(
        self, project_name: str | None = None, task_name: str | None = None, task: Any = None, *, join: bool = True,
        offline: bool | None = None, layers: LayerSeries | Sequence[str] | Mapping[str, Any] = ("*",),
        artifacts: bool = True, notes: str | None = None, table_rows: int = 1000,
        tables_every_s: float = TABLES_EVERY_S, strict_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if table_rows < 5:
            raise ConfigurationError(f"table_rows is at least 5, got {table_rows}; first, last and extremes need room")
        if strict_mode:
            installed.demand()
        found = task if task is not None else _open_task() if join else None
        self._task: Any = None if isinstance(found, str) else found
        self._options: dict[str, Any] = {
            "project_name": project_name, "task_name": task_name, "task": found if isinstance(found, str) else None,
            "join": False, "offline": offline, "artifacts": artifacts, "notes": notes, "table_rows": table_rows,
            "tables_every_s": tables_every_s,
        }  # fmt: skip
        if self._task is not None:
            self._options["task"] = str(self._task.id)
        self.layers = _layers(layers)
        self._mode = ONLINE
        self._twin: Twin | None = None
        self._rows: KeptRows | None = None
        self._stale: set[str] = set()
        self._due = 0.0
        self._config: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"ClearMLSink({self._options['project_name']!r})"

    def spec(self) -> dict[str, Any]:
        """The options, for ``quark sync``; a joined task is found again by its id."""
        layers = {name: list(value) for name, value in dataclasses.asdict(self.layers).items()}
        return {**self._options, "layers": layers}

    def target(self) -> str:
        """The server, or the offline session, with the project, or the task that is joined."""
        self._mode = self._chosen_mode()
        return self._target(self._mode)

    def connect(self, manifest: RunManifest) -> None:
        """Make ready what lies beside the run; the server is asked with the first batch."""
        self._rows = KeptRows(self.link.path.with_suffix(".rows.jsonl"), self._options["table_rows"])

    def open_twin(self, facts: RunFacts) -> None:
        """Join, find or make the task, and tell it what is known at the start."""
        link, task_id = self.link, self._options["task"]
        goes_on = link.backend_id is not None
        link.owned = task_id is None
        if task_id is not None:
            link.backend_id = task_id
        name = self._options["task_name"] or facts.name or facts.run_id
        project = self._options["project_name"] or facts.project or "quark"
        twin = self._folder(facts) if self._mode == OFFLINE else self._on_server(name, project, facts.run_id, goes_on)
        if self._task is not None:
            from .joined import JoinedTask

            twin = JoinedTask(self._task, twin)
        self._twin = twin
        self._config = dict(facts.params) if facts.params or facts.environment else None
        if facts.params or facts.environment or not goes_on:  # what a crash left knows nothing new of itself
            fields = fields_of(facts, name, project, self._parent(facts), owned=link.owned)
            if self._options["notes"]:
                fields.comment = f"{self._options['notes']}\n{fields.comment}"
            twin.edit(fields)

    def take(self, batch: RecordBatch) -> None:
        """Send the points and lines, keep the rows of the tables, and upload the files of a batch."""
        twin, notes = self.twin, self.link.notes
        points = Points(twin.task_id, self.layers, notes, self.names)
        kinds = {line.kind for line in batch.lines()}
        lines = [] if kinds <= {"metric", "metrics"} else self._take_records(batch, kinds, points)
        twin.send(points.of(batch), lines)
        notes.update(points.notes())

    def tag_twin(self, tag: str) -> None:
        """Add it."""
        from .twin import Fields

        self.twin.edit(Fields(tags=(tag,)))

    def configure_twin(self, values: Mapping[str, Any]) -> None:
        """Add hyperparameters; the configuration object is made anew where all of it is known."""
        self._config = None if self._config is None else {**self._config, **values}
        self.twin.edit(config_fields(values, self._config, owned=self.link.owned))

    def summarize_twin(self, saying: Saying) -> None:
        """Numbers become single values, anything else hyperparameters in the section Summary."""
        numbers, rest = single_values(self.twin.task_id, saying)
        self.twin.send(numbers, [])
        self.twin.edit(rest)

    def describe_twin(self, notes: Sequence[str]) -> None:
        """The comment of a task of our own, behind what the sink was given."""
        from .twin import Fields

        if self.link.owned:
            self.twin.edit(Fields(comment="\n".join(self._said(notes))))

    def _said(self, notes: Sequence[str]) -> list[str]:
        given = self._options["notes"]
        return [*([given] if given else []), *notes]

    def flush(self) -> None:
        """Bring the tables that have changed, from time to time: each is sent whole."""
        if self._mode == ONLINE and self._opened and self._stale and time.monotonic() >= self._due:
            begin = time.monotonic()
            self._publish()
            now = time.monotonic()
            self._due = now + max(self._options["tables_every_s"], 20 * (now - begin))

    def end_twin(self, status: str, reason: str) -> None:
        """Bring the tables; a task of our own gets its comment and its status."""
        self._stale = {kind for kind in TABLES if self._kept.of(kind)}
        self._publish()
        run_id = self._manifest.run_id if self._manifest is not None else ""
        comment = comment_of(run_id, self._said(self.notes), status, reason, self._kept.of("alert"))
        self.twin.end(STATUSES[status], reason, comment)

    def close(self) -> None:
        """Let go of the task; the next process goes on with it."""
        twin, self._twin = self._twin, None
        self._opened = False
        if twin is not None:
            twin.close()

    @property
    def twin(self) -> "Twin":
        """The task."""
        if self._twin is None:
            raise RuntimeError("ClearMLSink has no task yet; add it to a run with add_tracker")
        return self._twin

    @property
    def _kept(self) -> KeptRows:
        if self._rows is None:
            raise RuntimeError("ClearMLSink has no run yet; add it to a run with add_tracker")
        return self._rows

    def _target(self, mode: str) -> str:
        options = self._options
        place = installed.address() if mode == ONLINE else OFFLINE
        return "|".join((place, options["project_name"] or "", options["task"] or ""))

    def _chosen_mode(self) -> str:
        """Online or offline; a run that began offline goes on there until it is told otherwise."""
        installed.demand()
        said: bool | None = self._options["offline"]
        if said is None and installed.said_offline():
            said = True
        if said is None and self._options["task"] is not None:
            said = str(self._options["task"]).startswith("offline-")
        if said is not None:
            return OFFLINE if said else ONLINE
        path = self._manifest.run_path if self._manifest is not None else ""
        if path and Link.load(path, self.name, self._target(OFFLINE)).backend_id is not None:
            return OFFLINE
        if installed.has_credentials():
            return ONLINE
        logger.warning(
            "ClearML: no credentials were found, so the run is written as an offline session to %s; to see it online: "
            "clearml-init, then quark export RUN --to clearml --set offline=false, or in Python "
            "Task.import_offline_session(FOLDER); offline=True or CLEARML_OFFLINE_MODE=1 silences this",
            installed.session_folder("").resolve(),
        )
        return OFFLINE

    def _folder(self, facts: RunFacts) -> "Twin":
        from .folder import Folder

        link = self.link
        if link.owned:  # always the same for a run, so that a crash cannot make a second one
            own = f"offline-{uuid5(NAMESPACE_URL, f'{facts.run_id} {self._target(OFFLINE)}').hex}"
            if link.backend_id not in (None, own):
                link.start_over(f"the session {link.backend_id} is not that of run {facts.run_id}")
            link.backend_id = own
        task_id = str(link.backend_id)
        given = self._task.get_offline_mode_folder() if self._task is not None else None
        noted = Path(str(link.notes.get("folder")))
        if noted.name != task_id or noted.is_symlink():  # no folder of this task, so not one that was noted here
            noted = Path(given or installed.session_folder(task_id))
        link.notes["folder"] = str(noted)
        return Folder(noted, link.notes.setdefault("marks", {}), owned=link.owned)

    def _on_server(self, name: str, project: str, run_id: str, goes_on: bool) -> "Twin":
        from .server import Server, ServerTask

        link, server = self.link, Server()
        mark = f"quark-{run_id}"
        if link.owned and link.backend_id is not None and not server.is_marked(link.backend_id, mark):
            link.start_over(f"the server has no task {link.backend_id} with the mark {mark}")
        if link.backend_id is None:
            link.backend_id = server.made(name, project, mark)
            link.save()
        return ServerTask(server, link.backend_id, owned=link.owned, goes_on=goes_on)

    def _parent(self, facts: RunFacts) -> str | None:
        """The task in the same place of the run that this one descends from."""
        if facts.parent_run_id is None or not facts.run_path:
            return None
        try:
            parent = Path(facts.run_path).parent / facts.parent_run_id
            return Link.load(parent, self.name, self._target(self._mode)).backend_id
        except ValueError:
            return None  # the parent's own sync names the damage

    def _take_records(self, batch: RecordBatch, kinds: set[str], points: Points) -> list[dict[str, Any]]:
        self._kept.take(batch)
        self._stale |= kinds & TABLES.keys()
        self._stale |= {str(mark.content.get("kind")) for mark in batch.marks() if mark.action == "discard"}
        for record in batch.records() if kinds & {"event", "artifact"} else ():
            if isinstance(record, ArtifactRecord) and self._options["artifacts"]:
                self._upload(record)
            elif (fields := tasks_of(record)) is not None:
                self.twin.edit(fields)
        return points.lines(batch)

    def _upload(self, record: ArtifactRecord) -> None:
        """A file that is no longer there is not waited for; its record stays in Quark."""
        path = record.payload_in(self._manifest.run_path if self._manifest is not None else "")
        if path is None:
            return
        keys: dict[str, str] = self.link.notes.setdefault("artifacts", {})
        if record.id not in keys:
            same = 1 + sum(key.partition("#")[0] == record.artifact_key for key in keys.values())
            keys[record.id] = record.artifact_key if same == 1 else f"{record.artifact_key}#{same}"
        self.twin.upload(path, artifact_of(record, keys[record.id]))

    def _publish(self) -> None:
        kinds = sorted(self._stale & TABLES.keys())
        self.twin.plot([table_of(self.twin.task_id, kind, self._kept.of(kind)) for kind in kinds])
        self._stale.clear()


def _open_task() -> Any:
    """The task that the user has open in this process."""
    task_class = getattr(sys.modules.get("clearml"), "Task", None)
    return None if task_class is None else task_class.current_task()


def _layers(given: Any) -> LayerSeries:
    if isinstance(given, LayerSeries):
        return given
    if isinstance(given, Mapping):
        return LayerSeries(**{name: tuple(value) for name, value in given.items()})
    return LayerSeries((given,) if isinstance(given, str) else tuple(given))
