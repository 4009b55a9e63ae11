"""The run behind a training: a new one, the one that a checkpoint carries, or the one that rank 0 has started."""

import logging
import os
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import quark

logger = logging.getLogger("quark")
_warned: "weakref.WeakSet[Any]" = weakref.WeakSet()
_trainers: "weakref.WeakKeyDictionary[Any, weakref.ref[Any]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the user said about the run; the fields are those of ``quark.start_run``, and ``run`` is one of his own."""

    project: str | None = None
    run: Any = None
    config: Mapping[str, Any] | None = None
    tags: Iterable[str] | None = None
    storage_dir: str | Path | None = None
    name: str | None = None
    trackers: Iterable[Any] | str = ()
    strict_mode: bool = False
    close_timeout_s: float | None = None
    run_id: str | None = None

    def completed_by(self, other: "Plan") -> "Plan":
        """This plan, with what it leaves open taken from ``other``."""
        given = {field.name: getattr(self, field.name) or getattr(other, field.name) for field in fields(self)}
        return replace(self, **given)

    def with_tags(self, tags: Iterable[str]) -> "Plan":
        """This plan with other tags."""
        return replace(self, tags=list(tags))

    def with_run_id(self, run_id: str | None) -> "Plan":
        """This plan with the id of the run."""
        return replace(self, run_id=run_id or self.run_id)


class Leads(Protocol):
    """A callback of a Trainer that may have others of its kind beside it."""

    @property
    def recording_plan(self) -> Plan:
        """What the user said of the run."""
        ...

    @property
    def is_plain(self) -> bool:
        """Whether the user said nothing at all, as of a callback that ``report_to`` makes."""
        ...


class Joining:
    """The part of a callback that may have others of its kind beside it: one records, the others join its run."""

    _recording: Any
    _leader: Any
    _hooks: Any
    _grad_norms: bool

    @property
    def run(self) -> Any:
        """The session while there is one, else None; beside another QuarkCallback the one that both have joined."""
        return self._recording.run if self._leader is None else self._leader.run

    @property
    def recording_plan(self) -> Plan:
        """What the user said of the run."""
        return self._recording.plan

    @property
    def is_plain(self) -> bool:
        """Whether the user said nothing at all, as of a callback that ``report_to`` makes."""
        return self._hooks is None and not self._grad_norms and self._recording.plan == Plan()


L = TypeVar("L", bound=Leads)


def leading(callbacks: Sequence[L]) -> tuple[L, list[Plan]]:
    """Of several callbacks in one Trainer the one that records, and what the others say of its run.

    All of them would record the same: there is one run, which the others join. The first one leads that the user said
    something of.
    """
    chosen = [callback for callback in callbacks if not callback.is_plain]
    leader = chosen[0] if chosen else callbacks[0]
    if len(chosen) > 1 and leader not in _warned:
        _warned.add(leader)
        logger.warning(
            "quark: %d callbacks of Quark are in one Trainer, which is one run: the first one records, with the "
            "options that it leaves open taken from the others; give the Trainer a single one", len(chosen),
        )  # fmt: skip
    return leader, [callback.recording_plan for callback in callbacks if callback is not leader]


def trains_here(run: Any, trainer: Any) -> None:
    """Know that ``trainer`` trains in ``run``, and say so if another one did before: their steps are the same."""
    known = _trainers.get(run)
    if known is not None and known() is not trainer:
        run.report(
            "several_trainers",
            f"another training begins in run {run.run_id}, and its steps count from their start again: the points of "
            "both stand in the same series; give each training a run of its own",
        )
    _trainers[run] = weakref.ref(trainer)


def new_run_id() -> str:
    """A UUIDv7 like those of Quark's own runs, for a logger that must say its version before the run starts."""
    random = int.from_bytes(os.urandom(10), "big")
    high, low = random >> 68, random & ((1 << 62) - 1)
    return str(uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))


