"""SPML on tensors small enough to follow by hand, and the traps of the released code (docs/methods/spml.md)."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigurationError, DataError
from models.losses.pixel_segment import pixel_segment_loss
from models.losses.segment_relations import (
    PRESETS,
    annotation_loss,
    co_occurrence_loss,
    feature_affinity_loss,
    image_similarity_loss,
)
from models.methods.spml import Spml
from models.ops.labelled_segments import affinity_sets, cell_seeds, cell_values, colour_features, labelled_segments
from models.ops.nearest import label_shares, nearest
from models.ops.prototypes import segment_prototypes
from models.ops.spherical_kmeans import grid_clusters, spherical_kmeans, split
from models.prototype_bank import PrototypeBank
from models.structures import IGNORE, UNLABELLED, Batch, StepContext
from tests.helpers.on_device import seeded

SMALL: dict[str, Any] = {"backbone": "resnet18", "width": 0.25, "embedding": 8, "clusters": 2, "bank": 64}
CONTEXT = StepContext(step=1, total_steps=10, steps_per_epoch=5)


def unit(*angles: float) -> torch.Tensor:
    """Unit vectors of the plane by angle in degrees."""
    radians = torch.tensor(angles, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], 1)


def build(seed: int = 0, **options: Any) -> Spml:
    torch.manual_seed(seed)
    return Spml(3, **{**SMALL, **options})


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 64, 64, generator=generator)
    seeds = torch.full((2, 64, 64), UNLABELLED)
    seeds[:, :16, :16], seeds[0, 32:48, 32:48], seeds[1, 32:48, 32:48] = 0, 1, 2
    regions = torch.arange(64).div(16, rounding_mode="floor").expand(2, 64, 64)
    tags = torch.tensor([[True, False, False], [False, True, False]])
    return Batch(image, tags, seeds, ("a", "b"), regions)


# -- clusters, segments, prototypes


def test_a_grid_has_half_cells_at_the_border() -> None:
    heights = torch.bincount(grid_clusters((128, 1), (6, 1))[:, 0])
    assert heights.tolist() == [13, 26, 25, 25, 26, 13]
    assert grid_clusters((3, 2), (3, 2)).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_kmeans_moves_pixels_to_their_likes_and_leaves_empty_clusters_empty() -> None:
    vectors = F.normalize(torch.tensor([[[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]]]), dim=2)
    kept = torch.ones(1, 4, dtype=torch.bool)
    found = spherical_kmeans(vectors, torch.tensor([0, 0, 1, 0]), kept, 3)
    assert found.tolist() == [[0, 0, 1, 1]]


def test_pixels_that_are_dropped_make_no_cluster() -> None:
    vectors = F.normalize(torch.tensor([[[1.0, 0.1], [1, -0.1], [-1, 0.2], [0.2, 1.0]]]), dim=2)
    start, kept = torch.tensor([0, 0, 0, 1]), torch.tensor([[True, True, False, True]])
    assert spherical_kmeans(vectors, start, kept, 2)[0, :2].tolist() == [0, 0]


def test_split_numbers_combinations_in_order() -> None:
    ids, (first, second) = split(torch.tensor([1, 0, 1, 0]), torch.tensor([2, 5, 2, 0]), below=(2, 9))
    assert ids.tolist() == [2, 1, 2, 0]
    assert (first.tolist(), second.tolist()) == ([0, 0, 1], [0, 5, 2])


def test_a_segment_crosses_no_region_and_no_label_and_drops_only_void() -> None:
    seeds = torch.full((1, 4, 4), UNLABELLED)
    seeds[0, 0, 0], seeds[0, 3, 3] = 1, IGNORE
    regions = torch.zeros(1, 4, 4, dtype=torch.int64)
    regions[0, :, 2:] = 1
    found = labelled_segments(torch.ones(1, 2, 4, 4), seeds, regions, 1, 2)
    # one cluster: the labelled pixel, the rest of its region, the other region without its void pixel
    assert torch.bincount(found.segment).tolist() == [1, 7, 7]
    assert found.segment_label.tolist() == [1, UNLABELLED, UNLABELLED]
    assert found.kept.sum() == 15


def test_unlabelled_pixels_are_clustered_and_void_ones_are_not() -> None:
    """The trap of the label codes: whoever writes 255 for unlabelled removes the pixels from all relations."""
    embeddings = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    seeds = torch.full((1, 8, 8), UNLABELLED)
    assert labelled_segments(embeddings, seeds, None, 2, 3).kept.all()
    assert not labelled_segments(embeddings, torch.full_like(seeds, IGNORE), None, 2, 3).kept.any()


def test_a_point_between_the_cells_is_not_lost() -> None:
    seeds = torch.full((1, 8, 9), UNLABELLED)
    seeds[0, 1, 3], seeds[0, 0, 0], seeds[0, 6, 6] = 2, 0, IGNORE
    assert cell_seeds(seeds, 4).tolist() == [[[2, UNLABELLED, UNLABELLED], [UNLABELLED, IGNORE, UNLABELLED]]]
    assert cell_values(torch.arange(9)[None, None].expand(1, 2, 9), 4).tolist() == [[[2, 6, 8]]]


# -- the contrast


def by_hand(
    e: torch.Tensor, mu: torch.Tensor, segment: int, positive: list[int], negative: list[int], kappa: float
) -> float:
    s = torch.exp(kappa * mu @ e)
    others = [p for p in positive if p != segment]
    up = s[others].sum() if others else s[segment]
    return float(-torch.log(up / (up + s[negative].sum())))


def test_the_contrast_is_the_formula() -> None:
    pixels, centres = unit(0, 40, 80, 200), unit(10, 70, 190, 30)
    segment, group = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 0, 1])
    relation = torch.tensor([[1, 1, -1, 0], [-1, -1, 1, 0]])  # the last prototype is neither
    each = torch.eye(4, dtype=torch.float64)  # weights that leave one pixel
    found = torch.stack([pixel_segment_loss(pixels, centres, segment, group, relation, 4.0, alone) for alone in each])
    expected = [
        by_hand(pixels[0], centres, 0, [0, 1], [2], 4.0),
        by_hand(pixels[1], centres, 1, [0, 1], [2], 4.0),
        by_hand(pixels[2], centres, 1, [0, 1], [2], 4.0),
        by_hand(pixels[3], centres, 2, [2], [0, 1], 4.0),  # no other positive: the own one
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("positive", [0, 1, 2, 5])
def test_the_gradient_is_that_of_the_formula(positive: int) -> None:
    generator = torch.Generator().manual_seed(positive)
    pixels, centres = (
        F.normalize(torch.randn(n, 3, dtype=torch.float64, generator=generator), dim=1).requires_grad_() for n in (6, 7)
    )
    segment = torch.randint(7, (6,), generator=generator)
    relation = torch.full((1, 7), -1)
    relation[0, :positive] = 1
    group, weights = torch.zeros(6, dtype=torch.int64), torch.rand(6, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(
        lambda e, mu: pixel_segment_loss(e, mu, segment, group, relation, 3.0, weights), (pixels, centres)
    )


@pytest.mark.parametrize("kappa", [6.0, 16.0, 200.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_contrast_is_finite_at_any_kappa_and_in_half_precision(kappa: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, centres = (F.normalize(torch.randn(n, 8, generator=generator), dim=1).to(dtype) for n in (32, 12))
    pixels.requires_grad_()
    centres.requires_grad_()
    segment, group = torch.randint(12, (32,), generator=generator), torch.zeros(32, dtype=torch.int64)
    relation = torch.where(torch.arange(12) < 6, 1, -1)[None]
    loss = pixel_segment_loss(pixels, centres, segment, group, relation, kappa)
    loss.backward()
    assert loss.isfinite()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()
    assert centres.grad is not None
    assert centres.grad.isfinite().all()
    exact = pixel_segment_loss(pixels.double(), centres.double(), segment, group, relation, kappa)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-4, atol=1e-5)


def test_the_contrast_does_not_depend_on_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, centres = (F.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (40, 12))
    segment, group = torch.randint(12, (40,), generator=generator), torch.randint(3, (40,), generator=generator)
    relation = torch.randint(-1, 2, (3, 12), generator=generator)
    pixels.requires_grad_()
    centres.requires_grad_()

    def loss_and_slopes() -> list[torch.Tensor]:
        loss = pixel_segment_loss(pixels, centres, segment, group, relation, 8.0)
        return [loss.detach(), *torch.autograd.grad(loss, (pixels, centres))]

    whole = loss_and_slopes()
    monkeypatch.setattr("models.losses.pixel_segment.BLOCK", 30)
    torch.testing.assert_close(loss_and_slopes(), whole)


def test_no_pixels_and_no_negatives_are_loss_zero() -> None:
    pixels, centres = unit(0, 10).requires_grad_(), unit(5, 20)
    none = torch.zeros(0, dtype=torch.int64)
    assert pixel_segment_loss(pixels[:0], centres, none, none, torch.zeros(0, 2), 6.0) == 0
    zeros = torch.zeros(2, dtype=torch.int64)
    loss = pixel_segment_loss(pixels, centres, zeros, zeros, torch.ones(1, 2), 6.0)
    loss.backward()
    assert loss == 0
    assert pixels.grad is not None
    assert not pixels.grad.any()


# -- the four relations


def test_annotation_leaves_unlabelled_segments_out() -> None:
    pixels, centres = unit(0, 90, 45), unit(10, 80, 45, 20)
    label, labels = torch.tensor([1, 0, UNLABELLED]), torch.tensor([1, 0, UNLABELLED, 1])
    loss = annotation_loss(pixels, torch.tensor([0, 1, 2]), label, centres, labels, 2, 6.0)
    expected = [by_hand(pixels[0], centres, 0, [0, 3], [1], 6.0), by_hand(pixels[1], centres, 1, [1], [0, 3], 6.0)]
    assert float(loss) == pytest.approx(sum(expected) / 2)


def test_background_is_a_label_of_the_annotation_term() -> None:
    pixels, centres, labels = unit(0), unit(10, 80), torch.tensor([0, 2])
    loss = annotation_loss(pixels, torch.tensor([0]), torch.tensor([0]), centres, labels, 2, 6.0)
    assert float(loss) == pytest.approx(by_hand(pixels[0], centres, 0, [0], [1], 6.0))


def test_co_occurrence_skips_images_without_tags() -> None:
    """In the released code such a pixel's own segment is its negative too: a floor of ln 2."""
    pixels, centres = unit(0, 90), unit(10, 80)
    tags = torch.tensor([[True, False], [False, False]])
    loss = co_occurrence_loss(pixels, torch.tensor([0, 1]), torch.tensor([0, 1]), tags, centres, tags, 8.0)
    assert float(loss) == pytest.approx(by_hand(pixels[0], centres, 0, [0], [1], 8.0))
    nothing = co_occurrence_loss(pixels, torch.tensor([0, 1]), torch.tensor([1, 1]), tags, centres, tags, 8.0)
    assert float(nothing) == 0 < math.log(2)


