"""How a stage's command asks ``pipeline.running.prefork`` for a fork that does its work, and waits for it.

This side loads almost nothing: the process that waits costs a tenth of a second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SOCKET = "WEAK2MASK_PREFORK"
"""Environment variable with the socket of the process to ask, or ``off``."""
OFF = "off"
STARTED, REFUSED = b"1", b"0"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What is passed on to the stage."""
SHELL = ("SHLVL=", "PWD=", "OLDPWD=", "COLUMNS=", "LINES=", "PS1=", "PS2=", "PROMPT", "_=")
"""What the shell between DVC and a command adds or takes away."""
MAY_DIFFER = ("WEAK2MASK_", "DVC_", "CUDA_VISIBLE_DEVICES=", *SHELL)
"""Variables that begin so are read when they are needed (CUDA's at its first call, which no import makes). All
others may have been read by a library already."""
LONGEST = 1 << 20
"""Bytes of a request: more than any environment has."""


@dataclass(frozen=True)
class Request:
    """What a command is.

    Attributes:
        arguments: its ``sys.argv``.
        folder: where it runs.
        variables: its environment.
        descriptors: standard input, output and error.
    """

    arguments: list[str]
    folder: str
    variables: dict[str, str]
    descriptors: tuple[int, ...]

    def matches(self, folder: Path, variables: Mapping[str, str]) -> bool:
        """Whether a process in this folder, with this environment, may do it."""
        return Path(self.folder) == folder and _fixed(self.variables) == _fixed(variables)

    def close(self) -> None:
        """Close the descriptors of this side."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def _fixed(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that have to be equal."""
    kept = {name: value for name, value in variables.items() if not f"{name}=".startswith(MAY_DIFFER)}
    return {"OMP_WAIT_POLICY": "PASSIVE"} | kept  # what every command sets


def receive(connection: socket.socket) -> Request:
    """Read a request. Raises ValueError where it is none, OSError where nobody is there any more."""
    text, descriptors, _, _ = socket.recv_fds(connection, LONGEST, 3)
    while text and not text.endswith(b"\n"):
        more = connection.recv(LONGEST)
        text += more or b"?\n"
    content = json.loads(text)
    return Request(content["arguments"], content["folder"], content["variables"], tuple(descriptors))


def hand_over() -> int | None:
    """Let a fork do what this command is asked to do.

    Returns:
        Its exit code, negative where a signal ended it; None: nobody to ask, or refused, and this process has to do it.
    """
    path = os.environ.get(SOCKET)
    if not path or path == OFF:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they wait until there is a stage to pass them on to
            connection.connect(path)
            _send(connection)
            if connection.recv(1) != STARTED:
                return None
            for number in SIGNALS:
                signal.signal(number, lambda received, _: connection.sendall(bytes([received])))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            return _wait(connection)
        except OSError:  # the run has ended, or its process was killed before it forked
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def end_as(code: int) -> None:
    """End this process as the fork ended."""
    if code < 0:
        with suppress(OSError):  # SIGKILL and SIGSTOP have no other
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _send(connection: socket.socket) -> None:
    content = {"arguments": sys.argv, "folder": os.getcwd(), "variables": dict(os.environ)}
    text = json.dumps(content).encode() + b"\n"
    sent = socket.send_fds(connection, [text], [0, 1, 2])
    connection.sendall(text[sent:])


def _wait(connection: socket.socket) -> int:
    """The exit code of the fork. Where its server was killed the fork is too."""
    text = b""
    while not text.endswith(b"\n"):
        try:
            more = connection.recv(64)
        except ConnectionError:
            more = b""
        if not more:
            return -signal.SIGKILL
        text += more
    return int(text)
