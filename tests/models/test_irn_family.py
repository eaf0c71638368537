"""ReCAM and AMN on tensors that a person can check, and the presets of their family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.doors import resolve
from models.errors import ConfigurationError
from models.heads.cam import CamHead
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.tagged_cross_entropy import tagged_cross_entropy
from models.methods.amn import Amn, spread_over_all
from models.methods.recam import Recam
from models.ops.class_features import class_features
from models.ops.random_walk import PairLinks
from models.ops.resize import resize_bilinear
from models.refiners.random_walk import PRESETS, RandomWalk
from models.rules import RULES
from models.rules.ir_label import BACKGROUNDS, IrLabel
from models.rules.pseudo_masks import CONSTANTS, POWERS, Constant, Power
from models.structures import IGNORE, Batch, Cam, StepContext
from pipeline.storage.checkpoints import build_method, load_init, save_checkpoint

CONTEXT = StepContext(step=0, total_steps=10, steps_per_epoch=5)
SMALL: dict[str, Any] = {"backbone": "resnet18", "width": 0.25}


class Channels(nn.Module):
    """A backbone whose last features are the first two channels of the image."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"layer4": image[:, :2]}


def toy_recam() -> Recam:
    page = Recam(2, **SMALL)
    page.backbone, page.head, page.predictor = Channels(), CamHead({"layer4": 2}, 2), nn.Linear(2, 2, bias=False)
    page.head.classifier.weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0]])[:, :, None, None]
    page.predictor.weight.data = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    return page.eval()


def two_cells(first: tuple[float, float], second: tuple[float, float]) -> Tensor:
    """An image [1,3,1,2] whose cells have these features."""
    return torch.tensor([[first[0], second[0]], [first[1], second[1]], [0.0, 0.0]]).view(1, 3, 1, 2)


def test_recam_exports_the_product_of_both_weights() -> None:
    """[[1, 2], [3, -1]] times [[2, 1], [1, 1]] is [[2, 2], [3, -1]]; relu; tags."""
    image = two_cells((2.0, 1.0), (1.0, 4.0))
    cams = toy_recam().cams(image, torch.tensor([[True, True]]))
    torch.testing.assert_close(cams, torch.tensor([[[[6.0, 10.0]], [[5.0, 0.0]]]]))
    denied = toy_recam().cams(image, torch.tensor([[False, True]]))
    assert not denied[:, 0].any()
    torch.testing.assert_close(denied[:, 1], cams[:, 1])


def test_recam_by_hand() -> None:
    """Features (2, 1) and (1, 4) have the maps A_1 = (4, 9), A_2 = (5, -1): masks (4/9, 1) and (1, 0)."""
    batch = Batch(two_cells((2.0, 1.0), (1.0, 4.0)), torch.tensor([[True, True]]), torch.zeros(1, 1, 2).long())
    page = toy_recam()
    outputs = page(batch)
    under = torch.tensor([[(4 / 9 * 2 + 1) / 2, (4 / 9 * 1 + 4) / 2], [1.0, 0.5]])
    torch.testing.assert_close(outputs["class_logits"][0], under @ page.predictor.weight.T, rtol=1e-5, atol=1e-5)
    chosen = outputs["class_logits"][0].softmax(1).diagonal()
    page.weight = 0.1
    parts = page.losses(outputs, batch, CONTEXT)
    torch.testing.assert_close(parts["class_choice"], -0.1 * chosen.log().mean())
    means = torch.tensor([[6.5, 2.0]])
    torch.testing.assert_close(outputs["logits"], means)
    torch.testing.assert_close(parts["classification"], torch.log1p((-means).exp()).mean())


def test_class_features_of_a_silent_map_are_zero() -> None:
    maps = torch.stack([torch.full((1, 2, 3), -1.0), torch.ones(1, 2, 3)], 1).requires_grad_()
    features = torch.rand(1, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    found = class_features(maps, features)
    assert not found[0, 0].any()
    torch.testing.assert_close(found[0, 1], features[0].mean((1, 2)), rtol=1e-4, atol=0)
    found.sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_tagged_cross_entropy_counts_the_rows_of_tagged_classes() -> None:
    logits = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1))
    tags = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    log_p = logits.log_softmax(2)
    expected = -((log_p[0, 0, 0] + log_p[0, 2, 2]) / 2 + log_p[1, 1, 1]) / 3
    torch.testing.assert_close(tagged_cross_entropy(logits, tags), expected)


