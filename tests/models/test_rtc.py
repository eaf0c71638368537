"""RTC's parts on tensors that a person can check."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.errors import ConfigurationError, DataError
from models.heads.cross_affinity import CrossAffinityHead
from models.losses.image_labels import image_label_loss
from models.losses.transform_contrast import (
    compensate,
    compensator_loss,
    swapped_prototypes,
    transform_contrast,
    transform_view,
)
from models.methods.rtc import Rtc
from models.ops.online_labels import two_threshold_labels
from models.ops.pixel_correlation import correlation_seed, cross_representation, pixel_correlation
from models.ops.posteriors import posteriors
from models.structures import Batch, GatedSegmenter, StepContext
from stages.export_cams import export_cams
from stages.predict_masks import predict_masks
from tests.helpers.on_device import device

CONTEXT = StepContext(step=0, total_steps=10, steps_per_epoch=5)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def batch(size: int = 64) -> Batch:
    tags = torch.tensor([[True, False, True], [False, True, False]])
    return Batch(random(2, 3, size, size), tags, torch.full((2, size, size), 254), ("a", "b"))


def page(**options: object) -> Rtc:
    torch.manual_seed(0)
    small = {"backbone": "resnet18", "width": 0.25, "feature_width": 8, "affinity_width": 4, "head_width": 8}
    return Rtc(3, **{**small, "second_size": 32, **options})  # type: ignore[arg-type]


def test_the_refined_map_is_the_mean_of_two_spreads() -> None:
    logits, deep, shallow = random(1, 3, 4, 5), random(1, 6, 4, 5, seed=1), random(1, 2, 4, 5, seed=2)
    seed = correlation_seed(logits)
    expected = (pixel_correlation(seed, deep) + pixel_correlation(seed, shallow)) / 2
    torch.testing.assert_close(cross_representation(logits, deep, shallow), expected)


def test_affinities_do_not_teach_the_backbone() -> None:
    features = {name: random(1, 4, 6, 6).requires_grad_() for name in ("layer2", "layer3", "layer4")}
    deep, shallow = CrossAffinityHead(dict.fromkeys(features, 4), width=2)(random(1, 3, 12, 12), features)
    assert (deep.shape, shallow.shape) == ((1, 4, 6, 6), (1, 2, 6, 6))
    (deep.sum() + shallow.sum()).backward()
    assert all(feature.grad is None for feature in features.values())


def test_prototypes_have_the_features_of_the_other_view() -> None:
    tags = torch.tensor([[True]])
    refined = torch.zeros(1, 2, 16, 16)
    refined[0, 1, :4, :8] = 1.0  # 32 cells
    here, there = torch.zeros(1, 2, 16, 16), torch.zeros(1, 2, 16, 16)
    here[:, 0], there[:, 1] = 1.0, 1.0
    one, two = transform_view(here, refined, tags), transform_view(there, refined, tags)
    torch.testing.assert_close(swapped_prototypes(one, two)[1], torch.tensor([0.0, 1.0]))
    assert one.labels.view(16, 16)[:4, :8].eq(1).all()
    assert one.labels.sum() == 32


def test_background_cells_are_the_first_or_the_quietest() -> None:
    refined = torch.ones(1, 2, 16, 16)
    refined[0, 1, 0] = 2.0
    refined[0, 1, -2:] = 0.0
    tags, features = torch.tensor([[True]]), torch.zeros(1, 2, 16, 16)
    first = transform_view(features, refined, tags)
    quiet = transform_view(features, refined, tags, background_cells="least_foreground")
    assert first.cells[0].tolist() == list(range(32))
    assert quiet.cells[0].tolist() == list(range(224, 256))


def test_absent_classes_can_leave_the_denominator() -> None:
    tags = torch.tensor([[False, True, False]])
    views = [transform_view(random(1, 4, 16, 16, seed=s), random(1, 4, 16, 16, seed=s + 2), tags) for s in (0, 1)]
    against = swapped_prototypes(views[0], views[1]), swapped_prototypes(views[1], views[0])
    every = transform_contrast(views[0], views[1], against)
    present = transform_contrast(views[0], views[1], against, present=torch.tensor([True, False, True, False]))
    assert present.intra < every.intra
    assert present.cross_label < every.cross_label
    assert present.cross_prototype < every.cross_prototype


def test_votes_raise_what_looks_like_the_most_confident_cells() -> None:
    refined = torch.zeros(1, 2, 16, 16)
    refined[0, 1, :2, :] = 1.0  # the 32 anchors
    features = torch.zeros(1, 2, 16, 16)
    features[0, 1] = 1.0
    features[0, 0, :4], features[0, 1, :4] = 1.0, 0.0  # the anchors and as many cells more
    view = transform_view(features, refined, torch.tensor([[True]]))
    even = compensate(view, view, torch.tensor([1]))
    torch.testing.assert_close(even.view(16, 16)[2], even.view(16, 16)[-1])  # every anchor looks alike: no preference
    mixed = refined.clone()
    mixed[0, 1, 1, :] = 0.5
    features[0, 0, 1], features[0, 1, 1] = 0.0, 1.0  # the weaker half of the anchors looks like the rest
    view = transform_view(features, mixed, torch.tensor([[True]]))
    soft, sharp = (compensate(view, view, torch.tensor([1]), t).view(16, 16) for t in (1.0, 0.1))
    assert soft[2, 0] > soft[-1, 0]
    assert sharp[2, 0] - sharp[-1, 0] > soft[2, 0] - soft[-1, 0]


def test_the_compensator_teaches_the_plain_cam_alone() -> None:
    cam = random(2, 2, 32, 32).requires_grad_()
    tags, raised = torch.tensor([[True, False], [True, True]]), random(2, 512, seed=3).requires_grad_()
    classes = torch.tensor([1, 2])
    compensator_loss(raised.detach(), classes, cam, tags).backward()
    assert cam.grad is not None
    assert cam.grad.any()
    nothing = compensator_loss(raised[:0].detach(), classes[:0], torch.zeros(2, 2, 32, 32), ~tags)
    assert nothing == 0


def test_online_labels_agree_with_both_backgrounds() -> None:
    scores = torch.zeros(1, 2, 8, 24)
    scores[:, 1, :, :8], scores[:, 1, :, 8:16] = 0.9, 0.4
    inside = torch.ones(1, 8, 24, dtype=torch.bool)
    inside[:, :, 22:] = False
    labels = two_threshold_labels(
        scores, random(1, 3, 8, 24), torch.tensor([[False, True]]), inside, lambda image, mask: mask
    )[0, 4]
    assert labels[2] == 2
    assert labels[12] == 255
    assert labels[20] == 0
    assert labels[23] == 255


def test_an_image_without_tags_is_background() -> None:
    labels = two_threshold_labels(
        random(1, 2, 8, 8),
        random(1, 3, 8, 8),
        torch.zeros(1, 2),
        torch.ones(1, 8, 8, dtype=torch.bool),
        lambda i, m: m,
    )
    assert not labels.any()


def test_single_labels() -> None:
    logits = torch.tensor([[2.0, 0.0]])
    torch.testing.assert_close(
        image_label_loss(logits, torch.tensor([[True, False]]), "single"), torch.tensor(math.log1p(math.exp(-2)))
    )
    with pytest.raises(DataError, match="Expected one tag an image"):
        image_label_loss(logits, torch.tensor([[True, True]]), "single")


def test_the_decoder_learns_from_its_epoch_on() -> None:
    method = page(segmentation_start=1.0).train()
    outputs, data = method(batch()), batch()
    assert method.losses(outputs, data, CONTEXT)["segmentation"] == 0
    later = method.losses(outputs, data, replace(CONTEXT, step=5))
    assert later["segmentation"].isfinite()


def test_transform_and_compensator_count_from_their_epoch_on() -> None:
    method = page(transform_start=1.0).train()
    outputs, data = method(batch()), batch()
    names = ("intra", "cross_label", "cross_prototype", "compensator")
    early = method.losses(outputs, data, CONTEXT)
    later = method.losses(outputs, data, replace(CONTEXT, step=5))
    assert all(early[name] == 0 for name in names)
    assert all(later[name] > 0 for name in names)


def test_parts_can_be_left_out() -> None:
    method = page(representation="single", contrast=0.0, compensator=0.0, segmentation=0.0)
    parts = method.losses(method(batch()), batch(), CONTEXT)
    assert list(parts) == [
        "classification",
        "classification_2",
        "min_pooling",
        "equivariance",
        "cross_equivariance",
    ]
    with pytest.raises(ConfigurationError, match="segmentation: 0"):
        method.scores(batch().image)


class Known:
    """Logits that say class 1 left, class 2 right of the middle, and that class 2 is hardly there."""

    def scores(self, image: Tensor) -> Tensor:
        logits = torch.zeros(len(image), 3, *image.shape[2:])
        half = image.shape[3] // 2
        logits[:, 1, :, :half], logits[:, 2, :, half:] = 2.0, 2.0
        return logits

    def gated_scores(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(image), torch.tensor([[1.0, 0.1]]).expand(len(image), 2)


def test_the_gate_multiplies_probabilities_and_a_constant_takes_the_backgrounds_place() -> None:
    assert isinstance(Known(), GatedSegmenter)
    image = torch.zeros(4, 8, 3, dtype=torch.uint8).numpy()
    plain = posteriors(Known(), torch.zeros(1, 3, 4, 8), (4, 8), average="probabilities")
    gated = posteriors(Known(), torch.zeros(1, 3, 4, 8), (4, 8), average="probabilities", gate=True)
    torch.testing.assert_close(gated[:, 2], 0.1 * plain[:, 2])
    torch.testing.assert_close(gated[:, :2], plain[:, :2])
    options = {"average": "probabilities", "gate": True, "background": 0.17}
    ((_, mask),) = predict_masks([("a", image, None)], Known(), device=device(), **options)  # type: ignore[arg-type]
    assert mask[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    with pytest.raises(ConfigurationError, match="average: probabilities"):
        list(predict_masks([("a", image, None)], Known(), gate=True))


def test_the_gate_of_single_labels_does_not_see_a_common_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    network = page(labels="single").eval()
    plain = network.cam_head.forward
    gates = []
    for shift in (0.0, -8.0):
        monkeypatch.setattr(
            network.cam_head, "forward", lambda features, by=shift: tuple(m + by for m in plain(features))
        )
        gates.append(network.gated_scores(batch().image)[1])
    torch.testing.assert_close(*gates)
    torch.testing.assert_close(gates[0].sum(1), torch.ones(2))
    network.labels = "multi"
    assert network.gated_scores(batch().image)[1].max() < 0.01


def test_posteriors_are_cams_of_the_tagged_classes() -> None:
    image = torch.zeros(8, 16, 3, dtype=torch.uint8).numpy()
    tags = torch.tensor([True, False]).numpy()
    views: dict[str, Any] = {"scales": [1.0], "flip": False, "grid": 4}
    ((_, cam),) = export_cams([("a", image, tags)], Known(), device=device(), maps="posteriors", **views)  # type: ignore[arg-type]
    assert cam.classes.tolist() == [1]
    assert cam.scores.shape == (1, 2, 4)
    share = 1 / (1 + math.exp(-2))
    assert cam.scores[0, 0, 0] == pytest.approx(share, abs=1e-5)
    assert cam.scores[0, 0, 3] == pytest.approx(0.5, abs=1e-5)
