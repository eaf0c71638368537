"""One process that has the libraries loaded, of which each stage of a run is a fork: without the seconds of an import.

Loading the libraries takes some seconds of a core, for each stage anew, and many stages do not compute for longer than
that. ``pipeline.running.handover`` is the other side: ``python -m pipeline VERB NAME`` asks here for a fork that does
its work, and lives as long as that does, so that DVC, Prefect and signals see a process as always.

A stage in a fork is the stage that would have started by itself. Whatever could make a difference is refused, and the
command then goes on without this process: another folder, other variables of the environment than those named in
``handover``, source that was edited since it was loaded, threads.

``python -m pipeline.running.prefork SOCKET LIBRARY...`` serves until its standard input ends and its last stage has
ended.
"""

from __future__ import annotations

import gc
import io
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.compute.lifeline import end_with, end_with_command
from pipeline.running.handover import OFF, REFUSED, SOCKET, STARTED, Request, receive
from pipeline.running.stage_process import environment

PROGRAM = "pipeline.__main__"
"""The command line, which stands above this room: called by its name, as a new process would be."""
LIBRARIES = ("torch", PROGRAM, "pipeline.binders.train", "pipeline.binders.evaluate")
"""What most stages load. The rest is loaded by those that need it."""


LONGEST_PATH = 100
"""Bytes of a socket's path: Linux takes 107, macOS 103."""


@contextmanager
def prefork(libraries: Sequence[str] = LIBRARIES) -> Iterator[int]:
    """Stages that start inside, in any process, are forks of one process; yields its id.

    It loads the libraries (names of modules) when the first stage starts: a run without one costs nothing. Where
    ``WEAK2MASK_PREFORK`` is ``off``, or the folder of temporary files (``TMPDIR``) has too long a path for a socket,
    there is no such process (0), and each stage loads the libraries itself.
    """
    if os.environ.get(SOCKET) == OFF:
        yield 0
        return
    with TemporaryDirectory(prefix="weak2mask-") as folder:
        path = str(Path(folder) / "prefork")
        if len(os.fsencode(path)) > LONGEST_PATH:  # each stage loads the libraries itself
            yield 0
            return
        command = [sys.executable, "-m", "pipeline.running.prefork", path, *libraries]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # it listens now
        os.environ[SOCKET] = path
        try:
            yield process.pid
        finally:
            del os.environ[SOCKET]
            process.stdin.close()
            process.wait()


@dataclass
class Stage:
    """A fork and the command that waits for it."""

    pid: int
    pidfd: int
    connection: socket.socket
    left: bool = False
    """Whether the command has gone."""


class Server:
    """Forks a stage for each command that connects."""

    def __init__(self, path: str, libraries: Sequence[str]) -> None:
        self._libraries = libraries
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._stages: dict[int, Stage] = {}
        self._variables = dict(os.environ)  # before a library adds to them
        self._sources: dict[str, tuple[int, int]] | None = None

    def serve(self) -> Request | None:
        """Wait for commands. Returns None when the run has ended, and in a fork what the fork has to do."""
        listening = True
        while listening or self._stages:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    request = self._fork(self._listener.accept()[0])
                    if request is not None:
                        return request
                elif key.fd == sys.stdin.fileno():  # nobody writes there: its end is the end of the run
                    listening = False
                    self._selector.unregister(key.fileobj)
                    self._selector.unregister(self._listener)
                    self._listener.close()
                elif key.data[0] == "command":
                    self._pass_on(key.data[1])
                else:
                    self._end(key.data[1])
        return None

    def _fork(self, connection: socket.socket) -> Request | None:
        """Start what a command asks for. Returns the request in the fork, None in this process."""
        try:
            request = receive(connection)
        except (OSError, ValueError):  # it has gone, or is no command of ours
            connection.close()
            return None
        if self._sources is None:
            self._load()
        if not self._same(request):
            with suppress(OSError):
                connection.sendall(REFUSED)
            connection.close()
            request.close()
            return None
        server = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            _become(request, server)
            return request
        request.close()
        stage = Stage(pid, os.pidfd_open(pid), connection)
        self._stages[pid] = stage
        self._selector.register(connection, selectors.EVENT_READ, ("command", stage))
        self._selector.register(stage.pidfd, selectors.EVENT_READ, ("stage", stage))
        with suppress(OSError):
            connection.sendall(STARTED)
        return None

    def _load(self) -> None:
        for name in self._libraries:
            import_module(name)
        gc.collect()
        gc.freeze()  # a collection in a fork would copy the pages of all these objects
        files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
        self._sources = {file: _stamp(file) for file in files if file}

    def _same(self, request: Request) -> bool:
        """Whether a fork is what a process of its own would be."""
        assert self._sources is not None
        return (
            request.matches(Path.cwd(), self._variables)
            and all(_stamp(file) == stamp for file, stamp in self._sources.items())
            and threading.active_count() == 1
        )

    def _pass_on(self, stage: Stage) -> None:
        """Signals that the command got are the stage's. A command that has gone takes its stage along."""
        numbers = b""
        with suppress(OSError):
            numbers = stage.connection.recv(64)
        if not numbers:
            self._selector.unregister(stage.connection)
            stage.left = True
        for number in numbers or bytes([signal.SIGKILL]):
            with suppress(ProcessLookupError):
                os.killpg(stage.pid, number)

    def _end(self, stage: Stage) -> None:
        """Report how a stage ended."""
        _, status = os.waitpid(stage.pid, 0)
        self._selector.unregister(stage.pidfd)
        os.close(stage.pidfd)
        if not stage.left:
            self._selector.unregister(stage.connection)
            with suppress(OSError):
                stage.connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        stage.connection.close()
        del self._stages[stage.pid]

    def _leave(self, connection: socket.socket) -> None:
        """Close, in a fork, what is the server's."""
        connection.close()
        self._selector.close()
        self._listener.close()
        for stage in self._stages.values():
            os.close(stage.pidfd)
            stage.connection.close()
        self._stages.clear()


def _stamp(file: str) -> tuple[int, int]:
    """What changes when a file is edited: time of the last change in nanoseconds, size in bytes; (0, 0): it is gone."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _become(request: Request, server: int) -> None:
    """Make the fork what the command's own process would be."""
    os.setsid()
    end_with(server)  # a stage does not outlive who would report its end
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, number)
    request.close()
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.environ.clear()
    os.environ.update(request.variables)
    sys.argv = list(request.arguments)


def main() -> None:
    """Serve, and in a fork run the stage to the end of the process."""
    end_with_command()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the stages, which get it from their commands
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as pipeline.__main__ has it, before torch is loaded
    server = Server(sys.argv[1], sys.argv[2:])
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    if server.serve() is not None:
        import_module(PROGRAM).main()


if __name__ == "__main__":
    main()
