"""The client of a Quark service: how it is reached, what it answers, and the documented facade over it."""

from .connection import Connection, namespace_of, service_is_configured
from .remote import RemoteStore

__all__ = ["Connection", "RemoteStore", "namespace_of", "service_is_configured"]
