"""Where a server may listen, and whether one answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from models.errors import ConfigurationError, Weak2MaskError
from pipeline.servers import check_address, check_prefect


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


@pytest.mark.parametrize("url", ["localhost:4200", "4200", "", "ftp://127.0.0.1/api"])
def test_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected http"):
        check_prefect(url)
