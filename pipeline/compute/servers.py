"""Servers on this machine and whether one answers: checked before they are started, or asked for anything."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from models.errors import ConfigurationError, TransientError, Weak2MaskError

DEFAULT_PORT = 4200
DEFAULT_API = f"http://127.0.0.1:{DEFAULT_PORT}/api"
"""Prefect's API as ``python -m pipeline server`` offers it."""
PAUSE = 0.5
"""Seconds between two looks for a server that is starting."""
SQLITE_BEGIN = b"SQLite format 3\0"
"""The first bytes of every SQLite database (https://www.sqlite.org/fileformat.html)."""
ENDED = "server process exited with code"
"""What Prefect says, after the whole wait, of a server that is no longer there."""


def become_prefect_server(host: str, port: int) -> NoReturn:
    """Turn this process into Prefect's server and UI, at an address that :func:`check_address` has seen."""
    shown = f"[{host}]" if ":" in host else host
    environment = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"} | os.environ
    environment |= {  # the UI asks the port that these name, not the one of --port
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": f"http://{shown}:{port}/api",
    }
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    os.execve(sys.executable, command, environment)  # no child, so that whoever ends this process ends the server


def check_address(host: str, port: int) -> None:
    """Whether a server may listen there.

    Raises:
        ConfigurationError: the host is not this machine's own, or somebody listens there already.
    """
    if not is_loopback(host):
        raise ConfigurationError(
            f"--host {host}: expected an address of this machine only (127.0.0.1), found one that others can reach. "
            "The server asks nobody for a password: from elsewhere use an SSH tunnel "
            f"(ssh -L {port}:127.0.0.1:{port} THIS_MACHINE)."
        )
    if not 0 < port < 65536:
        raise ConfigurationError(f"--port {port}: expected 1 to 65535.")
    require_free(host, port)


def require_free(host: str, port: int) -> None:
    """Raise ConfigurationError unless a server can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed one lingers
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be listened at: {error.strerror}. Stop what runs there, or name another --port."
            ) from None


def check_prefect(api_url: str, seconds: float = 5.0) -> None:
    """Whether a Prefect API answers at ``api_url``.

    Raises:
        ConfigurationError: that is no address of an API.
        Weak2MaskError: nobody answers.
    """
    parts = urlsplit(api_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"PREFECT_API_URL={api_url}: expected http://127.0.0.1:4200/api, or another address.")
    opener = build_opener(*([ProxyHandler({})] if is_loopback(parts.hostname) else []))
    try:
        with opener.open(f"{api_url.rstrip('/')}/health", timeout=seconds) as answer:
            healthy = json.loads(answer.read(100))
    except HTTPError as error:
        if error.code in (401, 403):  # it is there, and wants the key that Prefect sends
            return
        healthy = False
    except ValueError:
        healthy = False
    except (URLError, OSError) as error:
        raise Weak2MaskError(
            f"The Prefect server at {api_url} does not answer: {getattr(error, 'reason', error)}.\n"
            f"Remedy: start it (python -m pipeline server --port {parts.port or DEFAULT_PORT}), "
            "or unset PREFECT_API_URL to run without one."
        ) from None
    if healthy is not True:
        raise ConfigurationError(
            f"PREFECT_API_URL={api_url}: something else than a Prefect API answers there. "
            f"Expected an address that ends in /api, such as {parts.scheme}://{parts.netloc}/api."
        )


def await_prefect(api_url: str, seconds: float, say: Callable[[str], None]) -> None:
    """:func:`check_prefect`, with patience for a server that is starting, which takes some ten seconds.

    Args:
        seconds: how long it may take until something answers.
        say: told once, where nothing answers yet.

    Raises:
        ConfigurationError, Weak2MaskError: see :func:`check_prefect`.
    """
    end, said = time.monotonic() + seconds, False
    while True:
        try:
            return check_prefect(api_url)
        except ConfigurationError:  # something answers, but not what is asked for
            raise
        except Weak2MaskError:
            if time.monotonic() >= end:
                raise
        if not said:
            port = urlsplit(api_url).port or DEFAULT_PORT
            say(
                f"Waiting up to {seconds:.0f} s for a Prefect server at {api_url}. "
                f"If none is starting: python -m pipeline server --port {port}"
            )
            said = True
        time.sleep(PAUSE)


def start_prefect(connect: Callable[[], AbstractContextManager[object]], home: Path, seconds: int) -> None:
    """Start the server that a flow would start for itself, before the flow, whose own errors look the same.

    Args:
        connect: makes Prefect's client, which starts the server and waits for it.
        home: Prefect's folder, where its database lies.
        seconds: how long it waits.

    Raises:
        ConfigurationError: the database is damaged.
        OSError: ``home`` is no folder, or cannot be made.
        TransientError: the server did not start in time.
    """
    home.mkdir(parents=True, exist_ok=True)
    check_prefect_database(home)
    try:
        with connect():
            return
    except Exception as error:  # RuntimeError: out of time; one of httpx: the server hangs
        why = " ".join(str(error).split())[:300] or type(error).__name__
        often = "Something ended it, such as a lack of memory." if ENDED in why else "Most often the machine is busy."
        raise TransientError(
            f"Prefect's own server did not start, for which it has {seconds} s: {why}\n"
            f"{often} Nothing has run yet. Remedy: the same command again; more time with "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300; a server that stays (python -m pipeline server); "
            "or no Prefect at all: python -m pipeline run."
        ) from None


def check_prefect_database(home: Path) -> None:
    """Whether Prefect's database in its folder is one, if it is there: its server says so in 200 lines.

    Raises:
        ConfigurationError: it is not.
    """
    database = home / "prefect.db"
    if database.is_file() and database.stat().st_size:
        with database.open("rb") as file:
            begin = file.read(len(SQLITE_BEGIN))
        if begin != SQLITE_BEGIN:
            raise ConfigurationError(
                f"{database}: expected Prefect's SQLite database, found a file that begins with {begin!r}. "
                "Move it away: it has the history of flow runs, no results, and Prefect makes a new one."
            )


def is_loopback(host: str) -> bool:
    """Whether a name or an address is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
