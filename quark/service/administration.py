"""The keys of a service over HTTP, for those who hold one with the scope admin."""

from typing import Any

import msgspec
from litestar import Request, delete, get, post
from litestar.params import JSONBody

from .keys import ServiceKey
from .lanes import CONTROL, in_lane
from .parameters import KeyId
from .problems import ProblemError


class Keys(msgspec.Struct):
    """All keys, revoked ones too, without the texts, which nobody has."""

    keys: list[ServiceKey]


class WantedKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key to be made. ``projects``: only these; null for all."""

    name: str
    scopes: tuple[str, ...] = ("read", "write")
    projects: list[str] | None = None


class NewKey(msgspec.Struct):
    """A key that was made. ``text`` is told this once."""

    text: str
    key: ServiceKey


@get("/api/v1/keys", opt={"scope": "admin"})
@in_lane(CONTROL)
def list_keys(request: Request[Any, Any, Any]) -> Keys:
    """The keys of the service."""
    return Keys(request.app.state.key_store.all())


@post("/api/v1/keys", opt={"scope": "admin"})
@in_lane(CONTROL)
def create_key(request: Request[Any, Any, Any], data: JSONBody[WantedKey]) -> NewKey:
    """Make a key."""
    return NewKey(*request.app.state.key_store.create(data.name, data.scopes, data.projects))


@delete("/api/v1/keys/{key_id:str}", opt={"scope": "admin"})
@in_lane(CONTROL)
def revoke_key(request: Request[Any, Any, Any], key_id: KeyId) -> None:
    """Make a key useless."""
    if not request.app.state.key_store.revoke(key_id):
        raise ProblemError(404, f"no key in use has the id {key_id!r}")
