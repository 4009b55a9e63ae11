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

Every message says what was refused, what was given and what to do. It may quote names that strangers chose, so errors
and log messages are made printable here. The logger ``quark`` is prepared here too: it never raises into a training.
"""

import functools
import logging
import re
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"


def printable(text: str) -> str:
    """The text with escapes such as ``\\x1b`` in place of the characters that a terminal obeys; newlines stay."""
    return re.sub(_CONTROLS, lambda match: ascii(match[0])[1:-1], text)


class _Printable(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = printable(record.getMessage()), None
        except Exception:  # noqa: BLE001  logging itself reports arguments that do not fit their message
            return True
        return True


def _never_raising(log: Callable[..., None]) -> Callable[..., None]:
    """``Logger._log``, through which every message goes, for a program whose own part of it may fail.

    Its handlers, filters and record factory may raise; so does the standard handler once stderr is closed.
    """

    @functools.wraps(log)
    def guarded(*args: Any, stacklevel: int = 1, **options: Any) -> None:
        try:
            log(*args, stacklevel=stacklevel + 1, **options)
        except Exception:  # noqa: BLE001  the training goes on, and there is nobody who could be told
            pass

    return guarded


class _StaysEnabled:
    """A logger that a configuration does not switch off by not naming it, as ``logging.config.dictConfig`` does.

    What is lost would be lost without a word. ``logging.getLogger("quark").disabled = True`` still switches it off.
    """

    @property
    def disabled(self) -> bool:
        return vars(self).get("disabled", False)

    @disabled.setter
    def disabled(self, value: bool) -> None:
        if not value or sys._getframe(1).f_globals.get("__name__") != "logging.config":
            vars(self)["disabled"] = value


def _prepare(logger: logging.Logger) -> None:
    logger.addFilter(_Printable())
    vars(logger)["_log"] = _never_raising(logger._log)
    logger.__class__ = type("QuarkLogger", (_StaysEnabled, type(logger)), {})


_prepare(logging.getLogger("quark"))


class QuarkError(Exception):
    """The root of everything that Quark raises on purpose. Its text is printable, whatever names it quotes."""

    __module__ = "quark"

    def __str__(self) -> str:
        return printable(super().__str__())


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


def require_all(modules: Iterable[str], extra: str) -> None:
    """Import the optional dependencies of an extra, or raise with the pip line that brings them."""
    for module in modules:
        require(module, extra)
