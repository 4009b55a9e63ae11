"""Which rank a process is, and that all ranks of a job derive one run id."""

from quark.session.distributed import Job, find_job, shared_run_id

TORCHRUN = {
    "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29400",
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0",
}  # fmt: skip


def test_a_process_on_its_own_is_rank_0_and_owns_its_run():
    """Without a launcher there is one rank and no shared id."""
    job = find_job({})
    assert job == Job(0, 1, None)
    assert job.owns_run
    assert shared_run_id(job, "p", 1) is None


def test_torchrun_ranks_share_an_id():
    """The ranks that one launcher started derive the same id for the same run, another for the next."""
    jobs = [find_job({**TORCHRUN, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)]
    assert [job.rank for job in jobs] == [0, 1]
    assert [job.owns_run for job in jobs] == [True, False]
    assert shared_run_id(jobs[0], "p", 1) == shared_run_id(jobs[1], "p", 1)
    assert shared_run_id(jobs[0], "p", 2) != shared_run_id(jobs[0], "p", 1)
    assert shared_run_id(jobs[0], "q", 1) != shared_run_id(jobs[0], "p", 1)


def test_a_restarted_job_is_another_one():
    """A restart by the launcher gives another id; so does another port."""
    base = find_job({**TORCHRUN, "RANK": "0"})
    again = find_job({**TORCHRUN, "RANK": "0", "TORCHELASTIC_RESTART_COUNT": "1"})
    other = find_job({**TORCHRUN, "RANK": "0", "MASTER_PORT": "29401"})
    assert len({shared_run_id(job, "p", 1) for job in (base, again, other)}) == 3


def test_slurm_ranks():
    """srun's variables give rank and size; an interactive shell in an allocation is no rank."""
    job = find_job({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"})
    assert (job.rank, job.world_size) == (3, 8)
    shell = find_job({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "bash"})
    assert shell == Job()


def test_a_job_of_one_process_is_no_job():
    """torchrun with one process behaves as a plain run."""
    assert find_job({"RANK": "0", "WORLD_SIZE": "1"}) == Job()


def test_lightning_children_are_ranks():
    """Children that a launcher tells only LOCAL_RANK are no owners."""
    assert not find_job({"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}).owns_run