def test_untagged_anchors_count_as_published() -> None:
    """A pixel on its own centre, the other centre at a right angle: log((own + own + other) / own), own = e^8."""
    pixels, tags = unit(0, 90), torch.tensor([[True, False], [False, False]])
    arguments = (pixels, torch.tensor([0, 1]), torch.tensor([0, 1]), tags, pixels, tags, 8.0)
    tagged, untagged = math.log(1 + math.exp(-8)), math.log(2 + math.exp(-8))
    assert float(co_occurrence_loss(*arguments)) == pytest.approx(tagged)
    both = co_occurrence_loss(*arguments, untagged_anchors=True)
    assert float(both) == pytest.approx((tagged + untagged) / 2)
    alone = co_occurrence_loss(*arguments[:2], torch.tensor([1, 1]), *arguments[3:], untagged_anchors=True)
    assert float(alone) >= math.log(2)


def test_the_method_offers_untagged_anchors(batch: Batch) -> None:
    """Images without a tag add to the published term and to no other; where each has one it is the same."""

    def parts(tags: Tensor, **options: Any) -> dict[str, float]:
        method = build(memory=0, **options).train()
        tagged = replace(batch, tags=tags)
        return {name: value.item() for name, value in method.losses(method(tagged), tagged, CONTEXT).items()}

    none = torch.zeros_like(batch.tags)
    ours, published = parts(none), parts(none, untagged_anchors=True)
    weight = build().weights.co_occurrence
    assert ours.pop("co_occurrence") == 0
    assert published.pop("co_occurrence") >= weight * math.log(2)
    assert ours == published
    every = torch.ones_like(batch.tags)
    assert parts(every) == parts(every, untagged_anchors=True)


