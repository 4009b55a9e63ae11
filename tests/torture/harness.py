"""Runs the torture: kills the service about every second and a client about every 0.4 s, then balances the books."""

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quark.service import ServiceConfig
from quark.service.keys import KeyStore
from quark.session.sync import sync
from tests.ports import free_port

from .accounts import Books, Life, broken_databases, compare
from .client import PAGE, told
from .nursery import Nursery
from .proxy import FaultProxy

CLIENTS = 3
RECOVERY_S = 120.0
PATIENCE_S = 40.0
"""How much longer a torture may go on than it was to, on a machine that is too busy to hurt anybody in that time."""

LEAST_KILLS, LEAST_REQUESTS, LEAST_ACKNOWLEDGED = 2, 80, 2000
"""What makes it one, whatever the pace of the machine: about what six seconds bring on one that is idle."""


@dataclass
class Report:
    """What happened and what came of it."""

    seed: int
    service_kills: int = 0
    client_kills: int = 0
    ended: int = 0
    hurt: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    books: Books = field(default_factory=Books)
    wrong: list[str] = field(default_factory=list)
    recovery_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        books = self.books
        return {
            "seed": self.seed, "service_kills": self.service_kills, "client_kills": self.client_kills,
            "clients_ended": self.ended, "runs": books.runs, "acknowledged": books.acknowledged, "held": books.held,
            "files": books.files, "faults": sum(count for name, count in self.faults.items() if name != "passed"),
            "requests": sum(self.faults.values()), "recovery_s": round(self.recovery_s, 1), "wrong": self.wrong[:20],
        }  # fmt: skip


class Torture:
    """One service, one faulty way to it, some clients; everything by one seed."""

    def __init__(self, directory: Path, seed: int, *, db: str | None = None, mutant: str | None = None) -> None:
        self._directory = directory
        self._rng = random.Random(seed)
        self._mutant = mutant
        self._db = db or f"sqlite:///{directory}/service/quark.db"
        self._data = directory / "service"
        self._data.mkdir(parents=True)
        keys = KeyStore(ServiceConfig.of(self._db, self._data).keys_url)
        self._key = keys.create("torture")[0]
        keys.close()
        self._port = free_port()
        self._proxy = FaultProxy(self._port, seed)
        self._service = 0
        self._ready_at: float | None = None
        self._living: dict[int, tuple[int, Life]] = {}
        self.lives: list[Life] = []
        self.report = Report(seed)

    def run(self, seconds: float) -> Report:
        """Torture for so long, recover, compare."""
        self._proxy.start()
        here = {"QUARK_USER_KEY": self._key, "QUARK_PERSISTENCE_TIMEOUT_SECONDS": "2"}
        there = {**here, "QUARK_PERSISTENCE_URL": f"http://127.0.0.1:{self._proxy.port}", "QUARK_PROGRESS": "0"}
        self._clients = Nursery("client", there, str(self._directory / "clients.log"))
        self._services = Nursery("service", {}, str(self._directory / "service.log"))
        try:
            self._torment(seconds)
            self.report.hurt = self._hurt()
            with _environment(here):
                self._recover()
        finally:
            self._kill_all()
            self._clients.close()
            self._services.close()
            self._proxy.stop()
        self.report.faults = dict(self._proxy.counts)
        if self._db.startswith("sqlite"):
            self.report.wrong += broken_databases(self._data)
        return self.report

    def _torment(self, seconds: float) -> None:
        self._start_service()
        begun = time.monotonic()
        next_client = begun + 1
        next_service = 0.0
        while (now := time.monotonic()) < begun + seconds or (now < begun + seconds + PATIENCE_S and not self._hurt()):
            for slot in range(CLIENTS):
                if slot not in self._living or not _alive(self._living[slot][0]):
                    self.report.ended += slot in self._living
                    self._start_client(slot)
            if now >= next_client:
                slot = self._rng.randrange(CLIENTS)
                if self._has_begun(slot) or self._rng.random() < 0.25:
                    self._kill_client(slot)
                next_client = now + self._rng.uniform(0.1, 0.7)
            if self._ready_at is None and self._is_ready():
                self._ready_at = now
                next_service = now + self._rng.uniform(0.3, 1.7)
            if self._ready_at is not None and now >= next_service:
                self._kill_service()
                self._start_service()
            time.sleep(0.01)

    def _hurt(self) -> bool:
        """Whether there was enough of everything to call it a torture."""
        kills = min(self.report.service_kills, self.report.client_kills)
        acknowledged = sum(sum(told(life.account)) for life in self.lives)
        requests = sum(self._proxy.counts.values())
        return kills >= LEAST_KILLS and requests >= LEAST_REQUESTS and acknowledged >= LEAST_ACKNOWLEDGED

    def _has_begun(self, slot: int) -> bool:
        """Whether a client has recorded anything: on a busy machine most would be dead before, and nothing be shown."""
        return told(self._living[slot][1].account)[0] > 0

    def _recover(self) -> None:
        """No more faults: what the dead left is delivered, and the books are compared."""
        for slot in list(self._living):
            self._kill_client(slot)
        self._proxy.calm = True
        begun = time.monotonic()
        while not self._is_ready() and time.monotonic() < begun + RECOVERY_S:
            time.sleep(0.05)
        problems: list[str] = ["nothing was tried"]
        while problems and time.monotonic() < begun + RECOVERY_S:
            time.sleep(0.2)
            problems = [problem for slot in range(CLIENTS) for problem in self._synced(slot)]
        self.report.recovery_s = time.monotonic() - begun
        self.report.wrong += [f"not delivered: {problem}" for problem in problems]
        self.report.books = compare(self.lives, f"http://127.0.0.1:{self._port}", self._key)
        self.report.wrong += self.report.books.wrong

    def _synced(self, slot: int) -> list[str]:
        with _environment({"QUARK_PERSISTENCE_URL": f"http://127.0.0.1:{self._proxy.port}"}):
            report = sync(self._storage(slot))
        return [*report.problems, *(f"{run_id} seems to live" for run_id in report.alive)]

    def _storage(self, slot: int) -> Path:
        return self._directory / f"client-{slot}"

    def _start_service(self) -> None:
        self._ready_at = None
        self._service = self._services.start(
            {"db": self._db, "data": str(self._data), "port": self._port, "mutant": self._mutant}
        )

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _start_client(self, slot: int) -> None:
        number = len(self.lives)
        account = self._directory / f"account-{number}"
        account.write_bytes(bytes(PAGE))
        life = Life(f"run-{number}", self._storage(slot), account, number)
        self.lives.append(life)
        process = self._clients.start({
            "run_id": life.run_id, "storage_dir": str(life.storage_dir), "account": str(account), "salt": number,
            "steps": self._rng.choice((500, 5000, 100_000)),
        })  # fmt: skip
        self._living[slot] = process, life

    def _kill_client(self, slot: int) -> None:
        process, _ = self._living.pop(slot)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            self.report.client_kills += 1

    def _kill_service(self) -> None:
        try:
            os.kill(self._service, signal.SIGKILL)
        except ProcessLookupError:
            log = (self._directory / "service.log").read_text()
            raise RuntimeError(f"the service had ended by itself; the end of its log:\n{log[-3000:]}") from None
        self.report.service_kills += 1

    def _kill_all(self) -> None:
        for process in (self._service, *(process for process, _ in self._living.values())):
            with contextlib.suppress(ProcessLookupError):
                if process:
                    os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
