"""Small trainings on the device: killed and resumed, under torchrun, and with DDP's own strategy in one process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.gpu.parts import Given
from tests.helpers import tiny_training
from tests.helpers.tiny_training import Run

SCRIPT = str(Path(tiny_training.__file__))


def resume(given: Given) -> None:
    """Killed after its tenth step, a training goes on, and ends with the weights of one that was not."""
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = _folders(folder, "whole", "killed")
        Run(whole)()
        process = subprocess.Popen([sys.executable, SCRIPT, str(killed), "0.3"])
        end = time.monotonic() + _longest(given)
        while not (killed / "reached_10").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        was_saved, was_done = (killed / "state").exists(), (killed / "weights.npz").exists()
        Run(killed)()
        given.keep({"killed": "after step 10", "state was there": was_saved, "had ended": was_done})
        given.keep(_compared("resumed", whole, killed))
        if was_done or not was_saved:
            raise SystemExit("the training was not killed in its midst")


def ddp(given: Given) -> None:
    """One process: plain, under torchrun, and wrapped by DDP (NCCL on a GPU, gloo on a CPU)."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    with tempfile.TemporaryDirectory() as folder:
        plain, launched, wrapped = _folders(folder, "plain", "launched", "wrapped")
        Run(plain)()
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", SCRIPT]
        subprocess.run([*command, str(launched)], check=True, timeout=_longest(given))
        given.keep(_compared("torchrun", plain, launched))
        backend = "nccl" if given.device == "cuda" else "gloo"
        fabric = Fabric(accelerator=given.device, strategy=DDPStrategy(process_group_backend=backend), devices=1)
        fabric.launch()
        with patch("pipeline.compute.runtime.fabric", lambda: fabric):
            Run(wrapped)()
        given.keep(_compared(f"DDP, {backend}", plain, wrapped))


def _longest(given: Given) -> float:
    """Seconds to wait for a training; a machine that only tries the check may be busy."""
    return 300.0 if given.tiny else 25.0


def _folders(inside: str, *names: str) -> list[Path]:
    folders = [Path(inside, name) for name in names]
    for folder in folders:
        folder.mkdir()
    return folders


def _compared(what: str, one: Path, other: Path) -> dict[str, object]:
    """How far apart the weights and the last losses of two trainings are."""
    with np.load(one / "weights.npz") as expected, np.load(other / "weights.npz") as found:
        gaps = [float(np.abs(found[name] - expected[name]).max()) for name in expected]
    last = [json.loads((folder / "history.json").read_text())[-1]["total"] for folder in (one, other)]
    return {"training": what, "largest difference of a weight": max(gaps), "last losses": last}
