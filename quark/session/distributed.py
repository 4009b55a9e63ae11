"""Which process of a distributed job this is, and the run id that all of its processes share."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

JOIN_VARIABLE = "QUARK_JOIN_RUN_ID"
"""Set by rank 0 for the processes that it starts afterwards; read by the other ranks only."""

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "LOCAL_RANK")
_SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_JOB = (
    "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT",
    "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """This process's place among those that train together."""

    rank: int = 0
    world_size: int = 1
    key: str | None = None

    @property
    def owns_run(self) -> bool:
        """Whether this process owns the lifecycle of the run."""
        return self.rank == 0


def find_job(environ: Mapping[str, str] | None = None) -> Job:
    """Rank, world size and identity of the job, from the variables of torchrun, SLURM, Open MPI or Lightning."""
    variables = os.environ if environ is None else environ
    world_size = _number(variables, _SIZES, 1)
    in_step = "SLURM_PROCID" in variables and "RANK" not in variables
    if in_step and variables.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return Job()  # a shell inside an allocation: its variables describe the shell, not a job of many ranks
    rank = _number(variables, _RANKS, 0)
    if world_size <= 1 and rank == 0:
        return Job()
    return Job(rank, max(world_size, rank + 1), _key(variables, world_size))


def shared_run_id(job: Job, project: str, count: int) -> str | None:
    """The id that every rank derives for the ``count``-th run of ``project`` in this job; None outside a job."""
    if job.key is None:
        return None
    text = "\0".join((job.key, project, str(count)))
    return "j" + hashlib.sha256(text.encode()).hexdigest()[:31]


def _key(variables: Mapping[str, str], world_size: int) -> str:
    """What tells this job from every other: its identifiers, and on one machine the process that launched it."""
    parts = [variables.get(name, "") for name in _JOB]
    if variables.get("LOCAL_WORLD_SIZE") == str(world_size):
        parts.append(_process_identity(os.getppid()))
    return "\0".join(parts)


def _process_identity(pid: int) -> str:
    """A process id with the start time of its process, for ids are used again."""
    try:
        return f"{pid}:{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return str(pid)


def _number(variables: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        text = variables.get(name, "")
        if text.isdigit():
            return int(text)
    return default
