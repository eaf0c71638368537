"""DVC without the books that a run has nothing to do with: the only file that imports DVC.

Before ``dvc repro`` looks at a stage it reads every dvc.yaml of the project, some milliseconds for each stage of each
book. Here it reads one book, whatever is no book, and of the others those in whose work folder something that has been
read reads or writes. ``python -m pipeline.running.dvc_books BOOK/dvc.yaml ...`` is ``dvc ...`` that way.

Neither ``dvc.repo.index`` nor ``dvc.rwlock`` is documented; ``tests/pipeline/running/test_dvc_books.py`` compares both
ways, ``test_at_work.py`` looks at the locks.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError
from pipeline.compute.lifeline import bound_command

_WORK = re.compile(r"(?:^ +|[{,] *)work: *['\"]?([^'\"#{},\s]+)", re.MULTILINE)


@contextmanager
def project_graph(dvc_yaml: Path) -> Iterator[Any]:
    """DVC's graph (networkx, of its stages, each with an edge to what it reads from), with one book of the project.

    Raises:
        ConfigurationError: DVC cannot read it.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with one_book(dvc_yaml), Repo() as repo:
            yield repo.index.graph
    except DvcException as error:
        raise ConfigurationError(
            f"DVC cannot read the project's graph: {error}\nMend the file that it names "
            "(python -m pipeline check --book FOLDER) or move it away. Run from the project's root."
        ) from None


@contextmanager
def one_book(dvc_yaml: Path) -> Iterator[None]:
    """Inside, DVC's index of this project holds the book of ``dvc_yaml``, and no other that it can do without."""
    from dvc.repo import index as module

    whole = module.Index
    if not all(hasattr(whole, name) for name in ("from_file", "from_repo", "from_indexes")):  # a DVC of another form
        yield
        return
    others = other_books(dvc_yaml)

    class OneBookIndex(whole):  # type: ignore[misc, valid-type]
        @classmethod
        def from_file(cls, repo: Any, path: str) -> Any:
            return cls(repo) if path in others else super().from_file(repo, path)

        @classmethod
        def from_repo(cls, repo: Any, onerror: Any = None) -> Any:
            index = super().from_repo(repo, onerror)
            while needed := [path for path, work in others.items() if _touches(index.stages, work)]:
                for path in needed:
                    del others[path]
                index = cls.from_indexes(repo, [index, *(cls.from_file(repo, path) for path in needed)])
            return index

    module.Index = OneBookIndex
    try:
        yield
    finally:
        module.Index = whole


def release_locks(holds: Callable[[Mapping[str, Any]], bool]) -> None:
    """Remove the locks of stages that nobody holds from DVC's list, under DVC's guard of the list.

    Does nothing where the guard cannot be had, or the list is no list: DVC says so when it is asked for something.

    Args:
        holds: whether the process with this ``pid`` and command line ``cmd`` may hold a lock.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.rwlock import _edit_rwlock

    with suppress(DvcException), Repo() as repo:
        guard = _edit_rwlock(repo.tmp_dir, repo.fs, repo.config["core"].get("hardlink_lock", False))
        with guard as locks:
            for path, info in [*locks["write"].items()]:
                if not holds(info):
                    del locks["write"][path]
            for path, infos in [*locks["read"].items()]:
                locks["read"][path] = [info for info in infos if holds(info)]
                if not locks["read"][path]:
                    del locks["read"][path]


def remove_broken_locks(path: Path) -> None:
    """Remove DVC's list of locks where it is half a file, as a DVC leaves it that was killed while writing it.

    Under DVC's guard of the list, which a living writer holds. Does nothing where the guard cannot be had.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import make_lock
    from dvc.repo import Repo
    from dvc.rwlock import RWLOCK_LOCK

    with suppress(DvcException, OSError), Repo() as repo:
        hardlink = repo.config["core"].get("hardlink_lock", False)
        with make_lock(os.path.join(repo.tmp_dir, RWLOCK_LOCK), tmp_dir=repo.tmp_dir, hardlink_lock=hardlink):
            try:
                json.loads(path.read_bytes())
            except ValueError:
                path.unlink()


def other_books(dvc_yaml: Path) -> dict[str, str]:
    """The dvc.yaml and the work folder, as absolute paths, of each other book that says where it works."""
    root = Path.cwd()
    found = {}
    for params in (Path("params.yaml"), *Path("recipes").glob("*/params.yaml")):
        file = params.with_name("dvc.yaml")
        if file.resolve() == dvc_yaml.resolve() or not (params.is_file() and file.is_file()):
            continue
        works = _WORK.findall(params.read_text(encoding="utf-8", errors="replace"))
        if len(works) == 1:
            found[str(root / file)] = os.path.normpath(root / works[0])
    return found


def _touches(stages: Sequence[Any], work: str) -> bool:
    """Whether one of the stages reads or makes something in that folder, or all of it."""
    places = (str(place.fs_path) for stage in stages for place in (*stage.outs, *stage.deps))
    return any(f"{place}/".startswith(f"{work}/") or work.startswith(f"{place}/") for place in places)


def one_book_command(dvc_yaml: Path, *words: str) -> list[str]:
    """The command line of ``dvc WORDS`` that reads one book, and ends with the process that starts it."""
    return bound_command("pipeline.running.dvc_books", dvc_yaml.as_posix(), *words)


def main(arguments: Sequence[str]) -> int:
    """``dvc`` with the arguments after the first, which names the book; returns its exit code."""
    from dvc.cli import main as dvc

    with one_book(Path(arguments[0])):
        return int(dvc(list(arguments[1:])) or 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
