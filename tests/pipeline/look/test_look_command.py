"""``python -m pipeline look``: what it prints, what it refuses, and that Ctrl-C ends it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import pipeline.look.serving as serving
from models.errors import ConfigurationError, DataError
from pipeline.__main__ import app

ROOT = Path(__file__).parents[3]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one image; it is in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (40, 30), (90, 80, 60)).save(folder / "a.png")
    return folder


@pytest.fixture
def port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_it_says_where_and_who(photos: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda *given: served.append(given))
    words = ["look", "photos", "--classes", "dog, cat", "--port", str(port)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (address,) = re.findall(rf"http://127\.0\.0\.1:{port}/([\w-]{{32}})/", done.output)
    assert "Only this machine" in done.output
    assert served[0][0].sets["photos"].catalogue.class_names == ("cat", "dog")
    again = CliRunner().invoke(app, [*words, "--host", "0.0.0.0"])
    assert "Warning: --host 0.0.0.0 lets other machines" in again.output
    assert address not in again.output


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere"], ConfigurationError, "expected the folder of a recipe book"),
        (["photos"], ConfigurationError, "--classes"),
        (["photos", "--classes", "cat", "--port", "0"], ConfigurationError, "expected 1 to 65535"),
        (["photos", "--classes", "cat", "-c", "photos"], DataError, "checkpoint.json"),
        (["photos", "--classes", "cat", "--host", "203.0.113.7"], ConfigurationError, "cannot be listened at"),
    ],
)
def test_it_refuses(photos: Path, words: list[str], error: type[Exception], message: str) -> None:
    done = CliRunner().invoke(app, ["look", *words])
    assert isinstance(done.exception, error)
    assert message in str(done.exception)


def test_a_port_that_is_taken(photos: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        done = CliRunner().invoke(app, ["look", "photos", "--classes", "cat", "--port", str(port)])
    assert isinstance(done.exception, ConfigurationError)
    assert "another --port" in str(done.exception)


@pytest.mark.slow
def test_it_answers_until_it_is_ended(photos: Path, port: int) -> None:
    command = [sys.executable, "-m", "pipeline", "look", "photos", "--classes", "cat", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    assert process.stdout is not None
    try:
        address = re.findall(r"http://\S+", process.stdout.readline())[0]
        with _answer(f"{address}api/overview") as answer:
            assert b'"photos"' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            _answer(f"http://127.0.0.1:{port}/")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[0]
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()


def _answer(address: str) -> Any:
    """The answer of the server, which needs a moment to begin."""
    for _ in range(600):
        try:
            return urllib.request.urlopen(address, timeout=60)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("The server does not answer.")
