"""The one dvc.yaml and its copies in the books' folders.

A book gets its copy when it is first run: whatever is asked of DVC, it reads every dvc.yaml of the project, some
milliseconds for each stage, and most people use few of the books.

A copy is a real file, no link: DVC reads other revisions, and other repositories, through Git, for which a link is a
file with a path in it, and one dvc.yaml that is none spoils the whole revision. In the workspace a link does as well.

The package has a copy too, for projects that are no checkout: they have no source of ours that the stage ``code`` could
depend on, and depend on their :data:`~pipeline.compute.project.MARK` instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.compute.project import MARK
from pipeline.problems.notices import first_of

GRAPH = Path("dvc.yaml")
"""The project's own, from the root of a checkout."""
PACKAGED = Path(__file__).with_name("graph.yaml")
"""Its copy in the package. The name is another one, for DVC reads every dvc.yaml that it sees."""
SOURCE_DEPENDENCIES = "      - models\n      - stages\n      - pipeline\n"
"""Of the stage ``code``, in a checkout."""


def project_graph() -> str | None:
    """The text of the dvc.yaml that books of the project in the current folder have; None where there is no project."""
    if MARK.is_file():
        return PACKAGED.read_text(encoding="utf-8").replace(SOURCE_DEPENDENCIES, f"      - {MARK}\n")
    return GRAPH.read_text(encoding="utf-8") if GRAPH.is_file() else None


def write_packaged() -> bool:
    """Give the package the dvc.yaml of the project that it lies in; returns whether anything had to be written."""
    text = GRAPH.read_bytes() if GRAPH.is_file() else b""
    if not text or PACKAGED.parents[2] != Path.cwd() or PACKAGED.read_bytes() == text:
        return False
    PACKAGED.write_bytes(text)
    return True


def write_graph(folder: Path) -> bool:
    """Give the book in ``folder`` the project's dvc.yaml as a file; returns whether anything had to be written.

    Raises:
        ConfigurationError: stages of the user's own in the file that is there would be lost.
    """
    target, ours = folder / GRAPH.name, (project_graph() or "").encode()
    if target.is_symlink():
        target.unlink()
    elif target.is_file():
        if target.read_bytes() == ours:
            return False
        if surplus := _surplus(_parsed(target.read_bytes()), ours):
            raise ConfigurationError(
                f"{target} has what the project's {GRAPH} lacks: {first_of(surplus)}. Move what is yours to a dvc.yaml "
                "in another folder (DVC reads them all together), delete what is not, then refresh again."
            )
    target.write_bytes(ours)
    return True


def write_first_graph(folder: Path) -> bool:
    """Give the book its dvc.yaml where it has none yet; returns whether it was written."""
    target = folder / GRAPH.name
    return not target.is_file() and project_graph() is not None and write_graph(folder)


def books(recipes: Path = Path("recipes")) -> list[Path]:
    """Folders of the books below ``recipes``."""
    return sorted(path.parent for path in recipes.rglob("params.yaml"))


def check_graph_file(folder: Path) -> None:
    """Whether the book's dvc.yaml, a file or a link, has every stage of the project's as it is; more may stand there.

    Comments and layout do not count. Does nothing outside of a project's root, nor for a book that DVC does not know
    yet.

    Raises:
        ConfigurationError: it does not; names the stages that differ and the command that refreshes them.
    """
    target, graph = folder / GRAPH.name, project_graph()
    if graph is None or folder.resolve() == Path.cwd().resolve():
        return
    remedy = f"Refresh it: python -m pipeline refresh {folder.as_posix()}"
    if not target.is_file():
        if not target.is_symlink():
            return
        found = f"a link to {target.readlink()}, where nothing is"
        raise ConfigurationError(f"{target}: expected a copy of the project's {GRAPH}, found {found}. {remedy}.")
    ours = graph.encode()
    if target.read_bytes() == ours:
        return
    theirs = _parsed(target.read_bytes())
    if not _stages(theirs):
        raise ConfigurationError(f"{target}: expected the stages of the project's {GRAPH}, found none. {remedy}.")
    if differing := sorted(_differing(theirs, ours)):
        raise ConfigurationError(
            f"{target} is not the project's {GRAPH}, most often because it was copied from an earlier one. "
            f"It differs in: {first_of(differing, 8)}. {remedy}."
        )


def _differing(theirs: Any, ours: bytes) -> Iterator[str]:
    """Stages of the project that are missing or other in a parsed dvc.yaml."""
    stages = _stages(theirs)
    for name, stage in _stages(_parsed(ours)).items():
        if name not in stages:
            yield f"{name} (missing)"
        elif stages[name] != stage:
            yield name


def _surplus(theirs: Any, ours: bytes) -> list[str]:
    """What stands in a parsed dvc.yaml beside the project's stages."""
    known = _parsed(ours) or {}
    surplus = [f"stage {name}" for name in _stages(theirs) if name not in _stages(known)]
    sections = [f"section {name}" for name in theirs if name not in known] if isinstance(theirs, dict) else []
    return surplus + sections


def _stages(parsed: Any) -> dict[str, Any]:
    stages = parsed.get("stages") if isinstance(parsed, dict) else None
    return stages if isinstance(stages, dict) else {}


def _parsed(content: bytes) -> Any:
    """None for what is no YAML: it has no stages then, as for DVC."""
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
