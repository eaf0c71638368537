"""WeCLIP's own parts: which attention counts, labels that leave nothing out, the Dice loss, and what does not learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import ConfigurationError, DataError
from models.losses.affinity import dense_affinity_loss
from models.losses.dice import dice_loss
from models.ops.affinity import centred_affinity, similar_cells
from models.ops.attention_choice import chosen_attention
from models.ops.attention_spread import spread_in_boxes
from models.ops.online_labels import complete_labels
from models.ops.patch_text import enriched_text, surgery_maps
from models.ops.tagged_pairs import TaggedPairs
from models.structures import IGNORE, UNLABELLED, Batch, StepContext
from pipeline.storage.checkpoints import load_init, save_checkpoint
from tests.helpers.pages import CLASSES, build


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_learned_affinity_weighs_maps_and_does_not_choose_them() -> None:
    attention = torch.rand(4, 9, 9, generator=seeded())
    some, none = torch.rand(9, 9, generator=seeded()), torch.zeros(9, 9)
    assert torch.equal(chosen_attention(attention, some).kept, chosen_attention(attention, none).kept)
    assert torch.equal(chosen_attention(attention, none).weight, none)
    sums = attention.sum((1, 2))
    assert torch.equal(chosen_attention(attention, some).kept, sums >= sums.mean())


def test_every_pixel_within_the_image_has_a_label_and_only_of_its_tags() -> None:
    scores, image = torch.rand(2, CLASSES, 12, 10, generator=seeded()), torch.rand(2, 3, 12, 10, generator=seeded())
    tags = torch.tensor([[True, False, True], [False, False, False]])
    inside = torch.ones(2, 12, 10, dtype=torch.bool)
    inside[:, :2] = False
    labels = complete_labels(scores, image, tags, inside, lambda _image, masks: masks)
    assert (labels[:, :2] == IGNORE).all()
    assert set(labels[0, 2:].unique().tolist()) == {0, 1, 3}
    assert (labels[1, 2:] == 0).all()
    best = torch.cat([1 - scores[0, [0, 2]].amax(0, keepdim=True), scores[0, [0, 2]]]).argmax(0)
    assert torch.equal(labels[0, 2:], torch.tensor([0, 1, 3])[best][2:])


def test_maps_spread_over_their_own_image_and_start_in_their_boxes() -> None:
    maps = torch.zeros(3, 4, 5)
    maps[:, 1:3, 1:3], maps[:, 3, 4] = 1.0, 0.9
    weights = torch.stack([torch.eye(20) + 1e-9, torch.rand(20, 20, generator=seeded())])
    together = spread_in_boxes(maps, weights, [2, 1], 0.4)
    torch.testing.assert_close(together[2:], spread_in_boxes(maps[2:], weights[1:], [1], 0.4))
    assert together[0, 3, 4] < 1e-3  # no box holds the last row or column
    assert spread_in_boxes(maps[:1], weights[:1], [1], 0)[0, 3, 4] > 0.8


def test_dice_is_nothing_where_all_is_right_and_counts_no_void_pixel() -> None:
    labels = torch.randint(0, 3, (2, 6, 6), generator=seeded())
    sure = 50 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert dice_loss(sure, labels) < 1e-6
    assert dice_loss(-sure, labels) > 0.9
    noise = torch.randn(2, 3, 6, 6, generator=seeded())
    silent = labels.clone()
    silent[:, :3], silent[:, 3] = IGNORE, UNLABELLED
    torch.testing.assert_close(dice_loss(noise, silent), dice_loss(noise[:, :, 4:], labels[:, 4:]))


def test_patch_text_maps_of_a_constant_image_are_zero() -> None:
    text = torch.randn(5, 8, generator=seeded())
    assert not surgery_maps(torch.ones(1, 10, 8), text).any()
    maps = surgery_maps(torch.randn(2, 10, 8, generator=seeded()), text)
    assert torch.equal(maps.amin(1), torch.zeros(2, 5))
    assert torch.equal(maps.amax(1), torch.ones(2, 5))


def test_texts_without_attributes_of_their_own_stay_as_they_are() -> None:
    text = torch.nn.functional.normalize(torch.randn(5, 8, generator=seeded()), dim=1)
    enriched, weights = enriched_text(text, torch.zeros(10, 8), classes=3)
    torch.testing.assert_close(enriched, text)
    assert (weights > 0).sum(1).tolist() == [10 - int((1 - 0.9) * 10)] * 3


def test_attention_to_similar_cells_adds_up_to_one_and_leaves_out_the_others() -> None:
    guide = similar_cells(torch.randn(2, 6, 3, 4, generator=seeded()))
    torch.testing.assert_close(guide.sum(2), torch.ones(2, 12))
    assert (guide == 0).any()


def test_cells_that_are_all_alike_attend_to_themselves_at_least() -> None:
    """Rounding puts some of their cosines below the mean, and all of a row's perhaps."""
    constant = torch.rand(16, generator=seeded())[None, :, None, None].expand(2, 16, 5, 5)
    for alone in (False, True):
        guide = similar_cells(constant, alone=alone)
        torch.testing.assert_close(guide.sum(2), torch.ones(2, 25))


