"""Every recipe book that is shipped holds, and its graph is DVC's graph."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.book.check import check
from pipeline.book.params import load_book

ROOT = Path(__file__).parent.parent
BOOKS = [".", *sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("recipes/*/params.yaml"))]


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("folder", BOOKS)
def test_book_holds(folder: str) -> None:
    book = load_book(folder)
    check(book)
    assert book.book.path == folder
    assert book.book.params == str(Path(folder) / "params.yaml")
    assert (ROOT / folder / book.book.root).resolve() == ROOT


def test_a_clone_has_the_roots_graph_alone() -> None:
    """DVC reads every dvc.yaml whatever is asked of it: a recipe gets its copy when it is first run."""
    files = subprocess.run(
        ["git", "ls-files", "*dvc.yaml"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert files.split() == ["dvc.yaml"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the recipes' books, all known to DVC."""
    folder = tmp_path_factory.mktemp("clone")
    for book in BOOKS:
        (folder / book).mkdir(parents=True, exist_ok=True)
        for source in (Path(book) / "params.yaml", Path("dvc.yaml")):
            shutil.copy(ROOT / source, folder / book / source.name)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("folder", BOOKS)
def test_dvc_sees_one_stage_an_entry(folder: str, clone: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only", str(Path(folder) / "dvc.yaml")],
        cwd=clone, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    expected = {"code"} | {f"{verb}@{name}" for verb, name in load_book(folder).entries()}
    assert {name.rpartition(":")[2] for name in listed} == expected


@pytest.mark.parametrize(
    ("folder", "pair"),
    [
        ("voc_mini_cams", "classifier - classifier_hfpl"),
        ("voc_mini_cams", "seam - seam_hfpl"),
        ("voc_mini_cams", "ppc - ppc_hfpl"),
        ("voc_mini_cams", "seam - ppc"),
        ("voc_mini_cams", "classifier_val - classifier_hfpl_val"),
        ("voc_mini_cams", "seam_val - seam_hfpl_val"),
        ("voc_mini_cams", "ppc_val - ppc_hfpl_val"),
        ("voc_mini_rcm", "vanilla - rcm"),
        ("voc_mini_rcm", "rcm_longer - rcm_mam"),
        ("voc_mini_rtc", "base - crr"),
        ("voc_mini_rtc", "crr - ctr"),
        ("voc_mini_rtc", "ctr - com"),
        ("voc_mini_rtc", "com - rtc"),
        ("voc_mini_rtc", "irn_val - val"),
        ("voc_mini_spml", "points_val_raw - points_annotation"),
        ("voc_mini_spml", "points_val_raw - points_no_similarity"),
        ("voc_mini_spml", "points_val_raw - points_no_co_occurrence"),
        ("voc_mini_spml", "points_val_raw - points_with_affinity"),
        ("voc_mini_effnet", "segmenter_mobilenet - rtc_mobilenet"),
    ],
)
def test_a_table_compares_what_the_papers_compare(folder: str, pair: str) -> None:
    """The second row of a pair names the first, under as many seeds: the table then has their difference."""
    other, row = pair.split(" - ")
    rows = load_book(f"recipes/{folder}").table.repeats
    assert rows[row].against == other
    assert len(rows[row].of) == len(rows[other].of) >= 3


def test_check_imports_no_torch() -> None:
    """So that it ends in about a second: torch alone takes three to import."""
    code = (
        "import sys; from pipeline.book.check import check; from pipeline.book.params import load_book; "
        "check(load_book('.')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
