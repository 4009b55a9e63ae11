"""What every record shares: its identity, its time, ``to_dict``, and the registry of kinds."""

import dataclasses
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, get_args, get_origin

from msgspec import Meta

from ..errors import SchemaValidationError

T = TypeVar("T")
R = TypeVar("R", bound="Record")

REFUSED, PENDING = -1, -2
"""Sequence numbers of records that are in no journal: their value was refused, or is still on a device."""

CURRENT_SCHEMA_VERSION = 1
"""The version that every record written by this release carries."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def frozen(cls: type[T]) -> type[T]:
    """A frozen, slotted, keyword-only dataclass that calls itself ``quark.<name>``.

    Equality and hash are Document's: records hold JSON objects, which the generated hash would refuse. So is the text:
    each method that a dataclass generates takes a tenth of a millisecond of every start.
    """
    made = dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)(cls)
    made.__module__ = "quark"
    return made


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Who writes a record: one process of one run."""

    run_id: str
    writer_id: str
    rank: int = 0
    attempt: int = 1


class Document:
    """An immutable value that knows its fields: text, equality, hash and ``to_dict``."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in field_names(type(self)))
        return f"{type(self).__qualname__}({shown})"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-like values: records become dictionaries, tuples lists."""
        return {name: _plain(getattr(self, name)) for name in field_names(type(self))}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in field_names(type(self)))

    def __hash__(self) -> int:
        first = field_names(type(self))[0]
        return hash((type(self), getattr(self, first)))


def _plain(value: Any) -> Any:
    if isinstance(value, Document):
        return value.to_dict()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


_NAMES: dict[type, tuple[str, ...]] = {}


def field_names(cls: type) -> tuple[str, ...]:
    """The names of a dataclass's fields, kept per class."""
    names = _NAMES.get(cls)
    if names is None:
        names = _NAMES[cls] = tuple(field.name for field in dataclasses.fields(cls))
    return names


class _Lazy(Document):
    """Two slots beside the fields from which the identity and the text of the time are made when read.

    Building an id and an RFC 3339 text costs more than the whole log call may; few records are ever asked for them.
    """

    __slots__ = ("_origin", "_time")
    _origin: Origin
    _time: int

    def __getattr__(self, name: str) -> Any:
        make = _MAKERS.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        value = make(self)
        object.__setattr__(self, name, value)
        return value


@frozen
class Record(_Lazy):
    """A thing that was recorded in a run; every kind adds its own fields."""

    kind: ClassVar[str] = ""
    label_field: ClassVar[str | None] = None
    free_text: ClassVar[tuple[str, ...]] = ("metadata",)
    """The fields that hold what users write, from which secrets are taken out when a record is made."""

    plural: ClassVar[str] = ""
    """What several are called in a document and as a table of a dashboard; empty: the kind with an ``s``."""

    noun: ClassVar[str] = ""
    """What several are called in a sentence; empty: the plural with spaces."""

    named: ClassVar[bool] = False
    """Whether the label may be a key that stands for another name (see ``RunView.recorded_names``)."""

    tailed: ClassVar[bool] = False
    """Whether ``quark tail`` shows each record."""

    members: ClassVar[Mapping[str, str]] = {}
    """Filters by a member of a list: the name of the filter, and the field that holds the list."""

    id: Annotated[str, Meta(min_length=1, description="identity of the record, unique over all runs")]
    run_id: Annotated[str, Meta(min_length=1, description="the run that it belongs to")]
    sequence: Annotated[int, Meta(ge=0, description="its number in the journal of its writer, from 0")]
    timestamp: Annotated[str, Meta(description="when it was recorded, RFC 3339 in UTC")]
    schema_version: Annotated[int, Meta(ge=1, description="version of the record schema")] = CURRENT_SCHEMA_VERSION

    @property
    def refused(self) -> bool:
        """Whether it was not recorded: outside strict mode a call with a bad argument returns such a record."""
        return self.sequence == REFUSED

    @property
    def pending(self) -> bool:
        """Whether its value is still on a device; the record itself follows when the value has arrived."""
        return self.sequence == PENDING

    def headline(self) -> str:
        """The record on one line for people: its fields with a value."""
        shown = {name: getattr(self, name) for name in body_names(type(self))}
        return " ".join(f"{name}={value}" for name, value in shown.items() if value not in (None, {}, ()))

    @property
    def time_ns(self) -> int:
        """When it was recorded, in nanoseconds since 1970 UTC."""
        try:
            return object.__getattribute__(self, "_time")
        except AttributeError:
            return parse_timestamp(self.timestamp)

    @property
    def origin(self) -> Origin:
        """The process that wrote it; unknown fields are empty for a record built by hand."""
        try:
            return object.__getattribute__(self, "_origin")
        except AttributeError:
            return Origin(self.run_id, "")


