"""The variables that a test gives to the processes that it starts."""

import os

CAPTURED = ("DIFF", "OUTPUT", "PACKAGES", "SCRIPT", "SYSTEM")
"""What a run records without being asked; the tests of that switch it on."""

CAPTURE_NOTHING = {**{f"QUARK_CAPTURE_{name}": "0" for name in CAPTURED}, "QUARK_ANALYZE": "0"}
CAPTURE_EVERYTHING = dict.fromkeys(CAPTURE_NOTHING, "1")
"""What a user has who sets nothing: for programs that are there to be copied."""


def child_environment() -> dict[str, str]:
    """Those of this process without Quark's; runs say no goodbye, and capture nothing without being asked."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("QUARK_")}
    return {**plain, **CAPTURE_NOTHING, "QUARK_GOODBYE": "0"}
