"""A switch that needs several hits to go up and a clean stretch to come down."""


class Latch:
    """Up after ``up`` hits within the last ``window`` looks; down after ``down`` looks without a hit."""

    __slots__ = ("_bits", "_clean", "_down", "_mask", "_up", "raised")

    def __init__(self, up: int, window: int, down: int) -> None:
        self._up = up
        self._mask = (1 << window) - 1
        self._down = down
        self._bits = 0
        self._clean = 0
        self.raised = False

    def see(self, hit: bool) -> bool:
        """Take a look; whether the switch is up now."""
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
