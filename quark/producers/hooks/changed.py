"""Says that a network was changed since it was looked at last, and what is watched of it now."""

from ...core.handle import RunHandle
from .notices import MOST_NAMES, notice, some


def tell_change(handle: RunHandle, what: str, before: set[str], now: set[str], replaced: list[str], step: int) -> None:
    """Warn and record an event if watched layers or parameters are others than before.

    Args:
        handle: the run.
        what: ``layers`` or ``parameters``.
        before, now: their names.
        replaced: the names that are now those of other objects.
        step: the step that begins.
    """
    added, removed = sorted(now - before), sorted(before - now)
    changes = {"added": added, "removed": removed, "replaced": replaced}
    listed = "; ".join(f"{len(names)} {how} ({some(names)})" for how, names in changes.items() if names)
    if not listed:
        return
    payload = {how: names[:MOST_NAMES] for how, names in changes.items()}
    message = f"the model was changed: {what} that are watched from step {step} on: {listed}"
    notice(handle, f"watched_{what}_changed", message, payload, step=step)
