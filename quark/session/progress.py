"""The progress bar of a loop: tqdm where somebody looks, nothing elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from ..settings import setting

SHOWN_METRICS = 4
REFRESH_S = 0.5


class Progress:
    """A bar with the latest metrics, or nothing at all."""

    def __init__(self, bar: Any = None) -> None:
        self._bar = bar
        self._next = 0.0
        self.shown = bar is not None

    @classmethod
    def over(cls, iterable: Any, total: int | None, epoch: int | None, wanted: bool | None) -> "Progress":
        """A bar for ``iterable``; by default only on a terminal or in a notebook, and not with QUARK_PROGRESS=0."""
        if wanted is None:
            wanted = setting("QUARK_PROGRESS") and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        if not wanted:
            return cls()
        from tqdm.auto import tqdm

        if total is None:
            try:
                total = len(iterable)
            except TypeError:
                total = None
        return cls(tqdm(total=total, desc=None if epoch is None else f"epoch {epoch}", unit="step", leave=True))

    def update(self, metrics: Mapping[str, Any], alerts: int = 0) -> None:
        """One step further; the metrics, and how many alerts there are, are drawn twice a second at most."""
        if self._bar is None:
            return
        now = time.monotonic()
        if metrics and now >= self._next:
            self._next = now + REFRESH_S
            shown = {
                key: f"{value:.4g}"
                for key, value in metrics.items()
                if isinstance(value, (int, float)) and not key.startswith("system/")
            }
            marks = {"alerts": str(alerts)} if alerts else {}
            self._bar.set_postfix({**marks, **dict(list(shown.items())[:SHOWN_METRICS])}, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
