"""Made data goes through every stage of a book, and the page says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale, scale_steps
from docs.tools import scale as page
from models.refiners import REFINERS
from pipeline.binders.evaluate import score_chunks

WHOLE = ("table", "report", "page")
"""Steps that tests of their own have."""


def test_made_data_go_through_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    monkeypatch.setitem(REFINERS, "same", "benchmarks.scale_steps:same")  # gone again afterwards
    monkeypatch.setattr(scale_steps, "GALLERY", 1)
    monkeypatch.setattr(scale_steps, "SHOWN", (48, 64))
    for name, step in scale_steps.STEPS.items():
        if name not in WHOLE:
            step(70)
    assert json.loads(capsys.readouterr().out)["cpu"] > 0
    for output in scale.OUTPUTS.values():
        assert any((tmp_path / "work/scale" / output).iterdir())
    metrics = json.loads(Path("work/scale/evaluations/mask_train/metrics.json").read_text())
    assert metrics["images"] == 70
    assert metrics["miou"] > 20  # the maps are where the masks are
    real = scale.cam_bytes(Path("work/scale/cams/made_train"))
    assert (real["images"], real["maps"], real["pixels"]) == (70, 140, 24 * 32)
    assert real["bytes_per_map"] == pytest.approx(48 * real["bytes_per_cell"])


def run(step: str, images: int, cpu: float, loop: float = 1.0, **more: Any) -> dict[str, Any]:
    """A record of one step at one size."""
    return {
        "step": step,
        "images": images,
        "turn": 0,
        "cpu": cpu,
        "loop": loop,
        "megabytes": 100.0,
        "commit": "0123456789",
        **more,
    }


def test_the_cost_of_an_image_leaves_the_start_and_the_speed_of_the_machine_out() -> None:
    runs = [run("a", 10, 2.01), run("a", 110, 2.11), run("a", 110, 4.22, loop=2.0), run("a", 1110, 3.11)]
    assert scale.slopes(runs, "a") == [(110, pytest.approx(1.0)), (1110, pytest.approx(1.0))]
    assert scale.slopes(runs, "b") == []


def test_the_page_says_what_was_measured() -> None:
    made = {"date": "2026-11-29", "commit": "0123456789", "machine": "2 cores"}
    runs = [run("prepare", size, 1 + size / 1000, files=3, bytes=10 * size) for size in (640, 10_640, 110_640)]
    runs += [
        run("report", 110_640, 3.0, bytes=12_300_000),
        run("page", 110_640, 9, opens=1.25, opens_worst=2.5),
    ]
    stores = {"1000": {"open_and_chunk": 0.04, "making_megabytes": 60}}
    text = page.text_of({"stages": {"runs": runs, "made": made}, "store_1": {"stores": stores, "made": made}})
    assert "| prepare | `1.64` | `11.64` | `111.64` | 100 | 100 | 100 | `1.000` | `1.000` | `1.00` |" in text
    assert "| prepare | 3 | `1.1` | 10 |" in text
    assert "has 12.3 MB, with a gallery" in text
    assert "opens it in 1.25 s" in text
    assert "| 1,000 | `40.0` | 60 |" in text
    assert page.text_of({}) == page.HEAD


@pytest.mark.parametrize(("images", "parts", "largest"), [(1, 1, 1), (65, 2, 64), (4096, 32, 128), (118_287, 32, 3712)])
def test_what_an_evaluation_keeps_does_not_grow_with_the_images(images: int, parts: int, largest: int) -> None:
    ids = [str(number) for number in range(images)]
    found = score_chunks(ids)
    assert (len(found), len(found[0])) == (parts, largest)
    assert [id for part in found for id in part] == ids
