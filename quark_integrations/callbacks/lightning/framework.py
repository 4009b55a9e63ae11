"""Which Lightning the user's Trainer comes from, and our classes as subclasses of its Callback and Logger.

Lightning is distributed twice, as ``lightning`` and as ``pytorch_lightning``, with two unrelated sets of classes, and
importing either takes seconds. So nothing is imported before the user has done it: a class takes the bases of what is
loaded at the time, both if both are.
"""

import sys
import types
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import quark

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
_made: dict[tuple[type, tuple[type, ...]], type] = {}


if TYPE_CHECKING:
    Base = Any  # so that a type checker takes our classes for those of whichever Lightning
else:
    Base = object


class Bridged(Base):
    """A class that becomes a subclass of the class ``bridges_to`` of the Lightning in use when an object is made."""

    bridges_to: ClassVar[str] = ""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """An object of this class and of Lightning's.

        Raises:
            MissingDependencyError: neither ``lightning`` nor ``pytorch_lightning`` can be imported.
        """
        return cast("Self", object.__new__(_subclass(cls, _loaded() or _imported())))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # the class is made here and cannot be found by name
        cls = type(self)
        return _remake, (cls.__dict__.get("_made_from", cls),), self.__getstate__()


def in_use(cls: type[Bridged]) -> type[Bridged]:
    """The class with the bases of the Lightning that is loaded; the class itself if none is loaded yet."""
    loaded = _loaded()
    return _subclass(cls, loaded) if loaded else cls


def lightning_bases(cls: type) -> list[type]:
    """The classes of Lightning that a bridged class inherits from."""
    return [base for base in cls.__mro__ if base.__module__.startswith(("lightning.", "pytorch_lightning."))]


def silent_run(project: str) -> quark.DisabledSession:
    """The run as processes see it that do not record: it has the interface of a session, and does nothing.

    It also is what Lightning's own loggers give there, a ``DummyExperiment``, which code may ask for.
    """
    found = [sys.modules.get(f"{package.__name__}.loggers.logger") for package in _loaded()]
    bases = tuple(dict.fromkeys(base for module in found if (base := getattr(module, "DummyExperiment", None))))
    if not bases:
        return quark.DisabledSession(project)
    if (quark.DisabledSession, bases) not in _made:
        body = {"__module__": __name__, "__getattr__": _unknown}  # Lightning's says yes to every question
        _made[quark.DisabledSession, bases] = types.new_class(
            "SilentRun", (quark.DisabledSession, *bases), {}, lambda space: space.update(body)
        )
    return _made[quark.DisabledSession, bases](project)


def _unknown(run: Any, name: str) -> Any:
    raise AttributeError(f"a run has no attribute {name!r}")


def _remake(cls: type[Bridged]) -> Bridged:
    return cls.__new__(cls)


def _loaded() -> list[types.ModuleType]:
    found = [sys.modules.get(name) for name in PACKAGES]
    return [module for module in found if module is not None and hasattr(module, "Trainer")]


def _imported() -> list[types.ModuleType]:
    problem: ImportError | None = None
    for name in PACKAGES:
        try:
            return [import_module(name)]
        except ImportError as error:
            problem = problem or error
    raise quark.MissingDependencyError(
        f"this needs Lightning, which could not be imported ({problem}); "
        'install it with: pip install "quark-tracker[lightning]"'
    ) from problem


def _subclass(cls: type[Bridged], packages: list[types.ModuleType]) -> type[Bridged]:
    wanted = [_named(package, cls.bridges_to) for package in packages]
    bases = tuple(base for base in wanted if not issubclass(cls, base))
    if not bases:
        return cls
    if (cls, bases) not in _made:
        body = {
            "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__,
            "_made_from": cls.__dict__.get("_made_from", cls),
        }  # fmt: skip
        _made[cls, bases] = types.new_class(cls.__name__, (cls, *bases), {}, lambda space: space.update(body))
    return _made[cls, bases]


def _named(package: types.ModuleType, path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"{package.__name__}.{module}"), name)
