"""Where the project lies, also for a command that runs in a subfolder or in DVC's copy of it.

A project is a checkout of the repository, or a folder that ``init`` made for books of an installed package.

``dvc exp run --temp`` and ``--queue`` run a book in a copy under ``.dvc/tmp/exps``, which DVC deletes afterwards: what
has to stay (the record of runs) belongs to the project that was copied.
"""

from __future__ import annotations

import os
from pathlib import Path

COPIES = Path(".dvc/tmp/exps")
"""Where DVC keeps its copies, from a project's root (source: treeverse/dvc, ``TempDirExecutor.from_stash_entry``)."""

MARK = Path("weak2mask.json")
"""In the root of a project that is no checkout: the version and the source that its books run with."""
ROOT_EXPECTED = f"expected the project's root (dvc.yaml and pipeline/, or {MARK})"
"""For messages."""


def project_root() -> Path:
    """The project's own folder: the current one, one above it, or the one that the current one is DVC's copy of.

    Outside of any project, the current folder. Absolute.
    """
    here = Path.cwd()
    return _copied_from(here) or next((folder for folder in (here, *here.parents) if is_root(folder)), here)


def is_root(folder: Path) -> bool:
    """Whether this is a project's root."""
    return is_checkout(folder) or (folder / MARK).is_file()


def is_checkout(folder: Path) -> bool:
    """Whether this is the root of a clone of the repository (or of DVC's copy of one), with the source in it."""
    return (folder / "dvc.yaml").is_file() and (folder / "pipeline").is_dir()


def lost_project() -> Path | None:
    """The project that DVC names to an experiment, where it is not there any more: the experiment keeps its own record.

    None: there is no experiment, or its project is found.
    """
    stated = os.environ.get("DVC_ROOT")
    if not stated or not os.environ.get("DVC_EXP_NAME") or _copied_from(Path.cwd()):
        return None
    return None if Path(stated).is_dir() else Path(stated)


def _copied_from(here: Path) -> Path | None:
    """The project that ``here`` is DVC's copy of, or lies in a copy of; None when it does not.

    DVC tells its stages the project in ``DVC_ROOT``, which also knows one in a subfolder of the Git repository. What
    was started by hand in a copy has the path alone.
    """
    stated = os.environ.get("DVC_ROOT")
    if stated and (Path(stated).resolve() / COPIES) in here.parents:
        return Path(stated).resolve()
    return next((folder for folder in here.parents if folder / COPIES in here.parents), None)
