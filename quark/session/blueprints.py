"""A configuration is held against the blueprint of its project before a run begins."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson

from ..core.blueprint import check_config, check_schema
from ..delivery.disk import Disk
from ..errors import QuarkError
from ..records.jsonable import json_object
from ..settings import setting
from .home import Home, home_of
from .placement import Placement, resolve_storage_dir

MAX_CACHED = 16 << 20
"""Bytes of a blueprint that was kept; a service takes none larger than a megabyte."""


def validate_config(project: str, config: Mapping[str, Any] | None, *, storage_dir: str | Path | None = None) -> None:
    """Hold a configuration against the blueprint of a project, as ``start_run`` does; nothing is created.

    A project without a blueprint takes any configuration. A service that cannot be asked is spoken for by what it
    said last; if it never said anything here, any configuration is taken.

    Raises:
        BlueprintError: it does not match; ``fields`` has every field that is wrong, by its dotted path.
        WrongTypeError, SchemaValidationError: it is no JSON object.
    """
    placement = Placement(resolve_storage_dir(storage_dir))
    blueprint = blueprint_of(placement, home_of(placement, storage_dir), project)
    if blueprint is not None:
        check_config(project, blueprint, json_object(config, "config", strict=False, otherwise="value"))


def set_blueprint(project: str, schema: Mapping[str, Any] | None, *, storage_dir: str | Path | None = None) -> None:
    """Set the JSON Schema that the configurations of a project's runs must match from now on; None removes it.

    It is kept where runs live: in the store of ``storage_dir``, which is made if it is missing, or in the service.

    Raises:
        SchemaValidationError, WrongTypeError: it is no JSON Schema that stands by itself.
        SessionStoreError: the service cannot be reached, or refuses.
    """
    if setting("QUARK_DISABLE"):
        return
    wanted = None if schema is None else check_schema(schema)
    placement = Placement(resolve_storage_dir(storage_dir))
    store = home_of(placement, storage_dir).open()
    try:
        store.set_blueprint(project, wanted)
    finally:
        store.close()


def blueprint_of(placement: Placement, home: Home, project: str) -> dict[str, Any] | None:
    """The blueprint of a project, from where its runs live, else as it was last known here."""
    try:
        return home.blueprint(project)
    except (QuarkError, OSError, msgspec.MsgspecError):
        try:
            return orjson.loads(Disk().read(_cached(placement, home, project), 0, MAX_CACHED))
        except (OSError, ValueError):
            return None


def remember_blueprint(placement: Placement, home: Home, project: str, blueprint: dict[str, Any] | None) -> None:
    """Keep the blueprint of a service for the day that it is away."""
    if not home.remote:
        return
    path = _cached(placement, home, project)
    try:
        if blueprint is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        Disk().replace(path, orjson.dumps(blueprint))
    except OSError:
        return  # then it is asked for again


def _cached(placement: Placement, home: Home, project: str) -> Path:
    name = hashlib.sha256(orjson.dumps([home.location, project])).hexdigest()[:32]
    return placement.store_root / "blueprints" / f"{name}.json"


for _public in (validate_config, set_blueprint):
    _public.__module__ = "quark"