def test_similarity_stays_within_an_image_and_counts_images_alike() -> None:
    vectors = unit(0, 5, 90, 10, 100)
    segment, image = torch.tensor([0, 1, 2, 3, 4]), torch.tensor([0, 0, 0, 1, 1])
    region = torch.tensor([0, 0, 1, 0, 1])
    loss = image_similarity_loss(vectors, segment, image, image, region, 2, 16.0)
    first = [
        by_hand(vectors[0], vectors, 0, [0, 1], [2], 16.0),
        by_hand(vectors[1], vectors, 1, [0, 1], [2], 16.0),
        by_hand(vectors[2], vectors, 2, [2], [0, 1], 16.0),
    ]
    second = [by_hand(vectors[3], vectors, 3, [3], [4], 16.0), by_hand(vectors[4], vectors, 4, [4], [3], 16.0)]
    assert float(loss) == pytest.approx((sum(first) / 3 + sum(second) / 2) / 2)
    assert float(image_similarity_loss(vectors, segment, image, image, torch.zeros_like(region), 2, 16.0)) == 0


def test_affinity_is_a_common_label() -> None:
    pixels, centres = unit(0, 90), unit(10, 80, 40)
    sets = torch.tensor([[True, False], [False, True], [True, True]])
    loss = feature_affinity_loss(pixels, torch.tensor([0, 1]), sets[:2], centres, sets, 12.0)
    expected = [by_hand(pixels[0], centres, 0, [0, 2], [1], 12.0), by_hand(pixels[1], centres, 1, [1, 2], [0], 12.0)]
    assert float(loss) == pytest.approx(sum(expected) / 2)


