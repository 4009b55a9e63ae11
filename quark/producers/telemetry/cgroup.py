"""How much processor and memory the control group of this process may use, in cgroup v1 and v2.

In a container the machine's own figures mislead: 10 GiB in use of 512 GiB is 2 % of the machine and all of the job.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_NO_LIMIT = 1 << 60
"""v1 writes "no limit" as the largest multiple of a page below 2**63."""


@dataclass(frozen=True, slots=True)
class _MemoryFiles:
    limit: Path
    used: Path
    statistics: Path
    reclaimable: str


class ControlGroup:
    """The tightest limits on the way from the process's own group up to the root.

    Which group limits is found once; what it uses and how much it may use is read on every call.

    Args:
        root: where the control groups are mounted.
        own: the file that lists the groups of the process.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> None:
        paths = _own_groups(own)
        self._unified = (root / "cgroup.controllers").exists()
        if self._unified:
            groups = _upwards(root, paths.get("", "/"))
            self._memory = _tightest([_v2_memory(group) for group in groups])
            self._quota, self._usage = _v2_processor(groups)
        else:
            memory = _upwards(_mount(root, "memory"), paths.get("memory", "/"))
            self._memory = _tightest([_v1_memory(group) for group in memory])
            self._quota, self._usage = _v1_processor(root, paths)

    def processors(self) -> float | None:
        """How many processors' time the group may use, such as 1.5; None without a limit."""
        return None if self._quota is None else _quota_of(self._quota)

    def processor_s(self) -> float | None:
        """Processor time that the limited group has used, seconds; None if nobody counts it."""
        if self._usage is None:
            return None
        if self._unified:
            used = _statistic(self._usage, "usage_usec")
            return None if used is None else used / 1e6
        used = _number(self._usage)
        return None if used is None else used / 1e9

    def memory(self) -> tuple[int, int] | None:
        """Bytes in use (without file cache that can be dropped) and the limit; None without a limit."""
        files = self._memory
        if files is None:
            return None
        limit, used = _number(files.limit), _number(files.used)
        if limit is None or used is None or not 0 < limit < _NO_LIMIT:
            return None
        return max(0, used - (_statistic(files.statistics, files.reclaimable) or 0)), limit


def _own_groups(own: Path) -> dict[str, str]:
    """The path of the process's group by controller; the one of v2 is under the empty name."""
    try:
        lines = own.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _mount(root: Path, controller: str) -> Path:
    """Where a v1 controller is mounted: under its name, or together with its neighbours as in ``cpu,cpuacct``."""
    if (root / controller).exists():
        return root / controller
    try:
        joined = [item for item in sorted(root.iterdir()) if controller in item.name.split(",")]
    except OSError:
        joined = []
    return joined[0] if joined else root / controller


def _upwards(mount: Path, path: str) -> list[Path]:
    """The group's directory and those above it.

    In a container the listed path is often the host's, and the mount itself is the group.
    """
    inside = PurePosixPath(path.lstrip("/"))
    if ".." in inside.parts or not (mount / inside).is_dir():
        return [mount]
    return [mount / part for part in (inside, *inside.parents)]


def _v1_memory(group: Path) -> _MemoryFiles:
    return _MemoryFiles(
        group / "memory.limit_in_bytes", group / "memory.usage_in_bytes", group / "memory.stat", "total_inactive_file"
    )


def _v2_memory(group: Path) -> _MemoryFiles:
    return _MemoryFiles(group / "memory.max", group / "memory.current", group / "memory.stat", "inactive_file")


def _tightest(groups: list[_MemoryFiles]) -> _MemoryFiles | None:
    limits = [(_number(files.limit), place) for place, files in enumerate(groups)]
    bounded = [(limit, place) for limit, place in limits if limit is not None and 0 < limit < _NO_LIMIT]
    return groups[min(bounded)[1]] if bounded else None


def _v2_processor(groups: list[Path]) -> tuple[Path | None, Path | None]:
    quota = _smallest_quota([group / "cpu.max" for group in groups])
    return quota, None if quota is None else quota.parent / "cpu.stat"


def _v1_processor(root: Path, paths: dict[str, str]) -> tuple[Path | None, Path | None]:
    """v1 may mount and group the quota (cpu) and the clock (cpuacct) apart; the same group is looked for in both."""
    mount = _mount(root, "cpu")
    quota = _smallest_quota([group / "cpu.cfs_quota_us" for group in _upwards(mount, paths.get("cpu", "/"))])
    if quota is None:
        return None, None
    clocks = _mount(root, "cpuacct")
    same = clocks / quota.parent.relative_to(mount)
    return quota, (same if same.is_dir() else _upwards(clocks, paths.get("cpuacct", "/"))[0]) / "cpuacct.usage"


def _smallest_quota(files: list[Path]) -> Path | None:
    bounded = [(quota, place) for place, file in enumerate(files) if (quota := _quota_of(file)) is not None]
    return files[min(bounded)[1]] if bounded else None


def _quota_of(file: Path) -> float | None:
    """Quota over period; v2 keeps both in one file as ``50000 100000`` or ``max 100000``, v1 in two."""
    words = _words(file)
    if file.name == "cpu.cfs_quota_us":
        words += _words(file.with_name("cpu.cfs_period_us"))
    if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()) or not int(words[1]):
        return None
    return int(words[0]) / int(words[1])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, UnicodeDecodeError):
        return []


def _number(file: Path) -> int | None:
    words = _words(file)
    return int(words[0]) if len(words) == 1 and words[0].isdigit() else None


def _statistic(file: Path, name: str) -> int | None:
    words = _words(file)
    try:
        return int(words[words.index(name) + 1])
    except (ValueError, IndexError):
        return None
