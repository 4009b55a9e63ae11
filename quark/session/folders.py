"""The files of a directory as artifacts of a run, chosen by pattern and extension."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import QuarkError
from ..producers.artifacts import ArtifactStore
from ..producers.attach import resolve_handle
from ..records.grammar import shown

EXTENSIONS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
"""Figures: what a run usually leaves for people."""

Paths = str | Path | Iterable[str | Path]
logger = logging.getLogger("quark")

SHOWN = 5
_NOT_IN_KEY = re.compile(r"[^A-Za-z0-9._-]+")


def store_files(
    session: Any, path: str | Path, *, glob: str = "**/*", extensions: Sequence[str] | None = EXTENSIONS,
    artifact_type: str = "file",
) -> int:  # fmt: skip
    """Store a file, or the files of a directory, as artifacts of a run; how many were stored.

    A file that is named is stored, whatever it is called. Of a directory those that match are stored; a warning counts
    the others, and says so where there is no such file or directory. The key of an artifact is the file's path below
    ``path``, with what a key may not hold replaced by ``-``; the path itself is in the metadata. Links that lead out of
    the directory are left out. Files are copied piece by piece, so a large one takes no memory.

    Args:
        session: a session, or the RunContext of one.
        path: a file or a directory.
        glob: which files of a directory, such as ``"*.png"`` or ``"**/*"``.
        extensions: of a directory only files with these extensions, in any case; None for all.
        artifact_type: the type of the artifacts.

    Raises:
        ValueError: the pattern cannot be used.
        OSError: a file cannot be read.
    """
    top = Path(path)
    if not glob or glob.startswith("/"):
        raise ValueError(f"glob is a pattern below the directory such as '**/*.png', got {shown(glob)}")
    if resolve_handle(session).disabled:
        return 0
    if top.is_file():
        chosen, left_out = [top], Counter[str]()
    else:
        chosen, left_out = _files_below(top, glob, extensions)
    count = 0
    with ArtifactStore(session) as store:
        for file in chosen:
            file.open("rb").close()
            relative = Path(file.name) if file == top else file.relative_to(top)
            record = store.store(
                artifact_type, artifact_name(relative), file, payload_format="bytes",
                metadata={"path": str(relative)},
            )  # fmt: skip
            count += not record.refused
    _say_what_is_missing(top, glob, count, left_out)
    return count


def _files_below(top: Path, glob: str, extensions: Sequence[str] | None) -> tuple[list[Path], Counter[str]]:
    """The files of a directory that are wanted, and how many of each other extension were left out."""
    wanted = None if extensions is None else {f".{extension.lower().lstrip('.')}" for extension in extensions}
    root = top.resolve()
    chosen: list[Path] = []
    left_out: Counter[str] = Counter()
    for file in sorted(top.glob(glob)) if top.is_dir() else ():
        if not (file.is_file() and file.resolve().is_relative_to(root)):
            continue
        if wanted is None or file.suffix.lower() in wanted:
            chosen.append(file)
        else:
            left_out[file.suffix.lower() or "none"] += 1
    return chosen, left_out


def _say_what_is_missing(top: Path, glob: str, count: int, left_out: Counter[str]) -> None:
    if not top.exists():
        logger.warning(
            "quark: store_files: there is no file or directory %s in %s; nothing was stored", top, Path.cwd()
        )
    elif left_out:
        kinds = ", ".join(f"{extension} {number}" for extension, number in left_out.most_common(SHOWN))
        logger.warning(
            "quark: store_files: %d files of %s were stored, %d were left out for their extension (%s); pass "
            "extensions=None to store all", count, top, left_out.total(), kinds,
        )  # fmt: skip
    elif not count:
        logger.warning("quark: store_files: no file in %s matches %r; nothing was stored", top, glob)


def artifact_name(path: Path) -> str:
    """The name of an artifact for a file: its path, with what a key may not hold replaced by ``-``."""
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
