"""The whole check of a GPU: correctness first, then speed, then chains; each part has a budget and may fail alone.

    benchmarks/gpu.sh                        # eight minutes of an H100 or H200 with 16 cores
    benchmarks/gpu.sh --tiny                 # the same parts on the CPU, with tiny sizes: does the check itself work?
    benchmarks/gpu.sh --parts steps export   # some parts
    benchmarks/gpu.sh --list

Results lie in FOLDER/gpu.json (``--out``; default the variable OUT, else results/gpu), written again after each part,
and the parts' output in FOLDER/gpu.log. A part that fails, or runs out of its budget, keeps what it has measured. Exit
code 1 where a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS

ROOT = Path(__file__).parents[2]
LEAST = 10.0
"""Seconds below which no part is begun."""
TAIL = 2000
"""Characters of a failed part's output in the results."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts in the order of their worth; returns the exit code."""
    parser = argparse.ArgumentParser("benchmarks/gpu.sh", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tiny", action="store_true", help="tiny sizes; on the CPU unless --device says otherwise")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda, and cpu with --tiny")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS], metavar="PART")
    parser.add_argument("--seconds", type=float, default=460.0, help="for all parts together")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ROOT / "results/gpu")), metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="name the parts and stop")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(f"{name:10} {part.seconds:4.0f} s  {part.title}" for name, part in PARTS.items()))
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    device = asked.device or ("cpu" if asked.tiny else "cuda")
    end, found = time.monotonic() + asked.seconds, dict[str, Any]()
    (asked.out / "gpu.log").unlink(missing_ok=True)
    for name in asked.parts:
        left = end - time.monotonic()
        limit = left if asked.tiny else min(left, PARTS[name].seconds)
        found[name] = one(name, device, asked.tiny, asked.out, limit) if left > LEAST else {"error": "no time was left"}
        told = {"tiny": asked.tiny, "device": device, "parts": found}
        (asked.out / "gpu.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {found[name].get('error', 'done')} ({found[name].get('seconds', 0):.0f} s)", flush=True)
    return 1 if any("error" in part for part in found.values()) else 0


def one(name: str, device: str, tiny: bool, out: Path, limit: float) -> dict[str, Any]:
    """Run a part in a process group of its own for at most ``limit`` seconds; returns what it kept."""
    rows, log = out / f"{name}.rows", out / "gpu.log"
    rows.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.part", name, "--device", device, "--rows", str(rows)]
    command += ["--seconds", str(limit)]
    begin = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        print(f"== {name}", file=file, flush=True)
        at = file.tell()
        process = subprocess.Popen(
            [*command, *(["--tiny"] if tiny else [])],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        try:
            code: int | str = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = f"stopped after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    kept = rows.read_text("utf-8").splitlines() if rows.exists() else []
    rows.unlink(missing_ok=True)
    result: dict[str, Any] = {"seconds": round(time.monotonic() - begin, 1), "rows": [json.loads(row) for row in kept]}
    if code:
        output = log.read_text("utf-8", errors="replace")[at:]
        result |= {"error": code if isinstance(code, str) else f"exit code {code}", "output": output[-TAIL:]}
    return result


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part under way ends too
    raise SystemExit(main())
