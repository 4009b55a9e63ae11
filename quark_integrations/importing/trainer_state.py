"""Imports ``trainer_state.json``, which the Trainer of Transformers writes with each checkpoint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import quark

from .files import content, found, located, modified_ns
from .numbers import flattened
from .source import Row, SourceRun

NAME = "trainer_state.json"
CONFIG = (
    "max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps", "save_steps", "trial_name",
    "trial_params",
)  # fmt: skip
SUMMARY = ("best_metric", "best_model_checkpoint", "best_global_step", "total_flos", "num_input_tokens_seen")


def import_trainer_state(source: str) -> Iterator[SourceRun]:
    """The trainings below a directory; of the checkpoints of one training the one of the highest step is read."""
    path = located(source)
    files = list(found(path, NAME)) if path.is_dir() else [path]
    trainings: dict[Path, list[tuple[int, Path, dict[str, Any]]]] = {}
    broken: list[quark.SchemaValidationError] = []
    for file in files:
        try:
            state = _state(file)
        except quark.SchemaValidationError as error:  # a killed training leaves half a file
            broken.append(error)
            continue
        checkpoint = file.parent.name.startswith("checkpoint-")
        place = file.parent.parent if checkpoint else file.parent
        step = state.get("global_step")
        trainings.setdefault(place, []).append((step if isinstance(step, int) else 0, file, state))
    if broken and not trainings:
        raise broken[0]
    if not trainings:
        raise quark.SchemaValidationError(f"{path} holds no {NAME}; name the output_dir of the Trainer")
    for place, states in sorted(trainings.items()):
        _, file, state = max(states, key=lambda one: (one[0], len(one[1].parts), str(one[1])))
        run = _run(place, file, state)
        run.remarks += [f"left out: {error}" for error in broken]
        broken = []
        yield run


def _run(place: Path, file: Path, state: dict[str, Any]) -> SourceRun:
    run = SourceRun(
        source_id=str(place), location=str(file), read=lambda run: _rows(run, state["log_history"]),
        started_ns=modified_ns(file), project=place.parent.name or "transformers", name=place.name,
        config={name: state[name] for name in CONFIG if state.get(name) is not None},
        summary={name: state[name] for name in SUMMARY if state.get(name) is not None},
    )  # fmt: skip
    run.remark("it has no wall times: all points have the time of the file")
    if file.with_name("training_args.bin").exists() or (place / "training_args.bin").exists():
        run.remark("training_args.bin is a pickle, which is never read: the arguments are not imported")
    most, last = state.get("max_steps"), state.get("global_step")
    if isinstance(most, int) and isinstance(last, int) and last < most:
        run.remark(f"step {last} of {most} is the last that a checkpoint has; it does not say how it ended")
    return run


def _state(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(content(file))
    except (ValueError, RecursionError) as error:
        raise quark.SchemaValidationError(f"{file} cannot be read as JSON: {error}; name another checkpoint") from None
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise quark.SchemaValidationError(f"{file} has no log_history; it is no state of a Trainer")
    return state


def _rows(run: SourceRun, history: list[Any]) -> Iterator[Row]:
    for entry in history:
        if not isinstance(entry, dict):
            run.remark("its log_history holds entries that are no objects, which are left out")
            continue
        values = flattened(entry)  # with the epoch as a metric: it counts parts of epochs
        step = values.pop("step", None)
        if values:
            yield Row(values, step)
