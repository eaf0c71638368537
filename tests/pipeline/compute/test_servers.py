"""Where a server may listen, and whether one answers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from models.errors import ConfigurationError, TransientError, Weak2MaskError
from pipeline.compute import servers
from pipeline.compute.servers import await_prefect, check_address, check_prefect, start_prefect
from tests.helpers.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


class Answering(BaseHTTPRequestHandler):
    """A Prefect API below /api, pages elsewhere, a door with a key at /locked."""

    def do_GET(self) -> None:
        self.send_response(401 if self.path.startswith("/locked") else 200)
        self.end_headers()
        self.wfile.write(b"true" if self.path == "/api/health" else b"<html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_an_own_free_port_is_fine() -> None:
    check_address("127.0.0.1", free_port())
    check_address("localhost", free_port())


def test_a_taken_port_is_refused(taken: int) -> None:
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{taken} cannot be listened at"):
        check_address("127.0.0.1", taken)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
def test_an_address_that_others_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH tunnel"):
        check_address(host, 4200)


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_no_port_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match="1 to 65535"):
        check_address("127.0.0.1", port)


@pytest.mark.parametrize("path", ["/api", "/api/", "/locked"])
def test_a_prefect_api_answers(server: str, path: str) -> None:
    check_prefect(server + path)


def test_pages_are_no_api(server: str) -> None:
    with pytest.raises(ConfigurationError, match=f"such as {server}/api"):
        check_prefect(server)


def test_nobody_there_is_an_error_with_its_remedy() -> None:
    port = free_port()
    with pytest.raises(Weak2MaskError, match=f"server --port {port}") as caught:
        check_prefect(f"http://127.0.0.1:{port}/api")
    assert caught.value.exit_code == 1


def test_a_server_that_is_starting_is_waited_for(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, said = iter([Weak2MaskError("not yet"), Weak2MaskError("not yet"), None]), list[str]()

    def look(api_url: str) -> None:
        if answer := next(answers):
            raise answer
        check_prefect(api_url)

    monkeypatch.setattr(servers, "PAUSE", 0.0)
    monkeypatch.setattr(servers, "check_prefect", look)
    await_prefect(f"{server}/api", 60, said.append)
    assert next(answers, "all were asked for") == "all were asked for"
    (line,) = said
    assert f"up to 60 s for a Prefect server at {server}/api" in line
    assert f"server --port {server.rpartition(':')[2]}" in line


def test_a_server_that_answers_is_not_spoken_of_and_a_wrong_one_not_waited_for(server: str) -> None:
    said: list[str] = []
    await_prefect(f"{server}/api", 60, said.append)
    with pytest.raises(ConfigurationError, match=f"such as {server}/api"):
        await_prefect(server, 60, said.append)
    assert not said


def test_waiting_for_nobody_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    said: list[str] = []
    with pytest.raises(Weak2MaskError, match="does not answer"):
        await_prefect(f"http://127.0.0.1:{free_port()}/api", 0.1, said.append)
    assert len(said) == 1


@pytest.mark.parametrize("url", ["localhost:4200", "4200", "", "ftp://127.0.0.1/api"])
def test_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected http"):
        check_prefect(url)


def test_a_server_that_is_late_is_worth_another_try(tmp_path: Path) -> None:
    def connect() -> contextlib.AbstractContextManager[None]:
        raise RuntimeError(
            "Timed out while attempting to connect to ephemeral Prefect API server. stderr: " + 900 * "x"
        )

    with pytest.raises(TransientError, match=r"has 120 s: Timed out[^\n]*\n[^\n]*Remedy:") as late:
        start_prefect(connect, tmp_path / "home", 120)
    assert len(str(late.value)) < 900
    assert late.value.__cause__ is None
    assert "the machine is busy" in str(late.value)


def test_a_server_that_was_killed_is_no_busy_machine(tmp_path: Path) -> None:
    def connect() -> contextlib.AbstractContextManager[None]:
        raise RuntimeError("Timed out while attempting to connect. Ephemeral server process exited with code -9.")

    with pytest.raises(TransientError, match="Something ended it, such as a lack of memory") as ended:
        start_prefect(connect, tmp_path / "home", 120)
    assert "busy" not in str(ended.value)


def test_a_damaged_database_and_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("garbage")
    with pytest.raises(ConfigurationError, match=r"prefect\.db: expected Prefect's SQLite database.*b'garbage'.*Move"):
        start_prefect(contextlib.nullcontext, tmp_path, 1)
    (tmp_path / "prefect.db").write_text("")
    start_prefect(contextlib.nullcontext, tmp_path, 1)
    with pytest.raises(FileExistsError):
        start_prefect(contextlib.nullcontext, tmp_path / "prefect.db", 1)


@pytest.mark.slow
def test_prefect_has_two_minutes_and_is_caught_when_it_has_none(tmp_path: Path) -> None:
    """The setting's name and the error are Prefect's own, so Prefect is asked."""
    root = Path(__file__).parents[3]
    shutil.copy(root / "prefect.toml", tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PYTHONPATH"] = str(root)

    def python(code: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, check=False
        )

    ask = "from prefect.settings import get_current_settings as all; print(all().server.ephemeral)"
    assert "startup_timeout_seconds=120" in python(ask).stdout
    late = python(
        "from pipeline.running.flow import run; run('.', [])", PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="0"
    )
    assert "TransientError: Prefect's own server did not start, for which it has 0 s: Timed out" in late.stderr
    assert "RuntimeError" not in late.stderr
