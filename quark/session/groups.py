"""Run groups: many runs of one purpose, each with an id that a second start finds again."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..client.connection import ServiceUnavailableError
from ..core.control import GROUP_TAG
from ..delivery.place import writer_places
from ..errors import InvalidRunStateError, QuarkError, RunNotFoundError, SchemaValidationError, WrongTypeError
from ..producers.events import log_event
from ..records.grammar import check_index, shown
from ..records.identifiers import check_id
from ..records.run import RunRecord
from ..settings import setting
from .checks import check_tags
from .derived_ids import commit, derive_run_id, digest_id
from .distributed import find_job
from .folders import EXTENSIONS, FilesAtEnd, Paths
from .home import Home, home_of
from .placement import Placement, resolve_storage_dir
from .session import TrainingSession
from .stored import NotBegun, StoredRun

ARRIVAL_S = 5.0
"""How long a group that another process has just begun may take to be seen."""


def run_group(
    name: str,
    *,
    total: int | None = None,
    project: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Iterable[str] | None = None,
    trackers: Iterable[Any] | str = (),
    storage_dir: str | Path | None = None,
    git_sha: str | None = None,
    run_id: str | None = None,
    artifacts: Paths = (),
    glob: str = "**/*",
    extensions: Sequence[str] | None = EXTENSIONS,
) -> "RunGroup":
    """A group of runs; use it as a context manager, and its ``run`` for each of them.

    The group is a run itself, the parent of its members: its status, events and the metrics ``group/done`` and
    ``group/failed`` tell how far it is. It ends completed when all of ``total`` are done, failed when one failed or an
    exception leaves the block, else interrupted, to be continued by the same program. A group that is asked to stop
    stops its running members and begins no others; the next start continues with those that are not done.

    Args:
        name: name of the group; with project and commit it makes the ids of group and members.
        total: how many runs there will be; None if nobody knows.
        project: name of the project; QUARK_PROJECT, else the name of the group.
        config, tags, storage_dir: as of ``start_run``, for the group.
        trackers: as of ``start_run``, for the group's own run. A dashboard nests the members whose ``run`` names the
            same one.
        git_sha: the commit in the ids; None looks it up, ``""`` leaves it out.
        run_id: the id of the group's own run, of which those of its members are made then:
            ``run_id=quark.new_run_id("sweep")`` begins everything anew, a known id continues that group.
        artifacts: files and directories that are stored with the group when it ends, also when it failed.
        glob: which files of a directory.
        extensions: only these, such as ``(".png", ".pdf")``; None for all.

    Raises:
        SchemaValidationError, WrongTypeError: an argument breaks a rule.
    """
    if not isinstance(name, str) or not name.strip():
        raise WrongTypeError(f"name must be a text that is not empty, got {shown(name)}")
    files = FilesAtEnd(artifacts, glob, extensions)
    return RunGroup(
        name, check_index(total, "total"), project or setting("QUARK_PROJECT") or name, config, tags, trackers,
        storage_dir, git_sha, None if run_id is None else check_id(run_id), files,
    )  # fmt: skip


class RunGroup:
    """Runs that belong together. Made by ``quark.run_group``.

    Attributes:
        name, project, total: as given.
        done: the members that are completed by now, those of earlier starts of the program too.
        failed: the members that failed or were interrupted.
    """

    __module__ = "quark"

    def __init__(
        self, name: str, total: int | None, project: str, config: Mapping[str, Any] | None, tags: Iterable[str] | None,
        trackers: Iterable[Any] | str, storage_dir: str | Path | None, git_sha: str | None, run_id: str | None,
        files: FilesAtEnd,
    ) -> None:  # fmt: skip
        self.name = name
        self.total = total
        self.project = project
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self._config = config
        self._tags = check_tags(tags)
        self._trackers = trackers
        self._storage_dir = storage_dir
        self._run_id = run_id
        self._sha = commit() if git_sha is None and run_id is None else git_sha or ""
        self._files = files
        self._session: TrainingSession | None = None
        self._member_stopped = False

    @property
    def run_id(self) -> str:
        """The id of the group's own run."""
        return self._run_id or derive_run_id(self.project, self.name, self._sha)

    def id_of(self, name: str) -> str:
        """The id of a member."""
        if self._run_id:
            return digest_id(name, self._run_id, name)
        return digest_id(name, self.project, self.name, name, self._sha)

    def finished(self, name: str) -> bool:
        """Whether a member is done already, now or in an earlier start of the program; one that was stopped is not."""
        if name not in self.done and _is_completed(self._stored(self.id_of(name))):
            self.done.add(name)
        return name in self.done

    def pending(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are not done yet, in their order."""
        return [name for name in names if not self.finished(name)]

    def run(
        self, name: str, *, config: Mapping[str, Any] | None = None, tags: Iterable[str] | None = None,
        trackers: Iterable[Any] | str = (), artifacts: Paths = (), glob: str = "**/*",
        extensions: Sequence[str] | None = EXTENSIONS,
    ) -> "GroupRun":  # fmt: skip
        """A member, as a context manager that gives its session.

        A member that failed or was interrupted is resumed: what it recorded and its start time stay. One that is
        completed stays as it is: the block gets a session that records nothing and whose ``status`` is
        ``"completed"``. Python cannot skip the block, so ask for the status first, or loop over ``pending(names)``.
        Once the group was asked to stop, a member is not begun: its session records nothing, its ``stop_requested`` is
        true and its ``steps`` are empty.

        Args:
            name: name of the member within the group.
            config, tags, trackers: as of ``start_run``.
            artifacts: files and directories that are stored with the run when it ends, also when it failed.
            glob: which files of a directory.
            extensions: only these; None for all.

        Raises:
            SchemaValidationError, WrongTypeError: an argument breaks a rule.
            InvalidRunStateError: another process runs this member now.
        """
        if not isinstance(name, str) or not name.strip():
            raise WrongTypeError(f"name must be a text that is not empty, got {shown(name)}")
        start = {"config": config, "tags": tags, "trackers": trackers}
        return GroupRun(self, name, start, FilesAtEnd(artifacts, glob, extensions))

    def __enter__(self) -> "RunGroup":
        tags = [GROUP_TAG, *self._tags]
        start = {
            "name": self.name, "config": {"total": self.total, **(self._config or {})}, "tags": tags,
            "trackers": self._trackers,
        }  # fmt: skip
        try:
            self._session = self._begin(self.run_id, start)
        except InvalidRunStateError:  # several processes share the work: the first one keeps the group's account
            self._session = self._read_only(self._arriving(self.run_id))
        self._session.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session
        if session is None:
            return
        self._files.store(session)
        if error is None and self.failed:
            session.finish("error")
        elif error is None and self.total is not None and len(self.done) < self.total:
            session.finish("interrupted")
        elif error is None and self._session_stops():
            session.finish(session.stop_reason)
        else:
            session.__exit__(kind, error, trace)

    def _begin(self, run_id: str, start: Mapping[str, Any], parent: TrainingSession | None = None) -> TrainingSession:
        """A session for an id: new, a further attempt, or the sight of what is completed."""
        from .start import begin, resume

        stored = self._stored(run_id)
        if stored is not None and _is_completed(stored):
            return self._read_only(stored)
        if find_job().owns_run and self._is_written(run_id):
            raise InvalidRunStateError(f"run {run_id} is recorded by another session now; end it there first")
        if stored is None or not find_job().owns_run:
            root = None if parent is None else parent.context.run.lineage_root_run_id
            return begin(
                project=self.project, storage_dir=self._storage_dir, run_id=run_id,
                parent_run_id=None if parent is None else parent.run_id, root=root, **start,
            )  # fmt: skip
        trackers = start.get("trackers", ())
        return resume(run_id=run_id, storage_dir=self._storage_dir, trackers=trackers, stopped_too=True)

    @property
    def stop_requested(self) -> bool:
        """Whether the group is to end: no further member begins."""
        return self._session_stops() or self._asked_elsewhere()

    def _session_stops(self) -> bool:
        session = self._session
        return session is not None and session.stops_before(session.next_step)

    def _asked_elsewhere(self) -> bool:
        """Whether the group was asked to stop and only the store knows: another process keeps the group's account, or
        a member has heard of it before the group.
        """
        session = self._session
        if session is None or session.status != "running":
            return False
        if not isinstance(session, StoredRun) and not self._member_stopped:
            return False
        home = self._home()
        store = home.open(self.project)
        try:
            return store.control(self.run_id).stop_requested_at is not None
        except (RunNotFoundError, ServiceUnavailableError):
            return False
        finally:
            store.close()

    def _read_only(self, run: RunRecord) -> StoredRun:
        placement = Placement(resolve_storage_dir(self._storage_dir))
        return StoredRun(run, placement, home_of(placement, self._storage_dir))

    def _stored(self, run_id: str) -> RunRecord | None:
        """What the store knows of a run; a service that cannot be asked knows nothing, and the run starts anyhow."""
        from .sync import sync_run

        if setting("QUARK_DISABLE"):
            return None
        home = self._home()
        sync_run(Placement(resolve_storage_dir(self._storage_dir)), run_id)
        if not home.exists():
            return None
        store = home.open(self.project)
        try:
            return store.run(run_id)
        except (RunNotFoundError, ServiceUnavailableError):
            return None
        finally:
            store.close()

    def _home(self) -> Home:
        return home_of(Placement(resolve_storage_dir(self._storage_dir)), self._storage_dir)

    def _is_written(self, run_id: str) -> bool:
        """Whether a living process of this machine has the run's journal."""
        if setting("QUARK_DISABLE"):
            return False
        journals = Placement(resolve_storage_dir(self._storage_dir)).journals(run_id)
        return any(place.alive() for place in writer_places(journals))

    def _arriving(self, run_id: str) -> RunRecord:
        """What the store knows of a run that another process has just begun.

        Raises:
            InvalidRunStateError: it does not come.
        """
        deadline = time.monotonic() + ARRIVAL_S
        while (stored := self._stored(run_id)) is None:
            if time.monotonic() > deadline:
                raise InvalidRunStateError(f"run {run_id} is recorded by another session, and is not stored yet")
            time.sleep(0.1)
        return stored

    def _told(self, name: str, member: TrainingSession) -> None:
        """A member ended; one that was stopped is neither done nor failed."""
        status = member.status
        self._member_stopped = self._member_stopped or member.stop_requested
        if status == "completed" and member.context.run.reason == "stop_requested":
            return
        (self.done if status == "completed" else self.failed).add(name)
        if status == "completed":
            self.failed.discard(name)
        session = self._session
        if session is None or session.status != "running":
            return
        done, failed = len(self.done), len(self.failed)
        payload = {"name": name, "run_id": self.id_of(name), "status": status, "done": done, "failed": failed}
        try:
            log_event(session, "group_progress", payload={**payload, "total": self.total})
        except QuarkError as error:
            session.report("group_progress", error)
        session.log({"group/done": done, "group/failed": failed}, step=done + failed)

    @property
    def session(self) -> TrainingSession:
        """The group's own run.

        Raises:
            SchemaValidationError: the group has not been entered.
        """
        if self._session is None:
            raise SchemaValidationError(
                f"the group {self.name!r} has not begun; use it with: with quark.run_group(...)"
            )
        return self._session

    def __repr__(self) -> str:
        of = "" if self.total is None else f" of {self.total}"
        return f"<RunGroup {self.name!r} of {self.project!r}: {len(self.done)}{of} done, {len(self.failed)} failed>"


class GroupRun:
    """One member while its block runs: it ends with the block, its files are stored, and the group is told."""

    def __init__(self, group: RunGroup, name: str, start: Mapping[str, Any], files: "FilesAtEnd") -> None:
        self._group = group
        self._name = name
        self._start = {"name": name, **start}
        self._files = files
        self._session: TrainingSession | None = None

    def __enter__(self) -> TrainingSession:
        group = self._group
        if group.stop_requested:
            return NotBegun(group.project, group.id_of(self._name), self._name)
        self._session = group._begin(group.id_of(self._name), self._start, group.session)
        group.session.followers = (*group.session.followers, self._session)
        return self._session.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session
        if session is None:
            return
        self._files.store(session)
        session.__exit__(kind, error, trace)
        leader = self._group.session
        leader.followers = tuple(one for one in leader.followers if one is not session)
        self._group._told(self._name, session)


def _is_completed(record: RunRecord | None) -> bool:
    return record is not None and record.status == "completed" and record.reason != "stop_requested"


for _public in (derive_run_id, run_group):
    _public.__module__ = "quark"
