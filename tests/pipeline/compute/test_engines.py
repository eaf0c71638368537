"""Engines: here, a pool of processes, a Dask cluster. The same bytes, lost workers, bad data, bad settings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigurationError, DataError, TransientError, Weak2MaskError
from pipeline.binders.common import write_shards
from pipeline.book import fingerprints as code
from pipeline.book.artifacts import VERBS
from pipeline.compute.chunks import run_chunks
from pipeline.compute.engines import cluster, setting, worker
from pipeline.compute.scratch import SCRATCH
from pipeline.storage.stores import Header, MaskStore
from pipeline.tracking.log import dvc_md5
from tests.helpers.ports import free_port

pytestmark = pytest.mark.slow

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")  # its defaults are there before a test sets one, and stay when that is undone

IDS = tuple(f"image_{i}" for i in range(20))
SIZE = (24, 32)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two worker processes; a chunk that has taken two workers with it is given up."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), cluster.served(2, free_port()) as address:
        yield address


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is nobody else's, and no settings."""
    for name in ("WEAK2MASK_ENGINE", "WEAK2MASK_DASK", "WEAK2MASK_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def on_dask(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    monkeypatch.setenv("WEAK2MASK_DASK", address)


def _masks(ids: tuple[str, ...]) -> list[np.ndarray]:
    """Sums of many numbers: their last bits depend on the number of threads that take them."""
    import torch

    masks = []
    for id in ids:
        noise = torch.rand((64, 4000), generator=torch.Generator().manual_seed(IDS.index(id)))
        sums = (noise @ noise.T).flatten()[: SIZE[0] * SIZE[1]] + noise.sum()
        masks.append((sums.numpy().view(np.int32).reshape(SIZE) & 3).astype(np.uint8))
    return masks


def _square(chunk: int) -> int:
    return chunk * chunk


def _where(chunk: int) -> tuple[int, str, str, int]:
    import torch

    return os.getpid(), os.getcwd(), os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


def _tried(chunk: int) -> int:
    """Note a try in the project's folder, and return which one it is."""
    with Path(f"tries_{chunk}").open("a") as file:
        file.write("x")
    return Path(f"tries_{chunk}").stat().st_size


def _die(times: int, chunk: int) -> int:
    if chunk == 1 and _tried(chunk) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


def _fail(chunk: int) -> int:
    if chunk == 1:
        _tried(chunk)
        raise DataError("image_1.png: expected an image, found a poem. Remedy: paint it.")
    Path(f"done_{chunk}").touch()
    return chunk


def _kill(pid: int, chunk: int) -> None:
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)


def test_a_store_is_the_same_bytes_whatever_the_engine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.set_num_threads(2)
    header = Header(IDS, (SIZE,) * len(IDS), ("cat", "dog", "horse"), "digest")
    digests = {}
    monkeypatch.setenv("WEAK2MASK_WORKERS", "2")
    monkeypatch.setenv("WEAK2MASK_DASK", address)
    for engine in ("here", "processes", "dask"):
        monkeypatch.setenv("WEAK2MASK_ENGINE", engine)
        writer = MaskStore.create(Path("masks") / engine, header, shard_size=4)
        write_shards(writer, _masks, engine)
        digests[engine] = dvc_md5(writer.path)
    assert len(set(digests.values())) == 1, digests
    assert torch.get_num_threads() == 2
    assert sorted(path.name for path in Path("masks").iterdir()) == sorted(digests)
    assert not list((SCRATCH / "tasks").iterdir())


@pytest.mark.usefixtures("on_dask")
def test_chunks_run_in_the_projects_root_with_one_thread_and_come_in_order(project: Path) -> None:
    assert run_chunks(_square, range(9), "squares") == [chunk * chunk for chunk in range(9)]
    places = run_chunks(_where, range(6), "places")
    assert {place[1:] for place in places} == {(str(project), "1", 1)}
    assert os.getpid() not in {place[0] for place in places}


@pytest.mark.usefixtures("on_dask")
def test_the_chunk_of_a_killed_worker_is_done_again() -> None:
    assert run_chunks(partial(_die, 1), range(6), "dying once") == list(range(6))
    assert Path("tries_1").read_text() == "xx"


@pytest.mark.usefixtures("on_dask")
def test_a_chunk_that_kills_its_workers_is_named() -> None:
    with pytest.raises(Weak2MaskError, match=r"part 1 \(images b\) was tried on 2 workers.*parts are kept") as caught:
        run_chunks(partial(_die, 99), [0, 1, 2], "dying", describe=lambda chunk: f"images {'abc'[chunk]}")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("engine", ["here", "processes", "dask"])
