"""The field types that several records share, each with its constraint and its meaning in words."""

from typing import Annotated, Any

from msgspec import Meta

Step = Annotated[int, Meta(ge=0, description="training step, counted from 0; null where it belongs to no step")]
Epoch = Annotated[int, Meta(ge=0, description="training epoch, counted from 0; null where it belongs to no epoch")]
Metadata = Annotated[dict[str, Any], Meta(description="free JSON object with further context")]
Milliseconds = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0)]
Bytes = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1)]
Timestamp = Annotated[str, Meta(description="RFC 3339 in UTC")]


def says(meaning: str) -> Meta:
    """The meaning of a field, for the documentation and the JSON Schema."""
    return Meta(description=meaning)
