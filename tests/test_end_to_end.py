"""The whole chain as a user runs it, on a small book: DVC, caching, early cut-off, bad input, ground truth kept out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {
    "WEAK2MASK_TRACKING": "off",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
    "WEAK2MASK_WORKERS": "1",
}


def small_book() -> dict[str, Any]:
    """The root book with fewer, smaller images and two steps a training."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["prepare"]["toy"]["options"] = {"seed": 3, "train": 8, "val": 4, "min_size": 64, "max_size": 80}
    for entry in content["train"].values():
        entry["loader"] = {"crop": 64, "batch_size": 4, "num_workers": 0}
        entry["settings"] = {"steps": 2, "lr": 0.01}
        entry["model"]["width"] = 0.25
    for entry in content["export_cams"].values():
        entry["options"] = {"scales": [1.0], "grid": 4}
    content["evaluate_boxes"]["cam_val"]["options"] = {"images": "single_class"}
    content["book"]["targets"] = []  # all
    return content


def project(folder: Path, content: dict[str, Any]) -> Path:
    """A clone of the project with another book: the code by link, the DVC repository its own."""
    folder.mkdir()
    for room in ("pipeline", "stages", "models", "pyproject.toml", "prefect.toml", "dvc.yaml", ".dvcignore"):
        (folder / room).symlink_to(ROOT / room)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True, env=ENVIRONMENT)
    return folder


def weak2mask(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *words]
    environment = ENVIRONMENT | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def repro(folder: Path) -> tuple[set[str], str]:
    """Names of the stages that ran, and everything that was said."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    return ran, output


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = project(tmp_path_factory.mktemp("books") / "toy", small_book())
    done = weak2mask(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder, done.stdout
    shutil.rmtree(folder)


def test_every_stage_runs_and_the_table_is_printed(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert "†" not in printed, "nothing is out of date right after a run"
    boxes = json.loads((folder / "work/toy/localisations/cam_val/metrics.json").read_text())
    assert 0 <= boxes["top1_loc"] <= boxes["gt_known"] <= 100
    for name in ("cam", "pseudo_masks", "segmenter_val", "full_val"):
        assert name in printed
        metrics = json.loads((folder / "work/toy/evaluations" / name / "metrics.json").read_text())
        assert 0 <= metrics["miou"] <= 100
        assert metrics["images"] == (4 if name.endswith("val") else 8)


def test_a_second_time_nothing_runs(finished: tuple[Path, str]) -> None:
    ran, output = repro(finished[0])
    assert ran == set()
    assert "up to date" in output


def test_a_scalar_re_runs_what_depends_on_it_and_changing_it_back_runs_nothing(finished: tuple[Path, str]) -> None:
    folder = finished[0]
    before = (folder / "params.yaml").read_text()
    changed = yaml.safe_load(before)
    changed["refine_cams"]["cam_crf"]["options"]["alpha"] = 2.0
    (folder / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    ran, _ = repro(folder)
    assert "refine_cams@cam_crf" in ran
    assert ran <= {
        "code", "refine_cams@cam_crf", "make_pseudo_masks@cam_crf", "train@segmenter", "predict_masks@segmenter",
        "evaluate@pseudo_masks", "evaluate@segmenter_val",
    }  # fmt: skip
    (folder / "params.yaml").write_text(before)
    ran, _ = repro(folder)
    assert ran <= {"code"}


@pytest.mark.slow
def test_training_and_the_rest_run_without_ground_truth(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Every verb but prepare, annotate and evaluate works when the masks are gone."""
    folder = tmp_path / "blind"
    shutil.copytree(finished[0], folder, symlinks=True, ignore=shutil.ignore_patterns(".dvc", "cache"))
    shutil.rmtree(folder / "work/toy/ground_truth")
    for words in (
        ("train", "classifier"), ("export_cams", "cam"), ("refine_cams", "cam_crf"), ("make_pseudo_masks", "cam_crf"),
        ("train", "segmenter"), ("predict_masks", "segmenter"),
    ):  # fmt: skip
        done = weak2mask(folder, *words)
        assert done.returncode == 0, done.stderr
    done = weak2mask(folder, "evaluate", "cam")
    assert done.returncode == 3, done.stderr
    assert "ground_truth" in done.stderr