def test_an_image_without_tags_teaches_no_choice_of_classes() -> None:
    page = Recam(3, **SMALL).train()
    batch = Batch(torch.rand(2, 3, 64, 64), torch.zeros(2, 3).bool(), torch.zeros(2, 64, 64).long())
    parts = page.losses(page(batch), batch, CONTEXT)
    assert parts["class_choice"].item() == 0
    parts["class_choice"].backward()
    assert all(p.grad is None or not p.grad.any() for p in page.parameters())
    page.losses(page(batch), batch, CONTEXT)["classification"].backward()
    assert all(p.grad.isfinite().all() for p in page.parameters() if p.grad is not None)


def test_recam_goes_on_from_a_classifier(tmp_path: Any) -> None:
    classifier, recam = build_method("classifier", 2, SMALL), build_method("recam", 2, SMALL, seed=1)
    recipe = {"method": "classifier", "options": SMALL}
    save_checkpoint(tmp_path / "classifier", classifier, recipe=recipe, class_names=("a", "b"))
    report = load_init(recam, tmp_path / "classifier", ("a", "b"))
    assert set(report.new) == {"predictor.weight"}
    assert not report.unused
    image, tags = torch.rand(1, 3, 64, 64), torch.ones(1, 2).bool()
    recam.predictor.weight.data.fill_(1)
    torch.testing.assert_close(recam.eval().cams(image, tags), classifier.eval().cams(image, tags))


def test_amn_multiplies_features_with_the_embedding_of_the_tags() -> None:
    torch.manual_seed(0)
    page = Amn(2, **SMALL).eval()
    page.embedding.weight.data[:, 0], page.embedding.weight.data[:, 1] = 2.0, 0.5
    page.embedding.bias.data.fill_(1.0)
    image = torch.rand(1, 3, 64, 64)
    feature = page.backbone(image)["layer4"]
    for tags, factor in (((True, False), 3.0), ((False, True), 1.5), ((True, True), 3.5), ((False, False), 1.0)):
        expected = page.head({"layer4": factor * feature})
        torch.testing.assert_close(page.tagged_scores(image, torch.tensor([tags])), expected)


def test_the_cams_of_amn_leave_the_background_its_share() -> None:
    torch.manual_seed(0)
    page = Amn(2, **SMALL).eval()
    image = torch.rand(1, 3, 64, 64)
    logits = page.tagged_scores(image, torch.tensor([[True, True]]))
    cams = page.cams(image, torch.tensor([[True, True]]))
    torch.testing.assert_close(cams.sum(1), 1 - logits.softmax(1)[:, 0])
    alone = page.cams(image, torch.tensor([[True, False]]))
    assert not alone[:, 1].any()
    torch.testing.assert_close(alone[:, 0], page.tagged_scores(image, torch.tensor([[True, False]])).softmax(1)[:, 1])


def test_the_loss_of_amn_leaves_the_label_the_rest() -> None:
    """Three channels, eps 0.4: the label keeps 0.6, each other channel gets 0.2."""
    logits = torch.randn(1, 3, 1, 4, generator=torch.Generator().manual_seed(3))
    seeds = torch.tensor([[[0, 0, 2, IGNORE]]])
    log_p = logits.log_softmax(1)[0, :, 0]
    targets = torch.tensor([[0.6, 0.2, 0.2], [0.6, 0.2, 0.2], [0.2, 0.2, 0.6]]).T
    per_pixel = -(targets * log_p[:, :3]).sum(0)
    expected = (per_pixel[:2].mean() + per_pixel[2]) / 2
    found = seed_cross_entropy(logits, seeds, balanced=True, label_smoothing=spread_over_all(0.4, 3))
    torch.testing.assert_close(found, expected)


def test_amn_smooths_by_default_and_not_beyond_the_uniform_target() -> None:
    assert Amn(20, **SMALL).smoothing == pytest.approx(0.42)
    assert Amn(1, **SMALL, label_smoothing=0.5).smoothing == pytest.approx(1)
    with pytest.raises(ConfigurationError, match=r"\[0,0.5\] with 1 classes, found 0.6"):
        Amn(1, **SMALL, label_smoothing=0.6)


