"""Merging, voting, classifying: what class-agnostic masks do to labels, whatever their order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from models.errors import ConfigurationError
from models.ops.proposal_merge import merge_order_free, merge_proposals
from models.ops.region_bank import labelled_regions, near_their_mean, neighbours_vote, painted, pooled_features
from models.ops.run_lengths import region_of_runs, runs_of
from models.refiners.region_vote import RegionVote
from models.refiners.sepl import Sepl
from models.structures import Cam, Proposals

SIZE = (9, 14)


def box(top: int, left: int, bottom: int, right: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def cam_of(*maps: npt.NDArray[np.floating]) -> Cam:
    return Cam(np.arange(1, 1 + len(maps)) * 2, np.stack(maps).astype(np.float32), SIZE)


def drawn(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Labels of coarse cells, void and unlabelled ones among them, and six boxes that may be empty."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.choice([0, 0, 1, 2, 3, 254, 255], (3, 7)), np.ones((3, 2), int)).astype(np.uint8)
    corners = rng.integers(0, (10, 15), (6, 2, 2))
    return labels, np.stack([box(*pair.min(0), *pair.max(0)) for pair in corners])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(6)))
def test_the_order_of_masks_never_matters(seed: int, order: list[int]) -> None:
    labels, masks = drawn(seed)
    np.testing.assert_array_equal(merge_proposals(labels, masks[order])[0], merge_proposals(labels, masks)[0])
    np.testing.assert_array_equal(merge_order_free(labels, masks[order]), merge_order_free(labels, masks))


def test_the_order_of_classes_matters_to_the_published_form_alone() -> None:
    labels = np.where(box(0, 0, 9, 6), 1, 2).astype(np.uint8)
    renamed = np.where(labels == 1, 2, 1).astype(np.uint8)
    masks = np.stack([box(0, 0, 9, 7), box(0, 5, 9, 14)])  # they overlap in two columns
    back = np.array([0, 2, 1], np.uint8)
    np.testing.assert_array_equal(back[merge_order_free(renamed, masks)], merge_order_free(labels, masks))
    assert (back[merge_proposals(renamed, masks)[0]] != merge_proposals(labels, masks)[0]).any()


def test_a_part_keeps_its_class_within_a_whole() -> None:
    labels = np.where(box(0, 0, 9, 8), 1, 0).astype(np.uint8)
    labels[box(2, 2, 4, 4)] = 2
    merged = merge_order_free(labels, np.stack([box(2, 2, 4, 4), box(0, 0, 9, 8)]))
    np.testing.assert_array_equal(merged, labels)


@pytest.mark.parametrize("order_free", [False, True])
def test_sepl_gives_scores_that_complement_reads(order_free: bool) -> None:
    cam = cam_of(0.9 * box(1, 1, 8, 7), 0.9 * box(0, 9, 3, 14))
    proposals = Proposals(box(1, 1, 9, 8)[None], np.ones(1, np.float32))
    shaped = Sepl(order_free=order_free)(cam, proposals)
    np.testing.assert_array_equal(shaped.classes, cam.classes)
    np.testing.assert_array_equal(shaped.scores, np.stack([box(1, 1, 9, 8), box(0, 9, 3, 14)]))


@pytest.mark.parametrize(("options", "name"), [({"threshold": 1.0}, "threshold"), ({"covered": 2.0}, "covered")])
def test_sepl_refuses_shares_that_are_none(options: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"sepl.{name}: expected a share"):
        Sepl(**options)  # type: ignore[arg-type]


def test_a_partition_makes_regions_of_one_score() -> None:
    rng = np.random.default_rng(0)
    cam = cam_of(rng.random(SIZE), rng.random(SIZE))
    masks = np.stack([box(0, 0, 9, 5), box(0, 5, 9, 14)])
    voted = RegionVote()(cam, Proposals(masks, np.array([0.2, 0.9], np.float32)))
    for mask in masks:
        np.testing.assert_allclose(
            voted.scores[:, mask], np.tile(cam.scores[:, mask].mean(1), (mask.sum(), 1)).T, rtol=1e-5
        )


def test_overlapping_masks_share_a_pixel_by_their_scores_and_the_rest_stays() -> None:
    cam = cam_of(box(0, 0, 9, 4).astype(float) * 0.8)
    masks = np.stack([box(0, 0, 9, 4), box(0, 0, 9, 8)])  # means 0.8 and 0.4
    voted = RegionVote()(cam, Proposals(masks, np.array([0.9, 0.3], np.float32))).scores[0]
    np.testing.assert_allclose(voted[:, :4], (0.9 * 0.8 + 0.3 * 0.4) / 1.2, rtol=1e-5)
    np.testing.assert_allclose(voted[:, 4:8], 0.4, rtol=1e-5)
    assert not voted[:, 8:].any()
    largest = RegionVote("sum")(cam, Proposals(masks[:1], np.ones(1, np.float32))).scores[0]
    np.testing.assert_allclose(largest[:, :4], 1, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_run_lengths_come_back(seed: int, share: float) -> None:
    region = np.random.default_rng(seed).random((seed % 5 + 1, seed % 7 + 1)) < share
    np.testing.assert_array_equal(region_of_runs(runs_of(region), region.shape), region)


def test_regions_lose_their_edge_but_not_at_the_border() -> None:
    seeds = np.full(SIZE, 255, np.uint8)
    seeds[:, :7] = 3
    ((label, region),) = labelled_regions(seeds, erosion=2, least_area=1)
    assert label == 3
    np.testing.assert_array_equal(region, box(0, 0, 9, 5))
    assert labelled_regions(seeds, erosion=2, least_area=46) == []


def test_a_mask_pools_the_cells_that_it_covers() -> None:
    features = torch.eye(4).reshape(4, 2, 2)
    masks = np.zeros((2, 4, 6), bool)
    masks[0, :2, :3] = True
    masks[1, :2, :6] = masks[1, 2:3, 3:] = True  # two cells whole, half of a third
    pooled = pooled_features(features, masks)
    assert torch.allclose(pooled[0], torch.tensor([1.0, 0, 0, 0]))
    assert torch.allclose(pooled[1], torch.tensor([1.0, 1, 0, 0.5]) / 1.5)


def test_far_regions_of_a_class_go_and_the_background_stays() -> None:
    vectors = normalize(torch.tensor([[1.0, 0], [1, 0.1], [1, -0.1], [0, 1], [0, 1], [1, 0]]), dim=1)
    labels = torch.tensor([1, 1, 1, 1, 0, 0])
    assert near_their_mean(vectors, labels, 0.25).tolist() == [0, 1, 2, 4, 5]


def test_neighbours_vote_and_cosines_break_ties() -> None:
    vectors = normalize(torch.tensor([[1.0, 0], [1, 0.2], [1, 0.3], [0, 1]]), dim=1)
    labels = torch.tensor([2, 1, 1, 0])
    query = torch.tensor([[1.0, 0]])
    assert neighbours_vote(query, vectors, labels, 3).tolist() == [1]
    assert neighbours_vote(query, vectors, labels, 2).tolist() == [2]
    assert neighbours_vote(query, vectors, labels, 99).tolist() == [1]


def test_sure_proposals_are_painted_first_and_their_doubles_left_out() -> None:
    masks = np.stack([box(0, 0, 9, 6), box(0, 0, 9, 7), box(0, 4, 9, 10)])
    painting = painted(Proposals(masks, np.array([0.7, 0.9, 0.8], np.float32)), np.array([1, 1, 2]), overlap=0.4)
    assert (painting[:, :7] == 1).all()
    assert (painting[:, 7:10] == 2).all()
    assert not painting[:, 10:].any()
