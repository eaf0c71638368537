"""RCM and MAM: numbers that a person can check, SupportNet's life, and the enlargement that is never written out."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import test_methods
import torch
from torch.nn import functional as F

from models.ema import Follower, follow
from models.losses.multiscale_attention import attentive_target, attentive_weights, multiscale_attention
from models.losses.regional_contrast import (
    enqueue,
    image_prototypes,
    leave_one_out,
    queue_prototypes,
    region_mask,
    regional_contrast,
)
from models.ops.enlargement import Enlargement
from models.structures import Batch, StepContext
from pipeline.storage.checkpoints import load_init, save_checkpoint
from tests.helpers.pages import build

X, Y = [1.0, 0.0], [0.0, 1.0]
CLASS_NAMES = ("cat", "cow", "dog")
NO_PASSES = {"rcm": 0.0, "mam": 0.0}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def batch() -> Batch:
    tags = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    image = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return Batch(image, tags, torch.zeros(4, 64, 64, dtype=torch.long))


def test_regions_are_the_winning_class_above_the_threshold_of_its_peak() -> None:
    maps = torch.tensor([[[[10.0, 4.0, 2.0, -5.0]], [[0.0, 2.0, 4.0, 1.0]], [[9.0, 9.0, 9.0, 9.0]]]])
    tags = torch.tensor([[True, True, False]])
    assert region_mask([maps], tags, (1, 4)).tolist() == [[[1, 2, 2, 0]]]
    assert region_mask([maps], tags, (1, 4), threshold=0.45).tolist() == [[[1, 2, 2, 0]]]
    assert region_mask([maps], tags, (1, 4), threshold=0.6).tolist() == [[[1, 0, 2, 0]]]
    assert region_mask([maps, 2 * maps.flip(3)], tags, (1, 4)).tolist() == [[[1, 2, 2, 1]]]
    assert not region_mask([maps], torch.zeros(1, 3).bool(), (1, 4)).any()


def test_a_prototype_is_the_direction_of_the_unit_features_of_its_region() -> None:
    features = torch.tensor([[[[5.0, 0.0, 0.0, 9.0]], [[0.0, 2.0, 0.0, 0.0]]]])
    found = image_prototypes(features, torch.tensor([[[1, 1, 0, 2]]]), 3)
    diagonal = 0.5**0.5
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.0], [diagonal, diagonal], X, [0.0, 0.0]]]))


def test_leave_one_out_of_two_images_is_the_other_image() -> None:
    of_images = torch.tensor([[X, Y, [0.0, 0.0]], [Y, [0.0, 0.0], [0.0, 0.0]]])
    assert torch.equal(leave_one_out(of_images), of_images.flip(0))
    assert not leave_one_out(of_images[:1]).any()


def test_the_queue_keeps_the_newest_of_each_class() -> None:
    none, queue = [0.0, 0.0], torch.zeros(2, 2, 2)
    queue = enqueue(queue, torch.tensor([[X, none]]))
    queue = enqueue(queue, torch.tensor([[none, Y], [Y, none]]))
    assert queue.tolist() == [[Y, Y], [X, none]]
    torch.testing.assert_close(queue_prototypes(queue), F.normalize(torch.tensor([[1.0, 1.0], Y]), dim=1))
    assert enqueue(queue, torch.tensor([[X, X], [X, X]])).tolist() == [[X, X], [X, X]]


def test_pixels_without_a_prototype_do_not_count_or_ask_for_nothing() -> None:
    features = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]], requires_grad=True)
    prototypes = torch.tensor([[X, [0.0, 0.0]]])
    regions = torch.tensor([[[0, 1]]])
    right, lost = -torch.tensor([[2.0, 0.0], [2.0, 0.0]]).log_softmax(1).diag()
    torch.testing.assert_close(regional_contrast(features, prototypes, regions), right)
    torch.testing.assert_close(regional_contrast(features, prototypes, regions, empty="faithful"), (right + lost) / 2)
    nothing = regional_contrast(features, torch.zeros_like(prototypes), regions)
    nothing.backward()
    assert nothing == 0
    assert features.grad is not None
    assert not features.grad.any()


def plain_contrast(
    features: torch.Tensor, prototypes: torch.Tensor, regions: torch.Tensor, temperature: float
) -> torch.Tensor:
    wide = F.normalize(F.interpolate(features, regions.shape[1:], mode="bilinear", align_corners=False), dim=1)
    logits = temperature * torch.einsum("ndhw,nkd->nkhw", wide, prototypes)
    return F.cross_entropy(logits, regions)


@pytest.mark.parametrize("size", [(13, 17), (5, 40), (3, 2), (4, 5), (1, 1)])
@pytest.mark.parametrize("grid", [(4, 5), (1, 3), (6, 1)])
def test_the_contrast_is_that_of_features_enlarged_in_full(size: tuple[int, int], grid: tuple[int, int]) -> None:
    features = (random(3, 6, *grid) - 0.3).requires_grad_()
    prototypes, regions = F.normalize(random(3, 4, 6), dim=2), (random(3, *size, seed=1) * 4).long()
    ours, plain = (
        regional_contrast(features, prototypes, regions, 3.0),
        plain_contrast(features, prototypes, regions, 3),
    )
    torch.testing.assert_close(ours, plain)
    (one,), (other,) = (torch.autograd.grad(loss, features) for loss in (ours, plain))
    torch.testing.assert_close(one, other)


def test_enlargement_and_its_adjoint_are_those_of_interpolate() -> None:
    small, wide = random(2, 4, 5).requires_grad_(), random(2, 11, 7, seed=1)
    enlarge = Enlargement.of(small, (11, 7))
    plain = F.interpolate(small[None], (11, 7), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(enlarge(small), plain)
    torch.testing.assert_close(enlarge.adjoint(wide), torch.autograd.grad(plain, small, wide)[0])
    zeros = enlarge.cosines(torch.zeros(6, 4, 5).double(), F.normalize(random(3, 6), dim=1))
    assert not zeros.any()


def test_mam_amplifies_scales_that_disagree() -> None:
    main = torch.tensor([[4.0, 0.0]])
    supports = [torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 0.0]])]
    assert attentive_weights(main, supports).tolist() == [1, 2, 2]
    torch.testing.assert_close(attentive_target(main, supports), torch.tensor([[2 / 3, 4 / 3]]))
    weights = attentive_weights(random(5, 6, 7), [random(5, 6, 7, seed=seed) for seed in (1, 2)])
    assert ((weights >= 1) & (weights <= 2)).all()


@pytest.mark.parametrize(("target", "followed"), [("attentive", [[2.0, 3.0]]), ("mean", [[2.0, 1.5]])])
def test_mam_is_the_mean_distance_from_its_target_over_all_classes(target: str, followed: list[list[float]]) -> None:
    main = torch.tensor([[[[4.0, -1.0]], [[7.0, 7.0]]]], requires_grad=True)
    supports = [torch.tensor([[[pair], [[5.0, 5.0]]]]) for pair in ([4.0, 0.0], [0.0, 3.0])]
    tags = torch.tensor([[True, False]])
    loss = multiscale_attention([main], supports, tags, (1, 2), target)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx((abs(4 - followed[0][0]) + followed[0][1]) / 4)
    loss.backward()
    assert main.grad is not None
    assert main.grad.tolist() == [[[[0.25, 0.0]], [[0.0, 0.0]]]]
    assert multiscale_attention([main], supports, torch.zeros(1, 2).bool(), (1, 2)) == 0


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def step(method: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, number: int, total: int = 9) -> None:
    context = StepContext(number, total, 5)
    torch.manual_seed(number)
    if number == 0:
        method.begin()  # type: ignore[operator]
    outputs = method(batch)
    torch.stack(list(method.losses(outputs, batch, context).values())).sum().backward()  # type: ignore[operator]
    method.remember(outputs, batch)  # type: ignore[operator]
    optimizer.step()
    optimizer.zero_grad()
    method.after_step(context)  # type: ignore[operator]


def test_a_follower_keeps_its_share_of_the_past_and_copies_buffers() -> None:
    main = torch.nn.BatchNorm2d(2)
    follower = Follower(main)
    assert not any(p.requires_grad for p in follower.parameters())
    assert not follower.train().network.training
    torch.nn.init.constant_(main.weight, 3.0)
    main.running_mean += 1  # type: ignore[operator]
    follower.start(main)
    assert same(follower.network, main)
    torch.nn.init.constant_(main.weight, 7.0)
    main.running_mean += 1  # type: ignore[operator]
    follower.follow(main, 0.75)
    assert follower.network.weight.tolist() == [4.0, 4.0]
    assert follower.network.running_mean.tolist() == [2.0, 2.0]
    follow(follower.network, main, 0.0)
    assert same(follower.network, main)


@pytest.mark.parametrize("options", [{}, {"queue": 2, "freeze_bn": True}, {"momentum": 0.0}])
def test_a_training_that_is_interrupted_ends_the_same(options: dict[str, object], batch: Batch) -> None:
    def fresh(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        method = build("rcm_mam", seed=seed, dropout=0.2, **options).train()
        learning = [p for p in method.parameters() if p.requires_grad]
        return method, torch.optim.SGD(learning, lr=0.1, momentum=0.9)

    straight, optimizer = fresh(0)
    for number in range(2):
        step(straight, optimizer, batch, number)
    resumed, other = fresh(1)
    resumed.load_state_dict(straight.state_dict())
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    for number in range(2, 4):
        step(straight, optimizer, batch, number)
        step(resumed, other, batch, number)
    assert same(straight, resumed)


def test_support_starts_as_main_after_init_and_again_in_the_next_phase(tmp_path: Path, batch: Batch) -> None:
    def save(name: str, method: torch.nn.Module) -> Path:
        recipe = {"method": "rcm_mam", "options": {}}
        save_checkpoint(tmp_path / name, method, recipe=recipe, class_names=CLASS_NAMES)  # type: ignore[arg-type]
        return tmp_path / name

    first = build("rcm_mam", seed=1, mam=0.0, momentum=0.9).train()
    load_init(first, save("start", build("rcm_mam", **NO_PASSES)), CLASS_NAMES)
    assert not same(first.support.network, first._main())  # type: ignore
    first.begin()  # type: ignore[operator]
    assert same(first.support.network, first._main())  # type: ignore
    optimizer = torch.optim.SGD([p for p in first.parameters() if p.requires_grad], lr=0.1)
    for number in range(2):
        step(first, optimizer, batch, number, total=2)
    assert not same(first.support.network, first._main())  # type: ignore

    second = build("rcm_mam", seed=2).train()
    load_init(second, save("first", first), CLASS_NAMES)
    assert same(second._main(), first._main())  # type: ignore
    second.begin()  # type: ignore[operator]
    assert same(second.support.network, second._main())  # type: ignore


SUPPORT = {"support_embedded", "support_0.5", "support_1", "support_1.5", "support_2"}
MAIN = {"main_0.5", "main_2"}


@pytest.mark.parametrize(
    ("options", "parts", "passes"),
    [
        ({}, {"regional_contrast", "multiscale_attention"}, SUPPORT | MAIN),
        ({"mam": 0.0}, {"regional_contrast"}, SUPPORT),
        ({"mam": 0.0, "region_scales": "single"}, {"regional_contrast"}, {"support_embedded", "support_1"}),
        ({"rcm": 0.0}, {"multiscale_attention"}, SUPPORT | MAIN),
        ({"rcm": 0.0, "support_scales": (0.5,), "main_scales": (1.0,)}, {"multiscale_attention"}, {"support_0.5"}),
        (NO_PASSES, set(), set()),
    ],
)
def test_a_weight_of_zero_leaves_out_the_part_and_its_passes(
    options: dict[str, object], parts: set[str], passes: set[str], batch: Batch
) -> None:
    method = build("rcm_mam", **options).eval()
    outputs = method(batch)
    assert method.losses(outputs, batch, test_methods.CONTEXT).keys() == {"classification"} | parts
    assert {name for name in outputs if name.startswith(("support", "main"))} == passes
    assert any(name.startswith("support") for name in method.state_dict()) == bool(parts)


@pytest.mark.parametrize(
    "options", [NO_PASSES, {"mam": 0.0}, {"mam_target": "mean"}, {"mam": 0.0, "empty": "faithful"}]
)
def test_a_step_against_the_gradient_lowers_the_loss(options: dict[str, object], batch: Batch) -> None:
    """Targets of RCM and of the plain mean come from SupportNet alone, which does not move with the weights."""
    test_methods.test_a_step_against_the_gradient_lowers_the_loss("rcm_mam", options, batch)


def test_mam_takes_half_of_the_batch_and_leaves_the_running_statistics_of_scale_1(batch: Batch) -> None:
    plain, both = build("rcm_mam", **NO_PASSES).train(), build("rcm_mam").train()
    plain(batch)
    outputs = both(batch)
    assert {len(outputs["main_0.5"]), len(outputs["main_2"])} == {2}
    assert same(plain.backbone, both.backbone)  # type: ignore[arg-type]
    assert len(build("rcm_mam", mam_half=False)(batch)["main_2"]) == 4


@pytest.mark.parametrize("region_scales", ["multi", "single"])
@pytest.mark.parametrize(
    ("region", "temperature", "empty", "target", "weights", "attended"),
    [(0.3, 2.0, "ignore", "attentive", (1.0, 1.0), 2), (0.6, 5.0, "faithful", "mean", (0.5, 3.0), 4)],
)
def test_the_parts_of_the_page_are_its_losses_on_its_outputs(
    region_scales: str,
    region: float,
    temperature: float,
    empty: Any,
    target: Any,
    weights: tuple[float, float],
    attended: int,
    batch: Batch,
) -> None:
    """Regions come from all scales or from one; prototypes from the regions of scale 1 either way (2.3, step 3)."""
    options: dict[str, Any] = {"region_scales": region_scales, "region_threshold": region, "empty": empty}
    options |= {"temperature": temperature, "mam_target": target, "rcm": weights[0], "mam": weights[1]}
    method = build("rcm_mam", mam_half=attended == 2, **options).eval()
    outputs, size = method(batch), (64, 64)
    parts = method.losses(outputs, batch, test_methods.CONTEXT)
    support = [outputs[f"support_{scale}"] for scale in ("0.5", "1", "1.5", "2")]
    single, multi = (region_mask(maps, batch.tags, size, region) for maps in ([support[1]], support))
    chosen, other = (multi, single) if region_scales == "multi" else (single, multi)

    def contrast(made_of: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        of_images = image_prototypes(outputs["support_embedded"], made_of, 3)
        return weights[0] * regional_contrast(
            outputs["embedded"], leave_one_out(of_images), regions, temperature, empty
        )

    found = parts["regional_contrast"]
    torch.testing.assert_close(found, contrast(single, chosen))
    for wrong in (contrast(single, other), contrast(multi, chosen)):
        assert abs(found - wrong) > 1e-4 * found
    main = [outputs["main_0.5"], outputs["maps"][:attended], outputs["main_2"]]
    followed = [maps[:attended] for maps in support]
    attention = multiscale_attention(main, followed, batch.tags[:attended], size, target)
    torch.testing.assert_close(parts["multiscale_attention"], weights[1] * attention)
    logits = outputs["maps"].mean((2, 3))
    classified = F.multilabel_soft_margin_loss(logits, batch.tags.float())
    torch.testing.assert_close(parts["classification"], classified)
    assert parts.keys() == {"classification", "regional_contrast", "multiscale_attention"}


def test_support_net_keeps_996_thousandths(batch: Batch) -> None:
    method = build("rcm_mam").train()
    with torch.no_grad():
        for parameter in method.head.parameters():  # type: ignore[union-attr]
            parameter += 1000.0
    before = [p.clone() for p in method.support.network["head"].parameters()]  # type: ignore[union-attr, index]
    method.after_step(test_methods.CONTEXT)
    after = list(method.support.network["head"].parameters())  # type: ignore[union-attr, index]
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old + 4.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("rate", [1, 10])
def test_the_head_learns_at_the_rate_asked_for(rate: int) -> None:
    method = build("rcm_mam", head_lr=rate)
    rates = {id(p): group.lr for group in method.parameter_groups() for p in group.parameters}
    assert {rates[id(p)] for p in method.head.parameters()} == {rate}  # type: ignore[operator, union-attr]


def test_the_contrast_starts_near_the_logarithm_of_the_number_of_prototypes() -> None:
    """21 prototypes, cosines near 1 wherever features are random and not negative: 2.7 to 3.05 by the specification."""
    torch.manual_seed(0)
    features, tags = torch.randn(8, 256, 6, 6).relu(), torch.rand(8, 20) < 0.5
    regions = region_mask([torch.randn(8, 20, 6, 6)], tags, (48, 48))
    others = leave_one_out(image_prototypes(features, regions, 20))
    assert 2.7 < regional_contrast(features, others, regions).item() < 3.05
