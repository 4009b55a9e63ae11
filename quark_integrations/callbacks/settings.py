"""Settings of a training as a configuration that JSON can hold, whatever they were given as."""

from typing import Any

import quark


def plain(params: Any) -> dict[str, Any]:
    """A mapping or an ``argparse.Namespace`` as a JSON object; what JSON cannot hold is named instead."""
    given = quark.jsonable(params)
    if not isinstance(given, dict):
        return {}
    given.pop("_class_path", None)  # of LightningCLI
    return given
