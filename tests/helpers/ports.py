"""Ports for servers that a test starts in another process."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 10_000, 32_000
"""Below the ports that Linux gives to outgoing connections (32768 and up), which may be taken at any moment."""


def free_port() -> int:
    """A port of 127.0.0.1 at which nobody listens; no connection of another test is given it meanwhile.

    It is drawn by the system's randomness, because tests run side by side under equal seeds.

    Raises:
        OSError: none of a hundred is free.
    """
    chance = random.SystemRandom()
    for _ in range(100):
        port = chance.randint(LOWEST, HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"none of a hundred ports from {LOWEST} to {HIGHEST} is free")
