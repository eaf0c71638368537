"""Laws of the house that import-linter cannot say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for room in ("models", "stages", "pipeline") for path in (ROOT / room).rglob("*.py"))


def imported(source: Path | str) -> set[str]:
    """Top-level names of the packages that a file, or a text, imports, anywhere in it."""
    names: set[str] = set()
    text = source if isinstance(source, str) else source.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(
    "package",
    [
        "zarr",
        "mlflow",
        "prefect",
        "dvc",
        "lightning_fabric",
        "pydensecrf",
        "safetensors",
        "pycocotools",
        "onnxruntime",
        "plotly",
        "distributed",
        "transformers",
        "huggingface_hub",
    ],
)
def test_a_third_party_service_has_one_file(package: str) -> None:
    users = [str(path.relative_to(ROOT)) for path in SOURCES if package in imported(path)]
    assert len(users) == 1, f"{package} is imported in {users}"


def test_ground_truth_is_opened_by_four_verbs_only() -> None:
    users = {
        path.stem
        for path in (ROOT / "pipeline" / "binders").glob("*.py")
        if "GroundTruth" in path.read_text(encoding="utf-8")
    }
    assert users <= {"supervising", "evaluate", "evaluate_boxes"}
    importer = (ROOT / "pipeline" / "binders" / "import_annotations.py").read_text(encoding="utf-8")
    assert "ground_truth" not in importer


def test_only_those_verbs_depend_on_ground_truth() -> None:
    """A leak would be visible in the graph: the stanza of another verb would name the ground truth."""
    import yaml

    stanzas = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for verb, stanza in stanzas.items():
        dependencies = stanza.get("do", stanza)["deps"]
        reads = any("ground_truth" in str(dependency) for dependency in dependencies)
        assert reads == (verb in {"annotate", "evaluate", "evaluate_boxes"}), verb


def test_every_verb_has_a_binder_and_a_stanza() -> None:
    import yaml

    from pipeline.book.artifacts import VERBS

    stanzas = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    binders = {path.stem for path in (ROOT / "pipeline" / "binders").glob("*.py")} - {
        "__init__",
        "common",
        "keeping",
        "supervising",
    }
    assert set(stanzas) - {"code"} == set(VERBS) == binders


def test_every_door_opens() -> None:
    from models.doors import resolve
    from pipeline.book.options import DOORS

    for what, door in DOORS.items():
        for name in door:
            assert callable(resolve(door, name, what)), name


def test_no_door_imports_its_components() -> None:
    """A door is strings: opening one component must not import, or fingerprint, its neighbours."""
    for path in SOURCES:
        if path.name == "__init__.py":
            components = path.read_text(encoding="utf-8").replace("from models.doors import Door\n", "")
            assert imported(components) <= {"__future__", "typing", "collections"}, path
