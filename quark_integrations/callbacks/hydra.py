"""Records every job of a Hydra application as a Quark run, by an entry below ``hydra.callbacks``."""

import math
import numbers
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import quark

from .runs import Plan, start
from .settings import plain

try:
    from hydra.experimental.callback import Callback
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
except ImportError as missing:
    raise quark.MissingDependencyError(
        f"this needs Hydra, which could not be imported ({missing}); "
        'install it with: pip install "quark-tracker[hydra]"'
    ) from missing

_OF_A_SECRET = re.compile(
    r"\$\{[^}]*(?:pass(?:word|wd|phrase)?|pwd|secrets?|token|_key|apikey|credentials?|cookie|dsn|webhook(?:_url)?)[},]",
    re.IGNORECASE,
)
"""A reference to something that is secret by its name: ``${oc.env:HF_TOKEN}``, ``${login.password}``."""

LEAST = 4
"""A secret of fewer characters is found in other texts by chance; it is hidden where it is all of a value."""


class QuarkCallback(Callback):
    """Opens a run around each job; the jobs of a multirun share a tag.

    The run holds the job's configuration with its references resolved, the overrides, and the value that the job
    returns as the metric ``objective``. It ends as the job does. What the job records, it records by
    ``quark.current_run()``; a ``quark.start_run`` in it, its own or that of a framework's callback, joins the run.

    The object holds no run and no secret, and can be sent to the processes of a launcher.

    Args:
        project: name of the project; QUARK_PROJECT or the name of the job if omitted.
        tags: tags of each run.
        storage_dir: where runs are kept; a relative path is below the directory in which the application was started,
            also where Hydra changes the directory for the job. QUARK_STORAGE_DIR or that directory if omitted.
        group: the tag of all runs of a multirun; made from the job's name and the time if omitted.
        trackers: names of sinks such as ``"jsonl"``.
        strict_mode: raise on bad metric names and values instead of counting and warning.
        close_timeout_s: seconds that the end of a run waits for its sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.

    Raises:
        MissingDependencyError: Hydra is not installed.
    """

    def __init__(
        self, project: str | None = None, *, tags: Iterable[str] | None = None, storage_dir: str | None = None,
        group: str | None = None, trackers: Iterable[str] | str = (), strict_mode: bool = False,
        close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        self._project = project
        self._tags = [str(tag) for tag in tags or ()]  # Hydra gives lists of its own make
        self._storage_dir = storage_dir
        self._group = group
        self._trackers = [trackers] if isinstance(trackers, str) else [str(name) for name in trackers]
        self._strict = strict_mode
        self._close_timeout_s = close_timeout_s
        self._run: Any = None

    @property
    def run(self) -> Any:
        """The session while there is one, else None."""
        return self._run

    def on_multirun_start(self, config: DictConfig, **rest: Any) -> None:
        """Jobs are about to be launched, in this process or in others."""
        if self._group is None:
            stamp = time.strftime("%Y%m%d-%H%M%S")
            self._group = f"{config.hydra.job.name}-{stamp}-{os.urandom(3).hex()}"

    def on_job_start(self, config: DictConfig, **rest: Any) -> None:
        """A job starts in this process."""
        if self._run is not None:  # the job before was left by an exception that Hydra does not catch
            self._run.share(False)
            self._run.finish("interrupted")
        hydra = config.hydra
        several = str(hydra.mode).endswith("MULTIRUN")
        tags = [*self._tags, *([self._group or f"{hydra.job.name}-{hydra.sweep.dir}"] if several else [])]
        overrides = [str(override) for override in hydra.overrides.task]
        plan = Plan(
            project=self._project, tags=tags, storage_dir=self._directory(str(hydra.runtime.cwd)),
            name=", ".join(_without_secrets(overrides)) or None, trackers=self._trackers, strict_mode=self._strict,
            close_timeout_s=self._close_timeout_s,
        )  # fmt: skip
        about = {
            "job": str(hydra.job.name), "num": OmegaConf.select(hydra, "job.num", throw_on_missing=False),
            "output_dir": str(hydra.runtime.output_dir), "overrides": _by_key(overrides),
        }  # fmt: skip
        self._run = start(plan, str(hydra.job.name), plain({**job_config(config), "hydra": about}))
        self._run.share()

    def on_job_end(self, config: DictConfig, job_return: Any, **rest: Any) -> None:
        """The job has returned, or an exception has left it."""
        run, self._run = self._run, None
        if run is None:
            return
        run.share(False)
        value = job_return._return_value  # the property of this name raises what the job raised, and prints
        if job_return.status.name == "COMPLETED":
            try:
                found = _objectives(value)
                if found and run.rank == 0:
                    run.log_values(found, step=max(run.next_step - 1, 0))
            except Exception as error:  # noqa: BLE001  what a job returns may be anything, and it has done its work
                run.report("hydra_objective", error)
            run.__exit__(None, None, None)
        elif isinstance(value, BaseException):
            run.__exit__(type(value), value, value.__traceback__)
        else:
            run.finish("error")

    def _directory(self, started_in: str) -> str | Path | None:
        if self._storage_dir is None:
            return None if os.environ.get("QUARK_STORAGE_DIR") else started_in
        return self._storage_dir if "://" in self._storage_dir else Path(started_in) / self._storage_dir

    def __getstate__(self) -> dict[str, Any]:
        """Without the run, which belongs to this process."""
        return {**vars(self), "_run": None}


def job_config(config: DictConfig) -> dict[str, Any]:
    """The configuration of a job without Hydra's own; references are resolved, those to secrets are not.

    Where a reference leads nowhere all stay as they are written.
    """
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    written: Any = OmegaConf.to_container(task, resolve=False, enum_to_str=True)
    try:
        held = {key: _resolved(config, key) for key in written}
    except OmegaConfBaseException:
        return written
    return _hidden(held, set(_secrets(held, written)))


def _resolved(config: DictConfig, key: Any) -> Any:
    value = None if OmegaConf.is_missing(config, key) else config[key]
    return OmegaConf.to_container(value, resolve=True, enum_to_str=True) if OmegaConf.is_config(value) else value


def _secrets(value: Any, written: Any) -> Iterator[str]:
    """What references to secrets have become; other references may lead to these."""
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        for key, item in value.items():
            yield from _secrets(item, written.get(key))
    elif isinstance(value, list) and isinstance(written, list):
        for item, as_written in zip(value, written, strict=True):
            yield from _secrets(item, as_written)
    elif isinstance(written, str) and _OF_A_SECRET.search(written) and str(value):
        yield str(value)


def _hidden(value: Any, secrets: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in value]
    hidden = isinstance(value, str) and any(
        secret == value or (len(secret) >= LEAST and secret in value) for secret in secrets
    )
    return "[redacted]" if hidden else value


def _by_key(overrides: Iterable[str]) -> dict[str, Any]:
    """Overrides by their keys, so that what is secret is seen by its name; None for one that takes a key away."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+~"): value if equals else None for key, equals, value in pairs}


def _without_secrets(overrides: Iterable[str]) -> list[str]:
    """Overrides for a name that people read, without those that may hold a secret."""
    return [override for override in overrides if not _OF_A_SECRET.search("${" + override.partition("=")[0] + "}")]


def _objectives(value: Any) -> dict[str, float]:
    """What a sweeper optimizes: the number, or the numbers, that a job returns; NumPy's, and tensors, count as such."""
    single = _real(value)
    if single is not None:
        return {"objective": single}
    several = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(several, Sequence) or isinstance(several, (str, bytes)):
        return {}
    found = {f"objective/{at}": _real(item) for at, item in enumerate(several)}
    return {} if None in found.values() else found  # type: ignore[return-value]  # none of them is None then


def _real(value: Any) -> float | None:
    """A number as a float, also one that an array or a tensor of one element holds; None for anything else."""
    if isinstance(value, (numbers.Real, Decimal)):
        return float(value)
    held = getattr(value, "item", None)
    if not callable(held) or math.prod(getattr(value, "shape", (2,))) != 1:
        return None
    item = held()
    return float(item) if isinstance(item, numbers.Real) else None
