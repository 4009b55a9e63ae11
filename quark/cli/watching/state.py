"""What the person at the screen has chosen, and what each key changes of it."""

from dataclasses import dataclass, field

from ...errors import SchemaValidationError
from ...reading.course import AXES
from ...reading.matching import Pattern

PANES = ("alerts", "log", "machine")
HEATS = ("", "gradient norm", "update ratio", "activation std", "dead units")
MOST_COLUMNS = 9

HELP = "q quit  / filter  1-9 columns  j k page  tab pane  y log axis  x axis  h layers  n p alert  0 automatic columns"


@dataclass
class State:
    """The choices; the defaults are what is shown first."""

    filter: str = ""
    typing: str | None = None
    columns: int = 0
    page: int = 0
    pane: int = 0
    log: bool = False
    axis: int = 0
    heat: int = 0
    alert: int | None = None
    quit: bool = False
    error: str = field(default="", init=False)
    _applied: str = field(default="", init=False, repr=False)
    _found: tuple[tuple[str, list[str]], list[str]] = field(default=(("", []), []), init=False, repr=False)

    def matching(self, keys: list[str]) -> list[str]:
        """The metrics that the filter lets through; while it is no regular expression, those that the last one did."""
        wanted = self.filter if self.typing is None else self.typing
        if self._found[0] != (wanted, keys):
            self._found = (wanted, keys), self._search(wanted, keys)
        return self._found[1]

    def _search(self, wanted: str, keys: list[str]) -> list[str]:
        self.error = ""
        for text in (wanted, self._applied):
            try:
                found = Pattern(text).among(keys)
            except SchemaValidationError as error:
                self.error = self.error or str(error)
                continue
            self._applied = text
            return found
        return keys

    def press(self, key: str, alerts: int) -> None:
        """Take a key, with the number of alerts that can be chosen."""
        if self.typing is not None:
            self._type(key)
        elif key in ("q", "\x03"):
            self.quit = True
        elif key == "/":
            self.typing = self.filter
        elif key == "escape":
            self.alert, self.heat = None, 0
        elif key.isdecimal() and len(key) == 1:
            self.columns, self.page = int(key), 0
        elif key in ("n", "p") and alerts:
            first, move = (0, 1) if key == "n" else (alerts - 1, -1)
            self.alert = first if self.alert is None else (self.alert + move) % alerts
            self.pane = 0
        else:
            self._turn(key)

    def _type(self, key: str) -> None:
        text = self.typing or ""
        if key in ("\r", "\n"):
            self.filter, self.typing, self.page = text, None, 0
        elif key in ("escape", "\x03"):
            self.typing = None
        elif key in ("\x7f", "\x08"):
            self.typing = text[:-1]
        elif key == "\x15":
            self.typing = ""
        elif len(key) == 1 and key.isprintable():
            self.typing, self.page = text + key, 0

    def _turn(self, key: str) -> None:
        if key == "\t":
            self.pane = (self.pane + 1) % len(PANES)
        elif key == "y":
            self.log = not self.log
        elif key == "x":
            self.axis = (self.axis + 1) % len(AXES)
        elif key == "h":
            self.heat = (self.heat + 1) % len(HEATS)
        elif key in ("j", "down", "right", "page down", " "):
            self.page += 1
        elif key in ("k", "up", "left", "page up"):
            self.page = max(0, self.page - 1)
