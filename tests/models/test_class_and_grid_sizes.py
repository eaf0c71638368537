"""Published constants that depend on the number of classes or cells: the options that make them independent of it.

Each is as published at VOC's 20 classes and at 56 cells, and stays so where classes are added that no image has, or
where the grid is finer.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.doors import resolve
from models.errors import ConfigurationError
from models.losses.class_means import class_mean, hardest_mean
from models.losses.feature_similarity import feature_similarity, sigma_in_cells
from models.losses.multiscale_attention import multiscale_attention
from models.losses.prototype_contrast import (
    ContrastView,
    Draws,
    contrast_view,
    draw_hard_pixels,
    intra_view_loss,
    present_classes,
    prototype_contrast,
    semi_hard_ranks,
)
from models.losses.regional_contrast import regional_contrast
from models.losses.seam import View, comparable_views, equivariance_losses
from models.losses.transform_contrast import mutual_compensation, transform_view
from models.method import Method
from models.methods import ADD_ONS, hfpl
from models.methods.rcm_mam import RcmMam
from models.structures import Batch, CamView, StepContext
from tests.helpers.on_device import seeded
from tests.helpers.pages import build

VOC = 20
PPC_TERMS = {"cross_label", "cross_prototype", "intra_view"}
TAGS = torch.tensor([[True, False], [True, True], [False, False]])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_absent(maps: Tensor, classes: int, front: int) -> Tensor:
    """Maps [N,K,...] with random channels behind, for classes that no image has: [N,front+classes,...]."""
    added = random(len(maps), front + classes - maps.shape[1], *maps.shape[2:], seed=9)
    return torch.cat([maps, added], 1)


def tags_of(classes: int) -> Tensor:
    return F.pad(TAGS, (0, classes - TAGS.shape[1]))


def equivariance(classes: int, counted: int) -> list[float]:
    tags = tags_of(classes)
    views = [
        View.of(*(with_absent(random(3, 3, size, size, seed=s + size), classes, 1) for s in (1, 2)), tags, (8, 8))
        for size in (8, 5)
    ]
    found = equivariance_losses(*comparable_views(views[0], views[1], tags), 0.2, counted)
    return [found.plain.item(), found.cross_first.item(), found.cross_second.item()]


def compensator(classes: int, counted: int) -> list[float]:
    tags = tags_of(classes)
    seen = [(random(3, 4, 16, 16, seed=s), with_absent(random(3, 3, 16, 16, seed=s + 2), classes, 1)) for s in (0, 1)]
    views = tuple(transform_view(features, refined, tags) for features, refined in seen)
    cams = tuple(with_absent(random(3, 2, 16, 16, seed=s), classes, 0) * tags[:, :, None, None] for s in (5, 6))
    return [mutual_compensation(views, cams, tags, counted=counted).item()]  # type: ignore[arg-type]


def attention(classes: int, counted: int) -> list[float]:
    main, *support = (with_absent(random(3, 2, 4, 4, seed=s), classes, 0) for s in (1, 2, 3))
    return [multiscale_attention([main], support, tags_of(classes), (8, 8), counted=counted).item()]


@pytest.mark.parametrize("term", [equivariance, compensator, attention])
def test_with_counted_classes_a_mean_over_classes_is_that_of_voc_whatever_their_number(term: object) -> None:
    assert callable(term)
    published = term(VOC, 0)
    assert min(published) > 0
    assert term(VOC, VOC) == published  # the same bytes
    for classes in (2, 6, 80):
        assert term(classes, VOC) == pytest.approx(published, rel=1e-9)
    assert term(6, 0) != pytest.approx(published, rel=0.2)


def test_a_mean_over_six_classes_is_20_sixths_of_the_same_over_twenty() -> None:
    gaps = torch.zeros(1, 6, 2, 2)
    gaps[0, 0] = -3.0
    assert class_mean(gaps).item() == pytest.approx(3 / 6)
    assert class_mean(gaps, VOC).item() == pytest.approx(3 / 20)


def test_the_largest_fifth_of_seven_channels_leaves_differences_out_that_a_fifth_of_21_has() -> None:
    """Two channels of 10 cells differ, by 2 and by 1: int(.2 * 70) = 14 entries, int(.2 * 210) = 42."""
    gaps = torch.zeros(1, 7, 10)
    gaps[0, 0], gaps[0, 1] = 2.0, 1.0
    assert hardest_mean(gaps, 0.2).item() == pytest.approx((10 * 2 + 4 * 1) / 14)
    assert hardest_mean(gaps, 0.2, 21).item() == pytest.approx((10 * 2 + 10 * 1) / 42)
    assert hardest_mean(gaps[:, :2], 1.0, 4).item() == pytest.approx(30 / 40)  # channels that are not there are 0


def two_halves(side: int) -> tuple[Tensor, Tensor]:
    """A crop, black on the left and white on the right, and scores that say so, on a grid of side x side."""
    right = (torch.arange(side) >= side // 2).double().expand(side, side)
    return right.expand(1, 3, side, side), torch.stack([1 - right, right])[None]


def test_sigma_of_the_image_is_the_same_share_of_the_crop_on_any_grid() -> None:
    """Pairs across the edge count; with sigma in cells a grid twice as fine has half as many."""
    assert sigma_in_cells(5.0, 56, 56) == 5.0
    assert sigma_in_cells(5.0, 16, 16) == pytest.approx(10 / 7)
    assert sigma_in_cells(5.0, 28, 112) == 5.0
    of_image = [feature_similarity(*two_halves(n), sigma=sigma_in_cells(5.0, n, n), reach=0).item() for n in (16, 32)]
    assert of_image[1] == pytest.approx(of_image[0], rel=0.05)
    in_cells = [feature_similarity(*two_halves(n), sigma=1.5, reach=0).item() for n in (16, 32)]
    assert in_cells[1] == pytest.approx(in_cells[0] / 2, rel=0.05)


def test_hfpl_scales_sigma_to_the_grid_of_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, given = random(1, 2, 8, 8), []
    view = CamView("classification", 1.0, random(1, 3, 64, 64), maps, None, maps, maps)
    monkeypatch.setattr(hfpl, "feature_similarity", lambda *values: given.append(values[3]))
    for of in ("cells", "image"):
        hfpl.Hfpl(build("classifier"), sigma_of=of)._similar(view, torch.tensor([[True, False]]))  # type: ignore[arg-type]
    assert given == [5.0, 5.0 / 7]


def contrast(classes: int, **options: object) -> list[float]:
    tags = tags_of(classes)
    views = [
        contrast_view(random(3, 5, 16, 16, seed=s), with_absent(random(3, 3, 16, 16, seed=s + 2), classes, 1), tags)
        for s in (0, 1)
    ]
    draws = tuple(draw_hard_pixels(view.labels, seeded(0)) for view in views)
    present = present_classes(tags)
    found = prototype_contrast(views[0], views[1], draws, present=present, **options)  # type: ignore[arg-type]
    return [found.cross_prototype.item(), found.cross_label.item(), found.intra.item()]


def test_classes_that_no_image_has_are_no_negatives_of_ppc() -> None:
    for semi_hard in ("ranks", "shares"):
        few = contrast(2, semi_hard=semi_hard)
        assert contrast(VOC, semi_hard=semi_hard) == pytest.approx(few, rel=1e-9)


def test_semi_hard_shares_are_the_published_ranks_of_21_prototypes() -> None:
    published = semi_hard_ranks(21)
    assert semi_hard_ranks(21, "shares") == published == slice(3, 13)
    assert semi_hard_ranks(81, "shares") == slice(11, 50)
    assert semi_hard_ranks(7, "shares") == slice(1, 4)
    assert semi_hard_ranks(2, "shares") == slice(1, 2)  # never the first, which is the positive of most pixels
    similarity = torch.arange(2, -1, -1).double() / 10  # .2, .1, 0: the positive, and two that are no rank 4
    view = ContrastView(similarity.expand(2, 3), torch.tensor([0, 0]), torch.eye(3).double())
    draws = Draws({0: torch.tensor([0])})
    assert intra_view_loss(view, draws) == pytest.approx(0)
    assert intra_view_loss(view, draws, semi_hard="shares").item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_more_cells_make_a_prototype_of_more_of_the_batch() -> None:
    refined = torch.zeros(2, 2, 16, 16)
    refined[0, 1, :2], refined[1, 1, :2] = 1.0, 0.9
    tags, features = torch.tensor([[True], [True]]), torch.ones(2, 3, 16, 16)
    assert (transform_view(features, refined, tags).cells[1] < 256).all()
    assert (transform_view(features, refined, tags, top=64).cells[1] >= 256).sum() == 32


def regional(classes: int, negatives: str) -> float:
    prototypes = F.normalize(torch.cat([random(2, 3, 4), torch.zeros(2, classes - 2, 4).double()], 1), dim=2)
    regions = (random(2, 6, 6, seed=1) * 3).long()
    return regional_contrast(random(2, 4, 3, 3, seed=2), prototypes, regions, negatives=negatives).item()  # type: ignore[arg-type]


def test_classes_that_no_image_has_are_no_negatives_of_rcm() -> None:
    assert regional(2, "present") == regional(2, "all")
    assert regional(VOC, "present") == pytest.approx(regional(2, "present"), rel=1e-9)
    assert regional(VOC, "all") > regional(2, "all") + 0.5


def test_an_image_without_prototypes_has_a_finite_slope() -> None:
    features = random(1, 4, 3, 3).requires_grad_()
    loss = regional_contrast(features, torch.zeros(1, 3, 4).double(), torch.ones(1, 6, 6).long(), negatives="present")
    (slope,) = torch.autograd.grad(loss, features)
    assert loss == 0
    assert not slope.any()


def test_rcm_refuses_to_ask_for_prototypes_that_it_leaves_out() -> None:
    with pytest.raises(ConfigurationError, match=r"empty: ignore.*found `empty: faithful`"):
        RcmMam(2, backbone="mobilenet_v2", width=0.25, empty="faithful", negatives="present")


@pytest.fixture(scope="module")
def batch() -> Batch:
    tags = torch.tensor([[True, False, False], [True, True, False]])  # no image has the third class
    return Batch(random(2, 3, 64, 64).float(), tags, torch.full((2, 64, 64), 254), ("a", "b"))


def parts(name: str, batch: Batch, add_ons: tuple[str, ...] = (), **options: object) -> dict[str, float]:
    """The parts of the loss of a page of three classes, built small, with the same weights each time."""
    given = {"second_size": 32, "segmentation": 0.0, "main_scales": [1.0], "support_scales": [1.0]}
    page: Method = build(name, **{**given, **{k: v for k, v in options.items() if k not in ("ppc", "hfpl")}})
    for add_on in add_ons:
        page = resolve(ADD_ONS, add_on, "add-on")(page, **options[add_on])  # type: ignore[arg-type]
    torch.manual_seed(0)
    context = StepContext(0, 10, 5, torch.Generator().manual_seed(0))
    return {part: loss.item() for part, loss in page.losses(page(batch), batch, context).items()}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("seam", "equivariance"),
        ("rtc", "equivariance"),
        ("rcm_mam", "multiscale_attention"),
    ],
)
def test_counted_classes_divides_on_every_page(name: str, part: str, batch: Batch) -> None:
    published, counted = parts(name, batch), parts(name, batch, counted_classes=VOC)
    assert published[part] > 0
    assert counted[part] == pytest.approx(published[part] * 3 / VOC, rel=1e-5)
    moved = {key for key, value in counted.items() if value != pytest.approx(published[key], rel=1e-5)}
    assert moved <= {part, "cross_equivariance", "compensator"}
    assert moved >= ({"cross_equivariance", "compensator"} & set(published))


def test_absent_classes_leave_the_denominators_of_every_page(batch: Batch) -> None:
    for name, terms in (("rcm_mam", {"regional_contrast"}), ("rtc", {"intra", "cross_label", "cross_prototype"})):
        every, present = (parts(name, batch, negatives=kind) for kind in ("all", "present"))
        lower = {part for part, value in present.items() if value < every[part]}
        assert lower == terms
    every, present = (parts("seam", batch, ("ppc",), ppc={"negatives": kind}) for kind in ("all", "present"))
    assert {part for part, value in present.items() if value < every[part]} == PPC_TERMS
    shares = parts("seam", batch, ("ppc",), ppc={"semi_hard": "shares"})
    assert shares["intra_view"] > every["intra_view"]