def test_images_that_stand_alone_do_not_see_the_mean_of_the_batch() -> None:
    features = torch.randn(3, 6, 2, 4, generator=seeded())
    for function in (centred_affinity, similar_cells):
        one_by_one = torch.cat([function(features[n : n + 1]) for n in range(3)])
        torch.testing.assert_close(function(features, alone=True), one_by_one)
        assert not torch.allclose(function(features), one_by_one)


def test_the_loss_of_many_pairs_is_finite_in_half_precision() -> None:
    """300,000 pairs of .5 add up to more than float16 holds."""
    every = torch.ones(2, 400, 400, dtype=torch.bool)
    loss = dense_affinity_loss(torch.full((2, 400, 400), 0.5, dtype=torch.float16), every, ~every)
    assert loss.dtype == torch.float32
    assert loss == pytest.approx(0.25, abs=1e-5)


def batch() -> Batch:
    image = torch.rand(2, 3, 64, 48, generator=seeded())
    seeds = torch.full((2, 64, 48), UNLABELLED)
    return Batch(image, torch.tensor([[True, False, True], [False, True, False]]), seeds)


@pytest.mark.parametrize("name", ["excel", "weclip", "weclip_plus"])
def test_the_encoders_do_not_learn(name: str) -> None:
    method: Any = build(name).train()
    learning = {key.split(".")[0] for key, value in method.named_parameters() if value.requires_grad}
    assert learning == {"fusion", "decoder"} | ({"second_fusion"} if name == "weclip_plus" else set())
    assert not method.backbone.training


