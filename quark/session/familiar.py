"""What every tracker calls by the same names: id, name and tags of a run, a file as an artifact."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..core.hints import RUN_WORDS
from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import shown
from .checks import Faults, usable_tags
from .reporting import Reporting

if TYPE_CHECKING:
    from ..records.artifact import ArtifactRecord
    from .session import TrainingSession


class Familiar(Reporting):
    """The part of a session that people know from other trackers."""

    @property
    def id(self) -> str:
        """Identity of the run; the same as ``run_id``."""
        return self.run_id

    @property
    def name(self) -> str | None:
        """Its name for people, if it has one."""
        return self._context.run.name

    @name.setter
    def name(self, name: str | None) -> None:
        if name != self.name:
            self.refuse(
                SchemaValidationError(f"a run keeps its name; use start_run(name={name!r})"),
                what="name",
                subject="name",
            )

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags; ``add_tag`` adds one, and assigning several adds those that are new."""
        return self._context.run.tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        faults: Faults = []
        try:
            for tag in usable_tags(tags, faults):
                cast("TrainingSession", self).add_tag(tag)
        except BaseException as error:  # noqa: BLE001  what is given may raise anything; refuse lets interrupts through
            self.refuse(error, what="tags", subject="tags")
        for fault in faults:
            self.refuse(fault, what="tags", subject="tags")

    def log_artifact(
        self, file: str | os.PathLike[str] | bytes, name: str | None = None, *, artifact_type: str = "file",
        step: int | None = None, epoch: int | None = None,
    ) -> "ArtifactRecord | None":  # fmt: skip
        """Store a file as an artifact; text is the path of a file. Bytes are stored as they are, under ``name``.

        Args:
            file: a path, or bytes. ``quark.store_files`` stores a directory.
            name: name of the artifact; the file's name by default.
            artifact_type: what sort of file it is, such as ``checkpoint`` or ``figure``.

        Returns:
            The record; None where nothing could be stored, which is counted and warned about outside strict mode.

        Raises:
            SchemaValidationError, WrongTypeError: strict mode, and there is no such file, or bytes have no name.
        """
        from ..producers.artifacts import ArtifactStore

        try:
            payload, called = _payload_of(file, name, strict=self.strict)
        except BaseException as error:  # noqa: BLE001  a path may raise anything; refuse lets interrupts through
            self.refuse(error, what="log_artifact")
            return None
        with ArtifactStore(self) as artifacts:
            record = artifacts.store(artifact_type, called, payload, payload_format="bytes", step=step, epoch=epoch)
        return None if record.refused else record

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in RUN_WORDS]


class _NamedElsewhere:
    """A word of another tracker: looking it up says what does it here.

    A ``__getattr__`` of the class would do as well, but make every look-up in a run slower, also those of ``log``.
    """

    def __init__(self, name: str, here: str) -> None:
        self._name, self._here = name, here

    def __get__(self, run: Any, owner: type | None = None) -> Any:
        message = f"a run has no attribute {self._name!r}; use {self._here}"
        raise AttributeError(message, name=self._name, obj=run)


class _Notes(_NamedElsewhere):
    """``run.notes = "..."`` writes a note down."""

    def __set__(self, run: Familiar, text: str) -> None:
        run.note(text)


for _word, _here in RUN_WORDS.items():
    setattr(Familiar, _word, (_Notes if _word == "notes" else _NamedElsewhere)(_word, _here))


def _payload_of(file: Any, name: str | None, *, strict: bool) -> tuple[bytes | Path, str]:
    """The bytes or the file to store and the name to store them under."""
    from .folders import artifact_name

    if isinstance(file, (bytes, bytearray, memoryview)):
        if not name:
            raise SchemaValidationError("bytes need a name to be stored under: log_artifact(data, name='weights.bin')")
        return bytes(file), name
    if not isinstance(file, (str, os.PathLike)):
        raise WrongTypeError(
            f"log_artifact takes a path or bytes, got {shown(file)}; ArtifactStore.store takes JSON values and text"
        )
    path = Path(os.fsdecode(file)).expanduser()
    if path.is_dir():
        raise SchemaValidationError(
            f"{shown(str(path))} is a directory; store its files with quark.store_files(run, path)"
        )
    if not path.is_file():
        raise SchemaValidationError(
            f"there is no file {shown(str(path))} in {os.getcwd()}; to store the text itself use ArtifactStore.store"
        )
    path.open("rb").close()  # one that cannot be read is refused here
    return path, name or (artifact_name(Path(path.name)) if strict else path.name)
