"""What a run may be started with: project, name, tags and ids, checked in one place for every way to start one."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from ..core.sink import Sink
from ..errors import ConfigurationError, QuarkError, SchemaValidationError, WrongTypeError
from ..records.foreign import described, has_more, suppress_foreign
from ..records.grammar import clean_text, shown
from ..records.identifiers import check_id
from ..records.limits import MAX_LABEL, MAX_NAME, MAX_TAGS
from ..redaction import redact_text
from ..settings import setting

T = TypeVar("T")
Faults = list[SchemaValidationError]
MAX_PROJECT = 200
TRACKER_METHODS = ("on_start", "on_step", "on_stop", "on_iteration")


def check_project(project: object) -> str:
    """The name of a project without the blanks around it.

    Raises:
        WrongTypeError, SchemaValidationError: no text, or not 1 to 200 characters.
    """
    if not isinstance(project, str):
        raise WrongTypeError(f"project must be a string, got {shown(project)}; name it like 'image-classifier'")
    name = redact_text(clean_text(project.strip()))
    if not 1 <= len(name) <= MAX_PROJECT or "\0" in name:
        raise SchemaValidationError(f"project must have 1 to {MAX_PROJECT} characters, got {shown(project)}")
    return name


def check_name(name: object) -> str | None:
    """The name of a run for people, as text; None if it has none.

    Raises:
        WrongTypeError: it cannot be written as text.
        SchemaValidationError: it is longer than 4,096 characters.
    """
    return _without_faults(cut_name, name)


def cut_name(name: object, faults: Faults) -> str | None:
    """As ``check_name``, but a name that is too long is cut, and ``faults`` says so."""
    if name is None:
        return None
    try:
        text = redact_text(clean_text(str(name) if not has_more(name, MAX_NAME) else described(name)))
    except Exception as error:
        raise WrongTypeError(f"name must be a string, got {shown(name)} ({type(error).__name__})") from error
    if len(text) <= MAX_NAME:
        return text
    faults.append(SchemaValidationError(
        f"name has {len(text)} characters, at most {MAX_NAME} are allowed; shorten it, or put the rest into the config"
    ))  # fmt: skip
    return text[: MAX_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def check_tag(tag: object) -> str:
    """A tag.

    Raises:
        WrongTypeError, SchemaValidationError: no text, empty, or longer than 512 characters.
    """
    if not isinstance(tag, str):
        raise WrongTypeError(f"a tag must be a string, got {shown(tag)}")
    if not tag.strip():
        raise SchemaValidationError(f"a tag must not be empty, got {shown(tag)}")
    made = redact_text(clean_text(tag))
    if len(made) > MAX_LABEL:
        raise SchemaValidationError(f"a tag has at most {MAX_LABEL} characters, got {len(made)}; shorten it")
    return made


def check_tags(tags: object) -> tuple[str, ...]:
    """Tags, each once, in their order.

    Raises:
        WrongTypeError, SchemaValidationError: no list of tags, one of them is no tag, or there are more than 1,000.
    """
    return _without_faults(usable_tags, tags)


def usable_tags(tags: object, faults: Faults) -> tuple[str, ...]:
    """As ``check_tags``, but without tags that are too long or too many, which ``faults`` names."""
    if tags is None:
        return ()
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise WrongTypeError(f"tags must be a list of strings, got {shown(tags)}; write tags=['baseline']")
    made: dict[str, None] = {}
    for tag in tags:
        try:
            made[check_tag(tag)] = None
        except SchemaValidationError as error:
            faults.append(error)
    if len(made) > MAX_TAGS:
        faults.append(SchemaValidationError(
            f"a run has at most {MAX_TAGS} tags, got {len(made)}; put the others into the config"
        ))  # fmt: skip
    return tuple(islice(made, MAX_TAGS))


def _without_faults(check: Callable[[object, Faults], T], value: object) -> T:
    faults: Faults = []
    made = check(value, faults)
    if faults:
        raise faults[0]
    return made


def check_trackers(trackers: object) -> list[Any]:
    """The trackers and sinks, or their names, that a run is started with.

    Raises:
        WrongTypeError: one of them could not be told anything.
    """
    if trackers is None:
        return []
    if isinstance(trackers, str):
        return [trackers]
    if not isinstance(trackers, Iterable):
        raise WrongTypeError(f"trackers must be a list, got {shown(trackers)}; write trackers=['jsonl']")
    return [check_tracker(tracker) for tracker in trackers]


def check_tracker(tracker: Any) -> Any:
    """A tracker, a sink, or the name or class of a sink.

    Raises:
        WrongTypeError: it has no method that anybody could call.
    """
    if isinstance(tracker, (str, type)) or is_sink(tracker) or any(_has(tracker, name) for name in TRACKER_METHODS):
        return tracker
    raise WrongTypeError(
        f"a tracker has on_start, on_step or on_stop, and a sink is a quark.Sink; got {shown(tracker)}; "
        "leave it out, or name a sink such as 'jsonl'"
    )


def is_sink(tracker: Any) -> bool:
    """Whether an object gets the records of a run: a ``quark.Sink``, or one that has what a sink has."""
    with suppress_foreign():
        if isinstance(tracker, Sink):
            return True
        return hasattr(tracker, "name") and hasattr(tracker, "per_writer") and _has(tracker, "write")
    return False


def _has(tracker: Any, method: str) -> bool:
    with suppress_foreign():
        return callable(getattr(tracker, method, None))
    return False


def run_id_from(variable: str) -> str | None:
    """The run id that an environment variable holds; None if it is unset or empty.

    Raises:
        ConfigurationError: it holds something that cannot be one.
    """
    text = setting(variable)
    if text is None:
        return None
    try:
        return check_id(text, variable)
    except QuarkError as error:
        raise ConfigurationError(f"{error}; or unset {variable}") from error
