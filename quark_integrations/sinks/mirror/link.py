"""What is kept of a run's twin in a backend: its identity there, and how much of each writer it holds."""

import errno
import json
import os
import stat
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

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
            content = json.loads(_own_text(path))
            return cls(
                path, _of(content["backend_id"], str, None), bool(content["owned"]), _positions(content["positions"]),
                _of(content["status"], str, None), _of(content["notes"], dict),
            )  # fmt: skip
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no link to a run in a backend ({error}); move it away to open a new one"
            ) from error

    def start_over(self, why: str) -> NoReturn:
        """Forget the run in the backend and what it holds: it is not this run's. The caller is tried again.

        Raises:
            LookupError: always.
        """
        self.backend_id, self.owned, self.status = None, True, None
        self.positions.clear()
        self.notes.clear()
        self.save()
        raise LookupError(f"{why}, so {self.path} did not come from this run, which is mirrored from its beginning")

    def save(self) -> None:
        """Write it down: the old or the new file is there, never a part."""
        content = {
            "backend_id": self.backend_id, "owned": self.owned, "positions": self.positions, "status": self.status,
            "notes": self.notes,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.parent.is_symlink():
            raise OSError(errno.ELOOP, "the directory of links to backends is itself a link; move it away", self.path)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, _NEW, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
        os.replace(temporary, self.path)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST = 64 << 20


def _own_text(path: Path) -> str:
    """The text of a file of this user: one that somebody else has put there names a run of his choice."""
    with os.fdopen(os.open(path, _READ), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
            raise ValueError("it is not a file of yours that nobody else may write")
        if found.st_size > _LONGEST:
            raise ValueError(f"it has {found.st_size} bytes")
        return file.read().decode("utf-8")


def _of(value: Any, *kinds: type | None) -> Any:
    if any(value is None if kind is None else isinstance(value, kind) for kind in kinds):
        return value
    raise TypeError(f"{value!r:.80} stands where something else belongs")


def _positions(value: Any) -> dict[str, int]:
    positions = _of(value, dict)
    for name, number in positions.items():
        if type(number) is not int or not 0 <= number < 1 << 63:
            raise ValueError(f"the position of {name!r:.80} is {number!r:.80}")
    return positions
