"""`quark version`: which release this is, and of what it is made."""

import platform

import typer

from ..records.base import CURRENT_SCHEMA_VERSION
from .options import AsJson
from .output import print_json

PACKAGES = ("torch", "sqlalchemy", "msgspec", "orjson", "numpy")


def version(as_json: AsJson = False) -> None:
    """Print the versions of Quark and of what it rests on."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version_of(package)
        except PackageNotFoundError:
            found[package] = None
    release = own_version()
    if as_json:
        print_json({
            "quark": release, "schema": CURRENT_SCHEMA_VERSION, "python": platform.python_version(), "packages": found,
        })  # fmt: skip
        return
    print(f"quark {release} (records of schema {CURRENT_SCHEMA_VERSION}), Python {platform.python_version()}")
    print(", ".join(f"{package} {number or 'not installed'}" for package, number in found.items()))


def print_and_exit(wanted: bool) -> None:
    """What the option ``--version`` does."""
    if wanted:
        print(f"quark {own_version()}")
        raise typer.Exit


def own_version() -> str:
    """The version of this release, as the package's root says it."""
    import sys

    return sys.modules[__name__.partition(".")[0]].__version__
