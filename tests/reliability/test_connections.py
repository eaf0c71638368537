"""Nothing is sent: every connection that the commands make, in all their processes, is to this machine."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers.ports import free_port
from tests.test_end_to_end import ENVIRONMENT, project, small_book

WATCH = """
import os, socket

def _note(address):
    if isinstance(address, tuple):
        with open(os.environ["SEEN"], "a") as file:
            file.write(f"{address[0]}\\n")

class _Watched(socket.socket):
    def connect(self, address):
        _note(address)
        return super().connect(address)

    def connect_ex(self, address):
        _note(address)
        return super().connect_ex(address)

    def sendto(self, data, *rest):
        _note(rest[-1])
        return super().sendto(data, *rest)

_lookup = socket.getaddrinfo

def _watched(host, *rest, **named):
    if host is not None:
        _note((host.decode() if isinstance(host, bytes) else host,))
    return _lookup(host, *rest, **named)

socket.socket, socket.getaddrinfo = _Watched, _watched
"""
"""A sitecustomize.py: notes where each process of Python connects to, and which names it asks for."""


UNWATCHED = ("WEAK2MASK_TRACKING", "DO_NOT_TRACK", "DVC_NO_ANALYTICS")
"""Variables of the tests' environment that a user's does not have."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A small book in a project, and an environment whose processes note their connections in ``SEEN``."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(WATCH)
    place = project(folder / "toy", small_book())
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in UNWATCHED}
    return place, environment | {"PYTHONPATH": f"{folder / 'site'}:{place}", "SEEN": str(folder / "seen.txt")}


def strangers(environment: dict[str, str]) -> set[str]:
    """Addresses and names that are not this machine's."""
    seen = Path(environment["SEEN"])
    return {line for line in seen.read_text().split() if not _own(line)} if seen.is_file() else set()


def _own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")


def test_the_watch_sees_processes_of_processes(watched: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    environment = watched[1] | {"SEEN": str(tmp_path / "seen")}
    inner = "import socket; s = socket.socket(); s.settimeout(0.01); s.connect_ex(('192.0.2.1', 9))"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    subprocess.run([sys.executable, "-c", outer], env=environment, check=True)
    assert strangers(environment) == {"192.0.2.1"}


def test_a_command_that_only_reads_connects_nowhere(watched: tuple[Path, dict[str, str]]) -> None:
    folder, environment = watched
    command = [sys.executable, "-m", "pipeline", "check"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    assert strangers(environment) == set()


@pytest.mark.slow
def test_no_command_connects_to_another_machine(watched: tuple[Path, dict[str, str]]) -> None:
    folder, environment = watched
    for words in (
        ["run"],
        ["flow", "evaluate@cam", "--force"],
        ["table"],
        ["report"],
        ["predict", "work/toy/catalogues/toy/images", "--checkpoint", "segmenter", "--out", "masks"],
    ):
        command = [sys.executable, "-m", "pipeline", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert strangers(environment) == set(), words


@pytest.mark.slow
@pytest.mark.parametrize("command", ["mlflow", "server"])
def test_no_server_connects_to_another_machine(
    watched: tuple[Path, dict[str, str]], tmp_path: Path, command: str
) -> None:
    folder, environment = watched
    environment = environment | {"SEEN": str(tmp_path / "seen.txt")}
    said, port = tmp_path / "said.txt", free_port()
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", command, "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _await(port, process, said)
        time.sleep(15)  # telemetry of servers is sent soon after they start
        assert process.poll() is None, said.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    assert strangers(environment) == set()


def _await(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    """Until somebody listens there: a busy machine takes a minute to start a server."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert process.poll() is None, said.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"nobody listens at {port} after three minutes: {said.read_text()}")
