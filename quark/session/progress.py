"""The progress bar of a loop: tqdm where somebody looks, nothing elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from ..settings import setting

SHOWN_METRICS = 4
REFRESH_S = 0.5


class Progress:
    """A bar with the latest metrics, or nothing at all. It never raises: a bar that cannot be drawn is left out."""

    def __init__(self, bar: Any = None) -> None:
        self._bar = bar
        self._next = 0.0
        self.shown = bar is not None

    @classmethod
    def over(cls, iterable: Any, total: int | None, epoch: int | None, wanted: bool | None) -> "Progress":
        """A bar for ``iterable``; by default only on a terminal or in a notebook, and not with QUARK_PROGRESS=0."""
        try:
            if not ((setting("QUARK_PROGRESS") and is_watched()) if wanted is None else wanted):
                return cls()
            from tqdm.auto import tqdm

            expected = _length(iterable) if total is None else total
            return cls(tqdm(total=expected, desc=None if epoch is None else f"epoch {epoch}", unit="step", leave=True))
        except Exception:  # noqa: BLE001  stderr may be closed, None or anything else
            return cls()

    def update(self, metrics: Mapping[str, Any], alerts: int = 0) -> None:
        """One step further; the metrics, and how many alerts there are, are drawn twice a second at most."""
        if self._bar is None:
            return
        try:
            now = time.monotonic()
            if metrics and now >= self._next:
                self._next = now + REFRESH_S
                self._bar.set_postfix(_postfix(metrics, alerts), refresh=False)
            self._bar.update()
        except Exception:  # noqa: BLE001  the terminal may have gone away meanwhile
            self._bar = None

    def close(self) -> None:
        """Leave the bar as it is."""
        bar, self._bar = self._bar, None
        if bar is not None:
            try:
                bar.close()
            except Exception:  # noqa: BLE001  as above
                return


def is_watched() -> bool:
    """Whether somebody looks at what is printed: in a terminal or a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and bool(sys.stderr.isatty()))


def _length(iterable: Any) -> int | None:
    """How many steps there will be, where the iterable knows; any ``__len__`` may raise."""
    try:
        return len(iterable)
    except Exception:  # noqa: BLE001  some loaders raise NotImplementedError, others what their data set raises
        return None


def _postfix(metrics: Mapping[str, Any], alerts: int) -> dict[str, str]:
    shown = {"alerts": str(alerts)} if alerts else {}
    for key, value in metrics.items():
        if len(shown) >= SHOWN_METRICS + bool(alerts):
            break
        if isinstance(value, (int, float)) and isinstance(key, str) and not key.startswith("system/"):
            try:
                shown[key] = f"{value:.4g}"
            except Exception:  # noqa: BLE001  such as an integer that no float can hold
                continue
    return shown
