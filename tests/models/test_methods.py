"""One body over every registered method, and what is special to each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.doors import resolve
from models.errors import ConfigurationError, DataError
from models.heads import HEADS
from models.heads.cam import CamHead, pool
from models.heads.psp import BINS, grid_means
from models.losses.cross_entropy import seed_cross_entropy
from models.methods import ADD_ONS, METHODS
from models.ops.affinity import within
from models.options import StartEpoch
from models.structures import (
    IGNORE,
    UNLABELLED,
    Batch,
    Localizer,
    Propagator,
    Ranker,
    Segmenter,
    StepContext,
    Trainable,
)
from pipeline.book.signatures import options_of_type
from tests.helpers.pages import CLASSES, TRAINED, VARIANTS, build

CONTEXT = StepContext(step=0, total_steps=10, steps_per_epoch=5)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 64, 64, generator=generator)
    seeds = torch.randint(0, CLASSES + 1, (2, 64, 64), generator=generator)
    seeds[:, :8], seeds[:, 8:16] = UNLABELLED, IGNORE
    return Batch(image, torch.tensor([[True, False, True], [False, True, False]]), seeds, ("a", "b"))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_forward_gives_finite_losses_and_a_gradient_to_every_parameter(
    name: str, options: dict[str, object], batch: Batch
) -> None:
    method = build(name, **options).train()
    assert isinstance(method, Trainable)
    outputs = method(batch)
    losses = method.losses(outputs, batch, CONTEXT)
    assert losses
    for part in losses.values():
        assert part.shape == ()
        assert part.isfinite()
    sum(losses.values()).backward()  # type: ignore[union-attr]
    silent = [k for k, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not silent


@pytest.mark.parametrize(("name", "options"), [*VARIANTS, ("rcm_mam", {"queue": 2})])
def test_forward_and_losses_keep_nothing(name: str, options: dict[str, object], batch: Batch) -> None:
    """What a page keeps of a step it keeps in ``remember`` and ``after_step``; batch norms count as they pass."""
    method = build(name, **options).train()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.losses(method(batch), batch, CONTEXT)
    counted = ("running_mean", "running_var", "num_batches_tracked")
    changed = [k for k, v in method.state_dict().items() if not k.endswith(counted) and not torch.equal(v, before[k])]
    assert changed == []


MOVING_TARGETS = {"rcm_mam", "rtc", "seam", "spml"}
"""Methods whose losses have targets of their own making, free of gradient: these move too, by no slope."""


@pytest.mark.parametrize(("name", "options"), [v for v in VARIANTS if v[0] not in MOVING_TARGETS])
def test_a_step_against_the_gradient_lowers_the_loss(name: str, options: dict[str, object], batch: Batch) -> None:
    method = build(name, **{"dropout": 0.0, **options}).eval()
    before = sum(method.losses(method(batch), batch, CONTEXT).values())
    before.backward()  # type: ignore[union-attr]
    with torch.no_grad():
        steep = sum(p.grad.square().sum() for p in method.parameters() if p.grad is not None)
        for p in method.parameters():
            if p.grad is not None:
                p -= 1e-3 * before * p.grad / steep
        after = sum(method.losses(method(batch), batch, CONTEXT).values())
    torch.testing.assert_close(before - after, 1e-3 * before, rtol=0.2, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_state_round_trip_gives_the_same_answers(name: str, options: dict[str, object], batch: Batch) -> None:
    method, other = build(name, **options).eval(), build(name, seed=1, **options).eval()
    other.load_state_dict(method.state_dict())
    with torch.inference_mode():
        expected, found = method(batch), other(batch)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key])


@pytest.mark.parametrize("name", METHODS)
def test_parameter_groups_cover_every_trainable_parameter_once(name: str) -> None:
    method = build(name, freeze_bn=True, frozen_stages=1)
    grouped = [id(p) for group in method.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    head = {id(p) for module in method.new_modules() for p in module.parameters()}
    for group in method.parameter_groups():
        assert {id(p) in head for p in group.parameters} == {group.lr in (10.0, 20.0)}


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_claims_to_be(name: str, batch: Batch) -> None:
    method = build(name).eval()
    side = 64 // getattr(method, "stride", 16)
    assert isinstance(method, Localizer | Segmenter | Propagator)
    if isinstance(method, Localizer):
        cams = method.cams(batch.image, batch.tags)
        assert cams.shape == (2, CLASSES, side, side)
        assert (cams >= 0).all()
        assert not cams[~batch.tags].any()
        assert cams[batch.tags].any()
    if isinstance(method, Ranker):
        logits = method.tag_scores(batch.image)
        assert logits.shape == (2, CLASSES)
        assert logits.isfinite().all()
        assert not torch.equal(logits[0], logits[1])
    if isinstance(method, Segmenter):
        batch_size, channels, *grid = method.scores(batch.image).shape
        assert (batch_size, channels) == (2, 1 + CLASSES)
        assert grid in ([4, 4], [16, 16])


def test_pages_with_image_level_logits_rank_the_classes(batch: Batch) -> None:
    rankers = {name for name in METHODS if isinstance(build(name), Ranker)}
    assert rankers >= {"classifier", "seam", "recam", "rcm_mam"}
    assert not rankers & {"amn", "segmenter", "affinity_net", "boundary_net"}
    classifier = build("classifier", pooling="lse").eval()
    torch.testing.assert_close(classifier.tag_scores(batch.image), classifier(batch)["logits"])


def test_a_classifier_of_one_label_an_image(batch: Batch) -> None:
    method = build("classifier", labels="single").eval()
    single = replace(batch, tags=torch.tensor([[False, False, True], [True, False, False]]))
    outputs = method(single)
    expected = -outputs["logits"].log_softmax(1)[[0, 1], [2, 0]].mean()
    torch.testing.assert_close(method.losses(outputs, single, CONTEXT)["classification"], expected)
    with pytest.raises(DataError, match=r"one tag an image .*'a' has 2\. Train with `labels: multi`"):
        method.losses(outputs, batch, CONTEXT)


def test_the_mean_of_the_maps_is_the_classifier_on_the_mean_feature() -> None:
    head = CamHead({"layer4": 6}, CLASSES).eval()
    feature = torch.randn(2, 6, 5, 7)
    linear = F.linear(feature.mean((2, 3)), head.classifier.weight[:, :, 0, 0])
    torch.testing.assert_close(pool(head({"layer4": feature}), "gap"), linear)


def test_poolings_agree_on_constant_maps_and_are_ordered_on_others() -> None:
    constant = torch.full((1, 2, 3, 3), 0.7)
    for kind in ("gap", "gmp", "lse"):
        torch.testing.assert_close(pool(constant, kind), torch.full((1, 2), 0.7))
    maps = torch.randn(1, 2, 3, 3)
    assert (pool(maps, "gap") < pool(maps, "lse")).all()
    assert (pool(maps, "lse") < pool(maps, "gmp")).all()
    with pytest.raises(ValueError, match="gap, gmp, lse"):
        pool(maps, "max")


def test_cut_gradient_stops_at_the_feature() -> None:
    head = CamHead({"layer4": 6}, CLASSES)
    feature = torch.randn(1, 6, 4, 4, requires_grad=True)
    head({"layer4": feature}, cut_gradient=True).sum().backward()
    assert feature.grad is None
    assert head.classifier.weight.grad is not None


@pytest.mark.parametrize("balanced", [False, True])
def test_nothing_labelled_is_loss_zero_with_gradient_zero(balanced: bool) -> None:
    logits = torch.randn(2, 4, 6, 6, requires_grad=True)
    seeds = torch.full((2, 6, 6), IGNORE)
    seeds[0] = UNLABELLED
    loss = seed_cross_entropy(logits, seeds, balanced=balanced, label_smoothing=0.1)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits = torch.randn(1, 3, 1, 4, generator=torch.Generator().manual_seed(3))
    seeds = torch.tensor([[[0, 2, UNLABELLED, IGNORE]]])
    log_p = logits.log_softmax(1)
    expected = -(log_p[0, 0, 0, 0] + log_p[0, 2, 0, 1]) / 2
    torch.testing.assert_close(seed_cross_entropy(logits, seeds), expected)


def test_balanced_cross_entropy_weighs_both_sides_alike() -> None:
    logits = torch.randn(1, 3, 1, 5, generator=torch.Generator().manual_seed(3))
    seeds = torch.tensor([[[0, 0, 0, 2, IGNORE]]])
    log_p = logits.log_softmax(1)
    expected = -(log_p[0, 0, 0, :3].mean() + log_p[0, 2, 0, 3]) / 2
    torch.testing.assert_close(seed_cross_entropy(logits, seeds, balanced=True), expected)
    only_background = seeds.where(seeds == 0, torch.full_like(seeds, IGNORE))
    torch.testing.assert_close(
        seed_cross_entropy(logits, only_background, balanced=True), -log_p[0, 0, 0, :3].mean() / 2
    )


@pytest.mark.parametrize(("head", "reach"), [("large_fov", 6), ("aspp_v2", 12), ("aspp_v3", 18)])
def test_the_rates_of_a_head_follow_the_output_stride(head: str, reach: int) -> None:
    for output_stride, factor in ((16, 1), (8, 2)):
        module = resolve(HEADS, head, "head")({"layer4": 8}, 2, output_stride=output_stride, width=4)
        widest = max(m.dilation[0] for m in module.modules() if isinstance(m, torch.nn.Conv2d))
        assert widest == reach * factor


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (6, 12), (13, 19)])
def test_pyramid_pooling_means_over_grids_of_any_picture(size: tuple[int, int]) -> None:
    feature = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for bins in BINS:
        torch.testing.assert_close(grid_means(feature, bins), F.adaptive_avg_pool2d(feature, bins))
    row = torch.arange(4.0).expand(1, 1, 4, 4)
    torch.testing.assert_close(grid_means(row, 2)[0, 0], torch.tensor([[0.5, 2.5]] * 2))


def test_unknown_parts_get_the_closest_name() -> None:
    from models.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="Did you mean 'resnet18'"):
        build("classifier", backbone="resnet_18")
    with pytest.raises(ConfigurationError, match="Did you mean 'aspp_v3'"):
        build("segmenter", head="asppv3")


@pytest.mark.parametrize("name", TRAINED)
def test_labels_of_pixels_teach_the_methods_that_the_check_thinks_they_do(name: str, batch: Batch) -> None:
    method = build(name, dropout=0.0).eval()
    blocks = torch.zeros_like(batch.seeds)
    blocks[:, 20:44, 20:44] = 1
    silent = replace(batch, seeds=torch.full_like(batch.seeds, UNLABELLED))
    taught, untaught = (
        sum(method.losses(method(b), b, CONTEXT).values()) for b in (replace(batch, seeds=blocks), silent)
    )
    assert torch.equal(taught, untaught) == (not method.learns_from_pixels)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*METHODS, *ADD_ONS])
def test_every_start_of_a_loss_says_which_weights_it_needs(name: str) -> None:
    """Or a training that ends before it would say nothing."""
    door = METHODS if name in METHODS else ADD_ONS
    page = resolve(door, name, "page")
    starts = page.all_starts()
    assert set(starts) == set(options_of_type(door[name], StartEpoch))
    assert {need for needs in starts.values() for need in needs} <= page.defaults().keys()
    if name in TRAINED:
        method = build(name)
        assert all(hasattr(method, one) for option, needs in starts.items() for one in (option, *needs))


def test_scales_beside_the_image_are_different_ones() -> None:
    for scales in ([1.0], [0.5, 1], [0.5, 0.5]):
        with pytest.raises(ConfigurationError, match=r"also_scales: expected different scales beside 1"):
            build("segmenter", also_scales=scales)


def test_deeplab_v2s_scores_are_the_largest_of_its_scales(batch: Batch) -> None:
    method = build("segmenter", also_scales=[0.5]).eval()
    outputs = method(batch)
    small = F.interpolate(batch.image, scale_factor=0.5, mode="bilinear", align_corners=False)
    alone = build("segmenter").eval()
    alone.load_state_dict(method.state_dict())
    torch.testing.assert_close(outputs["logits_1"], alone(batch)["logits"])
    reduced = F.interpolate(alone.scores(small), outputs["logits"].shape[2:], mode="bilinear", align_corners=False)  # type: ignore[operator]
    torch.testing.assert_close(outputs["logits"], torch.maximum(outputs["logits_1"], reduced))
    assert set(method.losses(outputs, batch, CONTEXT)) == {"segmentation", "segmentation_1", "segmentation_0.5"}


def test_a_canvas_does_not_change_the_grid(batch: Batch) -> None:
    image = batch.image[:1, :, :50, :37]
    plain, padded = (build("boundary_net", canvas=canvas).eval() for canvas in (0, 96))
    assert plain.boundaries(image).shape == padded.boundaries(image).shape == (1, 13, 10)  # type: ignore[operator]
    assert padded.displacements(image).shape == (2, 13, 10)  # type: ignore[operator]


def test_cells_within_a_radius() -> None:
    near = within((2, 3), 1)
    assert near[0].int().tolist() == [1, 1, 0, 1, 1, 0]  # the corner sees itself, right, below, and between
    assert torch.equal(near, near.T)
