"""A sink with a client library of its own: it writes each line with its number to a file, and obeys files beside it."""

import logging
import os
import time
from pathlib import Path
from typing import Any, ClassVar

from quark import RecordBatch, RunManifest, Sink, StepState, StopReason


class RefusedError(ValueError):
    """What the made-up destination raises."""

    retry_after_s = 0.07


class FileSink(Sink):
    """Writes ``<pid> line <sequence>``; the file ``fail`` makes it raise, ``hang`` makes it take that many seconds."""

    name: ClassVar[str] = "file"
    package: ClassVar[str] = "made_up_client"
    isolates: ClassVar[bool] = True

    def __init__(self, folder: str, secret: str = "") -> None:
        self.folder = Path(folder)
        self.secret = secret
        self.heard = ""

    def spec(self) -> dict[str, Any]:
        """Without the secret."""
        return {"folder": str(self.folder)}

    def secret_spec(self) -> dict[str, Any]:
        """With it."""
        return {**self.spec(), "secret": self.secret}

    def note(self, text: str) -> None:
        """A line in the file, durable."""
        with (self.folder / "out").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {text}\n")
            file.flush()
            os.fsync(file.fileno())

    def on_start(self, manifest: RunManifest) -> None:
        """Use the client."""
        import made_up_client  # type: ignore[import-not-found]

        logging.getLogger("quark").warning("%s hears of %s", made_up_client.NAME, dict(manifest.params))
        print("printed by the client")
        self.note(f"start {manifest.run_id} {self.secret}")

    def tell(self) -> str:
        """Which process it is."""
        return str(os.getpid())

    def told(self, content: str) -> None:
        """Keep it."""
        self.heard = content

    def position(self, writer_id: str) -> int:
        """What the file holds."""
        return 1 + max((number for _, number in written(self.folder)), default=-1)

    def write(self, batch: RecordBatch) -> None:
        """Take it line by line."""
        if (self.folder / "fail").exists():
            raise {"os": OSError, "value": RefusedError}[(self.folder / "fail").read_text()]("the destination is ill")
        if (self.folder / "hang").exists():
            self.note("hangs")
            time.sleep(float((self.folder / "hang").read_text()))
        for line in batch.lines():
            if line.metric_key == "poison":
                batch.rejected.append((b"poison", "not eaten here"))
            self.note(f"line {line.sequence}")

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """Note it."""
        self.note(f"stop {reason} {final_state}")

    def close(self) -> None:
        """Note it."""
        self.note("close")


def written(folder: Path) -> list[tuple[int, int]]:
    """(process, sequence) of every line in the file."""
    rows = [row.split() for row in noted(folder)]
    return [(int(row[0]), int(row[2])) for row in rows if row[1] == "line"]


def noted(folder: Path) -> list[str]:
    """The lines of the file, as far as they are whole."""
    path = folder / "out"
    return path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
