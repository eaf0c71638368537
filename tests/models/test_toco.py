"""ToCo, DuPL and the dense-energy loss: what the fixtures of published code do not show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from models.errors import ConfigurationError
from models.losses import dense_energy as energy
from models.losses.dense_energy import dense_energy, gaussian_filter
from models.losses.dual_branch import falling_threshold, highest_of_tags, without_noise
from models.losses.token_contrast import class_token_contrast
from models.ops.gaussian_mixture import TwoGaussians
from models.ops.local_crops import certainty_levels, crops_at, draw_corners, with_objects
from models.ops.online_labels import band_labels, two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.random_views import random_parts, recoloured
from models.ops.view_cams import merged_cams, own_cams
from models.structures import IGNORE, UNLABELLED, Batch, StepContext
from tests.helpers.on_device import seeded
from tests.helpers.pages import AT_ONCE, CLASSES, build


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def batch() -> Batch:
    tags = torch.tensor([[True, False, True], [False, True, False]])
    return Batch(random(2, 3, 64, 64), tags, torch.full((2, 64, 64), UNLABELLED), ("a", "b"))


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_the_filter_is_the_sum_over_all_pairs(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setitem(energy.BLOCK, "cpu", block)
    maps, image = random(2, 3, 4, 5).double(), 255 * random(2, 3, 4, 5, seed=1).double()
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    expected = torch.zeros_like(maps)
    for n in range(2):
        for y in range(4):
            for x in range(5):
                colour = ((image[n] - image[n, :, y, x, None, None]) / 60).square().sum(0)
                place = ((rows - y) ** 2 + (columns - x) ** 2) / 3**2
                expected[n, :, y, x] = (maps[n] * torch.exp(-(colour + place) / 2)).sum((1, 2))
    torch.testing.assert_close(gaussian_filter(maps, image, 60, 3), expected)


def test_a_prediction_that_follows_the_colours_has_the_least_energy() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1
    aligned = torch.zeros(1, 2, 16, 16)
    aligned[:, 0, :, :8], aligned[:, 1, :, 8:] = 4, 4
    unsure, everywhere = torch.full((1, 16, 16), IGNORE), torch.ones(1, 16, 16, dtype=torch.bool)
    best, across, blurred = (
        dense_energy(logits, image, unsure, everywhere) for logits in (aligned, aligned.transpose(2, 3), 0 * aligned)
    )
    assert best < across < 0
    assert best < blurred < 0
    assert dense_energy(aligned, image, unsure, ~everywhere) == 0


def test_corners_are_different_places_with_the_centre_in_what_is_no_object() -> None:
    cams = torch.zeros(2, CLASSES, 24, 20)
    cams[0, 0, :, :14] = 0.9
    cams[1, 1] = 0.9  # all object: every place counts
    cams[:, 2] = 1  # no tag
    levels = certainty_levels(cams, torch.tensor([[True, True, False]] * 2), 0.7, 0.25)
    assert levels.unique().tolist() == [0, 2]
    corners = draw_corners(levels, 8, 5, random(2, 16 * 12))
    assert corners.shape == (2, 5, 2)
    for image, chosen in enumerate(corners):
        assert len({tuple(corner) for corner in chosen.tolist()}) == 5
        assert (chosen <= torch.tensor([15, 11])).all()
        assert image or all(levels[0, y + 4, x + 4] < 2 for y, x in chosen.tolist())
    crops = crops_at(cams, corners, 8)
    y, x = corners[1, 3].tolist()
    assert torch.equal(crops[3, 1], cams[1, :, y : y + 8, x : x + 8])
    assert with_objects(levels, corners, 8)[1].all()


def test_a_negative_crop_is_pushed_away_and_a_positive_one_pulled() -> None:
    student, teacher = random(6, 4).requires_grad_(), random(4, 4, seed=1)
    positive = torch.tensor([[True, True, False]] * 2)
    (slope,) = torch.autograd.grad(class_token_contrast(student, teacher, positive), student)
    towards = (slope.view(3, 2, 4) * teacher.view(2, 2, 4).mean(0)).sum(2)
    assert (towards[2] > 0).all()
    assert (towards[:2].mean(0) < 0).all()


def test_own_cams_are_those_of_all_classes_where_there_are_tags(batch: Batch) -> None:
    kernel = torch.randn(CLASSES, 3, 1, 1, generator=torch.Generator().manual_seed(0))

    def look(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = F.conv2d(F.avg_pool2d(image, 4) - 0.5, kernel)
        return maps, -maps

    views = torch.cat([batch.image, batch.image.flip(-1)])
    cams = own_cams(look, batch.image, batch.tags, (1.0,))
    for found, maps in zip(cams, look(views), strict=True):
        torch.testing.assert_close(found, merged_cams([maps], (64, 64)) * batch.tags[:, :, None, None])
    no_tags = own_cams(look, batch.image, torch.zeros_like(batch.tags), (1.0, 0.5))
    assert not torch.stack(no_tags).any()


def test_thresholds_of_images_are_those_of_one_by_one(batch: Batch) -> None:
    cams, inside = random(2, CLASSES, 64, 64, seed=3), torch.ones(2, 64, 64, dtype=torch.bool)
    refine, highs = PixelAdaptive("par", 1), torch.tensor([0.7, 0.9])
    labels = two_threshold_labels(cams, batch.image, batch.tags, inside, refine, highs, 0.3)
    bands = band_labels(cams, batch.tags, inside, highs, 0.3)
    for n, high in enumerate((0.7, 0.9)):
        one = slice(n, n + 1)
        alone = two_threshold_labels(cams[one], batch.image[one], batch.tags[one], inside[one], refine, high, 0.3)
        assert torch.equal(labels[one], alone)
        assert torch.equal(bands[one], band_labels(cams[one], batch.tags[one], inside[one], high, 0.3))
    assert bands.unique().tolist() == [0, 1, 2, 3, IGNORE]


def test_parts_of_images() -> None:
    ramp = torch.linspace(0, 1, 32).expand(2, 3, 32, 32)
    whole, mirrored = random_parts(ramp, 32, torch.tensor([[1.0, 0.5, 0.5, 0.0], [1.0, 0.5, 0.5, 1.0]]))
    torch.testing.assert_close(whole, ramp[0])
    torch.testing.assert_close(mirrored, ramp[0].flip(-1))
    small = random_parts(ramp, 8, random(2, 4))
    assert small.shape == (2, 3, 8, 8)
    assert small[..., 1:].sub(small[..., :-1]).abs().max() < 1 / 8
    unchanged = torch.full((2, 3), 0.5)
    torch.testing.assert_close(recoloured(ramp, unchanged), ramp)
    assert not torch.allclose(recoloured(ramp, torch.tensor([[1.0, 0.5, 0.5]] * 2)), ramp)


def test_two_gaussians_are_found_and_each_row_has_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.randn(300, generator=generator) * 0.2 + 1, torch.randn(100, generator=generator) * 0.4 + 4
    rows = torch.stack([torch.cat([low, high]), torch.cat([2 * low, 2 * high])])
    mixture = TwoGaussians.fit(rows, torch.ones_like(rows, dtype=torch.bool))
    torch.testing.assert_close(mixture.means, torch.tensor([[1.0, 4.0], [2.0, 8.0]]), atol=0.25, rtol=0)
    torch.testing.assert_close(mixture.weights, torch.tensor([[0.75, 0.25]] * 2), atol=0.01, rtol=0)
    upper = mixture.upper(rows)
    assert (upper[:, :300] < 0.5).all()
    assert (upper[:, 300:] > 0.5).all()
    nothing = TwoGaussians.fit(rows, torch.zeros_like(rows, dtype=torch.bool))
    assert nothing.means.isfinite().all()


def test_only_labels_of_classes_with_the_losses_of_noise_are_void() -> None:
    losses = torch.cat([0.3 + 0.1 * random(800), 5 + 0.1 * random(400), torch.full((80,), 5.0)]).view(1, 32, 40)
    labels = torch.full((1, 32, 40), 2)
    labels.view(-1)[1200:] = 0
    kept, _ = without_noise(losses, labels, pixels=1000)
    assert kept.view(-1)[:800].unique().tolist() == [2]
    assert kept.view(-1)[800:1200].unique().tolist() == [IGNORE]
    assert kept.view(-1)[1200:].unique().tolist() == [0]
    assert torch.equal(without_noise(losses, labels, pixels=2000)[0], labels)
    assert torch.equal(without_noise(losses / 10, labels, pixels=1)[0], labels)  # the means are near


def test_a_threshold_falls_from_its_start_to_its_end() -> None:
    start, end = torch.tensor([0.7, 0.7]), torch.tensor([0.55, 0.7])
    values = torch.stack([falling_threshold(start, end, step, 11) for step in range(-2, 14)])
    assert (values[1:, 0] <= values[:-1, 0]).all()
    torch.testing.assert_close(values[[0, 2, 7, -1], 0], torch.tensor([0.7, 0.7, 0.625, 0.55]))
    assert (values[:, 1] == 0.7).all()
    tags = torch.tensor([[True, False], [True, True], [False, False]])
    assert highest_of_tags(end, tags).tolist() == pytest.approx([0.55, 0.7, 0])


@pytest.mark.parametrize("name", ["toco", "dupl"])
def test_the_decoders_are_silent_before_their_epoch(name: str, batch: Batch) -> None:
    method = build(
        name, **{**AT_ONCE[name], "pretrain": 2.0, "noise_start": 2.0} if name == "dupl" else {"pretrain": 2.0}
    )
    outputs = method(batch)
    early, late = (method.losses(outputs, batch, StepContext(step, 20, 5, seeded(0))) for step in (9, 10))
    assert early.keys() == late.keys()
    assert early["segmentation"] == 0
    assert late["segmentation"] > 0


def test_the_teacher_starts_as_the_projector_and_follows_it() -> None:
    method = build("toco")
    weight, slow = (part.hidden[0].weight for part in (method.projector, method.teacher.network))  # type: ignore[union-attr, index]
    method.begin()
    assert torch.equal(weight, slow)
    with torch.no_grad():
        weight += 1  # type: ignore[operator]
    method.after_step(StepContext(0, 1, 1))
    torch.testing.assert_close(weight - slow, torch.full_like(weight, 0.9))  # type: ignore[operator, arg-type]


def test_a_threshold_that_falls_reaches_the_crops(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def levels(cams: torch.Tensor, tags: torch.Tensor, high: float | torch.Tensor, low: float) -> torch.Tensor:
        seen.append(high)
        return certainty_levels(cams, tags, high, low)

    monkeypatch.setattr("models.methods.toco.certainty_levels", levels)
    small = {"cam_scales": [1.0], "high": 0.7, "low": 0.2, "pretrain": 0.0}
    falling: Any = build("toco", high_end=[0.4, 0.5, 0.6], **small).train()
    plain: Any = build("toco", **small).train()
    for step in (0, 9):
        context = StepContext(step, 10, 5)
        for method in (falling, plain):
            method.before_step(context)
            method(batch)
        assert torch.equal(seen[-2], falling.high_now(batch.tags, context, 0.0))
        assert seen[-1] == 0.7
    assert seen[-2].tolist() == pytest.approx([0.6, 0.5])  # tags of classes 1 and 3, and of 2
    cams = torch.tensor([0.5, 0.5])[:, None, None, None].expand(2, CLASSES, 4, 4)
    assert certainty_levels(cams, batch.tags, torch.tensor([0.6, 0.5]), 0.2).amax((1, 2)).tolist() == [1, 2]


def test_both_branches_start_from_the_weights_of_the_backbone() -> None:
    method = build("dupl")
    with torch.no_grad():
        for parameter in method.backbone.parameters():  # type: ignore[union-attr]
            parameter += 1
    method.begin()
    second = method.second["backbone"].state_dict()  # type: ignore[index, union-attr]
    assert all(torch.equal(value, second[name]) for name, value in method.backbone.state_dict().items())  # type: ignore[union-attr]


def test_what_the_pages_refuse() -> None:
    with pytest.raises(
        ConfigurationError, match="expected a vision transformer with a class token, found backbone 'resne"
    ):
        build("toco", backbone="resnet18")
    with pytest.raises(ConfigurationError, match="early as one of the 6 blocks of test_vit, counted from the"):
        build("toco", early=9).look(random(1, 3, 32, 32))  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=f"one for each of {CLASSES} classes, found 2"):
        build("dupl", high_end=[0.5, 0.6])
