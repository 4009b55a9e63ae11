"""The rules that an analysis runs: Quark's own, and those that other packages announce as ``quark.rules``."""

import logging
import re
from functools import cache
from typing import TypeVar, get_args

from ...errors import ConfigurationError
from ...records.literals import AlertCategory
from . import RULES
from .base import TOPICS, Rule

R = TypeVar("R", bound=type[Rule])

GROUP = "quark.rules"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,80}\Z")
_OWN = frozenset(rule.name for rule in RULES)
_added: dict[str, type[Rule]] = {}

logger = logging.getLogger("quark")


def register_rule(cls: R) -> R:
    """Add a rule to every analysis that begins in this process from now on; it can be used as a decorator.

    Name the class under the entry point group ``quark.rules`` to have it in every process.

    Raises:
        ConfigurationError: the class is no Rule, or its name, category, topics or ``look`` are missing or wrong.
    """
    if not (isinstance(cls, type) and issubclass(cls, Rule)):
        raise ConfigurationError(f"a rule is a subclass of quark.Rule, got {cls!r}")
    if not isinstance(cls.name, str) or not _NAME.match(cls.name) or cls.name in _OWN:
        raise ConfigurationError(
            f"{cls.__name__}.name must be a lower-case word that no rule of Quark has, got {cls.name!r}"
        )
    if cls.category not in get_args(AlertCategory):
        known = ", ".join(get_args(AlertCategory))
        raise ConfigurationError(f"{cls.__name__}.category must be one of {known}, got {cls.category!r}")
    if not cls.topics or not set(cls.topics) <= set(TOPICS):
        raise ConfigurationError(f"{cls.__name__}.topics must name some of {', '.join(TOPICS)}, got {cls.topics!r}")
    if cls.look is Rule.look:
        raise ConfigurationError(f"{cls.__name__} needs look(frame, seen), which is called with every frame")
    _added[cls.name] = cls
    return cls


def added_rules() -> tuple[type[Rule], ...]:
    """The rules of other packages, and those that this process has registered."""
    _search()
    return tuple(_added.values())


@cache
def _search() -> None:
    from importlib.metadata import entry_points  # slow to import

    for entry in entry_points(group=GROUP):
        try:
            register_rule(entry.load())
        except Exception as error:  # noqa: BLE001  another package's import may raise anything
            logger.warning(
                "quark: the rule %r (%s) could not be loaded: %s: %s; analyses go on without it",
                entry.name, entry.value, type(error).__name__, error,
            )  # fmt: skip


register_rule.__module__ = "quark"
