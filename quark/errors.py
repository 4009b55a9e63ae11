"""The exceptions that Quark raises, one tree.

QuarkError
├── SchemaValidationError (ValueError)      a value breaks a rule of its record: field, value, remedy
│   └── BlueprintError                      a config does not match the blueprint of its project
├── WrongTypeError (TypeError)              a value is of the wrong type
├── SchemaMigrationError                    a store cannot be brought to the current schema
├── ConfigurationError (ValueError)         a setting or QUARK_* variable cannot be used
├── ClosedError (RuntimeError)              something was used after it was closed
├── MissingDependencyError (ImportError)    an optional package is missing; the message has the pip line
└── SessionStoreError (RuntimeError)        the store or service could not do what was asked
    ├── RunNotFoundError (LookupError)      no run has this id
    └── InvalidRunStateError                the run's status does not allow this

Every message says what was refused, what was given and what to do.
"""

from importlib import import_module
from types import ModuleType


class QuarkError(Exception):
    """The root of everything that Quark raises on purpose."""

    __module__ = "quark"


class SchemaValidationError(QuarkError, ValueError):
    """A record or snapshot does not match the current schema."""

    __module__ = "quark"


class BlueprintError(SchemaValidationError):
    """A configuration does not match the blueprint of its project; ``fields``: what is wrong, by dotted path."""

    __module__ = "quark"

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class WrongTypeError(QuarkError, TypeError):
    """A value is of a type that its field does not take."""

    __module__ = "quark"


class SchemaMigrationError(QuarkError):
    """A local store cannot be migrated safely."""

    __module__ = "quark"


class ConfigurationError(QuarkError, ValueError):
    """A setting, given as an argument or as a ``QUARK_*`` variable, cannot be used."""

    __module__ = "quark"


class ClosedError(QuarkError, RuntimeError):
    """A session, producer or store was used after it was closed."""

    __module__ = "quark"


class MissingDependencyError(QuarkError, ImportError):
    """An optional dependency is not installed."""

    __module__ = "quark"


class SessionStoreError(QuarkError, RuntimeError):
    """The store or the service refused or failed; ``status`` and ``code`` are set for a service."""

    __module__ = "quark"

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class RunNotFoundError(SessionStoreError, LookupError):
    """The store holds no run with the id that was asked for."""

    __module__ = "quark"


class InvalidRunStateError(SessionStoreError):
    """The requested lifecycle transition is not allowed from the run's status."""

    __module__ = "quark"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or raise with the pip line that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"this needs the package {module.partition('.')[0]!r}, which could not be imported ({error}); "
            f'install it with: pip install "quark-tracker[{extra}]"'
        ) from error
