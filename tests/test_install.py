"""The package as a wheel, away from the checkout: what is in it, and the commands that a user runs with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipeline.storage.checkpoints import build_method, save_checkpoint

ROOT = Path(__file__).parent.parent
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "THIRD_PARTY.md", "models", "stages", "pipeline")
SMALL = {"backbone": "resnet18", "width": 0.25, "output_stride": 8, "head_width": 8}
HIDDEN = ("MLFLOW_TRACKING_URI", "WEAK2MASK_RECORDER", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "PYTHONPATH")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content as an installation has it, built without a network."""
    pytest.importorskip("setuptools", minversion="77")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("weak2mask-*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    return out / "site"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with ten photos and their tags; it is the current folder's ``farm``."""
    folder = tmp_path / "user" / "farm"
    (folder / "images").mkdir(parents=True)
    rows = ["image,tags"]
    for k in range(10):
        Image.new("RGB", (64, 48), (25 * k, 90, 200)).save(folder / "images" / f"{k}.png")
        rows.append(f"{k}.png,{('cat', 'cow')[k % 2]}")
    (folder / "tags.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path / "user")
    return folder


def called(site: Path, *words: str) -> str:
    """What the command prints, run in the current folder with the installation and not with the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN} | {
        "PYTHONPATH": str(site),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "WEAK2MASK_DEVICE": "cpu",
        "WEAK2MASK_WORKERS": "0",
        "WEAK2MASK_TRACKING": "off",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_all_that_is_read_at_run_time(installed: Path) -> None:
    for room in ("models", "stages", "pipeline"):
        assert (installed / room / "py.typed").is_file()
        ours = {path.relative_to(ROOT) for path in (ROOT / room).rglob("*") if path.is_file()}
        ours = {path for path in ours if path.suffix != ".pyc"}
        assert {path for path in ours if not (installed / path).is_file()} == set()
    assert not (installed / "tests").exists()
    (about,) = installed.glob("weak2mask-*.dist-info")
    assert "weak2mask = pipeline.__main__:main" in (about / "entry_points.txt").read_text()
    assert "License-Expression: Apache-2.0" in (about / "METADATA").read_text()
    assert {path.name for path in (about / "licenses").iterdir()} == {"LICENSE", "NOTICE", "THIRD_PARTY.md"}


def test_a_book_is_made_and_run_where_the_user_is(installed: Path, photos: Path) -> None:
    assert called(installed, "--version").split() == ["weak2mask", version_of(installed)]
    said = called(installed, "init", "farm", "--weights", "random", "--from", "fast")
    assert f"{Path.cwd()} is a weak2mask project now" in said
    assert "every name and option resolves" in called(installed, "check", "--book", "recipes/farm", "--inputs")
    called(installed, "run", "annotate@tags", "import_weights@start", "--book", "recipes/farm")
    made = {path.relative_to("work/farm").as_posix() for path in Path("work/farm").glob("*/*")}
    assert {"catalogues/mine", "supervision/tags", "checkpoints/start"} <= made
    again = called(installed, "run", "annotate@tags", "--book", "recipes/farm")
    assert "Running stage" not in again


def test_a_checkpoint_from_elsewhere_predicts_in_an_empty_folder(
    installed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method: Any = build_method("segmenter", 2, SMALL, seed=1)
    torch.nn.init.normal_(method.head.classifier.weight, generator=torch.Generator().manual_seed(2))
    save_checkpoint(
        tmp_path / "model", method, recipe={"method": "segmenter", "options": SMALL}, class_names=("cat", "cow")
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    called(installed, "predict", str(photos / "images"), "-c", str(tmp_path / "model"), "-o", "masks")
    assert len(list((empty / "masks" / "masks").glob("*.png"))) == 10
    assert [path.name for path in empty.iterdir()] == ["masks"]


def version_of(site: Path) -> str:
    (about,) = site.glob("weak2mask-*.dist-info")
    return about.name.removeprefix("weak2mask-").removesuffix(".dist-info")
