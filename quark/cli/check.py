"""One finding of `quark doctor`."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: ``ok``, ``warning`` (works, but) or ``problem``, with what to do about it."""

    name: str
    status: Literal["ok", "warning", "problem"]
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return asdict(self)
