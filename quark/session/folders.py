"""The files of a directory as artifacts of a run, chosen by pattern and extension."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import QuarkError
from ..producers.artifacts import ArtifactStore
from ..records.grammar import shown

EXTENSIONS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
"""Figures: what a run usually leaves for people."""

Paths = str | Path | Iterable[str | Path]
_NOT_IN_KEY = re.compile(r"[^A-Za-z0-9._-]+")


def store_files(
    session: Any, path: str | Path, *, glob: str = "**/*", extensions: Sequence[str] | None = EXTENSIONS,
    artifact_type: str = "file",
) -> int:  # fmt: skip
    """Store a file, or the files of a directory, as artifacts of a run; how many were stored.

    The key of an artifact is the file's path below ``path``, with what a key may not hold replaced by ``-``; the path
    itself is in the metadata. Links that lead out of the directory are left out. Each file is read into memory.

    Args:
        session: a session, or the RunContext of one.
        path: a file or a directory; nothing is stored where there is none.
        glob: which files of a directory, such as ``"*.png"`` or ``"**/*"``.
        extensions: only files with these extensions, in any case; None for all.
        artifact_type: the type of the artifacts.

    Raises:
        ValueError: the pattern cannot be used.
        OSError: a file cannot be read.
    """
    top = Path(path)
    if not glob or glob.startswith("/"):
        raise ValueError(f"glob is a pattern below the directory such as '**/*.png', got {shown(glob)}")
    wanted = None if extensions is None else {f".{extension.lower().lstrip('.')}" for extension in extensions}
    found = [top] if top.is_file() else sorted(top.glob(glob)) if top.is_dir() else []
    root = (top.parent if top.is_file() else top).resolve()
    count = 0
    with ArtifactStore(session) as store:
        for file in found:
            inside = file.is_file() and file.resolve().is_relative_to(root)
            if not inside or (wanted is not None and file.suffix.lower() not in wanted):
                continue
            relative = file.relative_to(top.parent if top.is_file() else top)
            record = store.store(
                artifact_type,
                _key(relative),
                file.read_bytes(),
                payload_format="bytes",
                metadata={"path": str(relative)},
            )
            count += not record.refused
    return count


def _key(path: Path) -> str:
    parts = [_NOT_IN_KEY.sub("-", part).lstrip("._-") or "file" for part in path.parts]
    return "/".join(parts)[-500:].lstrip("/._-")


class FilesAtEnd:
    """Files and directories that are stored when a run ends."""

    def __init__(self, paths: Paths, glob: str, extensions: Sequence[str] | None) -> None:
        self._paths = (Path(paths),) if isinstance(paths, (str, Path)) else tuple(Path(path) for path in paths)
        self._glob = glob
        self._extensions = extensions

    def store(self, session: Any) -> None:
        """Store them; no fault of a file keeps a run from ending."""
        if session.status != "running":
            return
        for path in self._paths:
            try:
                store_files(session, path, glob=self._glob, extensions=self._extensions)
            except (QuarkError, OSError, ValueError) as error:
                session.report("group_files", error)