def test_bad_data_is_the_same_message_tried_once(engine: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", engine)
    monkeypatch.setenv("WEAK2MASK_DASK", address)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    with pytest.raises(DataError) as caught:
        run_chunks(_fail, [0, 1], "reading")
    assert str(caught.value) == "image_1.png: expected an image, found a poem. Remedy: paint it."
    assert caught.value.__notes__ == ["reading: in part 1"]
    assert Path("tries_1").read_text() == "x"
    assert Path("done_0").exists()


@pytest.mark.usefixtures("on_dask")
def test_a_mistake_in_the_code_comes_back_as_it_is() -> None:
    with pytest.raises(ValueError, match="math domain error"):
        run_chunks(_root, [-1], "roots")


def _root(chunk: int) -> float:
    import math

    return math.sqrt(chunk)


@pytest.mark.usefixtures("on_dask")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"root": Path("/no/such/project")}, "does not see the project's folder /no/such/project"),
        ({"identity": worker.IDENTITY | {"torch": "1.0"}}, r"torch \S+ there, 1.0 here.*constraints.txt"),
        ({"identity": worker.IDENTITY | {worker.SOURCE: "older"}}, "started with other source code"),
    ],
)
def test_a_worker_that_cannot_take_part_is_named(
    change: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    original = cluster._Crew.__init__

    def changed(self: cluster._Crew, client: object, address: str, shown: worker.Ticket) -> None:
        taken.append(replace(shown, **change))  # type: ignore[arg-type]
        original(self, client, address, taken[0])

    monkeypatch.setattr(cluster._Crew, "__init__", changed)
    with pytest.raises(Weak2MaskError, match=rf"Worker tcp://127.0.0.1:\d+ of \S+ cannot take part: .*{message}"):
        run_chunks(_square, [0], "squares")
    late = worker.run_chunk(taken[0], 0)  # one that joined when the others had been asked
    assert late.error is not None
    assert "cannot take part" in str(late.error)


class _Client:
    """A cluster of one worker, which answers ``answer`` and has ``threads``."""

    def __init__(self, answer: object, threads: int) -> None:
        self.answer, self.threads = answer, threads

    def wait_for_workers(self, count: int, timeout: float) -> None:
        pass

    def run(self, function: object, *arguments: object, on_error: str) -> dict[str, object]:
        return {"tcp://w:1": self.answer}

    def nthreads(self) -> dict[str, int]:
        return {"tcp://w:1": self.threads}


@pytest.mark.parametrize(
    ("answer", "threads", "message"),
    [
        (None, 4, "it has 4 threads.*--nthreads 1"),
        (ModuleNotFoundError("No module named 'pipeline'"), 1, "cannot import this project .*project's root"),
    ],
)
def test_a_worker_of_another_kind_is_refused(answer: object, threads: int, message: str) -> None:
    shown = worker.Ticket(Path.cwd(), Path("task"), worker.IDENTITY)
    with pytest.raises(Weak2MaskError, match=message):
        cluster._Crew(_Client(answer, threads), "tcp://s:1", shown).require()
    cluster._Crew(_Client(OSError("it has just left"), 1), "tcp://s:1", shown).require()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8786", "tcp://127.0.0.1", "tcp://:8786", "http://host:8786", "tcp://host:99999", "tcp://a b:1", "host"],
)
def test_a_malformed_address_is_a_configuration_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    monkeypatch.setenv("WEAK2MASK_DASK", address)
    with pytest.raises(ConfigurationError, match=r"WEAK2MASK_DASK: expected tcp://HOST:PORT.*found"):
        setting.check()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert setting.engine() == "processes"
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dusk")
    with pytest.raises(ConfigurationError, match="Did you mean 'dask'"):
        setting.check()
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    with pytest.raises(ConfigurationError, match="pipeline cluster --workers"):
        setting.check()
    for address in ("tcp://127.0.0.1:8786", "tls://node-1.lab:1", "tcp://[::1]:65535"):
        monkeypatch.setenv("WEAK2MASK_DASK", address)
        setting.check()


def test_run_finds_a_bad_setting_before_any_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.running.repro import check_environment

    monkeypatch.setenv("WEAK2MASK_ENGINE", "process")
    with pytest.raises(ConfigurationError, match="Did you mean 'processes'"):
        check_environment()