@pytest.mark.slow
def test_same_inputs_give_the_same_bytes(finished: tuple[Path, str], tmp_path: Path) -> None:
    """A second project, made from nothing by ``flow``, has the same hash for every output of every stage.

    Its stages are processes of their own, not forks, and each uses two processes.
    """
    folder = project(tmp_path / "again", small_book())
    variables = {"WEAK2MASK_PREFORK": "off", "WEAK2MASK_WORKERS": "2", "PREFECT_HOME": str(tmp_path / "prefect")}
    done = weak2mask(folder, "flow", "evaluate@segmenter_val", "--jobs", "1", **variables)
    assert done.returncode == 0, done.stderr
    first = yaml.safe_load((finished[0] / "dvc.lock").read_text())["stages"]
    second = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    assert {"train@segmenter", "predict_masks@segmenter"} <= set(second)
    for name, stage in second.items():
        assert stage["outs"] == first[name]["outs"], name


@pytest.mark.parametrize(
    ("break_it", "code", "message"),
    [
        (lambda book: book["train"]["classifier"].update(method="classifer"), 2, "Did you mean 'classifier'?"),
        (lambda book: book["train"]["classifier"]["settings"].update(lr="big"), 2, "train.classifier.settings.lr"),
        (lambda book: book["prepare"]["toy"].update(root="data/gone"), 2, "data/gone does not exist"),
        (lambda book: book["prepare"]["toy"]["options"].update(min_size=8), 2, "32"),
    ],
)
def test_configuration_errors_come_first_with_exit_code_2(
    tmp_path: Path, break_it: Any, code: int, message: str
) -> None:
    book = small_book()
    break_it(book)
    done = weak2mask(project(tmp_path / "broken", book), "run")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_images_are_reported_together_with_exit_code_3(tmp_path: Path) -> None:
    book = small_book()
    images = tmp_path / "photos" / "images"
    images.mkdir(parents=True)
    (images / "empty.jpg").write_bytes(b"")
    (images / "text.png").write_text("not a picture")
    (tmp_path / "photos" / "tags.csv").write_text("image,tags\nempty.jpg,cat\ntext.png,dog\nmissing.jpg,cat\n")
    book["prepare"]["toy"] = {"reader": "folder", "root": str(tmp_path / "photos"), "options": {}}
    done = weak2mask(project(tmp_path / "bad", book), "run")
    assert done.returncode == 3, done.stderr
    for name in ("empty.jpg", "text.png", "missing.jpg"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_target_and_unknown_book(finished: tuple[Path, str]) -> None:
    done = weak2mask(finished[0], "run", "evaluate@cma")
    assert done.returncode == 2
    assert "Did you mean 'evaluate@cam'?" in done.stderr
    done = weak2mask(finished[0], "check", "--book", "recipes/nothing")
    assert done.returncode == 2
    assert "No recipe book at recipes/nothing/params.yaml" in done.stderr


@pytest.mark.slow
def test_three_commands_from_a_folder_to_masks(tmp_path: Path) -> None:
    """init, run, predict: on a folder outside the project, with blanks in its name."""
    photos = tmp_path / "my photos"
    (photos / "images").mkdir(parents=True)
    rows = ["image,tags"]
    for k in range(10):
        name, colour = ("red", "blue")[k % 2], ((200, 60, 40), (40, 60, 200))[k % 2]
        picture = Image.new("RGB", (80, 64), (90, 110, 90))
        picture.paste(colour, (20 + k, 16, 50 + k, 48))
        picture.save(photos / "images" / f"{name} {k}.png")
        rows.append(f"{name} {k}.png,{name}")
    (photos / "tags.csv").write_text("\n".join(rows))
    folder = project(tmp_path / "project", small_book())
    done = weak2mask(folder, "init", str(photos), "--from", "fast", "--weights", "random")
    assert done.returncode == 0, done.stderr
    book = folder / "recipes/my_photos/book.yaml"
    book.write_text(re.sub(r"epochs: \d+", "epochs: 1", book.read_text()))
    done = weak2mask(folder, "expand", "--book", "recipes/my_photos")
    assert done.returncode == 0, done.stderr
    done = weak2mask(folder, "run", "--book", "recipes/my_photos")
    assert done.returncode == 0, done.stderr
    words = ("--checkpoint", "segmenter", "--book", "recipes/my_photos", "--out", "masks")
    done = weak2mask(folder, "predict", str(photos / "images"), *words)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "masks/masks").iterdir()} == {row.partition(",")[0] for row in rows[1:]}
