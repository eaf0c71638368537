"""The same work many times in a row: memory, open files, threads and scratch space stay as they are."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from pipeline.book.lineage import ancestors
from pipeline.compute.scratch import SCRATCH
from tests.helpers.ports import free_port
from tests.helpers.processes import descendants, gone
from tests.reliability.every_verb import make, write_book
from tests.reliability.flatness import Held, held, require_flat, watched
from tests.reliability.frame import Case, Counts
from tests.test_end_to_end import ENVIRONMENT, ROOT, project, small_book

CHEAP = (("refine_cams", "cam_crf"), ("make_pseudo_masks", "cam_crf"), ("evaluate", "pseudo_masks"))
SHARE = float(os.environ.get("SOAK", "1"))
"""Of the full sizes: a smaller soak says how much more is held after each run, with less certainty."""
CLIENT = """
import sys, time
from prefect.deployments import run_deployment
for number in range(int(sys.argv[1])):
    for attempt in range(20):
        try:
            run = run_deployment("weak2mask/book", poll_interval=0.5)
            break
        except Exception as error:  # the server and the deployment have to be there first
            if number or attempt == 19:
                raise
            print(error, file=sys.stderr)
            time.sleep(5)
    print(run.state.type.value, flush=True)
"""
"""One process that starts all runs: a client of each run would load Prefect again."""
SEEDS, LOOKS, RUNS, IMAGES = (max(2, round(SHARE * full)) for full in (20, 60, 50, 20_000))
EPOCHS = 2
"""Of each training of the toy book, in place of 20 and 30: nine tenths of its time are trainings."""


def stages(number: int) -> Counts:
    """Stages of a small book in one process, again and again: the cheap ones in the first trial, later CAMs too."""
    os.environ |= {"WEAK2MASK_ENGINE": "here", "WEAK2MASK_DEVICE": "cpu"}
    torch.set_num_threads(1)
    repeated, looks = ((("export_cams", "cam"), *CHEAP), LOOKS) if number else (CHEAP, 4)
    book = write_book()
    for node in dict.fromkeys(node for entry in CHEAP for node in ancestors(book, *entry)):
        make(book, *node)
    seen, hashes = [], set()
    for _ in range(looks):
        hashes.add(tuple(make(book, verb, name) for verb, name in repeated))
        gc.collect()  # Zarr's codecs hold caches that hold them: these wait for a collection, which is rare here
        seen.append(held(os.getpid(), [SCRATCH]))
    assert len(hashes) == 1
    assert not list(Path().rglob("*.partial"))
    return {"stages": looks * len(repeated), **require_flat(seen, megabytes=20)}


def toy(number: int) -> Counts:
    """The root book under many seeds, one run after another in one project."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    folder = project(Path.cwd() / "toy", content)
    seen = []
    for seed in range(SEEDS * number, SEEDS * (number + 1)):
        for entry in content["train"].values():
            entry["seed"] = seed
            entry["settings"]["epochs"] = EPOCHS
        (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        done = _weak2mask(folder, "run")
        assert done.returncode == 0, done.stdout + done.stderr
        seen.append(held(os.getpid(), [folder / SCRATCH / "checkpoints", folder / SCRATCH / "tasks"]))
    assert not list((folder / "work").rglob(".partial*"))
    return {"runs": SEEDS, **require_flat(seen, megabytes=5)}


def deployment(number: int, runs: int = RUNS) -> Counts:
    """Runs of a deployment that ``serve`` offers, on a server of its own."""
    folder = project(Path.cwd() / "toy", small_book())
    port = free_port()
    environment = ENVIRONMENT | {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(folder / "p"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    with (
        _running(folder, environment, "server", "--port", str(port)) as server,
        _running(folder, environment, "serve", "annotate@tags") as serving,
    ):
        seen: list[tuple[Held, Held]] = []
        for state in _started(folder, environment, runs):
            assert state == "COMPLETED", f"run {len(seen) + 1} of {runs} ended as {state}"
            _wait_for_run(serving)
            seen.append((held(server), held(serving, [folder / SCRATCH / "tasks"])))
        assert len(seen) == runs, f"{len(seen)} of {runs} runs: {(folder / 'client.log').read_text()[-3000:]}"
    measured: dict[str, str] = {}
    for name, process in zip(("server", "serve"), zip(*seen, strict=True), strict=True):
        measured |= {f"{name}: {what}": text for what, text in require_flat(process, megabytes=30).items()}
    return {"runs": runs, **measured}


def export(number: int, images: int = IMAGES) -> Counts:
    """CAMs of many small images, written by two processes."""
    _write_images(Path("photos"), images)
    content = small_book()
    content["prepare"]["toy"] = {"reader": "folder", "root": str(Path("photos").absolute()), "options": {}}
    folder = project(Path.cwd() / "toy", content)
    for words in (("prepare", "toy"), ("annotate", "tags"), ("import_weights", "random"), ("train", "classifier")):
        done = _weak2mask(folder, *words)
        assert done.returncode == 0, done.stderr
    environment = ENVIRONMENT | {"WEAK2MASK_WORKERS": "2"}
    command = [sys.executable, "-m", "pipeline", "export_cams", "cam"]
    with (
        subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process,
        watched(process.pid, 1.0, [folder / SCRATCH]) as seen,
    ):
        assert process.wait() == 0
    started = len(seen) // 4  # the processes load their libraries
    return {"images": images, **require_flat(seen[started:-1], megabytes=60)}


def _write_images(folder: Path, count: int) -> None:
    (folder / "images").mkdir(parents=True)
    noise = np.random.default_rng(0)
    rows = ["image,tags,split"]
    for index in range(count):
        split = "val" if index % 50 == 0 else "train"
        Image.fromarray(noise.integers(0, 255, (36, 40, 3), np.uint8)).save(folder / "images" / f"{index:05d}.png")
        rows.append(f"{index:05d}.png,{('cat', 'dog')[index % 2]},{split}")
    (folder / "tags.csv").write_text("\n".join(rows) + "\n")


def _weak2mask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@contextmanager
def _running(folder: Path, environment: Mapping[str, str], *words: str) -> Iterator[int]:
    """A command that stays, ended at the end; gives its process."""
    command = [sys.executable, "-m", "pipeline", *words]
    with (folder / f"{words[0]}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _started(folder: Path, environment: Mapping[str, str], runs: int) -> Iterator[str]:
    """Start runs of the deployment, each when the one before it has ended; gives how it ended."""
    words = [sys.executable, "-c", CLIENT, str(runs)]
    with (folder / "client.log").open("w") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    with process:
        yield from (line.strip() for line in process.stdout)


def _wait_for_run(serving: int, seconds: float = 60) -> None:
    """Until the process of the run that has just ended is gone, so that each look sees the same processes."""
    end = time.monotonic() + seconds
    while any(not _is_tracker(pid) for pid in descendants(serving)):
        assert time.monotonic() < end, f"the process of a run that has ended is still there after {seconds:.0f} s"
        time.sleep(0.1)


def _is_tracker(pid: int) -> bool:
    """Python's tracker of shared resources, which stays as long as the process that has it; or a process that ended."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"resource_tracker" in command or gone(pid)


CASES = {
    "stages": Case(
        "Stages of a small book many times in one process: the same bytes; memory, files, threads and scratch "
        "space flat",
        stages,
        quick=1,
        long=4,
        seconds=1800,
    ),
    "toy": Case(
        f"The toy book, with {EPOCHS} epochs a training, {SEEDS} times in a row in one project, each time under "
        "another seed: nothing stays behind",
        toy,
        quick=0,
        long=1,
        seconds=14400,
    ),
    "deployment": Case(
        f"{RUNS} runs of a Prefect deployment: memory and open files of its server and of `serve` flat",
        deployment,
        quick=0,
        long=4,
        seconds=14400,
    ),
    "export": Case(
        f"CAM export of {IMAGES} small images by two processes: memory, open files and scratch space flat",
        export,
        quick=0,
        long=1,
        seconds=14400,
    ),
}
