"""ONNX files answer as the networks they come from, at any size, or are not left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import ConfigurationError, DataError, Weak2MaskError
from models.heads import HEADS
from pipeline.inference import onnx_export
from pipeline.inference.comparison import comparison_images
from pipeline.inference.onnx_export import Exported, check_target, export_onnx, parse_size
from pipeline.inference.trained import Place
from pipeline.storage.checkpoints import build_method

pytestmark = pytest.mark.slow

onnxruntime = pytest.importorskip("onnxruntime")
CLASSES = ("Hündin", "cow")
IMAGES = comparison_images(Place(Path("nowhere")), [])


def network(**options: Any) -> Any:
    method = build_method("segmenter", 2, {"backbone": "resnet18", "width": 0.25, "head_width": 8, **options})
    head = next(iter(method.new_modules()))
    torch.nn.init.normal_(head.get_parameter(LAST[options.get("head", "large_fov")]), std=0.1)
    return method.eval()


LAST = dict.fromkeys(HEADS, "classifier.weight") | {"aspp_v2": "branches.0.weight"}


def export(folder: Path, method: Any, **options: Any) -> Exported:
    return export_onnx(method, CLASSES, folder / "net.onnx", IMAGES, **options)


def answer(folder: Path, batch: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": batch.numpy()})
    return np.asarray(logits)


def test_any_size_and_batch_with_metadata(tmp_path: Path) -> None:
    method = network()
    done = export(tmp_path, method)
    assert done.input == ("batch", 3, "height", "width")
    assert (done.output_stride, done.images) == (16, 4)
    assert 0 < done.difference < 1e-3
    for shape in ((1, 3, 1, 1), (3, 3, 50, 211), (1, 3, 161, 90)):
        batch = torch.rand(shape)
        with torch.inference_mode():
            np.testing.assert_allclose(answer(tmp_path, batch), method.scores(batch), atol=1e-3)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == ["background", *CLASSES]
    assert json.loads(metadata["palette"])[:2] == [[0, 0, 0], [128, 0, 0]]
    assert metadata["output_stride"] == "16"
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_at_full_resolution(tmp_path: Path, head: str) -> None:
    method = network(head=head, align_corners=head == "aspp_v2")
    done = export(tmp_path, method, full=True)
    assert (done.output_stride, done.difference < 1e-3) == (1, True)
    assert answer(tmp_path, torch.rand(2, 3, 45, 61)).shape == (2, 3, 45, 61)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet50"])
def test_other_backbones(tmp_path: Path, backbone: str) -> None:
    assert export(tmp_path, network(backbone=backbone, output_stride=8)).difference < 1e-3


def test_a_vision_transformer_at_any_size(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    method = network(backbone="timm/test_vit", width=1.0)
    done = export(tmp_path, method)
    assert done.input == ("batch", 3, "height", "width")
    assert done.output_stride == 16
    table = [side * method.backbone.patch for side in method.backbone.network.patch_embed.grid_size]
    for shape in ((1, 3, 64, 96), (2, 3, 176, 48), (1, 3, *table), (1, 3, 50, 75)):
        batch = torch.rand(shape)
        with torch.inference_mode():
            np.testing.assert_allclose(answer(tmp_path, batch), method.scores(batch), atol=1e-3)


def test_a_fixed_size_and_images_of_another(tmp_path: Path) -> None:
    assert export(tmp_path, network(), size=(64, 96)).input == ("batch", 3, 64, 96)
    assert answer(tmp_path, torch.rand(2, 3, 64, 96)).shape == (2, 3, 4, 6)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        answer(tmp_path, torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("wrong", [0.5, float("nan"), float("inf")])
def test_a_file_that_answers_otherwise_is_not_left(tmp_path: Path, monkeypatch: Any, wrong: float) -> None:
    class Program:
        class model:  # noqa: N801
            metadata_props: dict[str, str] = {}

        def save(self, path: Path) -> None:
            path.write_text("onnx")

    monkeypatch.setattr(onnx_export, "_traced", lambda *_: Program())
    monkeypatch.setattr(onnx_export, "_difference", lambda *_: wrong)
    (tmp_path / "net.onnx").write_text("older")
    with pytest.raises(Weak2MaskError, match="Nothing was written"):
        export(tmp_path, network())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


@pytest.mark.parametrize("text", ["512", "a,b", "0,5", "512,640,3", "-64,64"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="height,width"):
        parse_size(text)
    assert parse_size("512, 640") == (512, 640)


def test_targets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name of a file that ends in"):
        check_target(tmp_path / "net.pt")
    with pytest.raises(DataError, match="folder that is there"):
        check_target(tmp_path / "gone" / "net.onnx")


def test_spml_answers_at_stride_four(tmp_path: Path) -> None:
    from models.methods.spml import Spml

    torch.manual_seed(0)
    done = export(tmp_path, Spml(len(CLASSES), backbone="resnet18", width=0.25, embedding=8).eval())
    assert (done.output_stride, done.difference < 1e-3) == (4, True)
