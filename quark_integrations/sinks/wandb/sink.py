"""The W&B sink: a run's twin is opened, fed from where it really stands, and ended with the run's true status."""

import importlib.util
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import quark
from quark import RecordBatch, RunManifest

from ..mirror import KeptRows, LayerSeries, MirrorSink, RunFacts, Saying, series_of
from . import client, closing, sending, translog
from .config import config_of, params_of
from .rows import EPOCH, STEP, rows_of

EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 255}
"""W&B knows how a run ended by its exit code: finished, failed, killed."""

GOES_ON = 255

COMPLETE_S = 5.0
"""How long wandb-core may take to complete its file after the end of a run."""


LET_GO_S = 10.0
"""How long the wandb-core of a killed process may take to let go of its file."""


class WandbSink(MirrorSink):
    """Mirrors a run into Weights & Biases: live, and exactly once also after a crash.

    A W&B run that is open when the sink is made is joined, and never finished or renamed. The sink's own run carries
    the Quark run's id and ends with its true status. All calls to W&B are made in a process of its own,
    or on a thread of its own where the program has imported wandb itself.

    Args:
        project: W&B project; the Quark project if None.
        name: display name of the W&B run; the Quark run's name, else its id, if None.
        entity, group, job_type, notes: as for ``wandb.init``.
        mode: online, offline, shared or disabled. None: WANDB_MODE, else online for who is logged in, else offline
            with a warning.
        dir: directory in which W&B makes its folder ``wandb``; WANDB_DIR, else the working directory, if None.
        run: an open W&B run to join. None: ``wandb.run``, if wandb is imported and has one.
        join: False: never join the open ``wandb.run``.
        layers: which layers and parameters become series: a LayerSeries, shell patterns of their names, or None.
        artifacts: whether the files of artifacts are uploaded.
        tables: whether the tables, and the plots that are drawn from them, are logged at the end.
        table_rows: rows that each table has at most; alerts are kept beyond it.
        summary: what W&B's summary holds of metrics, by name or pattern: ``{"val/loss": "min"}``.
        finish_timeout_s: how long W&B may upload after the end before the rest is left to ``wandb sync``.
        strict_mode: raise here if wandb is not installed, instead of warning while the records wait.

    Raises:
        ConfigurationError: an option that cannot be used.
        MissingDependencyError: wandb is not installed (``strict_mode`` only).
    """

    name: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"

    def __init__(
        self, project: str | None = None, name: str | None = None, *, entity: str | None = None,
        group: str | None = None, job_type: str | None = None, notes: str | None = None, mode: str | None = None,
        dir: str | os.PathLike[str] | None = None, run: Any = None, join: bool = True,
        layers: LayerSeries | Mapping[str, Any] | Sequence[str] | None = LayerSeries(),  # noqa: B008  it is frozen
        artifacts: bool = True, tables: bool = True, table_rows: int = 1000, summary: Mapping[str, str] | None = None,
        finish_timeout_s: float = 20.0, strict_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        _check(mode, table_rows, finish_timeout_s)
        if strict_mode and importlib.util.find_spec("wandb") is None:
            client.imported()
        open_run = getattr(sys.modules.get("wandb"), "run", None) if join and run is None else run
        self._joined: Any = open_run
        self._options: dict[str, Any] = {
            "project": project if open_run is None else open_run.project, "name": name,
            "entity": entity if open_run is None else open_run.entity, "group": group, "job_type": job_type,
            "notes": notes, "mode": mode, "dir": os.path.abspath(dir or os.environ.get("WANDB_DIR") or "."),
            "artifacts": artifacts, "tables": tables, "table_rows": table_rows, "summary": dict(summary or {}),
            "finish_timeout_s": finish_timeout_s,
        }  # fmt: skip
        self._layers = _layer_series(layers)
        self._run: Any = None  # wandb's Run; typed so that wandb stays optional
        self._kept: KeptRows | None = None
        self._known: set[str] = set()
        self._whole: dict[str, Any] = {}
        self._defined: set[str] = set()
        self._mode: Any = "offline"
        self._unsure = False

    def __repr__(self) -> str:
        return f"WandbSink({self._options['project']!r})"

    def spec(self) -> dict[str, Any]:
        """The options, for ``quark sync``; a joined run is found again by its id."""
        return {**self._options, "layers": asdict(self._layers), "join": False}

    def target(self) -> str:
        """The server and the project there."""
        address = os.environ.get("WANDB_BASE_URL", "")
        return f"{address} {self._options['entity'] or ''}/{self._options['project'] or ''}"

    def connect(self, manifest: RunManifest) -> None:
        """Import wandb, and see what an earlier process left.

        Raises:
            MissingDependencyError: wandb is not installed.
        """
        client.imported()
        notes = self.link.notes
        if self._joined is None:
            said = self._options["mode"] or notes.get("mode")
            self._mode = said or client.chosen_mode(None, self._options["dir"])
        else:
            self._mode = "offline" if getattr(self._joined, "offline", False) else "online"
        path = self.link.path
        self._kept = KeptRows(path.with_name(f"{path.stem}.rows.jsonl"), self._options["table_rows"])
        self._unsure = bool(notes.get("open"))

    def position(self, writer_id: str) -> int | None:
        """The next number of a writer that W&B lacks: after a crash what its file, or the server, really holds."""
        if self._unsure:
            self._recover()
            self._unsure = False
        return self.link.positions.get(writer_id, 0)

    def open_twin(self, facts: RunFacts) -> None:
        """Join the user's run, or open ours: a new one, or again by its id."""
        link = self.link
        joined = self._joined
        config, whole = config_of(facts, joined=joined is not None)
        self._whole.update(whole)
        if link.backend_id is not None and not facts.environment and not facts.params:
            config = {}  # quark sync knows little of the run; what its first process told stays
        tags = tuple(tag[:64] for tag in facts.tags if tag)
        if joined is not None:
            if link.backend_id != joined.id:
                link.notes.pop("open", None)
            link.backend_id, link.owned = joined.id, False
            self._run = joined
            joined.config.update(config, allow_val_change=True)
            joined.tags = tuple(dict.fromkeys((*(joined.tags or ()), *tags)))
        else:
            self._run = self._opened_run(facts, config, tags)
        self._define()
        file = _file_of(self._run)
        link.notes["mode"] = self._mode
        link.notes["open"] = [*link.notes.get("open", ()), *([str(file)] if file else ())]
        link.save()

    def take(self, batch: RecordBatch) -> None:
        """Send a batch; after a fault of W&B's core the next call begins where its file ends.

        Raises:
            ConnectionError: wandb-core is gone.
        """
        if batch.first > (self.position(batch.origin.writer_id) or 0):
            raise ConnectionError("W&B holds less than was sent to it; the records come again from there")
        if self._kept is None:
            raise RuntimeError("WandbSink.write was called before on_start")
        self._kept.take(batch)
        try:
            sending.send_alerts(self._run, batch, self._known)
            if self._options["artifacts"]:
                sending.send_artifacts(self._run, batch, self._known, Path(self._manifest_path()))
            client.send(self._run, self._rows(batch))
        except Exception as error:
            self._lost(error)
            raise

    def tag_twin(self, tag: str) -> None:
        """Add the tag."""
        with self._noticing():
            self._run.tags = tuple(dict.fromkeys((*(self._run.tags or ()), tag[:64])))

    def configure_twin(self, values: Mapping[str, Any]) -> None:
        """Add to the config; in a run that the user opened below ``quark.params``."""
        made, whole = params_of(values)
        self._whole.update(whole)
        with self._noticing():
            config = self._run.config
            if self._joined is not None:
                about = dict(config.get("quark") or {})
                made = {"quark": {**about, "params": {**(about.get("params") or {}), **made}}}
            config.update(made, allow_val_change=True)

    def summarize_twin(self, saying: Saying) -> None:
        """Set them in the summary."""
        with self._noticing():
            self._run.summary.update(params_of(saying.values)[0])

    def describe_twin(self, notes: Sequence[str]) -> None:
        """The notes of a run of our own, behind those that the sink was given."""
        if self._joined is None:
            with self._noticing():
                self._run.notes = self._said(notes)

    def _said(self, notes: Sequence[str]) -> str:
        given = self._options["notes"]
        return "\n".join([*([given] if given else []), *notes])

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._lost(error)
            raise

    def end_twin(self, status: str, reason: str) -> None:
        """Log tables and plots, and finish the run with the exit code of ``status``; a joined run stays open."""
        if self._kept is None:
            raise RuntimeError("WandbSink.on_stop was called before on_start")
        try:
            closing.log_end(self._run, self._kept, self._whole, status, reason, tables=self._options["tables"])
            if self._joined is None:
                self._run.finish(exit_code=EXIT_CODES[status])
        except Exception as error:
            self._lost(error)
            raise
        if self._joined is None:
            self._closed()

    def close(self) -> None:
        """Let go of a run that was not ended: the next process goes on with it."""
        if self._run is not None and self._joined is None:
            self._run.finish(exit_code=GOES_ON)
            self._closed()
            self.link.save()

    def _closed(self) -> None:
        """When W&B's file is complete, the positions are true without it; ``finish`` returns before that."""
        file = _file_of(self._run)
        self._run = None
        self._opened = False
        if file is not None and not _is_completed(file):
            return  # the next process reads it
        self.link.notes["open"] = []
        self.link.notes["settled"] = dict(self.link.positions)

    def _opened_run(self, facts: RunFacts, config: dict[str, Any], tags: tuple[str, ...]) -> Any:
        import wandb

        link, options = self.link, self._options
        named = (options["name"] or facts.name) if link.owned else None
        if link.backend_id is None:
            named = named or facts.run_id
            link.backend_id = re.sub(r"[^A-Za-z0-9_-]", "-", facts.run_id)[-64:]
            link.save()  # before it exists there, or a crash in between would open a second one
        Path(options["dir"]).mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=options["project"] or facts.project or None, entity=options["entity"], id=link.backend_id,
            name=named, group=options["group"], job_type=options["job_type"],
            notes=self._said(self.notes) or None, tags=tags or None, config=config, mode=self._mode, dir=options["dir"],
            resume="allow", reinit="create_new",
            settings=client.quiet_settings(options["finish_timeout_s"], owned=link.owned),
        )  # fmt: skip

    def _define(self) -> None:
        run = self._run
        run.define_metric(STEP, hidden=True)
        run.define_metric(EPOCH, hidden=True)
        run.define_metric(f"{translog.POSITION}*", hidden=True)
        if self._joined is None:
            run.define_metric("*", step_metric=STEP, step_sync=False)
        for name, kinds in self._options["summary"].items():
            run.define_metric(name, step_metric=STEP, step_sync=False, summary=kinds)
        self._defined = set(self._options["summary"])

    def _rows(self, batch: RecordBatch) -> list[dict[str, Any]]:
        writers = self.link.notes.setdefault("writers", [])
        if batch.origin.writer_id not in writers:
            writers.append(batch.origin.writer_id)
            self.link.save()  # a row names its writer by this number
        points = series_of(batch, self._layers, nonfinite=True, names=self.names)
        rows = list(rows_of(points, writers.index(batch.origin.writer_id)))
        if self._joined is not None:
            # the user's own metrics keep their x axis: only ours get the step
            for key in {key for row in rows for key in row} - self._defined:
                if not key.startswith(("_", "quark/position", STEP, EPOCH)):
                    self._run.define_metric(key, step_metric=STEP, step_sync=False)
                self._defined.add(key)
        return rows

    def _manifest_path(self) -> str:
        return self._manifest.run_path if self._manifest is not None else ""

    def _lost(self, error: Exception) -> None:
        """After a fault nothing is known of what W&B kept; a core that is gone is replaced."""
        from wandb.errors import UsageError
        from wandb.sdk.mailbox.mailbox import MailboxClosedError

        if not isinstance(error, (ConnectionError, MailboxClosedError, UsageError)):
            return
        if not isinstance(error, UsageError):
            client.reset()
        elif (file := _file_of(self._run)) is not None:
            _is_completed(file)  # the user finished the run that was joined: its last rows are on their way there
        self._run = self._joined = None
        self._opened = False
        self._unsure = True

    def _recover(self) -> None:
        """Set the positions to what W&B really holds of this run."""
        link = self.link
        writers: list[str] = link.notes.get("writers", [])
        files = [Path(name) for name in link.notes.get("open", ()) if Path(name).exists()]
        for path in files if link.owned else ():
            _wait_for_its_writer(path)
        found = [translog.held(path) for path in files]
        self._known.update(*(one.records for one in found))
        if self._mode == "offline":
            if not files:
                return  # synchronised and cleaned away, or never begun
            numbers = [one.positions for one in found]
        else:
            if self._run is None:
                self.open_twin(self._facts([]))
                self._opened = True
            run: Any = self._run
            summary = dict(run.summary)
            numbers = [{at: int(summary.get(f"{translog.POSITION}{at}") or 0) for at in range(len(writers))}]
        settled = link.notes.get("settled", {})
        for at, writer_id in enumerate(writers):
            there = max((positions.get(at, 0) for positions in numbers), default=0)
            link.positions[writer_id] = max(there, settled.get(writer_id, 0))
        link.save()


