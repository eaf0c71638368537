"""A DVC project of shell stages that end at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def stage(out: str, *reads: str, command: str = "", **more: Any) -> dict[str, Any]:
    """A stage that writes ``out`` after it has read the outs of others."""
    return {"cmd": f"{command or 'true'} && echo {out} > {out}", "deps": list(reads), "outs": [out], **more}


DIAMOND = {
    "code": stage("source.txt", "params.txt"),
    "left": stage("left.txt", "source.txt", meta={"gpu": 1}),
    "right": stage("right.txt", "source.txt"),
    "join": stage("join.txt", "left.txt", "right.txt", "source.txt"),
    "apart": stage("apart.txt", "source.txt"),
}
"""code -> left, right -> join; code -> apart."""


def project(folder: Path, stages: Mapping[str, Any]) -> Path:
    """A DVC repository with these stages, which all start from ``params.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.txt").write_text("1\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": dict(stages)}, sort_keys=False))
    dvc(folder, "init", "--no-scm", "-q")
    dvc(folder, "config", "core.analytics", "false")
    return folder


def dvc(folder: Path, *words: str) -> str:
    """What ``dvc WORDS`` prints."""
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=600
    ).stdout