def open_run(
    plan: Plan, trainer: Any, *, project: str, config: Mapping[str, Any], carried: Mapping[str, Any] | None = None,
    parent: str | None = None, alone: bool = False, completed: bool = False,
) -> Any:  # fmt: skip
    """The session of this process, the same run in all processes of the Trainer.

    Args:
        plan: what the user said.
        trainer: the Trainer; its rank and world size count, not those of the environment.
        project: the project if the user named none.
        config: configuration of a new run.
        carried: what a checkpoint says of the run that wrote it.
        parent: id of the run that a new one is derived from.
        alone: only rank 0 takes part.
        completed: whether the run that is carried is added to if it is completed.
    """
    if trainer.world_size == 1:
        return _begin(plan, project, config, carried, parent, completed)
    with _ranks_of(trainer):
        if alone:
            return _begin(plan, project, config, carried, parent, completed)
        told: dict[str, Any] | None = None
        run = None
        try:
            if trainer.global_rank == 0:
                run = _begin(plan, project, config, carried, parent, completed)
                told = {"run_id": run.run_id, "storage_dir": run.storage_dir, "project": run.project_name}
        finally:  # the others wait for this, whatever happened
            told = trainer.strategy.broadcast(told, src=0)
        if run is None and told is not None:
            run = quark.start_run(
                **told, trackers=plan.trackers, strict_mode=plan.strict_mode, close_timeout_s=plan.close_timeout_s
            )
        return run


def _begin(
    plan: Plan, project: str, config: Mapping[str, Any], carried: Mapping[str, Any] | None, parent: str | None,
    completed: bool,
) -> Any:  # fmt: skip
    run = None
    if carried:
        run, parent = resumed(plan, carried, plan.storage_dir, parent, completed=completed)
        if run is not None:
            tell_differences(run, config)
    return start(plan, project, config, parent) if run is None else run


def start(plan: Plan, project: str, config: Mapping[str, Any], parent: str | None = None) -> Any:
    """A new run; ``project`` is that of a user who named none."""
    return quark.start_run(
        project=plan.project or os.environ.get("QUARK_PROJECT") or project, config=config, tags=plan.tags,
        storage_dir=plan.storage_dir, name=plan.name, trackers=plan.trackers, strict_mode=plan.strict_mode,
        close_timeout_s=plan.close_timeout_s, run_id=plan.run_id, parent_run_id=parent,
    )  # fmt: skip


def resumed(
    plan: Plan, carried: Mapping[str, Any], storage_dir: str | Path | None, parent: str | None = None, *,
    source: str = "checkpoint", completed: bool = False,
) -> tuple[Any, str | None]:  # fmt: skip
    """The run that a checkpoint carries as a further attempt; or none, and the parent of the run that starts instead.

    Args:
        plan: what the user said.
        carried: what the checkpoint says of the run that wrote it.
        storage_dir: where that run is looked for.
        parent: the parent of a new run if that run is not there; if it is there and cannot go on, it is the parent.
        source: what the user calls the checkpoint.
        completed: whether the run is added to if it is completed.
    """
    run_id = str(carried.get("run_id"))
    try:
        run = quark.resume_run(
            run_id=run_id, storage_dir=storage_dir, trackers=plan.trackers,
            close_timeout_s=plan.close_timeout_s, completed=completed,
        )  # fmt: skip
        return run, None
    except quark.InvalidRunStateError:  # it is completed, or another process goes on with it
        return None, run_id
    except quark.RunNotFoundError as error:
        logger.warning("quark: the %s is of run %s, which is not here (%s); a new run starts", source, run_id, error)
        return None, parent


def tell_differences(run: Any, config: Mapping[str, Any]) -> None:
    """Record how the configuration of a resumed run differs now: new names are added, what has changed is an event."""
    known = dict(run.config)
    run.config.update({name: value for name, value in config.items() if name not in known})
    changed = {
        name: {"before": known[name], "now": value}
        for name, value in config.items()
        if name in known and known[name] not in (value, "[redacted]")
    }
    if changed:
        attempt = run.manifest.attempt
        quark.EventLogger(run).log("config_changed", payload={"attempt": attempt, "changed": changed})


def is_running(run: Any) -> bool:
    """Whether there is a run and it takes records."""
    return run is not None and run.status == "running"


@contextmanager
def _ranks_of(trainer: Any) -> Iterator[None]:
    """Quark reads the rank from the environment, where Lightning's own launcher leaves only that within the node."""
    wanted = {"RANK": str(trainer.global_rank), "WORLD_SIZE": str(trainer.world_size)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
