"""The parts of single-stage segmentation that its fixture does not have: gate, cue, pseudo-masks, phases."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.heads.gated_decoder import GatedDecoder, GlobalCueInjection, StochasticGate
from models.losses.balanced_mask import balanced_mask_cross_entropy, class_counts
from models.losses.class_score import focal_penalty, weighted_pooling
from models.methods.one_stage import OneStage
from models.ops.cut_offs import cut_off_labels, original_labels, tagged_masks
from models.ops.pixel_adaptive import PixelAdaptive
from models.structures import IGNORE, UNLABELLED, Batch, StepContext

CLASSES = 4


def page(**options: object) -> OneStage:
    torch.manual_seed(0)
    return OneStage(CLASSES, backbone="resnet18", width=0.25, head_width=16, **options)  # type: ignore[arg-type]


def at(epoch: float) -> StepContext:
    return StepContext(step=int(10 * epoch), total_steps=100, steps_per_epoch=10)


@pytest.fixture
def batch() -> Batch:
    """Two images with a square each, of class 2 and of class 1; the first has its last rows beyond the image."""
    generator = torch.Generator().manual_seed(0)
    image = 0.1 * torch.rand(2, 3, 64, 64, generator=generator)
    image[:, :, 16:40, 16:40] += 0.8
    seeds = torch.full((2, 64, 64), UNLABELLED)
    seeds[0, 56:] = IGNORE
    return Batch(image, torch.tensor([[False, True, False, False], [True, False, False, False]]), seeds, ("a", "b"))


def square_logits(batch: Batch, inside: float = 6.0) -> torch.Tensor:
    """What a good network would say at stride 4."""
    logits = torch.zeros(2, 1 + CLASSES, 16, 16)
    logits[:, 0] = 1
    for image, label in enumerate((2, 1)):
        logits[image, label, 4:10, 4:10] = inside
    return logits


def test_the_gate_is_the_deep_feature_on_average_and_the_mixture_in_evaluation() -> None:
    torch.manual_seed(0)
    gate, deep, shallow = StochasticGate(0.3), torch.full((1, 2, 400, 400), 3.0), torch.full((1, 2, 400, 400), -1.0)
    mixed = gate.train()(deep, shallow)
    assert sorted(set(mixed.flatten().tolist())) == pytest.approx([-1.0, (3.0 + 0.3) / 0.7])
    assert mixed.mean().item() == pytest.approx(3.0, abs=0.02)
    assert (mixed == -1).float().mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(gate.eval()(deep, shallow), 0.7 * deep + 0.3 * shallow)
    assert torch.equal(StochasticGate(0.0).train()(deep, shallow), deep)


def test_a_cue_anywhere_changes_the_shallow_feature_everywhere() -> None:
    torch.manual_seed(0)
    injection = GlobalCueInjection(6, 8).eval()
    shallow, deep = torch.randn(1, 6, 12, 12), torch.randn(1, 8, 5, 5)
    before, seen = injection(shallow, deep), deep.clone()
    seen[:, :, 4, 4] += 5
    assert before.shape == (1, 8, 12, 12)
    changed = (injection(shallow, seen) - before).abs().amax(1)
    assert (changed > 0).float().mean() > 0.9


@pytest.mark.parametrize(("output_stride", "widest"), [(8, 36), (16, 18)])
def test_the_decoder_answers_at_the_first_layer_with_rates_that_follow_the_stride(
    output_stride: int, widest: int
) -> None:
    decoder = GatedDecoder({"layer1": 4, "layer4": 8}, 3, output_stride=output_stride, width=4).eval()
    dilations = [m.dilation[0] for m in decoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert max(dilations) == widest
    maps = decoder({"layer1": torch.randn(1, 4, 16, 20), "layer4": torch.randn(1, 8, 4, 5)})
    assert maps.shape == (1, 3, 16, 20)


def test_weighted_pooling_and_penalty_by_hand() -> None:
    logits, masks = torch.tensor([[[[2.0, 4.0]]]]), torch.tensor([[[[0.5, 0.25]]]])
    torch.testing.assert_close(weighted_pooling(logits, masks), torch.tensor([[2.0 / 1.75]]))
    penalty = focal_penalty(torch.tensor([[[[0.0, 0.0]], [[1.0, 1.0]]]]))
    torch.testing.assert_close(penalty, torch.tensor([[0.01, 1.01]]).log() * torch.tensor([[1.0, 0.0]]))


def test_cut_offs_take_what_is_near_the_maximum_and_claimed_once() -> None:
    masks = torch.tensor([[0.95, 0.6, 0.3, 0.7, 0.1], [0.04, 0.3, 0.5, 0.5, 0.1], [0.01, 0.1, 0.15, 0.19, 0.1]])
    labels = cut_off_labels(masks[None, :, None])
    assert labels.tolist() == [[[0, UNLABELLED, 1, UNLABELLED, UNLABELLED]]]


def test_classes_are_counted_and_missing_ones_cancel_an_image() -> None:
    labels = torch.tensor([[[0, 0, 2, IGNORE]], [[0, 0, UNLABELLED, 0]], [[0, 1, 2, 2]]])
    assert class_counts(labels, 3).tolist() == [[2, 0, 1], [3, 0, 0], [1, 1, 2]]
    logits = torch.randn(3, 3, 1, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = balanced_mask_cross_entropy(logits, labels, torch.tensor([[False, True]]).expand(3, -1))
    log_p = logits.log_softmax(1)
    by_hand = -(1 / 4 * (log_p[0, 0, 0, 0] + log_p[0, 0, 0, 1]) + 2 / 4 * log_p[0, 2, 0, 2]) / 4
    torch.testing.assert_close(loss, torch.stack([by_hand, torch.tensor(0.0), torch.tensor(0.0)]))
    loss.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[1:].any()


def test_refining_the_tagged_masks_alone_changes_no_label() -> None:
    generator = torch.Generator().manual_seed(2)
    image, logits = torch.rand(3, 3, 20, 24, generator=generator), torch.randn(3, 6, 10, 12, generator=generator)
    logits = 4 * F.avg_pool2d(logits, 3, 1, 1)
    tags = torch.tensor([[False, True, False, True, False], [False] * 5, [False, False, False, False, True]])
    refine = PixelAdaptive("pamr", 2, (1, 2))
    everything = refine(image, logits.softmax(1)) * F.pad(tags, (1, 0), value=True)[:, :, None, None]
    found = tagged_masks(logits.softmax(1), tags)
    assert found.masks.shape == (3, 3, 10, 12)
    assert found.channels.tolist() == [[0, 2, 4], [0, 1, 2], [0, 5, 1]]
    few = refine(image, found.masks) * found.allowed[:, :, None, None]
    expected = cut_off_labels(everything)
    assert expected.unique().tolist()[:3] == [0, 2, 4]
    assert torch.equal(original_labels(cut_off_labels(few), found.channels), expected)


def test_pseudo_labels_are_the_masks_of_tagged_classes_within_the_image(batch: Batch) -> None:
    labels = page(pamr_iterations=1).pseudo_labels(square_logits(batch), batch)
    assert labels.dtype == torch.int64
    assert (labels[0, 56:] == IGNORE).all()
    assert set(labels[0, :56].unique().tolist()) == {0, 2, UNLABELLED}
    assert set(labels[1].unique().tolist()) == {0, 1, UNLABELLED}
    assert (labels[0, 20:36, 20:36] == 2).all()
    denied = Batch(batch.image, batch.tags.roll(1, 1), batch.seeds, batch.ids)
    assert not (page().pseudo_labels(square_logits(batch), denied) == 1).any()


def test_masks_teach_from_their_epoch_on_and_only_where_every_tag_was_found(batch: Batch) -> None:
    method = page(pretrain=2.0)
    outputs = {"logits": square_logits(batch, inside=3.0).requires_grad_()}
    assert method.losses(outputs, batch, at(1.9)).keys() == {"classification"}
    parts = method.losses(outputs, batch, at(2.0))
    assert parts.keys() == {"classification", "mask"}
    (slope,) = torch.autograd.grad(parts["mask"], outputs["logits"])
    assert slope[0, 2, 6, 6] < 0
    assert slope[0, 0, 6, 6] > 0
    assert slope[1].any()
    missed = Batch(batch.image, batch.tags | torch.tensor([[False, False, True, False], [False] * 4]), batch.seeds)
    parts = method.losses(outputs, missed, at(2.0))
    (slope,) = torch.autograd.grad(parts["mask"], outputs["logits"])
    assert not slope[0].any()
    assert slope[1].any()


def test_it_learns_squares_from_tags_alone(batch: Batch) -> None:
    """Loss falls, and the two phases run one after the other with gradients everywhere."""
    method = page(pretrain=3.0, dropout=0.0).train()
    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    first = last = 0.0
    for step in range(40):
        parts = method.losses(method(batch), batch, StepContext(step, 40, 10))
        assert ("mask" in parts) == (step >= 30)
        optimiser.zero_grad()
        sum(parts.values()).backward()  # type: ignore[union-attr]
        optimiser.step()
        last = parts["classification"].item()
        first = first or last
    assert last < 0.7 * first
