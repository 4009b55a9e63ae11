"""A switch that needs several hits to go up and a clean stretch to come down, and a count of hits in a row."""


class Latch:
    """Up after ``up`` hits within the last ``window`` looks; down after ``down`` looks without a hit.

    Attributes:
        raised: whether it is up.
        since: where the first hit of those among the last looks was.
    """

    __slots__ = ("_bits", "_clean", "_down", "_mask", "_up", "raised", "since")

    def __init__(self, up: int, window: int, down: int) -> None:
        self._up = up
        self._mask = (1 << window) - 1
        self._down = down
        self._bits = 0
        self._clean = 0
        self.raised = False
        self.since: int | None = None

    def see(self, hit: bool, at: int | None = None) -> bool:
        """Take a look at the step ``at``; whether the switch is up now."""
        if hit and not self._bits:
            self.since = at
        self._bits = ((self._bits << 1) | hit) & self._mask
        if hit:
            self._clean = 0
            if self._bits.bit_count() >= self._up:
                self.raised = True
        elif self.raised:
            self._clean += 1
            if self._clean >= self._down:
                self.raised = False
                self._bits = 0
        return self.raised

    @property
    def hits(self) -> int:
        """Hits among the last looks."""
        return self._bits.bit_count()


class Streak:
    """Hits in a row.

    Attributes:
        count: how many there are by now.
        since: where the first of them was.
    """

    __slots__ = ("count", "since")

    def __init__(self) -> None:
        self.count = 0
        self.since: int | None = None

    def see(self, hit: bool, at: int | None = None) -> int:
        """Take a look at the step ``at``; the hits in a row by now."""
        if not hit:
            self.count = 0
            return 0
        if not self.count:
            self.since = at
        self.count += 1
        return self.count

    def repeat(self, hit: bool, times: int, at: int | None = None) -> None:
        """Take so many looks of one kind, the first of them at the step ``at``."""
        if times:
            self.see(hit, at)
            self.count += times - 1 if hit else 0