def test_amn_has_the_two_rates_of_its_paper() -> None:
    assert {group.name: group.lr for group in Amn(2, **SMALL).parameter_groups()} == {"backbone": 1.0, "new": 20.0}
    assert [group.name for group in Amn(2, **SMALL, frozen_stages=5).parameter_groups()] == ["new"]


def test_presets_hold_the_published_backgrounds() -> None:
    assert {name: Constant(preset=name).threshold for name in CONSTANTS} == CONSTANTS
    assert {name: Power(preset=name).alpha for name in POWERS} == POWERS
    bands = {name: (rule.high, rule.low) for name in BACKGROUNDS if (rule := IrLabel(preset=name))}
    assert bands == BACKGROUNDS
    assert (CONSTANTS["recam"], CONSTANTS["rib_coco"], POWERS["psa"], bands["amn"]) == (0.28, 0.22, 16, (0.45, 0.15))


def test_rules_without_options_are_what_they_were() -> None:
    assert (Constant().threshold, Power().alpha) == (0.25, 6.0)
    rule = IrLabel()
    assert (rule.high, rule.low, rule.unsure) == (0.3, 0.05, 255)
    assert rule.settings == IrLabel(preset="amn").settings


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("constant", {"preset": "recamm"}, "Did you mean 'recam'"),
        ("power", {"preset": "sean"}, "Did you mean 'seam'"),
        ("ir_label", {"preset": "amn_sed"}, "Did you mean 'amn_seed'"),
        ("ir_label", {"crf_preset": "irm"}, "Did you mean 'irn'"),
        ("ir_label", {"preset": "amn", "low": 0.5}, r"low: expected at most high \(0.45\), found 0.5"),
        ("constant", {"preset": "ppc", "threshold": -0.1}, "threshold: expected a share in"),
        ("power", {"preset": "psa", "alpha": 0.0}, "alpha: expected a number above 0"),
    ],
)
def test_wrong_presets_and_numbers(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve(RULES, name, "rule")(**options)


def test_explicit_numbers_win_over_presets() -> None:
    assert Constant(0.0, "recam").threshold == 0
    assert Power(2.0, "psa").alpha == 2
    assert (IrLabel(preset="amn", low=0.0).high, IrLabel(preset="amn", low=0.0).low) == (0.45, 0)
    assert RandomWalk("recam", cam_power=2).settings.cam_power == 2


def test_walks_of_one_kind_have_the_same_numbers() -> None:
    for name, same in (("hfpl", "seam"), ("recam", "irn"), ("sipe", "advcam"), ("amn", "rib")):
        assert PRESETS[name] == PRESETS[same]
    with pytest.raises(ConfigurationError, match="Did you mean 'recam'"):
        RandomWalk("re_cam")
    alone = {name for name, walk in PRESETS.items() if not walk.with_background}
    alone -= {"clip_es", "clip_es_coco", "excel", "excel_coco"}  # the best class of these has no constant
    assert alone - {"sipe"} == CONSTANTS.keys() - {"rib_coco"}


def test_a_constant_background_need_not_walk() -> None:
    """PPC's background .27 walks along with the scores; a walk, which is a mean, leaves it as it is."""
    rng = np.random.default_rng(0)
    links = PairLinks(rng.random((1, 2, 3)), ((0, 1),), (2, 4), left=0, stride=8)
    scores = rng.random((2, 16, 32), dtype=np.float32) * np.linspace(0, 1, 32, dtype=np.float32)
    cam = Cam(np.array([1, 3]), scores, (16, 32))
    walk = RandomWalk("ppc", log_t=1)
    entering = walk.entering(cam, links)
    with_background = np.concatenate([np.full_like(entering[:1], CONSTANTS["ppc"]), entering])
    walked = links.walk(with_background, walk.settings.beta, 2)
    np.testing.assert_allclose(walked[0], CONSTANTS["ppc"], rtol=1e-6)
    refined = walk(links, cam)
    winners = resize_bilinear(walked.astype(np.float32), cam.size).argmax(0)
    found = Constant(preset="ppc")(refined, None, np.ones(3, bool))
    np.testing.assert_array_equal(found, np.array([0, 1, 3])[winners])
    assert set(np.unique(found)) == {0, 1, 3}
    assert refined.scores.max() < 1
    assert RandomWalk("ppc", log_t=1, scaled=True)(links, cam).scores.max() == 1
