"""The limits of control groups, read from trees that a test has built."""

from collections.abc import Mapping
from pathlib import Path

from quark.producers.telemetry.cgroup import ControlGroup

GIB = 1 << 30


def tree(root: Path, files: Mapping[str, str], own: str) -> ControlGroup:
    """A control group in a directory with these files."""
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "own").write_text(own)
    return ControlGroup(root / "cgroup", root / "own")


def test_v2_tells_memory_and_processors(tmp_path: Path) -> None:
    """In v2 memory in use is what cannot be dropped, and the quota is a number of processors."""
    group = tree(
        tmp_path,
        {
            "cgroup.controllers": "cpu memory",
            "job/memory.max": f"{8 * GIB}\n",
            "job/memory.current": f"{3 * GIB}\n",
            "job/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file 7\n",
            "job/cpu.max": "150000 100000\n",
            "job/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        },
        "0::/job\n",
    )
    assert (group.memory(), group.processors(), group.processor_s()) == ((2 * GIB, 8 * GIB), 1.5, 2.5)


def test_v1_tells_memory_and_processors(tmp_path: Path) -> None:
    """In v1 the controllers lie apart, and the processor time is in nanoseconds."""
    group = tree(
        tmp_path,
        {
            "memory/job/memory.limit_in_bytes": f"{4 * GIB}",
            "memory/job/memory.usage_in_bytes": f"{2 * GIB}",
            "memory/job/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}\n",
            "cpu/job/cpu.cfs_quota_us": "50000",
            "cpu/job/cpu.cfs_period_us": "100000",
            "cpuacct/job/cpuacct.usage": "1500000000",
        },
        "4:memory:/job\n2:cpuacct:/job\n1:cpu:/job\n",
    )
    assert (group.memory(), group.processors(), group.processor_s()) == ((GIB, 4 * GIB), 0.5, 1.5)


def test_v1_controllers_mounted_together_are_found(tmp_path: Path) -> None:
    """Many systems mount cpu and cpuacct as one directory."""
    group = tree(
        tmp_path,
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "200000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/cpuacct.usage": "7000000000",
        },
        "2:cpu,cpuacct:/\n",
    )
    assert (group.processors(), group.processor_s()) == (2.0, 7.0)


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    """A limit of the group above binds too, and it is that group whose use is told."""
    group = tree(
        tmp_path,
        {
            "cgroup.controllers": "cpu memory",
            "pod/memory.max": f"{2 * GIB}",
            "pod/memory.current": f"{GIB}",
            "pod/cpu.max": "max 100000",
            "pod/job/memory.max": f"{4 * GIB}",
            "pod/job/memory.current": "1000",
            "pod/job/cpu.max": "300000 100000",
            "pod/job/cpu.stat": "usage_usec 1000000",
        },
        "0::/pod/job\n",
    )
    assert (group.memory(), group.processors(), group.processor_s()) == ((GIB, 2 * GIB), 3.0, 1.0)


def test_a_path_of_the_host_falls_back_to_the_mount(tmp_path: Path) -> None:
    """In a container the listed path is the host's; the mount itself is the group."""
    group = tree(
        tmp_path,
        {
            "cgroup.controllers": "memory",
            "memory.max": str(GIB),
            "memory.current": "5000",
            "memory.stat": "inactive_file 1000",
        },
        "0::/kubepods/pod-1/abc\n",
    )
    assert group.memory() == (4000, GIB)


def test_no_limit_is_none(tmp_path: Path) -> None:
    """``max`` in v2, -1 and the huge number in v1 mean that there is no limit."""
    second = tree(tmp_path / "2", {"cgroup.controllers": "", "memory.max": "max", "cpu.max": "max 100000"}, "0::/\n")
    first = tree(
        tmp_path / "1",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "1",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
        "4:memory:/\n1:cpu:/\n",
    )
    for group in (first, second):
        assert (group.memory(), group.processors(), group.processor_s()) == (None, None, None)


def test_a_limit_that_changes_is_followed(tmp_path: Path) -> None:
    """A container may be resized while it runs."""
    files = {"cgroup.controllers": "", "memory.max": "1000", "memory.current": "10", "cpu.max": "100000 100000"}
    group = tree(tmp_path, files, "0::/\n")
    (tmp_path / "cgroup/memory.max").write_text("2000")
    (tmp_path / "cgroup/cpu.max").write_text("max 100000")
    assert (group.memory(), group.processors()) == ((10, 2000), None)


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    """No control groups, or files full of nonsense, are no limit and no fault."""
    absent = ControlGroup(tmp_path / "nowhere", tmp_path / "no-file")
    odd = tree(
        tmp_path,
        {"cgroup.controllers": "", "memory.max": "lots", "memory.current": "", "cpu.max": "1 2 3", "cpu.stat": "x"},
        "nonsense\n0::/../../etc\n",
    )
    for group in (absent, odd):
        assert (group.memory(), group.processors(), group.processor_s()) == (None, None, None)


def test_the_machine_of_this_test_is_read_without_fault() -> None:
    """Whatever control groups this machine has, reading them raises nothing."""
    group = ControlGroup()
    limit = group.memory()
    assert limit is None or limit[0] >= 0
    assert group.processors() is None or group.processor_s() is not None
