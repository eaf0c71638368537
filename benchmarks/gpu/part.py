"""One part of the check in a process of its own: ``python -m benchmarks.gpu.part NAME --device cpu --rows FILE``."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS, Given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*PARTS])
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    asked = parser.parse_args()
    os.environ["WEAK2MASK_DEVICE"] = asked.device

    def keep(row: dict[str, Any]) -> None:
        print(row, flush=True)
        with asked.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    PARTS[asked.name].run(Given(asked.device, asked.tiny, keep, time.monotonic() + asked.seconds))


if __name__ == "__main__":
    main()
