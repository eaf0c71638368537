"""A book on made data sets of growing size: is time linear, memory flat, a chunk as cheap in a large store?

    python -m benchmarks.scale                                 # 640, 10,582 and 118,287 images: hours beside others
    python -m benchmarks.scale --images 640 2000 8000          # some minutes
    python -m benchmarks.scale --resume                        # go on; what has been measured is kept
    python -m benchmarks.scale --store 1281167                 # a store of CAMs of so many images: opening it
    python -m benchmarks.scale --cams work/voc_mini/cams/cam   # bytes of a real store, and of COCO's by arithmetic

Images are 24x32 pixels with two tags of 80 classes, so that what counts is what a stage does for every image beside its
computation. Each step is a process with one thread and no workers. The sizes take turns, step by step; all but the
largest run before and after it. Writes results/scale/: ``python -m docs.tools.generate`` makes the page of it. 118,287
images need 4 GB in ``--folder``, which is deleted at the end unless ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.scale_steps import STEPS
from benchmarks.suite import ROOT, THREADS, made

FOLDER = ROOT / "results" / "scale"
IMAGES = (640, 10_582, 118_287)
COCO_IMAGES, COCO_TAGS, COCO_PIXELS = 118_287, 2.9, 640 * 480
"""Of train2017: images, about how many classes an image has, about how many pixels."""
OUTPUTS = {
    "prepare": "catalogues/made",
    "annotate": "supervision/train",
    "CAM store": "cams/made_train",
    "refine_cams, a stub": "cams/train",
    "make_pseudo_masks": "supervision/pseudo_train",
}
HASHED = "DVC's hash of a CAM store"
ONCE = ("made images", "table", "report", "page")
"""Steps that run once at each size: the first is no measurement, the others do not depend on the number of images."""
LOOP = "sum(i * i for i in range(3_000_000))"
"""The same work every time: how fast the machine is at that moment."""

Record = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGES), help="sizes, ascending")
    parser.add_argument("--folder", type=Path, default=ROOT / ".scratch" / "scale", help="for the made data")
    parser.add_argument("--out", type=Path, default=FOLDER, help="for the results")
    parser.add_argument("--resume", action="store_true", help="keep what has been measured; each run says its commit")
    parser.add_argument("--once", action="store_true", help="each step once at each size, not before and after")
    parser.add_argument("--keep", action="store_true", help="leave the made data")
    parser.add_argument("--store", type=int, metavar="IMAGES", help="measure opening a store of so many images alone")
    parser.add_argument("--cams", type=Path, nargs="+", metavar="STORE", help="measure the bytes of real stores alone")
    parser.add_argument("--about", default="", help="what the stores are of, for the page")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.store:
        _write(asked.out / f"store_{asked.store}.json", _large_store(asked.store))
    elif asked.cams:
        stores = [cam_bytes(path) for path in asked.cams]
        _write(asked.out / "cams.json", {"about": asked.about, "stores": stores, "made": made()})
    else:
        _all(sorted(asked.images), asked.folder, asked.out / "stages.json", asked.resume, asked.once)
        if not asked.keep:
            shutil.rmtree(asked.folder)
    return 0


def cam_bytes(path: Path) -> Record:
    """Bytes of a store of CAMs for each map and for each cell of a map, and what COCO's would have by that."""
    import numpy as np

    from pipeline.storage.stores import CamStore

    store = CamStore(path)
    files = [file for file in path.rglob("*") if file.is_file()]
    size, maps = sum(file.stat().st_size for file in files), sum(map(len, store.keys))
    shapes = [cam.scores.shape for _, cam in store]
    cells, pixels = sum(map(np.prod, shapes)), float(np.prod(store.index.sizes, axis=1).mean())
    coco = COCO_IMAGES * COCO_TAGS * size / maps * COCO_PIXELS / pixels
    return {
        "store": path.name, "images": len(store), "maps": maps, "files": len(files), "bytes": size,
        "type": store.attributes["dtype"], "bytes_per_map": size / maps, "bytes_per_cell": float(size / cells),
        "pixels": pixels, "coco_gigabytes": coco / 1e9,
    }  # fmt: skip


