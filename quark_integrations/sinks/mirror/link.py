"""What is kept of a run's twin in a backend: its identity there, and how much of each writer it holds."""

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER = "mirrors"


@dataclass(slots=True)
class Link:
    """A file beside the run, ``mirrors/<backend>-<target>.json``, that outlives the process and goes with the run.

    Attributes:
        backend_id: the run's identity in the backend; None before it was opened there.
        owned: True: the mirror opened it and ends it. False: the user had opened it and ends it himself.
        positions: by writer, the next sequence number that the backend lacks.
        status: the terminal status that the backend was told, or None.
        notes: what a backend's sink wants to find again; JSON values.
    """

    path: Path
    backend_id: str | None = None
    owned: bool = True
    positions: dict[str, int] = field(default_factory=dict)
    status: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, run_path: str | os.PathLike[str], backend: str, target: str) -> "Link":
        """The link of a run with one backend.

        Args:
            run_path: the directory of the run's files.
            backend: name of the sink, such as mlflow.
            target: what tells two sinks of this kind apart, such as address and project; only its digest is kept.

        Raises:
            ValueError: the file holds no link.
        """
        return cls.read(Path(run_path) / FOLDER / f"{backend}-{sha256(target.encode()).hexdigest()[:12]}.json")

    @classmethod
    def read(cls, path: Path) -> "Link":
        """The link in a file; a new one if there is none.

        Raises:
            ValueError: the file holds no link.
        """
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return cls(path)
        try:
            content = json.loads(text)
            return cls(
                path, content["backend_id"], content["owned"], content["positions"], content["status"], content["notes"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no link to a run in a backend ({error}); move it away to open a new one"
            ) from error

    def save(self) -> None:
        """Write it down: the old or the new file is there, never a part."""
        content = {
            "backend_id": self.backend_id, "owned": self.owned, "positions": self.positions, "status": self.status,
            "notes": self.notes,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        os.replace(temporary, self.path)
