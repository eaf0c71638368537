"""Add-ons: one body over every base that shows its CAMs and every add-on, and what is special to each."""

from __future__ import annotations

import math

import pytest
import torch
from test_methods import CLASSES, SMALL, build

from models.doors import resolve
from models.errors import ConfigurationError
from models.losses.feature_similarity import cam_scores, feature_similarity
from models.losses.importance_sampling import draw_pixels, importance_sampling_loss, sampling_weights
from models.method import AddOn, Method, layers
from models.methods import ADD_ONS, METHODS
from models.structures import Batch, Extensible, StepContext
from pipeline.checkpoints import build_method
from pipeline.signatures import has_method

BASES = [name for name, target in METHODS.items() if has_method(target, "cam_views")]
STACKS = [
    {"hfpl": {}},
    {"hfpl": {"reading": "multinomial", "draws": 100, "sampling": 0.8}},
    {"ppc": {"width": 8}},
    {"ppc": {"width": 8}, "hfpl": {"similarity": 0.2}},
]


def context(seed: int = 0) -> StepContext:
    return StepContext(0, 10, 5, torch.Generator().manual_seed(seed))


def stacked(base: str, add_ons: dict[str, dict[str, object]], seed: int = 0) -> Method:
    return build_method(base, CLASSES, SMALL, seed, add_ons)


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
    small = torch.nn.functional.interpolate(batch.image, view.maps.shape[2:], mode="bilinear", align_corners=True)
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
        wide = torch.nn.functional.interpolate(view.maps, view.image.shape[2:], mode="bilinear", align_corners=True)
        means = view.maps if base != "seam" else wide
        loss = torch.nn.functional.multilabel_soft_margin_loss(means.mean((2, 3)), batch.tags.float())
        torch.testing.assert_close(parts[view.part], view.weight * loss)


def test_ppc_sees_both_views_of_seam_and_makes_a_second_for_the_classifier(batch: Batch) -> None:
    siamese, single = stacked("seam", {"ppc": {"width": 8}}).eval(), stacked("classifier", {"ppc": {"width": 8}}).eval()
    assert not any(name.startswith("second.") for name in siamese(batch))
    outputs = single(batch)
    assert outputs["second.maps"].shape[2:] == (2, 2)  # 64 * .3 = 19 pixels at output stride 16
    assert outputs["projected"].shape == (2, 8, 4, 4)
    assert outputs["projected_2"].shape == (2, 8, 2, 2)


def test_ppc_starts_near_the_logarithm_of_the_number_of_prototypes(batch: Batch) -> None:
    """Random unit vectors of ReLU features are all alike: no prototype is nearer than another."""
    parts = losses(stacked("seam", {"ppc": {"weight": 1.0, "tau": 10.0}}).eval(), batch)
    for name in ("cross_prototype", "cross_label"):
        assert parts[name].item() == pytest.approx(math.log(1 + CLASSES), abs=0.1)


def test_unknown_add_on_gets_the_closest_name() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'hfpl'"):
        stacked("seam", {"hflp": {}})
    assert all(resolve(ADD_ONS, name, "add-on").name == name for name in ADD_ONS)
