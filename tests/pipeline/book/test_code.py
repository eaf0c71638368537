"""An edit re-runs what it can change, and nothing else."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.backbones import BACKBONES
from pipeline.book.fingerprints import closure, fingerprint
from pipeline.book.module_facts import plain_source
from pipeline.book.options import components
from tests.helpers import made_book


def test_closure_follows_imports_and_stays_in_its_own_verb() -> None:
    train = closure(("pipeline.binders.train", "models.methods.classifier", "models.backbones.resnet"))
    assert {"stages.train", "models.optim", "pipeline.loading.loaders", "models.structures"} <= train
    assert not {"models.methods.segmenter", "stages.export_cams", "models.backbones.mobilenet_v2"} & train
    refine = closure(("pipeline.binders.refine_cams", "models.refiners.dense_crf"))
    assert not {name for name in refine if name.startswith(("models.methods", "models.backbones", "stages.train"))}


def test_bookkeeping_and_doors_do_not_count() -> None:
    found = closure(("pipeline.binders.train",))
    assert not {"pipeline.tracking.log", "pipeline.book.params", "models.backbones", "models.methods"} & found


def test_fingerprint_depends_on_the_named_components() -> None:
    first = fingerprint("train", ("models.backbones.resnet",))
    assert first == fingerprint("train", ("models.backbones.resnet",))
    assert first != fingerprint("train", ("models.backbones.mobilenet_v2",))
    assert first != fingerprint("export_cams", ("models.backbones.resnet",))


@pytest.mark.parametrize("verb", ["annotate", "import_annotations"])
def test_the_kinds_of_a_mixture_count(verb: str) -> None:
    mixed = {"data": "made", "split": "train", "kind": "mixture", **({} if verb == "annotate" else {"file": "labels"})}
    found = components(made_book.book(**{verb: {"mixed": mixed}}), verb, "mixed")
    assert {f"pipeline.annotations.{kind}" for kind in ("mixture", "tags", "boxes", "points", "scribbles")} <= {*found}


@pytest.mark.parametrize("model", [{}, {"second": "resnet18"}])
def test_both_encoders_of_a_method_count(model: dict[str, str]) -> None:
    net = {"data": "made", "supervision": "tags", "init": "both", "method": "weclip_plus", "model": model}
    both = {"official": "weclip_plus", "file": "weights", "second": {"architecture": "resnet18", "file": "b.pth"}}
    book = made_book.book(train={"net": net}, import_weights={"both": both})
    second = BACKBONES[model.get("second", "timm/vit_small_patch14_dinov2")].partition(":")[0]
    assert second in components(book, "train", "net")
    assert BACKBONES["resnet18"].partition(":")[0] in components(book, "import_weights", "both")
    assert second in components(book, "export_cams", "cam")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("x = 1  # why\n", "x = 1\n", True),
        ('def f():\n    """Doc."""\n    return 1\n', "def f():\n    return 1\n", True),
        ("x = (1,\n     2)\n", "x = (1, 2)\n", True),
        ("x = 1\n", "x = 2\n", False),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(before: str, after: str, same: bool) -> None:
    assert (plain_source(ast.parse(before)) == plain_source(ast.parse(after))) is same


PROJECT = Path(__file__).parents[3]
FINGERPRINTS = """
import json, sys
from pipeline.book.options import components
from pipeline.book.fingerprints import fingerprint
from pipeline.book.params import load_book
book = load_book(sys.argv[1])
print(json.dumps({f"{verb}@{name}": fingerprint(verb, components(book, verb, name)) for verb, name in book.entries()}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's code and of a book with HFPL, SEAM and a segmenter."""
    root = tmp_path_factory.mktemp("project")
    for room in ("models", "stages", "pipeline"):
        shutil.copytree(PROJECT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "recipes" / "voc_mini_cams", root / "recipes" / "voc_mini_cams")
    return root


def prints(root: Path) -> dict[str, str]:
    command = [sys.executable, "-c", FINGERPRINTS, "recipes/voc_mini_cams"]
    found: dict[str, str] = json.loads(subprocess.run(command, cwd=root, capture_output=True, check=True).stdout)
    return found


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    return prints(copy)


def rewritten(root: Path, change: Callable[[str], str]) -> None:
    for path in root.rglob("*.py"):
        text = path.read_text()
        if (new := change(text)) != text:
            path.write_text(new)


@pytest.mark.slow
def test_kept_facts_give_the_same_and_follow_an_edit(copy: Path, before: dict[str, str], tmp_path: Path) -> None:
    """Equal text is not parsed again, a changed one is, whatever its time and size; what is damaged is read anew."""
    root = shutil.copytree(copy, tmp_path / "kept")
    (root / "dvc.yaml").write_text("stages: {}\n")
    assert prints(root) == before
    kept = root / ".scratch" / "module_facts.json"
    facts = json.loads(kept.read_text())
    assert {"stages.train", "models.losses.seam"} <= set(facts)
    written = kept.stat().st_mtime_ns
    assert prints(root) == before
    assert kept.stat().st_mtime_ns == written
    edited = root / "stages" / "predict_masks.py"
    times, text = edited.stat(), edited.read_text()
    edited.write_text(text.replace("def _", "def q", 1))
    os.utime(edited, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert edited.stat().st_size == times.st_size
    assert {name for name, print_ in prints(root).items() if print_ != before[name]}
    edited.write_text(text)
    for damaged in ("[]", "{", json.dumps(dict.fromkeys(facts))):
        kept.write_text(damaged)
        assert prints(root) == before


@pytest.mark.slow
def test_a_module_that_moves_re_runs_nothing(copy: Path, before: dict[str, str], tmp_path: Path) -> None:
    moved = shutil.copytree(copy, tmp_path / "moved")
    shutil.move(moved / "pipeline" / "compute" / "chunks.py", moved / "pipeline" / "storage" / "pieces.py")
    shutil.move(moved / "models" / "losses" / "seam.py", moved / "models" / "losses" / "equivariance.py")
    rewritten(moved, lambda text: text.replace("pipeline.compute.chunks", "pipeline.storage.pieces"))
    rewritten(moved, lambda text: text.replace("models.losses.seam", "models.losses.equivariance"))
    assert "pipeline.storage.pieces" in (moved / "pipeline" / "binders" / "common.py").read_text()
    assert prints(moved) == before


@pytest.mark.slow
def test_a_function_that_moves_to_another_module_re_runs_nothing(
    copy: Path, before: dict[str, str], tmp_path: Path
) -> None:
    moved = shutil.copytree(copy, tmp_path / "moved")
    old, new = moved / "pipeline" / "binders" / "common.py", moved / "pipeline" / "id_chunks.py"
    text = old.read_text()
    found = re.search(r"^def id_chunks.*?(?=^def )", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    new.write_text(f"from __future__ import annotations\n\nfrom collections.abc import Sequence\n\n\n{found[0]}")
    old.write_text(
        text.replace(found[0], "").replace(
            "from pipeline.compute.chunks", "from pipeline.id_chunks import id_chunks\nfrom pipeline.compute.chunks"
        )
    )
    assert prints(moved) == before


@pytest.mark.slow
def test_one_line_of_hfpl_re_runs_its_recipes_alone(copy: Path, before: dict[str, str], tmp_path: Path) -> None:
    edited = shutil.copytree(copy, tmp_path / "edited")
    page = edited / "models" / "methods" / "hfpl.py"
    text = page.read_text()
    line = 'own["importance_sampling"] = self.sampling * '
    assert text.count(line) == 1
    page.write_text(text.replace(line, f"{line}2 * "))
    after = prints(edited)
    changed = {stage for stage in before if before[stage] != after[stage]}
    trained = {stage for stage in changed if stage.startswith("train@")}
    assert trained
    assert all("hfpl" in stage for stage in trained)
    assert not {stage for stage in changed if stage.startswith(("prepare@", "annotate@", "refine_cams@", "evaluate@"))}


@pytest.mark.slow
def test_an_import_that_means_another_function_counts(copy: Path, before: dict[str, str], tmp_path: Path) -> None:
    edited = shutil.copytree(copy, tmp_path / "edited")
    (edited / "models" / "ops" / "other.py").write_text("def resize_bilinear(scores, size):\n    return scores\n")
    stage = edited / "stages" / "evaluate.py"
    text = stage.read_text()
    assert "models.ops.resize import resize_bilinear" in text
    stage.write_text(text.replace("models.ops.resize import", "models.ops.other import"))
    after = prints(edited)
    assert {stage.partition("@")[0] for stage in before if before[stage] != after[stage]} == {"evaluate"}
