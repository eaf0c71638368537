"""Add-ons: one body over every base that shows its CAMs and every add-on, and what is special to each."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.doors import resolve
from models.errors import ConfigurationError
from models.losses.feature_similarity import cam_scores, feature_similarity
from models.losses.importance_sampling import (
    draw_pixels,
    importance_sampling_loss,
    multinomial_sampling_loss,
    sampling_weights,
)
from models.losses.prototype_contrast import ContrastView, Draws, contrast_view, draw_hard_pixels, prototype_contrast
from models.method import AddOn, Method, layers
from models.methods import ADD_ONS, METHODS
from models.structures import Batch, Extensible, StepContext
from pipeline.book.signatures import has_method
from pipeline.storage.checkpoints import build_method
from tests.helpers.on_device import seeded
from tests.helpers.pages import AT_ONCE, CLASSES, SMALL, build

BASES = [name for name, target in METHODS.items() if has_method(target, "cam_views")]
SIAMESE = {"rtc", "seam"}
STACKS = [
    {"hfpl": {}},
    {"hfpl": {"reading": "multinomial", "draws": 100, "sampling": 0.8}},
    {"ppc": {"width": 8}},
    {"ppc": {"width": 8}, "hfpl": {"similarity": 0.2}},
]


def context(seed: int = 0) -> StepContext:
    return StepContext(0, 10, 5, seeded(seed))


def stacked(base: str, add_ons: dict[str, dict[str, object]], seed: int = 0) -> Method:
    return build_method(base, CLASSES, SMALL | AT_ONCE.get(base, {}), seed, add_ons)


@pytest.fixture
def batch() -> Batch:
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tags = torch.tensor([[True, False, True], [False, True, False]])
    return Batch(image, tags, torch.zeros(2, 64, 64, dtype=torch.long), ("a", "b"))


def losses(method: Method, batch: Batch, seed: int = 0) -> dict[str, torch.Tensor]:
    return method.losses(method(batch), batch, context(seed))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("add_ons", STACKS, ids=lambda stack: "+".join(stack))
def test_finite_losses_and_a_gradient_to_every_parameter(
    base: str, add_ons: dict[str, dict[str, object]], batch: Batch
) -> None:
    method = stacked(base, add_ons).train()
    parts = losses(method, batch)
    assert all(part.shape == () and part.isfinite() for part in parts.values())
    torch.stack(list(parts.values())).sum().backward()
    silent = [k for k, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not silent
    grouped = [id(p) for group in method.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("add_ons", STACKS, ids=lambda stack: "+".join(stack))
def test_the_same_seed_draws_the_same_pixels(base: str, add_ons: dict[str, dict[str, object]], batch: Batch) -> None:
    method = stacked(base, add_ons).eval()
    first, again, other = (losses(method, batch, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("base", BASES)
def test_the_base_is_built_as_if_it_were_alone(base: str) -> None:
    (_, inside), *_ = layers(stacked(base, {"hfpl": {}, "ppc": {}}))
    alone = build_method(base, CLASSES, SMALL)
    assert all(torch.equal(value, inside.state_dict()[name]) for name, value in alone.state_dict().items())
    assert isinstance(inside, Extensible)


def test_the_order_of_the_names_is_not_the_order_of_the_layers() -> None:
    for named in ({"hfpl": {}, "ppc": {}}, {"ppc": {}, "hfpl": {}}):
        assert [name for name, _ in layers(stacked("seam", named))] == ["", "ppc", "hfpl"]


@pytest.mark.parametrize("base", BASES)
def test_hfpl_mixes_the_means_with_drawn_pixels_and_adds_similarity(base: str, batch: Batch) -> None:
    method = stacked(base, {"hfpl": {"sampling": 0.25, "draws": 7, "similarity": 0.5, "sigma": 2.0}}).eval()
    assert isinstance(method, AddOn)
    outputs = method(batch)
    plain, mixed = method.base.losses(outputs, batch, context()), method.losses(outputs, batch, context())
    view = method.cam_views(outputs, batch)[0]
    drawn = draw_pixels(sampling_weights(view.maps), 7, context().generator)
    torch.testing.assert_close(mixed[view.part], 0.75 * plain[view.part])
    expected = 0.25 * view.weight * importance_sampling_loss(view.maps, batch.tags, drawn)
    torch.testing.assert_close(mixed["importance_sampling"], expected)
    small = F.interpolate(batch.image, view.maps.shape[2:], mode="bilinear", align_corners=True)
    similar = feature_similarity(small, cam_scores(view.maps, batch.tags), sigma=2.0)
    torch.testing.assert_close(mixed["feature_similarity"], 0.5 * similar)
    untouched = plain.keys() - {view.part}
    assert all(torch.equal(plain[name], mixed[name]) for name in untouched)
    assert mixed.keys() - plain.keys() == {"importance_sampling", "feature_similarity"}


@pytest.mark.parametrize("base", BASES)
def test_hfpl_with_nothing_to_add_is_the_base(base: str, batch: Batch) -> None:
    method = stacked(base, {"hfpl": {"sampling": 0.0, "similarity": 0.0}}).eval()
    assert isinstance(method, AddOn)
    plain, mixed = losses(method.base, batch), losses(method, batch)
    assert plain.keys() == mixed.keys()
    assert all(torch.equal(plain[name], mixed[name]) for name in plain)


@pytest.mark.parametrize("base", BASES)
def test_the_classification_part_is_the_mean_of_the_maps(base: str, batch: Batch) -> None:
    """What add-ons are told of a base: its part, weight and maps belong together."""
    method = build(base, dropout=0.0).eval()
    outputs = method(batch)
    parts = method.losses(outputs, batch, context())
    for view in method.cam_views(outputs, batch):  # type: ignore[operator]
        wide = F.interpolate(view.maps, view.image.shape[2:], mode="bilinear", align_corners=True)
        means = wide if base in SIAMESE else view.maps
        loss = F.multilabel_soft_margin_loss(means.mean((2, 3)), batch.tags.float())
        torch.testing.assert_close(parts[view.part], view.weight * loss)


def test_ppc_sees_both_views_of_seam_and_makes_a_second_for_the_classifier(batch: Batch) -> None:
    siamese, single = stacked("seam", {"ppc": {"width": 8}}).eval(), stacked("classifier", {"ppc": {"width": 8}}).eval()
    assert not any(name.startswith("second.") for name in siamese(batch))
    outputs = single(batch)
    assert outputs["second.maps"].shape[2:] == (2, 2)  # 64 * .3 = 19 pixels at output stride 16
    assert outputs["projected"].shape == (2, 8, 4, 4)
    assert outputs["projected_2"].shape == (2, 8, 2, 2)


def test_ppc_contrasts_features_with_the_right_prototypes_and_labels() -> None:
    """tau .1: a unit feature on its own prototype costs log(1 + 2 e^-10), on another's 10 more, one of zeros log 3.

    View 1 has unit features, whose prototypes are in the order of its labels in view 2, and in that of the other's
    labels in view 1; view 2 has features of zeros.
    """
    plain_labels, shifted = torch.arange(3), torch.tensor([1, 2, 0])
    unit = torch.eye(3)
    first = ContrastView(unit, plain_labels, unit[[2, 0, 1]])
    second = ContrastView(torch.zeros(3, 3), shifted, unit)
    right, wrong, zero = math.log(1 + 2 * math.exp(-10)), 10 + math.log(1 + 2 * math.exp(-10)), math.log(3)
    nothing = Draws({})
    for views in ((first, second), (second, first)):
        found = prototype_contrast(*views, (nothing, nothing))
        assert found.cross_prototype.item() == pytest.approx((right + zero) / 2, abs=1e-6)
        assert found.cross_label.item() == pytest.approx((right + zero) / 2, abs=1e-6)
        assert found.intra == 0
    relabelled = replace(first, labels=shifted), replace(second, labels=plain_labels)
    found = prototype_contrast(*relabelled, (nothing, nothing))
    assert found.cross_prototype.item() == pytest.approx((wrong + zero) / 2, abs=1e-5)
    assert found.cross_label.item() == pytest.approx((wrong + zero) / 2, abs=1e-5)


def test_ppc_adds_the_three_terms_of_its_two_views(batch: Batch) -> None:
    method = stacked("seam", {"ppc": {"width": 8, "weight": 0.3, "tau": 0.5, "background": 0.4}}).eval()
    assert isinstance(method, AddOn)
    outputs = method(batch)
    parts = method.losses(outputs, batch, context())
    views = [
        contrast_view(outputs[projected], F.pad(view.refined, (0, 0, 0, 0, 1, 0)), batch.tags, 0.4)
        for projected, view in zip(("projected", "projected_2"), method.cam_views(outputs, batch), strict=True)
    ]
    generator = context().generator
    first, second = (draw_hard_pixels(view.labels, generator) for view in views)
    contrast = prototype_contrast(views[0], views[1], (first, second), 0.5)
    assert parts["intra_view"] > 0
    for name, value in (
        ("cross_prototype", contrast.cross_prototype),
        ("cross_label", contrast.cross_label),
        ("intra_view", contrast.intra),
    ):
        torch.testing.assert_close(parts[name], 0.3 * value)
    assert parts.keys() - method.base.losses(outputs, batch, context()).keys() == {
        "cross_prototype",
        "cross_label",
        "intra_view",
    }


@pytest.mark.parametrize("base", BASES)
def test_the_multinomial_reading_samples_every_view_of_a_softmax(base: str, batch: Batch) -> None:
    """ICAM: background and classes compete; the background of a page without one has logit 0."""
    options = {"reading": "multinomial", "sampling": 0.8, "draws": 9, "similarity": 0.5, "sigma": 2.0, "mu": 1.0}
    method = stacked(base, {"hfpl": options}).eval()
    assert isinstance(method, AddOn)
    outputs = method(batch)
    plain, mixed = method.base.losses(outputs, batch, context()), method.losses(outputs, batch, context())
    views, generator = method.cam_views(outputs, batch), context().generator
    softmaxes, expected = [], torch.zeros(())
    for view in views:
        background = view.maps[:, :1] * 0 if view.background is None else view.background
        softmaxes.append(torch.cat([background, view.maps], 1).softmax(1))
        probabilities = softmaxes[-1][:, 1:]
        drawn = draw_pixels(probabilities, 9, generator)
        expected = expected + 0.8 * view.weight * multinomial_sampling_loss(probabilities, batch.tags, drawn)
        torch.testing.assert_close(mixed[view.part], 0.2 * plain[view.part])
    assert len(views) == (2 if base in SIAMESE else 1)
    torch.testing.assert_close(mixed["importance_sampling"], expected)
    small = F.interpolate(batch.image, views[0].maps.shape[2:], mode="bilinear", align_corners=True)
    similar = feature_similarity(small, softmaxes[0], mu=1.0, sigma=2.0)
    torch.testing.assert_close(mixed["feature_similarity"], 0.5 * similar)
    assert mixed.keys() - plain.keys() == {"importance_sampling", "feature_similarity"}


@pytest.mark.parametrize("base", BASES)
def test_an_add_on_loses_no_part_of_its_base(base: str, batch: Batch) -> None:
    method = stacked(base, {"ppc": {"width": 8}}).eval()
    assert isinstance(method, AddOn)
    outputs = method(batch)
    plain, joined = method.base.losses(outputs, batch, context()), method.losses(outputs, batch, context())
    assert all(torch.equal(joined[name], value) for name, value in plain.items())
    contrasts = ("cross_prototype", "cross_label", "intra_view")
    renamed = {"rtc": ("ppc_cross_prototype", "ppc_cross_label", "intra_view")}
    assert joined.keys() - plain.keys() == set(renamed.get(base, contrasts))


def test_a_name_of_the_base_is_refused(batch: Batch) -> None:
    class Same(AddOn):
        name = "same"

        def losses(
            self, outputs: dict[str, torch.Tensor], batch: Batch, context: StepContext
        ) -> dict[str, torch.Tensor]:
            return self.joined(super().losses(outputs, batch, context), {"classification": torch.zeros(())})

    method = Same(build("classifier"))
    with pytest.raises(ConfigurationError, match=r"same: expected loss parts with names of its own, found classif"):
        losses(method, batch)


def test_hfpl_refuses_a_base_of_one_label_an_image() -> None:
    for add_ons in ({"hfpl": {}}, {"ppc": {}, "hfpl": {}}):
        with pytest.raises(ConfigurationError, match=r"found Classifier with labels: single\. Remedy: model\.labels"):
            build_method("classifier", CLASSES, SMALL | {"labels": "single"}, 0, add_ons)


def test_unknown_add_on_gets_the_closest_name() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'hfpl'"):
        stacked("seam", {"hflp": {}})
    assert all(resolve(ADD_ONS, name, "add-on").name == name for name in ADD_ONS)


def test_the_contrast_counts_from_its_epoch_on(batch: Batch) -> None:
    method = stacked("seam", {"ppc": {"width": 8, "start": 1.0}}).eval()
    outputs, names = method(batch), ("cross_prototype", "cross_label", "intra_view")
    before, after = (method.losses(outputs, batch, StepContext(step, 10, 5, context().generator)) for step in (4, 5))
    assert all(before[name] == 0 and after[name] > 0 for name in names)
