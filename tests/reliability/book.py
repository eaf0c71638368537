"""A small book with every verb and every kind of artefact, whose stages run in this process or in forks of it."""

from __future__ import annotations

import atexit
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pipeline.book.artifacts import VERBS, artifact, kind_of
from pipeline.book.fingerprints import write_fingerprints
from pipeline.book.lineage import Node, ancestors
from pipeline.book.load import checked_book
from pipeline.book.params import Book, load_book
from pipeline.tracking.log import Log
from tests.reliability.every_verb import more_verbs, write_points
from tests.reliability.frame import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
WORK = Path("work/toy")
KINDS = {"prepare": ("catalogues", "ground_truth"), "train": ("checkpoints", "histories")}
LIBRARIES = (
    "torch", "zarr", "zarr.codecs.sharding", "safetensors.torch", "lightning_fabric", "scipy.ndimage", "skimage",
    *(f"pipeline.binders.{verb}" for verb in VERBS), "pipeline.loading.loaders", "pipeline.storage.checkpoints",
    "models.methods", "pydensecrf.densecrf",
)  # fmt: skip
"""What forks would load one by one."""
FILE_EVENTS = ("open", "os.", "shutil.")
"""Audit events of a process: what it does to files."""
COUNT = "operations.txt"
FAILED = 70
"""Exit code of a fork whose function raised."""
Tree = Mapping[str, str]
"""Path -> sha256 of each file below a folder."""


def content() -> dict[str, Any]:
    """The root book with few small images, two steps a training, and a resume state after each step."""
    book: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    book["prepare"]["toy"] |= {
        "root": "params.yaml", "options": {"seed": 3, "train": 6, "val": 2, "min_size": 48, "max_size": 64}
    }  # fmt: skip
    book["import_weights"]["random"]["file"] = "params.yaml"
    for entry in book["train"].values():
        entry["loader"] = {"crop": 48, "batch_size": 3, "num_workers": 0}
        entry["settings"] = {"steps": 2, "lr": 0.01, "save_every_seconds": 0}
        entry["model"]["width"] = 0.25
        entry["model"].pop("head_width", None)
    for entry in book["export_cams"].values():
        entry["options"] = {"scales": [1.0], "grid": 4}
    book["evaluate_boxes"]["cam_val"]["options"] = {"images": "single_class"}
    book["table"], book["book"]["targets"] = {}, []
    return book | more_verbs()


@dataclass(frozen=True)
class Finished:
    """The book, run without a fault.

    Attributes:
        folder: with ``params.yaml`` and all artefacts.
        stages: in the order in which they ran.
        cpu: seconds of each stage.
        operations: of each stage, on files of the book.
    """

    folder: Path
    stages: tuple[Node, ...]
    cpu: dict[Node, float]
    operations: dict[Node, int]


@cache
def finished() -> Finished:
    """The book, run once in a fork of this process; it goes when the process ends."""
    folder, here, owner = Path(tempfile.mkdtemp(prefix="w2m-book-")), Path.cwd(), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    for library in LIBRARIES:
        import_module(library)
    os.chdir(folder)
    try:
        Path("params.yaml").write_text(yaml.safe_dump(content(), sort_keys=False), encoding="utf-8")
        code, said = forked(lambda: write_fingerprints(checked_book(".", committed=True), WORK / "code"))
        assert code == 0, said
        stages = in_order(load_book("."))
        cpu, operations = {}, {}
        for stage in stages:
            if stage[0] == "import_annotations":
                write_points(load_book("."))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            code, said = forked(partial(_counted, stage, folder / COUNT))
            assert code == 0, f"{stage}: {said}"
            operations[stage] = int((folder / COUNT).read_text())
            (folder / COUNT).unlink()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu[stage] = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    finally:
        os.chdir(here)
    return Finished(folder, stages, cpu, operations)


def _counted(stage: Node, count: Path) -> None:
    """Run a stage, and write down how many operations on files of the book it has made."""
    seen = [0]

    def at(number: int) -> None:
        seen[0] = number

    before_operations(at)
    run(stage)
    count.write_text(str(seen[0]))


def before_operations(act: Callable[[int], object]) -> None:
    """Call ``act(n)`` before this process does its nth thing, from 1, to a file of the book or of its scratch."""
    seen, places = [0], (str(WORK), ".scratch")

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if name.startswith(FILE_EVENTS) and arguments and any(place in str(arguments[0]) for place in places):
            seen[0] += 1
            act(seen[0])

    sys.addaudithook(hook)


def in_order(book: Book) -> tuple[Node, ...]:
    """Every entry, what it stands on before it."""
    return tuple(dict.fromkeys(node for verb, name in book.entries() for node in ancestors(book, verb, name)))


def run(stage: Node) -> None:
    """Run one stage of the book in the working folder, as its command does."""
    import_module(f"pipeline.binders.{stage[0]}").run(load_book("."), stage[1], Log())


def outputs(stage: Node) -> list[Path]:
    """What a stage makes."""
    verb, name = stage
    kinds = KINDS.get(verb, (kind_of(verb),))
    return [WORK / kind / f"{name}.csv" if kind == "histories" else artifact(WORK, kind, name) for kind in kinds]


def tree(folder: Path) -> Tree:
    """All files below a folder, or the file itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def forked(function: Callable[[], object], seconds: float = 300) -> tuple[int, str]:
    """Call a function in a fork. Returns its exit code, negative for a signal, and what it printed or raised."""
    with tempfile.TemporaryFile("w+") as said:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _child(function, said.fileno())
        code = _waited(pid, seconds)
        said.seek(0)
        return code, said.read()[-3000:]


def _child(function: Callable[[], object], output: int) -> None:
    code = 0
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ |= ENVIRONMENT
        function()
    except BaseException:
        code = FAILED
        sys.stderr = os.fdopen(2, "w", closefd=False)
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _waited(pid: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