def test_segments_like_none_may_have_any_label() -> None:
    embeddings = torch.zeros(1, 2, 8, 8)
    embeddings[:, 0, :, :4], embeddings[:, 1, :, 4:] = 1, 1
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0, :, :16], image[:, 2, :, 16:] = 1, 1
    seeds = torch.full((1, 8, 8), UNLABELLED)
    seeds[:, 0:2, 0:2] = 1
    found = labelled_segments(embeddings, seeds, None, 2, 5)
    sets = affinity_sets(found, image, 4, threshold=0.95)
    assert sets.any(1).all()
    assert sets[found.segment_label == 1].tolist() == [[False, True, False, False]]
    assert sets.all(1).any()


def test_colours_are_smoothed_most_where_they_are() -> None:
    """The released kernel has the distance as its weight: 0 in its middle."""
    image = torch.zeros(1, 3, 9, 9)
    image[0, :, 4, 4] = 1
    colour = colour_features(image, torch.Size([9, 9]))
    assert colour[0, 0].argmax() == 4 * 9 + 4
    assert colour.abs().max() == 1


# -- neighbours and the bank


@pytest.mark.parametrize("k", [1, 3, 20])
def test_neighbours_are_those_of_a_full_sort(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, prototypes = (F.normalize(torch.randn(n, 6, generator=generator), dim=1) for n in (7, 5003))
    expected = (queries @ prototypes.T).sort(dim=1, descending=True)
    for block in (2**22, 3000 * 256, 256 * 21):
        scores, found = nearest(queries, prototypes, k, block)
        assert torch.equal(found, expected.indices[:, :k])
        torch.testing.assert_close(scores, expected.values[:, :k])
    with pytest.raises(ValueError, match="at least 6 prototypes, found 5"):
        nearest(queries, prototypes[:5], 6)


def test_no_kernel_sorts_all_prototypes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a full sort")

    for name in ("sort", "argsort", "msort"):
        monkeypatch.setattr(torch, name, refuse)
        monkeypatch.setattr(torch.Tensor, name, refuse, raising=False)
    vectors = F.normalize(torch.randn(2000, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    assert nearest(vectors[:4], vectors, 5)[1][:, 0].tolist() == [0, 1, 2, 3]


def test_shares_add_up() -> None:
    assert label_shares(torch.tensor([[0, 2, 2, 1]]), 3).tolist() == [[0.25, 0.25, 0.5]]


def test_the_bank_is_first_in_first_out_and_knows_its_steps() -> None:
    bank = PrototypeBank(5, 2, 2)
    tags = torch.tensor([[True, False]]).expand(3, 2)
    for step in (1.0, 2.0, 3.0):
        bank.add(torch.full((3, 2), step), torch.full((3,), int(step)), tags)
        bank.advance()
    assert sorted(bank.recent(1)[1].tolist()) == [3, 3, 3]
    assert sorted(bank.recent(2)[1].tolist()) == [2, 2, 3, 3, 3]  # one of three has made room
    assert len(bank.recent(0)[1]) == 0
    other = PrototypeBank(5, 2, 2)
    other.load_state_dict(bank.state_dict())
    other.add(torch.full((1, 2), 4.0), torch.tensor([UNLABELLED]), tags[:1])
    assert sorted(other.labelled()[1].tolist()) == [2, 3, 3, 3]
    other.clear()
    assert len(other.labelled()[1]) == len(other.recent(9)[1]) == 0


def test_steps_of_the_bank_are_optimiser_steps() -> None:
    """Two batches accumulated in each step; those of the running one are not yet the memory's."""
    bank, tags = PrototypeBank(8, 2, 2), torch.tensor([[True, False]])
    for step in (1, 2, 3):
        for _ in range(2):
            bank.add(torch.full((1, 2), float(step)), torch.tensor([step]), tags)
        assert step not in bank.recent(9)[1].tolist()
        bank.advance()
    assert bank.steps == 3
    assert sorted(bank.recent(2)[1].tolist()) == [2, 2, 3, 3]


def test_a_bank_is_large_enough_for_what_is_asked_of_it() -> None:
    with pytest.raises(ConfigurationError, match=r"a bank above 0 for memory: 2, found bank: 0"):
        build(bank=0).begin()
    build(bank=0, memory=0).begin()
    build(bank=0, frozen=True).begin()
    with pytest.raises(ConfigurationError, match=r"a bank of at least the 20 neighbours that are asked, found bank: 9"):
        build(bank=9, inference="neighbours")


def test_more_than_the_bank_holds_is_thinned() -> None:
    bank = PrototypeBank(4, 1, 1)
    bank.add(torch.arange(8.0)[:, None], torch.arange(8), torch.zeros(8, 1, dtype=torch.bool))
    assert bank.labels.tolist() == [0, 2, 4, 6]


# -- the page


def test_presets_are_the_published_weights() -> None:
    assert {name: (w.annotation, w.co_occurrence, w.similarity, w.affinity) for name, w in PRESETS.items()} == {
        "tags": (0.3, 0.3, 0.1, 0.0),
        "boxes": (0.3, 0.3, 0.1, 0.0),
        "points": (0.1, 0.1, 0.1, 0.0),
        "scribbles": (1.0, 0.5, 0.1, 0.0),
        "parts": (1.0, 0.0, 0.1, 0.5),
    }
    assert {name: w.kappa_co_occurrence for name, w in PRESETS.items() if w.co_occurrence} == {
        "tags": 8, "boxes": 8, "points": 8, "scribbles": 12,
    }  # fmt: skip
    assert {(w.kappa_annotation, w.kappa_similarity, w.kappa_affinity) for w in PRESETS.values()} == {(6, 16, 12)}
    assert build(preset="scribbles", similarity=0.0).weights == replace(PRESETS["scribbles"], similarity=0.0)
    with pytest.raises(ConfigurationError, match="Did you mean 'points'"):
        build(preset="point")


def test_parts_name_the_terms_and_feature_affinity_teaches(batch: Batch) -> None:
    """In the released code the feature affinity is built and never used."""
    for preset, terms in (
        ("tags", {"annotation", "co_occurrence", "similarity"}),
        ("parts", {"annotation", "similarity", "affinity"}),
    ):
        method = build(preset=preset).train()
        parts = method.losses(method(batch), batch, CONTEXT)
        assert parts.keys() == {"segmentation", *terms}
        assert all(part > 0 for part in parts.values())
    parts["affinity"].backward()
    assert method.head.branches[0].weight.grad.any()  # type: ignore[union-attr,operator]


def test_the_classifier_does_not_shape_the_embeddings(batch: Batch) -> None:
    method = build().train()
    method.losses(method(batch), batch, CONTEXT)["segmentation"].backward()
    assert method.classifier.classifier.weight.grad is not None
    assert all(p.grad is None for module in (method.backbone, method.head) for p in module.parameters())


def test_frozen_embeddings_stay_and_the_classifier_learns_alone(batch: Batch) -> None:
    method = build(frozen=True).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    parts = method.losses(method(batch), batch, CONTEXT)
    assert parts.keys() == {"segmentation"}
    parts["segmentation"].backward()
    assert {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None} == {"classifier"}
    after = method.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items() if k.startswith(("backbone", "head")))


def test_regions_cut_segments_and_none_is_one_region(batch: Batch) -> None:
    method = build().train()
    plain = replace(batch, regions=None)
    assert method.losses(method(plain), plain, CONTEXT)["similarity"] == 0
    assert method.losses(method(batch), batch, CONTEXT)["similarity"] > 0


def test_prototypes_of_earlier_steps_stay_in_the_contrast(batch: Batch) -> None:
    method = build().train()
    outputs = method(batch)
    alone = method.losses(outputs, batch, CONTEXT)["annotation"]
    method.remember(outputs, batch)
    method.after_step(CONTEXT)
    joined = method.losses(outputs, batch, CONTEXT)["annotation"]
    assert alone != joined
    method.memory = 0
    assert method.losses(outputs, batch, CONTEXT)["annotation"] == alone


def test_a_training_begins_with_an_empty_bank(batch: Batch) -> None:
    """Labels of the training before, of the ground truth perhaps, are no neighbours of this one."""
    method = build().train()
    method.bank.add(torch.ones(3, 8), torch.full((3,), 3), torch.zeros(3, 3, dtype=torch.bool))
    method.begin()
    outputs = method(batch)
    assert (
        method.losses(outputs, batch, CONTEXT)["annotation"]
        == build().train().losses(outputs, batch, CONTEXT)["annotation"]
    )
    method.remember(outputs, batch)
    assert set(method.bank.labels.tolist()) <= {0, 1, 2, UNLABELLED}


def test_anchors_are_drawn_by_the_generator(batch: Batch) -> None:
    method = build(anchors=20, memory=0).train()
    outputs = method(batch)

    def drawn(seed: int) -> float:
        context = replace(CONTEXT, generator=seeded(seed))
        return method.losses(outputs, batch, context)["co_occurrence"].item()

    assert drawn(0) == drawn(0) != drawn(1)


def test_neighbours_answer_from_the_bank_alone(batch: Batch) -> None:
    method = build(inference="neighbours", neighbours=2, inference_clusters=2).eval()
    with pytest.raises(DataError, match="at least 2 labelled prototypes in the bank, found 0"):
        method.scores(batch.image)
    embeddings = method.embed(batch.image)
    method.bank.add(
        F.normalize(embeddings.mean((2, 3)), dim=1).repeat(2, 1), torch.tensor([1, 2, 1, 2]), torch.zeros(4, 3).bool()
    )
    shares = method.scores(batch.image).softmax(1)
    assert shares.shape == (2, 4, 16, 16)
    assert shares[:, [0, 3]].max() < 1e-4


def test_links_join_what_is_alike(batch: Batch) -> None:
    method = build().eval()
    with torch.inference_mode():
        links = method.links(batch.image[:1, :, :60])
    assert (links.grid, links.stride) == ((7, 8), 8)
    values = np.random.default_rng(0).random((2, 7, 8))
    np.testing.assert_allclose(links.walk(values, 20.0, 4).sum((1, 2)) > 0, [True, True])
    np.testing.assert_allclose(links.walk(np.ones((1, 7, 8)), 20.0, 4).shape, (1, 7, 8))


def test_all_void_is_loss_zero(batch: Batch) -> None:
    method = build().train()
    void = replace(batch, seeds=torch.full_like(batch.seeds, IGNORE))
    parts = method.losses(method(void), void, CONTEXT)
    assert all(part == 0 for part in parts.values())
    sum(parts.values()).backward()  # type: ignore[union-attr]


def test_prototypes_are_unit_sums() -> None:
    found = segment_prototypes(torch.tensor([[3.0, 0], [0, 4], [1, 0]]), torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0, 0], [1, 0]]))
    assert all(a <= b for a, b in pairwise(found.norm(dim=1).sort().values))
