"""Reading runs back: the same objects for a folder and, later, for a service."""

from .connecting import connect
from .opening import open
from .store import RunPage, Store
from .view import RunView

__all__ = ["RunPage", "RunView", "Store", "connect", "open"]
