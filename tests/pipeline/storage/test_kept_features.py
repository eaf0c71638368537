"""Features of views that come again are read, and are the same as computed ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import TrainingError
from pipeline.storage.kept_features import KeptFeatures
from tests.helpers.pretend_gpu import PretendGpu


class Encoder:
    """Two levels; says how often it looked, and at how many images at once."""

    def __init__(self, factor: float = 1 / 3) -> None:
        self.factor = factor
        self.looks: list[int] = []

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        self.looks.append(len(image))
        return {"layer3": image * self.factor, "layer4": image.mean(1, keepdim=True)}


def images(count: int) -> Tensor:
    return torch.rand(count, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def kept(folder: Path, room: int = 100) -> KeptFeatures:
    return KeptFeatures(lambda: folder, room)


def test_a_second_look_computes_nothing_and_has_the_same_bytes(tmp_path: Path) -> None:
    encoder, image = Encoder(), images(3)
    first = kept(tmp_path)(image, encoder)["layer3"]
    assert encoder.looks == [1, 1, 1], "one view at a time: a map does not depend on its neighbours in a batch"
    assert first.dtype == torch.float32
    assert first.shape == (3, 3, 4, 5)
    assert torch.equal(first, (image / 3).half().float())
    again = kept(tmp_path)
    assert torch.equal(again(image.flip(0), encoder)["layer3"], first.flip(0))
    assert len(encoder.looks) == 3
    assert again.counts == {"read": 3}


def test_only_levels_that_are_asked_for_are_kept(tmp_path: Path) -> None:
    encoder, memory = Encoder(), kept(tmp_path)
    features = memory(images(2), encoder)
    assert not encoder.looks
    assert [features["layer4"].shape, features["layer3"].shape] == [(2, 1, 4, 5), (2, 3, 4, 5)]
    assert encoder.looks == [1, 1], "one pass serves both levels"
    assert {path.name for path in tmp_path.iterdir()} == {"layer3", "layer4"}
    kept(tmp_path / "other")(images(2), encoder)["layer4"]
    assert {path.name for path in (tmp_path / "other").iterdir()} == {"layer4"}


def test_other_pixels_are_another_view(tmp_path: Path) -> None:
    encoder, memory, image = Encoder(), kept(tmp_path), images(1)
    memory(image, encoder)["layer4"]
    changed = image.clone()
    changed[0, 0, 0, 0] += 1e-3
    assert not torch.equal(memory(changed, encoder)["layer4"], memory(image, encoder)["layer4"])
    memory(image.reshape(1, 3, 5, 4), encoder)["layer4"]
    assert len(encoder.looks) == 3, "the same numbers in another shape are another view too"
    memory(image.contiguous(memory_format=torch.channels_last), encoder)["layer4"]
    assert len(encoder.looks) == 3, "their order in memory is not"


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    encoder, image = Encoder(), images(1)
    whole = kept(tmp_path)(image, encoder)["layer3"]
    (file,) = tmp_path.rglob("*.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes({"flipped": bytes(content), "cut": bytes(content[:-30]), "empty": b""}[damage])
    assert torch.equal(kept(tmp_path)(image, encoder)["layer3"], whole)
    assert len(encoder.looks) == 2
    kept(tmp_path)(image, encoder)["layer3"]
    assert len(encoder.looks) == 2, "the file is whole again"


def test_views_that_never_come_again_do_not_fill_the_disk(tmp_path: Path) -> None:
    memory, encoder = kept(tmp_path, room=4), Encoder()
    for seed in range(5):
        memory(torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)), encoder)["layer4"]
    assert memory.counts == {"kept": 4, "passed": 6}
    assert len([*tmp_path.rglob("*.npz")]) == 4
    memory(torch.rand(1, 3, 8, 8), encoder)["layer4"]
    assert memory.counts["kept"] == 5, "views of another size have their own room"


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"'layer3' .* to 65,504; found at most [67]\d{4}.*keep_features: false"):
        kept(tmp_path)(images(1), Encoder(7e4))["layer3"]
    with pytest.raises(TrainingError, match=r"from 6e-05 .* found at most [0-9.]+e-09.*weights that were trained"):
        kept(tmp_path)(images(1), Encoder(1e-8))["layer3"]
    assert not [*tmp_path.rglob("*.npz")]
    assert np.isfinite(kept(tmp_path)(images(1), Encoder(6e4))["layer3"].numpy()).all()
    assert not kept(tmp_path / "dark")(images(1), Encoder(0.0))["layer3"].any(), "nothing is nothing"


def test_on_a_gpu_features_lie_there_and_are_the_same(tmp_path: Path) -> None:
    encoder, image = Encoder(), images(2)
    expected = kept(tmp_path / "cpu")(image, encoder)["layer4"]
    with PretendGpu() as gpu:
        there = image.to("cuda")
        computed = kept(tmp_path / "gpu")(there, encoder)["layer4"]
        assert str(computed.device) == "cuda:0"
        gpu.trips.clear()
        read = kept(tmp_path / "gpu")(there, encoder)["layer4"]
        assert sum(gpu.trips.values()) == 1, "a view is known by its pixels: one read a batch"
        assert torch.equal(read.cpu(), expected)
        assert torch.equal(computed.cpu(), expected)