_MAKERS: dict[str, Any] = {
    "id": lambda record: f"{record._origin.writer_id}-{record.sequence}",
    "run_id": lambda record: record._origin.run_id,
    "timestamp": lambda record: format_timestamp(record._time),
    "schema_version": lambda record: CURRENT_SCHEMA_VERSION,
    "metadata": lambda record: {},
    "description": lambda record: None,
}


def lazy(name: str, make: Any) -> None:
    """Let the field ``name`` of records that left it open be made by ``make(record)`` when it is read."""
    _MAKERS[name] = make


def unrecorded(cls: type[R], origin: Origin, state: int, fields: Mapping[str, Any]) -> R:
    """What a call returns that recorded nothing: a record with the ``fields`` that were to be recorded.

    Args:
        state: REFUSED or PENDING.
    """
    return cls(id="", run_id=origin.run_id, sequence=state, timestamp=format_timestamp(time.time_ns()), **fields)


REGISTERED: dict[str, type[Record]] = {}
"""The record classes that are imported so far; read ``kinds.KINDS``, which knows all of them."""


def kind(cls: type[R]) -> type[R]:
    """Enter a record class of Quark's own into the registry of kinds."""
    REGISTERED[cls.kind] = cls
    return cls


def plural_of(cls: type[Record]) -> str:
    """What several records of a kind are called in a document, such as ``batches``."""
    return cls.plural or f"{cls.kind}s"


def noun_of(cls: type[Record]) -> str:
    """What several records of a kind are called in a sentence, such as ``layer summaries``."""
    return cls.noun or plural_of(cls).replace("_", " ")


def object_fields(cls: type[Record]) -> tuple[str, ...]:
    """The fields that hold a JSON object and have no default: an absent one is empty."""
    names = _OBJECTS.get(cls)
    if names is None:
        names = _OBJECTS[cls] = tuple(
            field.name for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            and get_origin(_bare(field.type)) in (dict, Mapping)
        )  # fmt: skip
    return names


_OBJECTS: dict[type, tuple[str, ...]] = {}


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


COMMON_FIELDS = frozenset(field_names(Record))


def body_names(cls: type[Record]) -> tuple[str, ...]:
    """The fields that are a kind's own: all but identity, time, step and epoch."""
    return tuple(name for name in field_names(cls) if name not in COMMON_FIELDS and name not in ("step", "epoch"))


def format_timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with microseconds; whole seconds are written without a fraction."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest // 1000:06d}Z" if rest >= 1000 else f"{moment}Z"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_timestamp(text: str) -> int:
    """Nanoseconds since 1970 UTC of an RFC 3339 text; a text without an offset is taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise SchemaValidationError(
            f"timestamp must be RFC 3339 text such as '2026-05-07T00:00:00Z', got {text!r}"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        delta = moment - _EPOCH
    except OverflowError as error:
        raise SchemaValidationError(f"timestamp must lie within the years 1678 to 2261, got {text!r}") from error
    time_ns = ((delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000
    if not -(2**63) <= time_ns < 2**63:
        raise SchemaValidationError(f"timestamp must lie within the years 1678 to 2261, got {text!r}")
    return time_ns
