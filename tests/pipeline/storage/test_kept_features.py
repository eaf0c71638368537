"""Features of views that come again are read, and are the same as computed ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

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
    torch.testing.assert_close(first, image / 3, rtol=0, atol=2e-4)
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
    content[content.index(b"NUMPY") + 140] ^= 255  # behind the array's header of 128 bytes
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


@pytest.mark.parametrize("factor", [7e4, 1e-9, 1.0, 0.0, 1e30, 1e-42])
def test_features_of_any_magnitude_are_rounded_alike(tmp_path: Path, factor: float) -> None:
    """A random network's are of the order of 1e-9, where float16 has nothing; of others some are beyond 65,504."""
    image = images(2)
    expected = image * factor
    for _ in range(2):
        found = kept(tmp_path)(image, Encoder(factor))["layer3"]
        step = torch.finfo(torch.float16).eps * expected.flatten(1).amax(1)[:, None, None, None]
        assert bool(((found - expected).abs() <= step).all())


def test_what_is_not_finite_is_not_hidden(tmp_path: Path) -> None:
    image = images(1)
    image[0, 0, 0, :2] = torch.tensor([torch.nan, torch.inf])
    for _ in range(2):
        found = kept(tmp_path)(image, Encoder())["layer3"]
        assert found[0, 0, 0, 0].isnan()
        assert found[0, 0, 0, 1].isinf()


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