def _file_of(run: Any) -> Path | None:
    """W&B's own file of a run; a disabled run has none."""
    name = getattr(run.settings, "sync_file", None)
    return Path(name) if name and Path(name).exists() else None


def _is_completed(file: Path) -> bool:
    """Wait for wandb-core, which writes on behind ``finish``; False if it takes too long."""
    end = time.monotonic() + COMPLETE_S
    while not translog.ended(file):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _wait_for_its_writer(file: Path) -> None:
    """What a killed trainer's wandb-core has still to write would come twice: read the file when it is let go of."""
    end = time.monotonic() + LET_GO_S
    while translog.is_open(file):
        if time.monotonic() > end:
            raise TimeoutError(f"{file} is still written by the wandb-core of an earlier process; it is read later")
        time.sleep(0.05)


def _check(mode: str | None, table_rows: int, finish_timeout_s: float) -> None:
    modes = ("online", "offline", "shared", "disabled")
    if mode is not None and mode not in modes:
        raise quark.ConfigurationError(f"mode is one of {', '.join(modes)}, got {mode!r}; leave it out for W&B's own")
    if table_rows < 5:
        raise quark.ConfigurationError(
            f"table_rows is at least 5, got {table_rows}; first, last and extremes need room"
        )
    if finish_timeout_s <= 0:
        raise quark.ConfigurationError(f"finish_timeout_s is above 0, got {finish_timeout_s}; 0 would wait forever")


def _layer_series(layers: LayerSeries | Mapping[str, Any] | Sequence[str] | None) -> LayerSeries:
    if isinstance(layers, LayerSeries):
        return layers
    if isinstance(layers, Mapping):
        return LayerSeries(**{name: tuple(values) for name, values in layers.items()})
    if isinstance(layers, str):
        return LayerSeries((layers,))
    return LayerSeries(tuple(layers or ()))