def _all(sizes: Sequence[int], folder: Path, path: Path, resume: bool, once: bool) -> None:
    """Every step at every size, each written as soon as it is there."""
    runs: list[Record] = json.loads(path.read_text(encoding="utf-8"))["runs"] if resume and path.is_file() else []
    turns = [*sizes, *sizes[-2::-1]]
    for step in (*STEPS, HASHED):
        for turn, images in enumerate(sizes if once or step in ONCE else turns):
            place = {"step": step, "images": images, "turn": turn}
            if not any(place.items() <= run.items() for run in runs):
                runs.append(place | {"commit": made()["commit"]} | _step(step, images, folder / str(images)))
                _write(path, {"runs": runs, "made": made()})
            print(_line(next(run for run in runs if place.items() <= run.items())), flush=True)


def _step(step: str, images: int, folder: Path) -> Record:
    """Run one step in the folder of a size; CPU seconds, peak, what it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / "work" / "scale"
    if step == HASHED:
        return _hashed(work / "cams" / "made_train", folder / "dvc")
    before = loop_seconds()
    record = _process([sys.executable, "-m", "benchmarks.scale_steps", step, str(images)], folder)
    record["loop"] = (before + loop_seconds()) / 2
    if step in OUTPUTS:
        files = [file for file in (work / OUTPUTS[step]).rglob("*") if file.is_file()]
        record |= {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
    if step == "report":
        record["bytes"] = sum(file.stat().st_size for file in (folder / "report").rglob("*") if file.is_file())
    return record


def _hashed(store: Path, project: Path) -> Record:
    """``dvc add --no-commit`` of the store, which hashes it, in a project of its own."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    _process([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], project)
    shutil.copytree(store, project / "store", copy_function=os.link)
    before = loop_seconds()
    record = _process([sys.executable, "-m", "dvc", "add", "--no-commit", "--quiet", "store"], project)
    files = [file for file in store.rglob("*") if file.is_file()]
    bytes_there = sum(file.stat().st_size for file in files)
    return record | {"loop": (before + loop_seconds()) / 2, "files": len(files), "bytes": bytes_there}


def loop_seconds() -> float:
    """CPU seconds of a loop that is the same every time."""
    return float(_process([sys.executable, "-S", "-c", LOOP], Path.cwd())["cpu"])


def _process(command: Sequence[str], folder: Path) -> Record:
    """Run a command with one thread; raises SystemExit where it fails. What it prints as JSON is in the record."""
    environment = os.environ | THREADS | {"WEAK2MASK_WORKERS": "0", "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    with TemporaryDirectory() as scratch:
        said, wrong = Path(scratch) / "out", Path(scratch) / "err"
        with said.open("w") as out, wrong.open("w") as err:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{wrong.read_text()[-3000:]}")
        text = said.read_text()
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    printed = json.loads(text) if text.startswith("{") else {}
    return {"cpu": usage.ru_utime + usage.ru_stime, "megabytes": peak} | printed


def _large_store(images: int) -> Record:
    """Opening a store of many images, for the first time and again, and reading a chunk of it; beside one of 1,000."""
    code = (
        "import json,sys,time,resource\nfrom benchmarks import opening\n"
        "x = opening.inputs(int(sys.argv[1]))\nopening.opened(x)\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3\n"
        "seconds = []\n"
        "for _ in range(5):\n"
        "    start = time.process_time(); opening.opened(x); seconds.append(time.process_time() - start)\n"
        "print(json.dumps({'making_megabytes': peak, 'open_and_chunk': min(seconds)}))"
    )
    records = {str(count): _process([sys.executable, "-c", code, str(count)], Path.cwd()) for count in (1000, images)}
    return {"stores": records, "made": made()}


def slopes(runs: Sequence[Record], step: str) -> list[tuple[int, float]]:
    """(images, CPU milliseconds of one image more between the next smaller size and this one), by the loop's speed."""
    of_step = [run for run in runs if run["step"] == step]
    usual = median(run["loop"] for run in runs if "loop" in run)
    seconds: dict[int, float] = {}
    for images in sorted({run["images"] for run in of_step}):
        at_size = [run["cpu"] * usual / run["loop"] for run in of_step if run["images"] == images]
        seconds[images] = sum(at_size) / len(at_size)
    sizes = list(seconds)
    return [(b, 1000 * (seconds[b] - seconds[a]) / (b - a)) for a, b in pairwise(sizes)]


def _line(run: Record) -> str:
    more = {key: run[key] for key in ("files", "bytes", "opens") if key in run}
    return f"{run['images']:8} {run['step']:28} {run['cpu']:9.2f} s CPU {run['megabytes']:7.0f} MB  {more or ''}"


def _write(path: Path, record: Record) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
