"""The packages that are installed where the program runs, as the lines of a requirements file."""

import os
import re
import sys

MAX_PACKAGES = 5000

_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py\d[\d.]*)?\.(?:dist|egg)-info\Z")


def installed_packages() -> list[str]:
    """``name==version`` of every installed distribution, by name; the first on ``sys.path`` is the one imported.

    Name and version are in the names of the metadata directories. ``importlib.metadata`` opens and parses a file for
    each of them, which takes a hundred times as long, and holds the interpreter's lock meanwhile.
    """
    found: dict[str, str] = {}
    for directory in dict.fromkeys(entry or os.curdir for entry in sys.path):
        try:
            names = os.listdir(directory)
        except OSError:  # an archive, or a directory that is gone
            continue
        for name in names:
            parts = _METADATA.match(name)
            if parts is not None and len(found) < MAX_PACKAGES:
                package = re.sub(r"[-_.]+", "-", parts["name"]).lower()
                found.setdefault(package, parts["version"])
    return [f"{name}=={version}" for name, version in sorted(found.items())]
