"""What W&B's config shows of a run: its parameters, and below ``quark`` where they come from."""

import math
from collections.abc import Mapping
from typing import Any

from ..mirror import RunFacts

MAX_TEXT = 10_000
MARK = "…"


def config_of(facts: RunFacts, *, joined: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config, and the whole values of what had to be shortened, by dotted name.

    Parameters stay nested, as W&B shows them. Texts over 10,000 characters are cut and end in a mark. Numbers that
    are not finite become text, for W&B keeps null in their place. In a run that the user opened nothing of his is
    touched: the parameters stand below ``quark.params`` then.
    """
    params, whole = params_of(facts.params)
    about: dict[str, Any] = {
        "run_id": facts.run_id, "project": facts.project, "git_commit": facts.git_commit,
        "parent_run_id": facts.parent_run_id, "started_at": facts.started_at,
        "environment": _fitting(facts.environment, "environment", {}),
    }  # fmt: skip
    about = {name: value for name, value in about.items() if value}
    return ({"quark": {**about, "params": params}} if joined else {**params, "quark": about}), whole


def params_of(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values by names that W&B takes, and what had to be shortened, whole, by dotted name."""
    whole: dict[str, Any] = {}
    return {_name(str(key)): _fitting(value, str(key), whole) for key, value in values.items()}, whole


def _name(key: str) -> str:
    """W&B keeps ``_wandb`` for itself and takes no empty name; our own is taken."""
    return f"param/{key}" if key in ("", "_wandb", "quark") else key


def _fitting(value: Any, name: str, whole: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _fitting(inner, f"{name}.{key}", whole) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fitting(inner, f"{name}.{at}", whole) for at, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        whole[name] = value
        return value[: MAX_TEXT - len(MARK)] + MARK
    return value