@pytest.mark.parametrize("name", ["excel", "weclip", "weclip_plus"])
def test_affinities_are_float32_within_autocast(name: str) -> None:
    method: Any = build(name, dropout=0.0).eval()
    maps = torch.randn(2, 16, 4, 3, generator=seeded())
    plain, guide = method._affinity(maps), similar_cells(maps, alone=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(method._affinity(maps), plain)
        assert method(batch())["affinity"].dtype == torch.float32
        if name == "excel":
            assert torch.equal(method._guide(maps), guide)


@pytest.mark.parametrize("name", ["excel", "weclip"])
def test_cams_do_not_depend_on_the_neighbours_in_a_batch(name: str) -> None:
    method, made = build(name, threshold=0.0).eval(), batch()
    with torch.inference_mode():
        together = method.cams(made.image, made.tags)  # type: ignore[operator]
        alone = [method.cams(made.image[n : n + 1], made.tags[n : n + 1]) for n in range(2)]  # type: ignore[operator]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["excel", "weclip"])
def test_the_learned_affinity_counts_from_its_epoch_on(name: str) -> None:
    method, made = build(name, affinity_start=2.0, dropout=0.0).eval(), batch()
    outputs = method(made)
    with torch.no_grad():
        plain, learned = (method._spread_cams(outputs, made.tags, one) for one in (False, True))  # type: ignore[operator]
    assert not torch.equal(plain, learned)
    early, late = (method.losses(outputs, made, StepContext(step, 20, 5)) for step in (9, 10))
    assert not torch.equal(early["affinity"], late["affinity"])


def test_sure_predictions_replace_labels_but_not_beyond_the_image() -> None:
    method, made = build("weclip_plus", own_labels=0.0, sure=0.0, dropout=0.0).eval(), batch()
    void = replace(made, seeds=torch.full_like(made.seeds, IGNORE))
    context = StepContext(0, 10, 5)
    inside, outside = (method.losses(method(one), one, context) for one in (made, void))
    assert inside["segmentation"] > 0
    assert outside["segmentation"] == outside["mutual"] == 0


def test_patch_text_maps_are_cams_of_the_tagged_classes() -> None:
    made = batch()
    gradient, patch_text = (build("clip_es", maps=kind, width=1 / 12).eval() for kind in ("gradient", "patch_text"))
    with torch.inference_mode():
        maps = patch_text.cams(made.image, made.tags)  # type: ignore[operator]
        links = patch_text.links(made.image[:1])  # type: ignore[operator]
        assert maps.shape == (2, CLASSES, 4, 3)
        assert not torch.equal(maps, gradient.cams(made.image, made.tags))  # type: ignore[operator]
    assert not maps[~made.tags].any()
    assert maps.amax((2, 3))[made.tags].min() > 0
    assert links.affinity.shape == (12, 12)


def test_excel_makes_its_labels_of_patch_text_maps_which_its_decoder_guides_later() -> None:
    method: Any = build("excel", threshold=0.0).eval()
    exporter: Any = build("clip_es", maps="patch_text", width=1 / 12, backgrounds=2, attention_blocks=6).eval()
    exporter.backbone.load_state_dict(method.backbone.state_dict())
    exporter.texts.load_state_dict(method.texts.state_dict())
    made = batch()
    pairs = TaggedPairs.of(made.tags)
    with torch.no_grad():
        outputs = method(made)
        plain, guided = (list(method._answers(outputs, pairs, learned)) for learned in (False, True))
        maps = exporter.cams(made.image, made.tags)
        links = [exporter.links(made.image[number : number + 1]).affinity for number in range(2)]
    for number, found, attention in plain:
        torch.testing.assert_close(found, maps[number, made.tags[number]], rtol=1e-4, atol=1e-5)
        weight = method._weight(attention, outputs["affinity"][number], False)
        torch.testing.assert_close(weight, torch.from_numpy(links[number]))
    assert not torch.allclose(plain[0][1], guided[0][1])
    with pytest.raises(ConfigurationError, match=r"Excel.surgery: expected fewer than 12 blocks, found 12"):
        build("excel", surgery=12)


def test_another_backbone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"expected an image tower of CLIP, found backbone 'resnet18'"):
        build("weclip", backbone="resnet18")
    with pytest.raises(ConfigurationError, match=r"levels: expected blocks up to 12, found 13"):
        build("weclip", levels=[3, 13])


def test_texts_must_come_with_the_checkpoint_that_a_training_starts_from(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    trained: Any = build("weclip", seed=1)
    options = {"backbone": "clip_vit_b16", "width": 1 / 12, "backgrounds": 2, "head_width": 16}
    save_checkpoint(tmp_path, trained, recipe={"method": "weclip", "options": options}, class_names=names)
    method: Any = build("weclip")
    report = load_init(method, tmp_path, names)
    assert not report.new
    assert torch.equal(method.texts.classes, trained.texts.classes)
    with pytest.raises(DataError, match=r"lacks what the method does not learn.*texts\.classes"):
        load_init(method, tmp_path, ["a", "b", "x"])
