"""The kill test of `quark doctor --chaos`: processes that log are killed at random moments, then all is counted."""

import json
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SessionStoreError
from ..reading import Store, open
from ..session.identity import new_run_id
from ..session.placement import Placement
from .chaos_child import THREADS, key_of

TOGETHER = 2
LIFE_S = 0.4
START_LIMIT_S = 20.0
PROJECT = "chaos"
_LAUNCHERS = ("QUARK_", "SLURM_", "OMPI_", "PMI_", "TORCHELASTIC_")
_RANKS = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


@dataclass(slots=True)
class ChaosReport:
    """The counts: records whose log call had returned, those found afterwards; and the cost of a call in ns."""

    kills: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    twice: int = 0
    seconds: float = 0.0
    cost: dict[str, Any] = field(default_factory=dict)
    kept: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


def kill_test(placement: Placement, seconds: float, progress: Callable[[str], None]) -> ChaosReport:
    """Kill processes that log for ``seconds``, deliver what they left, and count.

    Everything happens in a directory of its own inside the storage directory, which is removed unless records were
    lost or found twice. The journals lie where those of real runs would lie.
    """
    made = not placement.storage_dir.exists()
    placement.storage_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=placement.storage_dir, prefix=".quark-chaos-"))
    journals = None
    if placement.journal_root.parent != placement.store_root:
        placement.journal_root.mkdir(parents=True, exist_ok=True)
        journals = Path(tempfile.mkdtemp(dir=placement.journal_root.parent, prefix=".quark-chaos-"))
    report = ChaosReport()
    began = time.monotonic()
    try:
        environment = _environment(journals)
        progress("measuring a log call")
        report.cost = json.loads(_child(["measure", str(scratch)], environment))
        runs = _kill_for(seconds, scratch, environment, report, progress)
        progress("delivering what was left")
        _quark(["sync", str(scratch), "--json"], environment)
        _count(scratch, runs, report)
        report.seconds = time.monotonic() - began
    finally:
        for directory in filter(None, (scratch, journals)):
            if report.lost or report.twice:
                report.kept = str(scratch)
            else:
                shutil.rmtree(directory, ignore_errors=True)
        if made and report.kept is None:
            placement.storage_dir.rmdir()
    return report


def _environment(journals: Path | None) -> dict[str, str]:
    """The variables of this process without Quark's and the launchers': the test's runs must not join real ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHERS) and k not in _RANKS}
    return {**kept, "QUARK_JOURNAL_DIR": str(journals)} if journals else kept


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", f"{__package__}.chaos_child", *arguments]


def _child(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(_command(arguments), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SessionStoreError(f"the measuring process failed: {done.stderr.strip()[-500:]}", code="chaos")
    return done.stdout


def _quark(arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", str(__package__), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SessionStoreError(f"quark {arguments[0]} failed: {done.stdout.strip()[-500:]}", code="chaos")


class _Victim:
    """A process that logs, and the counters that it shares with us: they outlive it."""

    def __init__(self, scratch: Path, environment: dict[str, str]) -> None:
        self.run_id = new_run_id()
        path = scratch / f"{self.run_id}.counters"
        path.write_bytes(bytes(8 * THREADS))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * THREADS)
        path_text = str(path)
        self._process = subprocess.Popen(
            _command(["log", str(scratch), self.run_id, path_text]), env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self._born = time.monotonic()
        self._dies: float | None = time.monotonic() + random.uniform(0, 2 * LIFE_S) if random.random() < 0.1 else None

    def acknowledged(self) -> list[int]:
        """Per thread, how many log calls have returned."""
        with memoryview(self._map) as view, view.cast("Q") as counters:
            return list(counters)

    def due(self) -> bool:
        """Whether it is time to kill it: some while after its first record, now and then at any time before."""
        if self._process.poll() is not None:
            raise SessionStoreError(f"a logging process failed: {self._errors()}", code="chaos")
        if self._dies is None and any(self.acknowledged()):
            self._dies = time.monotonic() + random.uniform(0, LIFE_S)
        return time.monotonic() >= (self._dies if self._dies is not None else self._born + START_LIMIT_S)

    def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _errors(self) -> str:
        stream = self._process.stderr
        return "" if stream is None else stream.read().decode("utf-8", "replace").strip()[-500:]


def _kill_for(
    seconds: float, scratch: Path, environment: dict[str, str], report: ChaosReport, progress: Callable[[str], None]
) -> dict[str, list[int]]:
    """Kill one process after the other; per run, how many records of each thread were acknowledged."""
    ended: dict[str, list[int]] = {}
    living: list[_Victim] = []
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline or living:
            if len(living) < TOGETHER and time.monotonic() < deadline:
                living.append(_Victim(scratch, environment))
            for victim in [victim for victim in living if victim.due()]:
                victim.kill()
                living.remove(victim)
                ended[victim.run_id] = victim.acknowledged()
                report.kills += 1
                progress(f"{report.kills} processes killed")
            time.sleep(0.002)
    finally:
        for victim in living:
            victim.kill()
    return ended


def _count(scratch: Path, runs: dict[str, list[int]], report: ChaosReport) -> None:
    if not Placement(scratch).db_path.exists():
        report.acknowledged = report.lost = sum(map(sum, runs.values()))
        return
    with open(scratch, sync=False) as store:
        known = {view.id for view in store.runs(project=PROJECT)}
        for run_id, acknowledged in runs.items():
            for thread, expected in enumerate(acknowledged):
                steps = _steps(store, run_id, thread) if run_id in known else []
                there = set(steps)
                report.acknowledged += expected
                report.found += len(there)
                report.lost += expected - len(there.intersection(range(expected)))
                report.twice += len(steps) - len(there)


def _steps(store: Store, run_id: str, thread: int) -> list[int]:
    view = store.run(run_id)
    if key_of(thread) not in view.keys():  # noqa: SIM118  a view is no mapping
        return []
    return view.series(key_of(thread), all_attempts=True).steps.tolist()