def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    monkeypatch.setenv("WEAK2MASK_DASK", f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(Weak2MaskError, match=r"No Dask scheduler answers at tcp://.*Start a scheduler and workers"):
        run_chunks(_square, [0], "squares")


def test_something_else_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        threading.Thread(target=_answer_http, args=(other,), daemon=True).start()
        monkeypatch.setenv("WEAK2MASK_DASK", f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(Weak2MaskError, match="No Dask scheduler answers at tcp://"):
            run_chunks(_square, [0], "squares")


def _answer_http(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.close()


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster._Crew.require, "__defaults__", (0.5,))
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    with cluster.served(0, free_port()) as address:
        monkeypatch.setenv("WEAK2MASK_DASK", address)
        with pytest.raises(Weak2MaskError, match=r"has no worker .* dask worker tcp://"):
            run_chunks(_square, [0], "squares")


def test_the_cluster_command_and_a_scheduler_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "pipeline", "cluster", "--workers", "1", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(Path(__file__).parent)])}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "1 workers at" in process.stdout.readline()
    assert process.stdout.readline() == f"export WEAK2MASK_ENGINE=dask WEAK2MASK_DASK=tcp://127.0.0.1:{port}\n"
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    monkeypatch.setenv("WEAK2MASK_DASK", f"tcp://127.0.0.1:{port}")
    assert run_chunks(_square, [3], "squares") == [9]
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} cannot be listened at"), cluster.served(1, port):
        pass
    with pytest.raises(TransientError, match=r"has gone\. Finished parts are kept"):
        run_chunks(partial(_kill, process.pid), [0], "killing the scheduler")
    process.wait(10)
    with cluster.served(1, port):  # started again, at the same address
        assert run_chunks(_square, [3, 4], "squares") == [9, 16]


def _die_with_its_machine(chunk: int) -> int:
    """Kill the worker, its nanny and all else of its process group, once; the workers of the test are in the test's."""
    if os.getpgid(0) == int(Path("machine").read_text()) and _tried(0) == 1:
        os.killpg(0, signal.SIGKILL)
    time.sleep(0.2)
    return chunk


@pytest.mark.usefixtures("on_dask")
def test_chunks_of_a_machine_that_is_gone_are_done_by_others(address: str, project: Path) -> None:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(Path(__file__).parent)])}
    machine = subprocess.Popen(command, cwd=project, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    Path("machine").write_text(str(machine.pid))
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=120)
    assert run_chunks(_die_with_its_machine, range(12), "on three workers") == list(range(12))
    assert machine.wait(30) == -signal.SIGKILL
    assert Path("tries_0").read_text() == "x"


def _stop(chunk: int) -> int:
    """Stand still, once, as a worker on a machine that hangs."""
    if chunk == 1 and _tried(chunk) == 1:
        Path("stopped").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
    return chunk


def test_the_chunk_of_a_worker_that_hangs_is_done_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_ENGINE", "dask")
    setting_of_dask = {"distributed.scheduler.worker-ttl": "10s", "distributed.scheduler.allowed-failures": 3}
    with dask.config.set(setting_of_dask), cluster.served(2, free_port()) as address:
        monkeypatch.setenv("WEAK2MASK_DASK", address)
        try:
            assert run_chunks(_stop, range(6), "with a straggler") == list(range(6))
        finally:
            with suppress(OSError):  # its nanny may have ended it by now
                os.kill(int(Path("stopped").read_text()), signal.SIGKILL)
    assert len(Path("tries_1").read_text()) > 1


def test_two_writers_of_one_shard_leave_one(tmp_path: Path) -> None:
    """A worker that was thought lost may finish after the one that did its chunk again."""
    header = Header(IDS[:4], (SIZE,) * 4, ("cat", "dog", "horse"), "digest")
    writer = MaskStore.create(tmp_path / "masks", header, shard_size=4)
    writer.write(0, _masks(IDS[:4]))
    writer.write(0, _masks(IDS[:4]))
    assert sorted(path.name for path in writer.scratch.iterdir()) == ["part_00000", "zarr.json"]
    writer.finish()
    with pytest.raises(FileNotFoundError):
        writer.write(0, _masks(IDS[:4]))
    assert not writer.scratch.exists()


def test_an_edit_of_an_engine_runs_no_stage_again() -> None:
    for verb in VERBS:
        modules = code.closure((f"pipeline.binders.{verb}",))
        assert not {module for module in modules if module.startswith("pipeline.compute.engines")}, verb
    assert {"pipeline.compute.chunks", "pipeline.compute.threads"} <= code.closure(("pipeline.binders.refine_cams",))
