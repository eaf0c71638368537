"""CLIP's towers at any size, and the CAMs of CLIP-ES."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.backbones.clip import ClipVitB16, OpenClipVitB16, QuickGelu
from models.backbones.clip_names import official_names
from models.backbones.clip_text import ClipText, tokenise
from models.doors import resolve
from models.errors import ConfigurationError
from models.methods import METHODS
from models.methods.clip_es import ClipEs
from models.ops.boxes import box_mask, contour_boxes
from models.ops.random_walk import BalancedLinks
from models.refiners.random_walk import RandomWalk
from models.rules.pseudo_masks import Complement
from models.structures import Batch, Cam, StepContext
from stages.export_cams import export_cams
from stages.propagate_cams import propagate_cams
from tests.helpers.tiny_clip import DEPTH, SIDE, WIDTH, TinyClip, entries, network

TAGS = torch.tensor([[True, False, True], [False, False, False]])


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tower() -> TinyClip:
    torch.manual_seed(0)
    return TinyClip().eval()


def page(**options: object) -> ClipEs:
    torch.manual_seed(0)
    return ClipEs(3, backbone="clip_vit_b16", width=0.125, backgrounds=4, **options).eval()


def test_both_towers_answer_as_transformers_has_them() -> None:
    pytest.importorskip("transformers")
    reference = network()
    named = official_names(reference.state_dict())
    tower = TinyClip().eval()
    tower.load_state_dict({**tower.state_dict(), **TinyClip.own_entries(reference.state_dict())})
    image = torch.rand(2, 3, 16 * SIDE, 16 * SIDE)
    tokens = torch.tensor([[49406, 320, 2368, 49407, 0], [49406, 1929, 49407, 0, 0]])
    with torch.inference_mode():
        ours = tower.ln_post(tower.look(image).after[-1][:, 0]) @ tower.proj
        theirs = reference.vision_model((image - tower.mean) / tower.std).pooler_output @ tower.proj
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        found = ClipText(named).eval()(tokens)
        wanted = reference.text_model(tokens).pooler_output @ named["text_projection"]
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_features_are_the_tokens_at_quarters_of_the_depth(tower: TinyClip, image: torch.Tensor) -> None:
    with torch.inference_mode():
        features, tokens = tower(image), tower.look(image, attention=True)
        last = tower.ln_post(tokens.after[-1])
    assert list(features) == list(tower.channels) == list(tower.strides)
    assert {feature.shape for feature in features.values()} == {(2, WIDTH, 4, 6)}
    assert set(tower.strides.values()) == {16}
    torch.testing.assert_close(features["layer2"], tokens.maps(DEPTH // 2 - 1))
    torch.testing.assert_close(features["layer4"].flatten(2), last[:, 1:].transpose(1, 2))
    torch.testing.assert_close(torch.stack(tokens.attention).sum(-1), torch.ones(DEPTH, 2, 25))
    assert tokens.patch_attention(2).shape == (2, 24, 24)
    assert len(tower.look(image, DEPTH - 1).after) == DEPTH - 1


def test_an_image_of_any_size_is_enlarged_to_whole_patches(tower: TinyClip) -> None:
    with torch.inference_mode():
        assert tower(torch.rand(1, 3, 33, 5))["layer4"].shape == (1, WIDTH, 3, 1)


def test_positions_are_resized_bilinearly_but_for_the_class_token(tower: TinyClip) -> None:
    square = tower.positional_embedding[1:].T.unflatten(1, (SIDE, SIDE))[None]
    wide = tower.positions((3, 7))
    assert torch.equal(wide[0], tower.positional_embedding[0])
    expected = F.interpolate(square, (3, 7), mode="bilinear", align_corners=False)[0].flatten(1).T
    torch.testing.assert_close(wide[1:], expected)
    assert tower.positions((SIDE, SIDE)) is tower.positional_embedding


def test_frozen_stages_hold_what_lies_below_them() -> None:
    names = {n for n, p in TinyClip(frozen_stages=2).named_parameters() if p.requires_grad}
    assert not names & {"class_embedding", "positional_embedding", "conv1.weight", "ln_pre.weight"}
    assert not any(name.startswith("transformer.resblocks.0.") for name in names)
    assert {"transformer.resblocks.1.ln_1.weight", "ln_post.weight"} <= names
    assert not [p for p in TinyClip(frozen_stages=5).parameters() if p.requires_grad]


def test_a_page_learns_on_it(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    method = resolve(METHODS, "classifier", "method")(3, backbone="clip_vit_b16", width=0.125).train()
    batch = Batch(image, TAGS, torch.ones(2, 64, 96, dtype=torch.int64))
    sum(method.losses(method(batch), batch, StepContext(0, 10, 5)).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_openclips_own_trainings_have_the_exact_gelu() -> None:
    for kind, activation in ((ClipVitB16, QuickGelu), (OpenClipVitB16, torch.nn.GELU)):
        assert {type(block.mlp.gelu) for block in kind(width=0.125).resblocks} == {activation}


def test_texts_of_absent_classes_do_not_compete(image: torch.Tensor) -> None:
    es = page()
    with torch.inference_mode():
        before = es.cams(image, TAGS)
        es.texts.classes[1] = F.normalize(torch.rand(es.texts.classes.shape[1]), dim=0)
        again = es.cams(image, TAGS)
        es.texts.background[0] = es.texts.classes[0]
        other = es.cams(image, TAGS)
    assert before.shape == (2, 3, 4, 6)
    assert torch.equal(before, again)
    assert not before[1].any()
    assert not before[0, 1].any()
    assert before[0, 0].min() == 0
    assert 0.99 < before[0, 0].max() < 1
    assert not torch.equal(before[0, 2], other[0, 2])


def test_cams_leave_no_gradient_and_do_not_need_a_mode(image: torch.Tensor) -> None:
    es = page()
    plain = es.cams(image, TAGS)
    with torch.inference_mode():
        torch.testing.assert_close(es.cams(image, TAGS), plain)
    assert all(p.grad is None for p in es.parameters())


def test_only_a_tower_of_clip_will_do() -> None:
    with pytest.raises(ConfigurationError, match=r"image tower of CLIP, found backbone 'resnet18'. Remedy: clip_vit"):
        ClipEs(3, backbone="resnet18")
    with pytest.raises(ConfigurationError, match="not trained"):
        page().losses({}, Batch(torch.rand(1, 3, 16, 16), TAGS[:1], torch.ones(1, 16, 16)), StepContext(0, 1, 1))


def test_exported_at_the_patch_the_maps_are_those_of_the_page() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    es = page()
    tags = np.array([True, False, True])
    options = {"scales": [1.0], "flip": False, "grid": 16, "normalization": "mean", "alignment": "half_pixel"}
    ((_, cam),) = export_cams([("a", pixels, tags)], es, **options)  # type: ignore[arg-type]
    with torch.inference_mode():
        picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        maps = es.cams(picture, torch.from_numpy(tags)[None])[0, [0, 2]]
    assert cam.scores.shape == (2, 4, 5)
    np.testing.assert_allclose(cam.scores, maps, atol=1e-6)
    ((_, walked),) = propagate_cams([("a", pixels, cam)], es, RandomWalk("clip_es"))
    assert walked.scores.shape == (2, 50, 70)
    assert (walked.scores.min(), walked.scores.max() > 0.9) == (0, True)


def test_the_mean_of_views_is_no_sum() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    options = {"grid": 16, "normalization": "mean", "alignment": "half_pixel"}
    tags = np.array([True, True, False])
    ((_, one),) = export_cams([("a", pixels, tags)], page(), scales=[1.0], flip=False, **options)  # type: ignore[arg-type]
    ((_, same),) = export_cams([("a", pixels, tags)], page(), scales=[1.0, 1.0], flip=False, **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(one.scores, same.scores, atol=1e-6)


def test_balanced_links_add_up_to_about_one_both_ways() -> None:
    affinity = np.random.default_rng(0).random((12, 12))
    transition = BalancedLinks(affinity, (3, 4)).transition()
    np.testing.assert_allclose(transition, transition.T)
    np.testing.assert_allclose(transition.sum(0), 1, atol=0.02)
    values = np.random.default_rng(1).random((2, 3, 4))
    walked = BalancedLinks(affinity, (3, 4)).walk(values, 1, 2)
    np.testing.assert_allclose(walked.reshape(2, -1), values.reshape(2, -1) @ transition @ transition)


def test_boxes_of_a_map() -> None:
    ring = np.zeros((8, 9), np.float32)
    ring[1:6, 1:6] = 1
    ring[3, 3] = 0
    ring[7, 8] = 1  # in the last row and column: its box is empty
    boxes = contour_boxes(ring, 0.4)
    assert sorted(boxes.tolist()) == [[1, 1, 6, 6], [2, 2, 5, 5], [8, 7, 8, 7]]
    mask = box_mask(ring, 0.4)
    assert mask.sum() == 25
    assert mask[3, 3]
    assert contour_boxes(np.zeros((4, 4), np.float32), 0.4).tolist() == [[0, 0, 0, 0]]
    assert not box_mask(np.zeros((4, 4), np.float32), 0.4).any()


def test_a_class_starts_in_its_boxes_alone() -> None:
    scores = np.full((1, 4, 6), 0.1, np.float32)
    scores[0, 1, 1] = 1
    cam, links = Cam(np.array([2]), scores, (40, 60)), BalancedLinks(np.ones((24, 24)), (4, 6))
    assert RandomWalk("clip_es").entering(cam, links).sum() == pytest.approx(1)
    assert RandomWalk("clip_es", boxes=0.0).entering(cam, links).sum() == pytest.approx(scores.sum())
    with pytest.raises(ConfigurationError, match="without a background in the walk"):
        RandomWalk("psa", boxes=0.4)


def test_unsure_pixels_are_void() -> None:
    scores = np.array([[[0.96, 0.94, 0.5, 0.04, 0.06]]], np.float32)
    cam, tags = Cam(np.array([1]), scores, (1, 5)), np.array([True])
    assert Complement(confidence=0.95)(cam, None, tags).tolist() == [[1, 255, 255, 0, 255]]
    assert Complement()(cam, None, tags).tolist() == [[1, 1, 0, 0, 0]]
    empty = Cam(np.zeros(0, np.int64), np.zeros((0, 2, 2), np.float32), (2, 2))
    assert not Complement(confidence=0.95)(empty, None, tags).any()


def test_tokens_of_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    pytest.importorskip("open_clip")
    assert tokenise(["A  Cat", ""])[:, :4].tolist() == [[49406, 320, 2368, 49407], [49406, 49407, 0, 0]]
    with pytest.raises(ConfigurationError, match="at most 75 tokens, found 90"):
        tokenise(["cat " * 90])
    monkeypatch.setitem(sys.modules, "open_clip.tokenizer", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'weak2mask\[clip\]'"):
        tokenise(["cat"])


def test_half_a_file_is_no_text_tower() -> None:
    with pytest.raises(ConfigurationError, match="found no text tower"):
        ClipText({"visual.proj": torch.rand(2, 2)})
    named = entries()
    del named["ln_final.weight"]
    with pytest.raises(ConfigurationError, match=r"not whole.*ln_final\.weight"):
        ClipText(named)
