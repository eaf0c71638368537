"""Losses of HFPL, ICAM, SEAM and PPC, and the maps they read, on numbers that a person can check."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.feature_similarity import cam_scores, feature_similarity
from models.losses.importance_sampling import (
    draw_pixels,
    importance_sampling_loss,
    multinomial_sampling_loss,
    probability_logit,
    sampling_weights,
)
from models.losses.prototype_contrast import (
    ContrastView,
    Draws,
    contrast_view,
    draw_hard_pixels,
    intra_view_loss,
    prototype_contrast,
)
from models.losses.seam import (
    View,
    classification_loss,
    comparable_views,
    enlarged_mean,
    equivariance_losses,
    min_pooling_loss,
    resize,
    siamese_classification,
)
from models.ops.cam import max_norm
from models.ops.pixel_correlation import correlation_seed, pixel_correlation, winner_only, with_background
from tests.helpers.on_device import seeded


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_pairs(image: Tensor, scores: Tensor, mu: float, sigma: float) -> tuple[float, Tensor]:
    """The formula of the specification (1.3) over every ordered pair of cells, in Python, and its gradient."""
    count, _, height, width = scores.shape
    cells = list(product(range(height), range(width)))
    total, slope = 0.0, torch.zeros_like(scores).permute(0, 2, 3, 1).tolist()
    for n, (colours, values) in enumerate(zip(image.clamp(0, 1), scores, strict=True)):
        x, y = (maps.permute(1, 2, 0).tolist() for maps in (colours, values))
        for (a, b), (c, d) in product(cells, cells):
            rho = sum(abs(p - q) for p, q in zip(x[a][b], x[c][d], strict=True)) / 3
            gate = math.tanh(mu + math.log((rho + 1e-5) / (1 - rho + 1e-5)))
            far = (a - c) ** 2 + (b - d) ** 2
            near = math.exp(-far / (2 * sigma**2)) / (2 * math.pi * sigma**2) if sigma else 1 / (height * width)
            gaps = [p - q for p, q in zip(y[a][b], y[c][d], strict=True)]
            share = -near * gate / (count * height * width)
            total += share * sum(gap**2 for gap in gaps) / 2
            for channel, gap in enumerate(gaps):
                slope[n][a][b][channel] += 2 * share * gap
    return total, torch.tensor(slope, dtype=scores.dtype).permute(0, 3, 1, 2)


def smooth(*shape: int, seed: int) -> Tensor:
    """A picture or scores of few blobs, where near cells are alike and far ones are not."""
    coarse = random(shape[0], shape[1], 5, 3, seed=seed)
    return F.interpolate(coarse, shape[2:], mode="bilinear", align_corners=True)


@pytest.mark.parametrize(
    ("shape", "options", "tolerance"),
    [
        ((2, 2, 16, 5), {"sigma": 1.5}, 1e-3),
        ((1, 2, 45, 9), {}, 1e-3),
        ((1, 2, 45, 9), {"reach": 0.0}, 1e-9),
        ((2, 3, 16, 5), {"sigma": 1.5, "reach": 0.0, "mu": 1.0}, 1e-9),
        ((2, 3, 9, 7), {"sigma": 0.0}, 1e-9),
        ((2, 3, 3, 7), {"sigma": 5.0, "mu": -0.5}, 1e-9),
    ],
)
def test_feature_similarity_is_the_sum_over_all_pairs(
    shape: tuple[int, ...], options: dict[str, float], tolerance: float
) -> None:
    image = smooth(shape[0], 3, *shape[2:], seed=1) * 1.4 - 0.2  # beyond [0,1] it is clamped
    scores = smooth(*shape, seed=2).requires_grad_()
    total, slope = all_pairs(image, scores.detach(), options.get("mu", 2.5), options.get("sigma", 5.0))
    loss = feature_similarity(image, scores, **options)
    assert loss.item() == pytest.approx(total, rel=tolerance)
    (found,) = torch.autograd.grad(loss, scores)
    assert (found - slope).norm() <= tolerance * slope.norm()


def test_feature_similarity_of_two_cells() -> None:
    """Scores (1, 0) and (0, 1): d = 1, g = e^(-1/50) / (50 pi) = .006240; f(.5) = tanh(2.5), f(0) = -1."""
    scores = torch.eye(2).view(1, 2, 1, 2)
    apart = torch.tensor([0.2, 0.7]).expand(1, 3, 1, 2)
    same = torch.full((1, 3, 1, 2), 0.4)
    assert feature_similarity(apart, scores).item() == pytest.approx(-0.006157, abs=1e-6)
    assert feature_similarity(same, scores).item() == pytest.approx(0.006240, abs=1e-6)
    assert feature_similarity(apart, scores, mu=0.0).item() == pytest.approx(0, abs=1e-7)
    assert feature_similarity(apart, scores, mu=-2.5).item() == pytest.approx(0.006157, abs=1e-6)


def test_cam_scores_are_tagged_maps_and_the_rest_of_one() -> None:
    maps = torch.tensor([[[[0.0, 2.0, 4.0]], [[-1.0, 3.0, 3.0]], [[5.0, 0.0, 0.0]]]])
    found = cam_scores(maps, torch.tensor([[True, True, False]]))[0, :, 0]
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_max_norm_keeps_its_digits_on_a_flat_map() -> None:
    """A floor of 1 and a range of 1e-4, in float32."""
    maps = (1 + 1e-4 * random(1, 2, 5, 6)).float()
    found, exact = max_norm(maps).double(), max_norm(maps.double())
    low, high = maps.double().amin((2, 3), keepdim=True), maps.double().amax((2, 3), keepdim=True)
    torch.testing.assert_close(exact, (maps.double() - low - 1e-5).relu() / (high - low + 1e-5))
    positive = exact > 1e-2
    assert positive.float().mean() > 0.8
    assert ((found - exact).abs()[positive] / exact[positive]).max() < 1e-3
    assert (found[~positive] < 2e-2).all()


def test_pixels_are_drawn_by_their_weight() -> None:
    drawn = draw_pixels(torch.tensor([[[[1.0, 3.0, 0.0]]]]), 4000, seeded(0))
    shares = drawn.flatten().bincount(minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.75, 0.0]), rtol=0, atol=0.02)
    torch.testing.assert_close(sampling_weights(torch.tensor([0.0, -40.0])), torch.tensor([0.50001, 1e-5]))


def test_importance_sampling_loss_by_hand() -> None:
    """Tagged class: log(1 + e^-2), log(1 + e^1), log(1 + e^-2); the other: log(1 + e^0), log(1 + e^3), log(1 + e^3)."""
    logits = torch.tensor([[[[2.0, -1.0]], [[3.0, 0.0]]]], requires_grad=True)
    indices = torch.tensor([[[0, 1, 0], [1, 0, 0]]])
    loss = importance_sampling_loss(logits, torch.tensor([[True, False]]), indices)
    assert loss.item() == pytest.approx((2 * 0.126928 + 1.313262 + 0.693147 + 2 * 3.048587) / 6, abs=1e-5)
    loss.backward()
    expected = torch.tensor([[[[-2 * 0.119203, -0.731059]], [[2 * 0.952574, 0.5]]]]) / 6
    torch.testing.assert_close(logits.grad, expected, rtol=1e-4, atol=1e-6)


def test_multinomial_sampling_by_hand() -> None:
    """p = 0, 1/2, 1 have the logits log .001, 0, -log .001."""
    torch.testing.assert_close(
        probability_logit(torch.tensor([0.0, 0.5, 1.0]).double()),
        torch.tensor([-6.907755, 0.0, 6.907755]).double(),
        rtol=0,
        atol=1e-6,
    )
    probabilities = torch.tensor([[[[0.5, 1.0]], [[0.5, 0.0]]]])
    loss = multinomial_sampling_loss(probabilities, torch.tensor([[True, False]]), torch.tensor([[[1], [0]]]))
    assert loss.item() == pytest.approx((0.000999 + 0.693147) / 2, abs=1e-4)


def test_pixel_correlation_is_a_mean_over_the_cells_that_look_alike() -> None:
    """Directions 0, 45, 90 and 180 degrees; s = cos 45. Each cell divides by the sum of its own similarities."""
    s = 0.5**0.5
    features = torch.tensor([[[[3.0, 1.0, 0.0, -2.0]], [[0.0, 1.0, 5.0, 0.0]]]])
    scores = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 1.0]]]])
    found = pixel_correlation(scores, features)[0, :, 0]
    expected = torch.tensor([[1 / (1 + s), s / (1 + 2 * s), 0, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    squared = pixel_correlation(scores, features, power=2)[0, :, 0]  # s becomes 1/2: less reaches the second cell
    torch.testing.assert_close(squared[0], torch.tensor([1 / 1.5, 0.5 / 2, 0, 0]), rtol=1e-4, atol=1e-6)


def test_what_is_spread_are_the_winners_and_no_gradient() -> None:
    logits = torch.tensor([[[[9.0, 9.0, 9.0]], [[4.0, 1.0, -2.0]], [[1.0, 2.0, -3.0]]]], requires_grad=True)
    found = correlation_seed(logits)
    expected = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(found[0, :, 0], expected, rtol=0, atol=2e-5)
    assert not found.requires_grad
    rivals = torch.tensor([[0.1, 0.2, 0.9]]).view(1, 3, 1, 1)
    torch.testing.assert_close(winner_only(rivals).flatten(), torch.tensor([0.1, 0.0, 0.9]))
    torch.testing.assert_close(with_background(rivals).flatten(), torch.tensor([0.1, 0.1, 0.2, 0.9]))


def test_min_pooling_is_the_mean_of_the_lowest_quarter() -> None:
    """Best of two classes at 8 pixels: -.4 and .2 are the lowest two; below 0 there is nothing to flatten."""
    scores = torch.tensor([[-0.4, 0.1, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7], [-0.5, 0.2, 0.0, 0.8, 0.9, 0.9, 0.9, 0.9]])
    assert min_pooling_loss(scores.view(1, 2, 2, 4)).item() == pytest.approx(0.1)
    assert min_pooling_loss(scores.view(1, 2, 2, 4), share=0.5).item() == pytest.approx((0.2 + 0.8 + 0.9) / 4)


def test_classification_is_the_mean_map_and_leaves_the_background_out() -> None:
    cam = torch.tensor([[[[50.0, 50.0]], [[1.0, 3.0]], [[-4.0, 4.0]]]])
    tags = torch.tensor([[True, False]])
    loss = classification_loss(View.of(cam, cam, tags, (1, 2)), tags)
    assert loss.item() == pytest.approx((0.126928 + 0.693147) / 2, abs=1e-5)


def views() -> tuple[View, View]:
    """Two views of one cell row, one class; the first has the same plain map, and other refined ones."""
    cam = torch.tensor([[[[7.0, 0.0, 7.0, 0.0, 7.0]], [[0.0, 2.0, 0.0, 0.0, 0.0]]]])
    refined = torch.tensor([[[[0.0, 0.0, 1.0, 1.0, 0.0]], [[0.0, 0.5, 1.0, 0.0, 0.0]]]])
    tags = torch.tensor([[True]])
    return View.of(cam, refined, tags, (1, 5)), View.of(cam * 3, cam * 5, tags, (1, 5))


def test_the_cross_term_is_the_mean_of_its_hardest_entries() -> None:
    """Target (1, 0, 1, 1, 1), (0, 1, 0, 0, 0); gaps of the first view: 1 at three entries, .5 at one, else 0."""
    tags = torch.tensor([[True]])
    for share, mean in ((0.2, 1.0), (0.4, 3.5 / 4), (1.0, 3.5 / 10)):
        found = equivariance_losses(*comparable_views(*views(), tags), share)
        assert found.cross_first.item() == pytest.approx(mean, abs=1e-4)
    assert equivariance_losses(*comparable_views(*views(), tags)).cross_first.item() == pytest.approx(1.0, abs=1e-4)
    first, second = views()
    swapped = equivariance_losses(*comparable_views(second, first, tags), 0.4)
    assert swapped.cross_second.item() == pytest.approx(3.5 / 4, abs=1e-4)
    assert swapped.plain.item() == pytest.approx(0, abs=1e-4)
    assert swapped.cross.item() == pytest.approx((swapped.cross_first + swapped.cross_second).item())


def test_the_cross_term_moves_refined_maps_alone() -> None:
    tags = torch.tensor([[True, False, True], [False, True, True]])
    sizes = ((9, 8), (5, 4))
    cams, refined = ([random(2, 4, *size, seed=seed).requires_grad_() for size in sizes] for seed in (1, 2))
    views = [View.of(*maps, tags, size) for *maps, size in zip(cams, refined, sizes, strict=True)]
    found = equivariance_losses(*comparable_views(views[0], views[1], tags))
    leaves = (*cams, *refined)
    for value, moved in (
        (found.cross_first, [False, False, True, False]),
        (found.cross_second, [False, False, False, True]),
        (found.plain, [True, True, False, False]),
    ):
        slopes = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
        assert [slope is not None and bool(slope.any()) for slope in slopes] == moved


def rising() -> tuple[Tensor, Tensor]:
    """A 16x16 map of 0 to 255; features x on its 16 largest pixels, y on the next 16, z elsewhere (raw length 2)."""
    rank = torch.arange(256.0).flip(0)
    features = torch.zeros(3, 256)
    features[0, rank >= 240], features[1, (rank >= 224) & (rank < 240)], features[2, rank < 224] = 2.0, 2.0, 2.0
    refined = torch.stack([torch.zeros(256), rank, torch.zeros(256)])
    return features.view(1, 3, 16, 16), refined.view(1, 3, 16, 16)


def test_a_prototype_is_the_weighted_mean_of_its_32_best_pixels() -> None:
    """The 16 largest weigh 247.5 of 255 on the mean, the next 16 231.5; labels need .2 of the peak, 51 of 255."""
    features, refined = rising()
    features.requires_grad_()
    view = contrast_view(features, refined, torch.tensor([[True, False]]))
    direction = F.normalize(torch.tensor([247.5, 231.5, 0.0]), dim=0)
    torch.testing.assert_close(view.prototypes[1], direction, rtol=0, atol=1e-5)
    torch.testing.assert_close(view.prototypes[0], F.normalize(torch.tensor([1.0, 1.0, 0.0]), dim=0))  # the first 32
    assert view.labels.tolist() == [1] * 204 + [0] * 52
    assert not contrast_view(features, refined, torch.tensor([[False, True]])).labels.any()
    torch.testing.assert_close(view.features.norm(dim=1), torch.ones(256))
    assert view.features.requires_grad
    assert not view.prototypes.requires_grad


def test_hard_pixels_are_half_of_each_class_of_at_least_two() -> None:
    labels = torch.tensor([0, 3, 3, 0, 0, 7, 0, 0])
    drawn = draw_hard_pixels(labels, seeded(0)).positions
    assert {label: len(positions) for label, positions in drawn.items()} == {0: 2, 3: 1}
    assert set(drawn[0].tolist()) <= set(range(5))


def test_negatives_within_a_view_are_the_prototypes_of_ranks_4_to_13() -> None:
    """Similarities .14, .13, .. 0 with 15 prototypes; the positive is the first, whose rank is 1."""
    similarity = torch.arange(14, -1, -1).double() / 100
    twice = ContrastView(similarity.expand(2, 15), torch.tensor([0, 0]), torch.eye(15).double())
    found = intra_view_loss(twice, Draws({0: torch.tensor([0])}))
    negatives = sum(math.exp(s / 10) for s in range(11, 1, -1))
    assert found.item() == pytest.approx(math.log(math.exp(1.4) + negatives) - 1.4)
    single = ContrastView(similarity.expand(1, 15), torch.tensor([0]), torch.eye(15).double())
    assert intra_view_loss(single, draw_hard_pixels(single.labels)) == 0


def test_the_temperature_of_every_term() -> None:
    """Cosines 1 and 0 with three prototypes cost log(1 + 2 e^(-1 / tau)); within a view, similarities over tau."""
    view = ContrastView(torch.eye(3).double(), torch.arange(3), torch.eye(3).double())
    for tau in (0.1, 0.5):
        found = prototype_contrast(view, view, (Draws({}), Draws({})), tau)
        for term in (found.cross_prototype, found.cross_label):
            assert term.item() == pytest.approx(math.log(1 + 2 * math.exp(-1 / tau)), rel=1e-9)
    similarity = torch.arange(14, -1, -1).double() / 100
    twice = ContrastView(similarity.expand(2, 15), torch.tensor([0, 0]), torch.eye(15).double())
    negatives = sum(math.exp(s / 50) for s in range(11, 1, -1))
    expected = math.log(math.exp(0.28) + negatives) - 0.28
    draws = Draws({0: torch.tensor([0])})
    assert prototype_contrast(twice, twice, (draws, draws), 0.5).intra.item() == pytest.approx(expected)


def test_hard_pixels_within_a_view_leave_out_the_hardest() -> None:
    """Ten pixels whose similarity is .0 to .9: int(.6 * 10) - 5 = 1, so .1 to .5, beside the five that were drawn."""
    order = torch.tensor([3, 8, 0, 5, 1, 9, 4, 2, 7, 6])
    features = torch.zeros(10, 14).double()
    features[:, 0] = order / 10
    view = ContrastView(features, torch.zeros(10).long(), torch.eye(14).double())

    def loss(tenths: int) -> float:
        return math.log(math.exp(tenths) + 10) - tenths

    found = intra_view_loss(view, Draws({0: torch.tensor([0, 1, 2, 3, 5])}))
    expected = [loss(tenths) for tenths in (3, 8, 0, 5, 9, 1, 2, 3, 4, 5)]
    assert found.item() == pytest.approx(sum(expected) / 10)


def test_contrast_moves_features_alone() -> None:
    """Prototypes and labels have no slope: that at the features is a cross-entropy's, P^T (chance - label) / tau."""
    features, refined = random(2, 6, 16, 16).requires_grad_(), random(2, 6, 16, 16, seed=1).requires_grad_()
    tags = torch.tensor([[True, True, False, False, True], [True, False, True, False, False]])
    first, second = contrast_view(features, refined, tags), contrast_view(features.flip(3) ** 2, refined.flip(3), tags)
    draws = tuple(draw_hard_pixels(view.labels, seeded(0)) for view in (first, second))
    contrast = prototype_contrast(first, second, draws)  # type: ignore[arg-type]
    for value in (contrast.cross_prototype, contrast.cross_label, contrast.intra):
        slopes: Any = torch.autograd.grad(value, (features, refined), retain_graph=True, allow_unused=True)
        assert slopes[0].any()
        assert slopes[1] is None

    def held(unit: Tensor) -> Tensor:
        first_view = ContrastView(unit, first.labels, first.prototypes)
        return prototype_contrast(first_view, second, draws).cross_label  # type: ignore[arg-type]

    unit = first.features.detach().requires_grad_()
    (slope,) = torch.autograd.grad(held(unit), unit)
    chances = (unit @ first.prototypes.T / 0.1).softmax(1) - F.one_hot(second.labels, 6)
    torch.testing.assert_close(slope, chances @ first.prototypes / 0.1 / len(unit) / 2)


def test_a_batch_without_tags_has_finite_losses_and_gradients() -> None:
    tags = torch.zeros(2, 3, dtype=torch.bool)
    cam, refined = random(2, 4, 4, 4).requires_grad_(), random(2, 4, 4, 4, seed=1).requires_grad_()
    view = View.of(cam, refined, tags, (9, 9))
    parts = siamese_classification(view, view, tags)
    equivariance = equivariance_losses(*comparable_views(view, view, tags))
    total = sum(parts.values()) + equivariance.plain + equivariance.cross
    total.backward()  # type: ignore[union-attr]
    assert parts["min_pooling"] == 0
    assert cam.grad is not None
    assert cam.grad.isfinite().all()


def test_the_mean_of_an_enlarged_map_needs_no_enlarging() -> None:
    maps = random(2, 3, 5, 7)
    expected = resize(maps, (64, 33)).mean((2, 3))
    torch.testing.assert_close(enlarged_mean(maps, (64, 33)), expected)
