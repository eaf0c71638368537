"""What a process runs: Python, the packages that can change a byte, and the project's source."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-image", "pillow", "pydensecrf2"),
    *("zarr", "numcodecs", "safetensors", "dask", "distributed"),
)
SOURCE = "weak2mask source"
ROOMS = Path(__file__).parents[3]


def _identity() -> dict[str, str]:
    return {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES} | {SOURCE: _source()}


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]  # a CPU and a CUDA build of one version may work together
    except PackageNotFoundError:
        return "not installed"


def _source() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for room in ("models", "stages", "pipeline") for path in (ROOMS / room).rglob("*.py")):
        digest.update(f"\n# {path.relative_to(ROOMS).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


IDENTITY = _identity()
"""Of this process, when it imported this module: an edit of the source since then does not reach its code."""
