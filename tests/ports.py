"""Ports for servers that are started and killed by tests."""

import random
import socket
from pathlib import Path

_LOWEST, _FEWEST = 10_000, 1_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no outgoing connection is given.

    A port that the system chose (port 0) is one of those for outgoing connections: while the server of a test is down,
    any client may be given it, even the one that asks whether the server is up, which then talks to itself.
    """
    highest = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    draw = random.SystemRandom()  # the generators of tests are seeded alike in all their processes
    for _ in range(1_000):
        port = draw.randrange(_LOWEST, highest) if highest - _LOWEST > _FEWEST else 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise RuntimeError("no free port was found in 1000 tries")
