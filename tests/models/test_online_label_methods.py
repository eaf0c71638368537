"""What single-stage pages share: labels of a falling threshold, the noise filter, and steps that are what they were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import ConfigurationError
from models.structures import IGNORE, UNLABELLED, Batch, StepContext
from tests.helpers.on_device import seeded
from tests.helpers.pages import AT_ONCE, CLASSES, build

GOLDEN = Path(__file__).parents[1] / "golden" / "single_stage_steps.json"
FILTERED = {
    "afa": "segmentation",
    "dupl": "segmentation",
    "excel": "segmentation",
    "one_stage": "mask",
    "rtc": "segmentation",
    "toco": "segmentation",
    "weclip": "segmentation",
    "weclip_plus": "segmentation",
}
"""Loss that learns from labels which the filter may void."""
FALLING = ("afa", "dupl", "rtc", "toco")
LAST = StepContext(19, 20, 5, seeded(0))


def batch() -> Batch:
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    tags = torch.tensor([[True, False, True], [False, True, False]])
    return Batch(image, tags, torch.full((2, 64, 64), UNLABELLED), ("a", "b"))


def losses(name: str, context: StepContext = LAST, **options: object) -> dict[str, torch.Tensor]:
    method = build(name, **{**AT_ONCE.get(name, {"pretrain": 0.0}), **options}).train()
    torch.manual_seed(5)
    made = batch()
    return method.losses(method(made), made, context)


@pytest.mark.parametrize("name", sorted({key.partition(".")[0] for key in json.loads(GOLDEN.read_text())}))
def test_a_step_is_what_it_was_before_the_pages_shared_a_base(name: str) -> None:
    for label, options in (("plain", {}), ("at_once", AT_ONCE[name])):
        method, made = build(name, **options).train(), batch()
        before = json.loads(GOLDEN.read_text())[f"{name}.{label}"]
        assert hashlib.sha256("\n".join(method.state_dict()).encode()).hexdigest()[:16] == before["keys"]
        method.begin()
        torch.manual_seed(5)
        parts = method.losses(method(made), made, StepContext(10, 20, 5, seeded(0)))
        assert list(parts) == list(before["losses"])
        for part, value in before["losses"].items():
            assert parts[part].item() == pytest.approx(value, rel=1e-3, abs=1e-6), part


@pytest.mark.parametrize("name", FILTERED)
def test_labels_that_are_noise_do_not_teach(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = {"own_labels": 9.0} if name == "weclip_plus" else AT_ONCE.get(name, {"pretrain": 0.0})
    method: Any = build(name, **at_once).train()
    made = batch()
    outputs = method(made)
    assert method.losses(outputs, made, LAST)[FILTERED[name]] > 0
    monkeypatch.setattr(method, "trusted", lambda labels, *_: torch.full_like(labels, IGNORE))
    assert method.losses(outputs, made, LAST)[FILTERED[name]] == 0


def test_noise_is_left_out_from_its_epoch_on() -> None:
    method: Any = build("one_stage", noise_certainty=0.9, noise_start=2.0)
    labels = torch.full((1, 40, 40), 2)
    logits = torch.zeros(1, 1 + CLASSES, 40, 40)
    logits[:, 2] = 2 + torch.rand(40, 40, generator=seeded(0))
    logits[:, 2, 30:] -= 12
    early, late = (method.trusted(labels, logits, StepContext(step, 20, 5)) for step in (9, 10))
    assert early is labels
    assert late[:, :30].unique().tolist() == [2]
    assert late[:, 30:].unique().tolist() == [IGNORE]
    assert build("one_stage").trusted(labels, logits, LAST) is labels  # type: ignore[operator]
    small = method.trusted(labels, logits[..., ::2, ::2], StepContext(10, 20, 5))
    assert (small == IGNORE)[:, 32:].all()


@pytest.mark.parametrize("name", FALLING)
def test_a_threshold_that_does_not_fall_is_one_number(name: str) -> None:
    constant, falling = (losses(name, high=0.4, low=0.3, high_end=end) for end in (None, 0.4))
    for part, value in constant.items():
        torch.testing.assert_close(falling[part], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", FALLING)
def test_a_threshold_falls_while_the_page_learns(name: str) -> None:
    method: Any = build(name, high=0.8, low=0.3, high_end=[0.4, 0.5, 0.6])
    tags = torch.tensor([[True, False, True], [True, False, False], [False, False, False]])
    highs = [method.high_now(tags, StepContext(step, 20, 5), 1.0).tolist() for step in (0, 5, 12, 20)]
    assert highs[0] == highs[1] == pytest.approx([0.8, 0.8, 0])
    assert highs[3] == pytest.approx([0.6, 0.4, 0])
    assert 0.6 < highs[2][0] < 0.8


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Afa: expected high_end as one number or .* 3 classes, found 2"):
        build("afa", high_end=[0.5, 0.6])
    with pytest.raises(ConfigurationError, match=r"Rtc: expected high_end of low \(0.2\) or more, found 0.1"):
        build("rtc", high_end=0.1)
