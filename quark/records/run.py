"""What a project, a run and the context of a session are."""

import hashlib
from typing import Annotated, Any

from msgspec import Meta

from .base import CURRENT_SCHEMA_VERSION, Document, frozen
from .fields import Count, Text, Timestamp, says
from .identifiers import ID_PATTERN
from .literals import RunStatus

RunId = Annotated[str, Meta(pattern=ID_PATTERN)]


def project_id(name: str) -> str:
    """The id of a project: the same for the same name everywhere, so that no store has to be asked."""
    return "p" + hashlib.sha256(name.encode()).hexdigest()[:31]


@frozen
class ProjectRecord(Document):
    """A family of runs."""

    id: Annotated[Text, says("identity of the project, derived from its name")]
    name: Annotated[str, Meta(min_length=1, max_length=200, description="name of the project")]
    root_path: Annotated[str, says("directory of the store that holds it")]
    created_at: Timestamp
    updated_at: Timestamp
    schema_version: Annotated[int, says("version of the record schema")] = CURRENT_SCHEMA_VERSION


@frozen
class RunRecord(Document):
    """A run: its status, its configuration and its ancestry."""

    id: Annotated[RunId, says("identity of the run, made where it started")]
    name: Annotated[str | None, says("a name for people")] = None
    project_id: Annotated[Text, says("identity of its project")]
    project_name: Annotated[Text, says("name of its project")]
    status: Annotated[RunStatus, says("running, completed, failed or interrupted")]
    reason: Annotated[str | None, says("why it ended, such as completed, error or lost; null while it runs")] = None
    parent_run_id: Annotated[RunId | None, says("the run that it continues or was derived from")] = None
    lineage_root_run_id: Annotated[RunId, says("the first run of its line; itself if it has no parent")]
    resume_count: Annotated[Count, says("how often it was resumed")] = 0
    run_path: Annotated[str, says("directory of the run's files")]
    git_commit: Annotated[str | None, says("commit of the working directory at the start")] = None
    strict_mode: Annotated[bool, says("whether faults of the instrumentation raise")] = False
    tags: Annotated[tuple[str, ...], says("tags, unique, in the order in which they were added")] = ()
    config: Annotated[dict[str, Any], says("the run's configuration, secrets redacted")]
    environment: Annotated[dict[str, Any], says("host, user, packages, hardware and command at the start")]
    started_at: Timestamp
    ended_at: Annotated[str | None, says("when it ended, RFC 3339; null while it runs")] = None
    updated_at: Timestamp
    schema_version: Annotated[int, says("version of the record schema")] = CURRENT_SCHEMA_VERSION


@frozen
class RunContext(Document):
    """Where a run lives and what is known of it; producers accept it in place of a session."""

    storage_dir: Annotated[str, says("directory that the user chose")]
    store_root: Annotated[str, says("Quark's directory inside it")]
    db_path: Annotated[str, says("the embedded database, or the URL of the service")]
    project: Annotated[ProjectRecord, says("the run's project")]
    run: Annotated[RunRecord, says("the run")]

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return self.run.id

    @property
    def project_name(self) -> str:
        """Name of the project."""
        return self.project.name

    @property
    def status(self) -> str:
        """Status of the run: running, completed, failed or interrupted."""
        return self.run.status

    @property
    def run_path(self) -> str:
        """Directory of the run's files."""
        return self.run.run_path
