"""The keys of a run's names: outside strict mode any text is a name, and the run records the key that it gets."""

from typing import Any

from ..core.handle import RunHandle
from ..records.foreign import clean_text
from ..records.grammar import check_event_type, check_key
from ..records.naming import ARTIFACT, EVENT, METRIC, NAME, event_type_for, metric_key
from ..redaction import redact_text


def key_for(handle: RunHandle, name: Any, namespace: Any = None) -> str:
    """The key of a metric. A name that is not its own key is recorded with it the first time that it is used.

    Raises:
        WrongTypeError: the name is not text.
        SchemaValidationError: strict mode, and the name breaks the grammar; or it starts with its namespace already.
        ClosedError: the run has ended.
    """
    full = _full(handle, name, namespace, "metric key")
    key = handle.names.metrics.get(full)
    if key is None:
        key, shown_name = key_and_name(full)
        if key != full:
            _record(handle, METRIC, key, shown_name)
            handle.names.metrics[full] = key
    return key


def artifact_key_for(handle: RunHandle, name: Any, namespace: Any = None, *, what: str = "artifact name") -> str:
    """The key of an artifact, or its type; see ``key_for``."""
    full = _full(handle, name, namespace, what)
    key, shown_name = key_and_name(full)
    _record_once(handle, ARTIFACT, full, key, shown_name)
    return key


def event_type_of(handle: RunHandle, name: Any) -> str:
    """The type under which an event is recorded; see ``key_for``."""
    if handle.strict or not isinstance(name, str):
        return check_event_type(name)
    clean = redact_text(clean_text(str.__str__(name)))
    event_type = event_type_for(clean)
    _record_once(handle, EVENT, name, event_type, clean)
    return event_type


def declare(handle: RunHandle, key: str) -> None:
    """Record that there is a metric of this key, once: a series of NaNs alone has no point that would say so."""
    if key not in handle.known_keys and (METRIC, key) not in handle.names.keys:
        _record(handle, METRIC, key, key)


def _full(handle: RunHandle, name: Any, namespace: Any, what: str) -> str:
    if handle.strict or not isinstance(name, str) or not (namespace is None or isinstance(namespace, str)):
        return check_key(name, namespace, what=what)
    if namespace is None:
        return str.__str__(name)
    if name.startswith(f"{namespace}/"):
        return check_key(name, namespace, what=what)  # which says that it is there twice
    return f"{namespace}/{name}"


def key_and_name(full: str) -> tuple[str, str]:
    """The key, and the name as it is recorded: without secrets, and with nothing that UTF-8 cannot hold."""
    key = metric_key(full)
    if key == full:
        return key, full
    recorded = clean_text(redact_text(full))
    return (key if recorded == full else metric_key(recorded)), recorded  # who reads the name finds the key by it


def _record_once(handle: RunHandle, of: str, given: str, key: str, name: str) -> None:
    if key != given and (of, key) not in handle.names.keys:
        _record(handle, of, key, name)


def _record(handle: RunHandle, of: str, key: str, name: str) -> None:
    handle.lifecycle(NAME, {"of": of, "key": key, "name": name})
    handle.names.keys.add((of, key))
