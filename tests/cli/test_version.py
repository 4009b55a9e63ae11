"""`quark version` and `quark --version`."""

import quark

from .conftest import Command


def test_the_version_is_that_of_the_package(command: Command) -> None:
    """The same number in every form."""
    assert quark.__version__ in command("version").out
    assert command("version", "--json").json()["quark"] == quark.__version__
    assert command("--version").out == f"quark {quark.__version__}\n"
