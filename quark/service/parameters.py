"""What paths and queries of the service may hold, said once: patterns, bounds and their meaning.

Patterns end with ``\\Z``: ``$`` would let a line break pass behind the last character.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from ..records.identifiers import ID_PATTERN
from ..records.kinds import KINDS

_LARGEST = 2**63 - 1
POINTS = 1_000_000
"""Points of a series that may be asked for at once."""

RunId = Annotated[str, PathParameter(pattern=ID_PATTERN, description="identity of the run")]
WriterId = Annotated[str, PathParameter(pattern=ID_PATTERN, description="identity of one process of the run")]
RecordId = Annotated[str, PathParameter(max_length=300, description="identity of the record")]
KeyId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{8}\Z", description="the first part of a key")]
Digest = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{64}\Z", description="SHA-256 of the payload")]
if TYPE_CHECKING:
    _KindName = str
else:
    _KindName = Literal[*KINDS]
Kind = Annotated[_KindName, PathParameter(description="kind of record")]
Number = Annotated[int, QueryParameter(ge=0, le=_LARGEST)]
Small = Annotated[int, QueryParameter(ge=0, lt=2**31)]
"""Ranks and attempts: whole numbers of 32 bits in every database."""

Count = Annotated[int, QueryParameter(ge=0, lt=2**40)]
"""What is added up, and may be a million times."""

Bound = Annotated[int | None, QueryParameter(ge=0, le=_LARGEST)]
Numbers = Annotated[
    list[Annotated[int, Meta(ge=0, le=_LARGEST)]] | None,
    QueryParameter(max_items=1000, description="any of these; send one each time"),
]
Offset = Annotated[int, QueryParameter(ge=0, le=_LARGEST, description="leave out the first so many")]
Cursor = Annotated[
    str | None, QueryParameter(pattern=r"^[0-9]{1,100}\Z", description="the ``next`` of the page before")
]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="how many at most")]
Text = Annotated[str | None, QueryParameter(max_length=4096, pattern=r"^[^\x00]*\Z")]
Texts = Annotated[list[str] | None, QueryParameter(max_items=1000, description="any of these; send one each time")]
MetricKey = Annotated[str, QueryParameter(min_length=1, max_length=1024, description="key of the metric")]
Flag = Annotated[bool, QueryParameter()]
Sort = Annotated[str, QueryParameter(max_length=30, description="a field to sort by; with - before it descending")]
Buckets = Annotated[int, QueryParameter(ge=1, le=10_000, description="stretches at most")]
Points = Annotated[int, QueryParameter(ge=1, le=POINTS, description="points at most")]
