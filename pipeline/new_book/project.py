"""Make the current folder a project for books of an installed package: what a checkout has beside its source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from models.errors import ConfigurationError, Weak2MaskError
from pipeline.book.mark import write_mark
from pipeline.compute.project import MARK, is_root, project_root

TEMPLATES = Path(__file__).parents[1] / "templates" / "project"
FILES = {".dvcignore": "dvcignore", ".gitignore": "gitignore", "prefect.toml": "prefect.toml"}
"""What is written, where it is not there yet, and the template that it is."""
DVC = Path(".dvc")
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
{no_scm}[cache]
    type = "hardlink,copy"
"""
FOLDERS = ("recipes", "data", "work")
"""What the first book makes."""


def make_project(data: Path, made: list[Path]) -> None:
    """Make the current folder a project; does nothing in a project, also in a subfolder of one.

    DVC is initialised as the folder asks for: in the root of a Git repository, in a subfolder of one, or without Git.

    Args:
        data: what the first book will read.
        made: gets what is made here and what the first book will make, also if this fails: to be removed then.

    Raises:
        ConfigurationError: the project would lie in the data.
        Weak2MaskError: DVC does not start here.
    """
    root = Path.cwd()
    if is_root(root) or project_root() != root:
        return
    if root.is_relative_to(data.resolve()):
        raise ConfigurationError(
            f"{root}: expected a folder beside the images, for the book and what it makes; found the images' own. "
            f"Make one and run this there: mkdir ../masks && cd ../masks, then `weak2mask init {data.resolve()}`."
        )
    made += [path for path in (*map(Path, FOLDERS), Path(DVC), *map(Path, FILES)) if not path.exists()]
    made.append(MARK)
    for name, template in FILES.items():
        if not Path(name).exists():
            Path(name).write_bytes((TEMPLATES / template).read_bytes())
    if not DVC.is_dir():
        _init_dvc(root)
    write_mark(root)


def _init_dvc(root: Path) -> None:
    repository = _git_repository(root)
    how = [] if repository == root.resolve() else ["--subdir"] if repository else ["--no-scm"]
    quiet = os.environ | {"DVC_NO_ANALYTICS": "1"}  # the configuration that says so is written afterwards
    command = [sys.executable, "-m", "dvc", "init", "--quiet", *how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise Weak2MaskError(f"{root}: DVC does not start here: {done.stderr.strip()}")
    no_scm = "" if repository else "    no_scm = true\n"
    (DVC / "config").write_text(DVC_CONFIG.format(no_scm=no_scm), encoding="utf-8")


def _git_repository(folder: Path) -> Path | None:
    """Root of the Git repository that the folder lies in."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--show-toplevel"], cwd=folder, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no Git on this machine
        return None
    return Path(done.stdout.strip()).resolve() if done.returncode == 0 else None
