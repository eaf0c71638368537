"""The source of this project's modules, found without importing them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def module_path(module: str) -> Path:
    """The source file of a module of this project, found without importing the module itself."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module {module}")
    return Path(spec.origin)
