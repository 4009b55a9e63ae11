"""What clients were told against what the service holds: every record once, in order, none wrong."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from quark.client.connection import Connection, namespace_of
from quark.client.remote import RemoteStore
from quark.core.reader import RecordFilter
from quark.errors import QuarkError, RunNotFoundError

from . import client


@dataclass(frozen=True)
class Life:
    """One client process: its run, where its journal lies, and the file in which it counted."""

    run_id: str
    storage_dir: Path
    account: Path
    salt: int


@dataclass
class Books:
    """The sums, and everything that does not agree."""

    runs: int = 0
    acknowledged: int = 0
    held: int = 0
    files: int = 0
    wrong: list[str] = field(default_factory=list)

    def check(self, life: Life, store: RemoteStore) -> None:
        """Compare one life."""
        metrics, events, files = client.told(life.account)
        self.acknowledged += metrics + events + files
        try:
            run = store.run(life.run_id)
        except RunNotFoundError:
            if metrics:
                self.wrong.append(f"{life.run_id}: not there, {metrics} metrics were acknowledged")
            return
        self.runs += 1
        if run.status not in ("completed", "failed") or run.project_name != "torture":
            self.wrong.append(f"{life.run_id}: it reads {run.status} in {run.project_name}")
        self._metrics(life, store, metrics)
        self._events(life, store, events)
        self._files(life, store, files)

    def _metrics(self, life: Life, store: RemoteStore, told: int) -> None:
        series = store.series(life.run_id, "a")
        self.held += len(series)
        if len(series) < told:
            self.wrong.append(f"{life.run_id}: {told} metrics acknowledged, {len(series)} held")
        elif not np.array_equal(series.steps, np.arange(len(series))):
            self.wrong.append(f"{life.run_id}: {len(series)} metrics of {len(set(series.steps.tolist()))} steps")
        elif not np.array_equal(series.values, client.values_at(series.steps, life.salt)):
            self.wrong.append(f"{life.run_id}: values differ")
        elif (np.diff(series.sequences) <= 0).any():
            self.wrong.append(f"{life.run_id}: the order is lost")

    def _events(self, life: Life, store: RemoteStore, told: int) -> None:
        where = RecordFilter(where={"event_type": "tick"})
        steps = [record.step for record in store.records(life.run_id, "event", where)]  # type: ignore[attr-defined]
        self.held += len(steps)
        if len(steps) < told or steps != [number * client.EVENT_EVERY for number in range(len(steps))]:
            self.wrong.append(f"{life.run_id}: {told} events acknowledged, {len(steps)} held: {steps[:8]}...")

    def _files(self, life: Life, store: RemoteStore, told: int) -> None:
        found = list(store.records(life.run_id, "artifact"))
        self.held += len(found)
        steps = [record.step for record in found]  # type: ignore[attr-defined]
        if len(steps) < told or steps != [(n + 1) * client.FILE_EVERY - 1 for n in range(len(steps))]:
            self.wrong.append(f"{life.run_id}: {told} files acknowledged, {len(steps)} held: {steps[:8]}...")
        run = store.run(life.run_id)
        for record in found:
            try:
                content = store.payload(run, record)  # type: ignore[arg-type]
            except QuarkError as error:
                self.wrong.append(f"{life.run_id}: the file of step {record.step}: {error}")  # type: ignore[attr-defined]
                continue
            self.files += 1
            if content != client.content_at(record.step, life.salt):  # type: ignore[attr-defined]
                self.wrong.append(f"{life.run_id}: the file of step {record.step} differs")  # type: ignore[attr-defined]


def compare(lives: list[Life], url: str, key: str) -> Books:
    """The books of all lives."""
    books = Books()
    for storage_dir in sorted({life.storage_dir for life in lives}):
        place = Connection(url, user_key=key, namespace=namespace_of(storage_dir), timeout_s=60)
        store = RemoteStore(place)
        for life in lives:
            if life.storage_dir == storage_dir:
                books.check(life, store)
        store.close()
    return books


def broken_databases(directory: Path) -> list[str]:
    """What SQLite itself has to say against the databases below a directory."""
    found = []
    for path in sorted(directory.rglob("*.db")):
        database = sqlite3.connect(path)
        verdict = [row[0] for row in database.execute("PRAGMA integrity_check")]
        verdict += [f"a row of {row[0]} points nowhere" for row in database.execute("PRAGMA foreign_key_check")]
        database.close()
        found += [f"{path.name}: {line}" for line in verdict if line != "ok"]
    return found
