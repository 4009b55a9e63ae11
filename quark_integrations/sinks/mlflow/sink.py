"""MLflowSink: a run becomes a run in MLflow, complete, while it trains, after a crash, or long afterwards."""

import concurrent.futures.thread  # noqa: F401  it registers for the exit; MLflow's import is too late at the exit itself
import dataclasses
import importlib.util
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quark import MissingDependencyError, RecordBatch, RunManifest

from ..mirror import TABLES, KeptRows, LayerSeries, Link, MirrorSink, RunFacts, Saying, flatten
from .address import address_of, without_secret
from .content import alert_tags, logged_tables, note_of, own_tags, parameters_of, table_text, user_tag
from .names import name_for
from .points import SUMMARY, Points

if TYPE_CHECKING:
    from .client import Backend

logger = logging.getLogger("quark")

STATUSES = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
TABLES_EVERY_S = 30.0
SUMMARY_PATH = "quark/summary.json"
INSTALL = 'pip install "quark-tracker[mlflow]"'


class MLflowSink(MirrorSink):
    """Mirrors a run into MLflow.

    A run that is active in the thread which makes the sink (``mlflow.start_run()``), or that ``run_id`` names, is
    joined: it gets everything, and is neither ended nor retitled. Otherwise the sink opens a run, and ends it with its
    true status: FINISHED, FAILED or KILLED. Making the sink neither imports MLflow nor reaches out to it.

    Args:
        experiment_name: name of the experiment; MLFLOW_EXPERIMENT_NAME or else the project if omitted.
        run_name: name of the run in MLflow; the run's name in Quark if omitted.
        tracking_uri: address of the server or store; what the user has set in MLflow if omitted.
        run_id: an MLflow run to join.
        layers: which layers and parameters become series: shell patterns of their names, or a ``LayerSeries``.
        artifacts: whether files of the run are uploaded.
        table_rows: rows that a table shows at most; alerts are all kept.
        tables_every_s: seconds between two uploads of the tables while the run goes on.
        strict_mode: raise at once if MLflow is not installed.

    Raises:
        MissingDependencyError: MLflow is not installed, and ``strict_mode`` is on.
    """

    name: ClassVar[str] = "mlflow"
    package: ClassVar[str] = "mlflow"
    isolates: ClassVar[bool] = True

    def __init__(
        self, experiment_name: str | None = None, run_name: str | None = None, tracking_uri: str | None = None,
        run_id: str | None = None, layers: LayerSeries | Sequence[str] | Mapping[str, Any] = ("*",),
        artifacts: bool = True, table_rows: int = 10_000, tables_every_s: float = TABLES_EVERY_S,
        strict_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if strict_mode and importlib.util.find_spec("mlflow") is None:
            raise MissingDependencyError(f"MLflowSink needs the package 'mlflow'; install it with: {INSTALL}")
        self.experiment_name = experiment_name or os.environ.get("MLFLOW_EXPERIMENT_NAME")
        self.run_name = run_name
        self.address = address_of(tracking_uri, run_id)
        self.layers = _layers(layers)
        self.artifacts = artifacts
        self.table_rows = table_rows
        self.tables_every_s = tables_every_s
        self._backend: Backend | None = None
        self._rows: KeptRows | None = None
        self._stale: set[str] = set()
        self._due = 0.0
        self._config: dict[str, Any] | None = None

    def spec(self) -> dict[str, Any]:
        """Everything but the password that may stand in the address."""
        layers = {name: list(value) for name, value in dataclasses.asdict(self.layers).items()}
        return {
            "experiment_name": self.experiment_name, "run_name": self.run_name,
            "tracking_uri": without_secret(self.address.uri), "run_id": self.address.run_id,
            "layers": layers, "artifacts": self.artifacts, "table_rows": self.table_rows,
            "tables_every_s": self.tables_every_s,
        }  # fmt: skip

    def secret_spec(self) -> dict[str, Any]:
        """The address with its password."""
        return {**self.spec(), "tracking_uri": self.address.uri}

    def target(self) -> str:
        """The address, and the experiment or the run that is joined."""
        return "|".join((without_secret(self.address.uri), self.experiment_name or "", self.address.run_id or ""))

    def connect(self, manifest: RunManifest) -> None:
        """Import MLflow and make a client; nothing is asked yet."""
        if importlib.util.find_spec("mlflow") is None:
            raise MissingDependencyError(f"the package 'mlflow' is missing; install it with: {INSTALL}")
        from .client import Backend

        self._backend = Backend(self.address.uri)
        self._rows = KeptRows(self.link.path.with_suffix(".rows.jsonl"), self.table_rows)

    @property
    def backend(self) -> "Backend":
        """The run in MLflow."""
        if self._backend is None:
            raise RuntimeError("MLflowSink has no run yet; add it to a run with add_tracker")
        return self._backend

    def open_twin(self, facts: RunFacts) -> None:
        """Join, find or make the run in MLflow, and tell it what is known at the start."""
        backend, link = self.backend, self.link
        if self.address.run_id is not None:
            link.backend_id, link.owned = self.address.run_id, False
        elif link.backend_id is None:
            link.backend_id = self._made(facts)
            link.save()
        backend.run_id = link.backend_id
        run = backend.check_active()
        if self.address.run_id is None and run.data.tags.get("quark.run_id") != facts.run_id:
            link.start_over(f"the run {link.backend_id} has not the tag quark.run_id={facts.run_id}")
        if link.owned and run.info.status != "RUNNING":
            backend.set_status("RUNNING")
        tags = own_tags(facts, self._parent(facts))
        if not link.owned:
            tags = {key: value for key, value in tags.items() if key.startswith("quark.") or key not in run.data.tags}
        self._warn(backend.set_tags(tags))
        self._log_params(facts.params, run.data.params)
        self._config = dict(facts.params) if facts.params or facts.environment else None
        suffix = "" if facts.attempt == 1 else f"-{facts.attempt}"
        for name, known in (("config", facts.params), ("environment", facts.environment)):
            if known:  # the process that goes on after a crash knows neither
                backend.log_text(_json(known), f"quark/{name}{suffix}.json")

    def take(self, batch: RecordBatch) -> None:
        """Send the points, keep the rows of the tables, and upload the files of a batch."""
        points = Points(self.layers, self.link.notes, self.names)
        for refused, reason in self.backend.log_points(points.of(batch)):
            batch.rejected.append((repr(dict(refused)).encode(), f"MLflow refused it: {reason}"))
        kinds = {line.kind for line in batch.lines()}
        if not kinds <= {"metric", "metrics"}:
            self._take_records(batch, kinds)
        points.renamed |= self.link.notes.get("renamed", {})
        self.link.notes |= points.notes()

    def tag_twin(self, tag: str) -> None:
        """Set it."""
        self.backend.set_tags({name_for(f"quark.tag.{tag}"): tag})

    def configure_twin(self, values: Mapping[str, Any]) -> None:
        """Log the new parameters; of those that are there already MLflow keeps the old value."""
        self._config = None if self._config is None else {**self._config, **values}
        self._log_params(values, self.backend.check_active().data.params)
        known = values if self._config is None else self._config
        self.backend.log_text(_json(known), f"quark/{'config-update' if self._config is None else 'config'}.json")

    def summarize_twin(self, saying: Saying) -> None:
        """A number becomes a metric, unless a series has its name; anything else a tag."""
        series: Mapping[str, Any] = self.link.notes.get("summary", {})
        metrics, tags = [], {}
        for name, value in saying.values.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                key = name_for(f"summary/{name}" if name in series else name)
                metrics.append((key, float(value), saying.time_ns // 1_000_000, saying.step or 0))
            else:
                tags[name_for(f"quark.summary.{name}")] = (value if isinstance(value, str) else _json(value))[:5000]
        self._warn(self.backend.log_points(metrics))
        self._warn(self.backend.set_tags(tags))

    def describe_twin(self, notes: Sequence[str]) -> None:
        """The description of a run of our own."""
        if self.link.owned:
            self.backend.set_tags({"mlflow.note.content": "\n".join(notes)[:5000]})

    def flush(self) -> None:
        """Upload the tables that have changed, from time to time: each is uploaded whole."""
        if self._opened and self._stale and time.monotonic() >= self._due:
            begin = time.monotonic()
            self._publish()
            now = time.monotonic()
            self._due = now + max(self.tables_every_s, 20 * (now - begin))

    def end_twin(self, status: str, reason: str) -> None:
        """Upload the tables; a run of our own gets its note, status and time of end."""
        self._stale |= {kind for kind in TABLES if self._kept.of(kind)}
        self._publish()
        backend = self.backend
        backend.set_tags({"quark.status": status, "quark.stop_reason": reason})
        if self.link.owned:
            alerts = self._kept.of("alert")
            backend.set_tags({"mlflow.note.content": note_of(self._run_id, status, reason, alerts, self.notes)})
            backend.set_status(STATUSES[status], self._ended_ms())

    def close(self) -> None:
        """Nothing is open: requests are made one by one."""

    @property
    def _kept(self) -> KeptRows:
        if self._rows is None:
            raise RuntimeError("MLflowSink has no run yet; add it to a run with add_tracker")
        return self._rows

    @property
    def _run_id(self) -> str:
        return self._manifest.run_id if self._manifest is not None else ""

    def _made(self, facts: RunFacts) -> str:
        """The id of our run: the one that a process made which died before it wrote the id down, or a new one."""
        experiment = self.backend.experiment(self.experiment_name or facts.project)
        marks = {"quark.run_id": facts.run_id, "quark.opened": "true"}
        found = self.backend.find(experiment, marks)
        if found is None:
            found = self.backend.client.create_run(
                experiment,
                _started_ms(facts.started_at),
                marks | user_tag(),
                self.run_name or facts.name or facts.run_id,
            )
        return found.info.run_id

    def _parent(self, facts: RunFacts) -> str | None:
        """The id in the same place in MLflow of the run that this one descends from."""
        if facts.parent_run_id is None or not facts.run_path:
            return None
        parent = Path(facts.run_path).parent / facts.parent_run_id
        try:
            return Link.load(parent, self.name, self.target()).backend_id
        except ValueError:
            return None  # the parent's own sync names the damage

    def _warn(self, refused: list[tuple[Any, str]]) -> None:
        """What MLflow refuses of the parameters and tags stands in the artifacts of the configuration all the same."""
        for item, reason in refused:
            logger.warning("MLflow refused %s: %s; the configuration's artifact has it", item.key, reason)

    def _log_params(self, params: Mapping[str, Any], there: Mapping[str, str]) -> None:
        """MLflow's parameters are written once: those that have changed since stand in a tag and in the artifact."""
        flat = flatten(params, max_key=10_000, max_value=6000, max_count=2000).values
        named = {name_for(name): (name, value) for name, value in flat.items()}
        renamed = {made: name for made, (name, _) in named.items() if made != name}
        self._warn(self.backend.log_params({m: value for m, (_, value) in named.items() if m not in there}))
        changed = [name for made, (name, value) in named.items() if there.get(made, value) != value]
        if changed:
            self.link.notes["changed"] = list(dict.fromkeys([*self.link.notes.get("changed", []), *changed]))
            self.backend.set_tags({"quark.params_changed": ", ".join(self.link.notes["changed"])[:5000]})
        if renamed:
            self.link.notes["renamed"] = {**self.link.notes.get("renamed", {}), **renamed}

    def _take_records(self, batch: RecordBatch, kinds: set[str]) -> None:
        self._kept.take(batch)
        self._stale |= kinds & TABLES.keys()
        self._stale |= {str(mark.content.get("kind")) for mark in batch.marks() if mark.action == "discard"}
        for record in batch.records() if kinds & {"event", "artifact"} else ():
            if record.kind == "artifact" and self.artifacts:
                self._upload(record)
            elif (params := parameters_of(record)) is not None:
                self._log_params(params, self.backend.check_active().data.params)

    def _upload(self, record: Any) -> None:
        """A file that is no longer there is not waited for; what is known of it stands in the list of artifacts."""
        path = record.payload_in(self._manifest.run_path if self._manifest is not None else "")
        if path is not None:
            folder = "/".join(name_for(part) for part in Path(record.payload_relative_path).parent.parts)
            if (reason := self.backend.upload(str(path), folder)) is not None:
                logger.warning("MLflow refused the file %s: %s; it stays in the run's directory", path, reason)

    def _publish(self) -> None:
        """Upload every table that has changed, and what follows from it."""
        backend, tags = self.backend, {}
        for kind in sorted(self._stale & TABLES.keys()):
            rows = self._kept.of(kind)
            backend.log_text(table_text(kind, rows), f"quark/{TABLES[kind].name}.json")
            if kind == "alert":
                tags = alert_tags(rows)
        shown = [f"quark/{TABLES[kind].name}.json" for kind in TABLES if self._kept.of(kind)]
        shown += [SUMMARY_PATH] if self.link.notes.get("summary") else []
        tags["mlflow.loggedArtifacts"] = logged_tables(backend.check_active().data.tags, shown)
        backend.set_tags(tags)
        notes = self.link.notes
        if renamed := notes.get("renamed"):
            backend.log_text(_json(renamed), "quark/names.json")
        if summary := notes.get("summary"):
            rows = [[key, *row] for key, row in summary.items()]
            backend.log_text(json.dumps({"columns": SUMMARY, "data": rows}, ensure_ascii=False), SUMMARY_PATH)
        self._stale.clear()

    def _ended_ms(self) -> int:
        told = self.stated_end.get("ended_at")
        return _started_ms(told if isinstance(told, str) else "") or time.time_ns() // 1_000_000


def _layers(given: Any) -> LayerSeries:
    if isinstance(given, LayerSeries):
        return given
    if isinstance(given, Mapping):
        return LayerSeries(**given)
    return LayerSeries((given,) if isinstance(given, str) else tuple(given))


def _started_ms(text: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 text, None for an empty one."""
    return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
