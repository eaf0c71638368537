"""What is special to MiT backbones: the library's own numbers, strides without dilation, LayerNorms, the extra."""

from __future__ import annotations

import sys

import pytest
import torch

from models.backbones.base import LAYERS, Backbone
from models.backbones.mit import MitB0, MitB1, MitB2
from models.doors import resolve
from models.errors import ConfigurationError
from models.method import Method
from models.methods import METHODS
from models.structures import Batch, StepContext

SIZES = {MitB0: [32, 64, 160, 256], MitB1: [64, 128, 320, 512], MitB2: [64, 128, 320, 512]}
MILLIONS = {MitB0: 3.4, MitB1: 13.1, MitB2: 24.2}
"""Parameters of the encoders (Xie et al. 2021)."""


def build(kind: type[Backbone] = MitB0, **options: object) -> Backbone:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    return kind(**options).eval()  # type: ignore[call-arg,arg-type]


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("output_stride", "strides"), [(32, [4, 2, 2, 2]), (16, [4, 2, 2, 1]), (8, [4, 2, 1, 1])])
def test_features_are_the_hidden_states_of_transformers(
    output_stride: int, strides: list[int], image: torch.Tensor
) -> None:
    backbone = build(output_stride=output_stride)
    from transformers import SegformerConfig, SegformerModel

    reference = SegformerModel(SegformerConfig(strides=strides)).eval()
    entries = {k.replace("encoder.", "stages."): v for k, v in backbone.state_dict().items()}
    reference.load_state_dict({k: v for k, v in entries.items() if k not in ("mean", "std")})
    with torch.inference_mode():
        found = backbone(image)
        states = reference((image - backbone.mean) / backbone.std, output_hidden_states=True).hidden_states
    for name, state in zip(LAYERS, states, strict=True):
        torch.testing.assert_close(found[name], state)


@pytest.mark.parametrize("kind", SIZES)
def test_sizes_are_the_published_ones(kind: type[Backbone]) -> None:
    backbone = build(kind)
    assert [backbone.channels[name] for name in LAYERS] == SIZES[kind]
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(MILLIONS[kind], abs=0.15)


def test_frozen_stages_hold_still_and_freeze_bn_changes_nothing(image: torch.Tensor) -> None:
    backbone = build(width=0.5, freeze_bn=True, frozen_stages=2).train()
    feature = backbone(image)["layer4"]
    (feature * torch.randn(feature.shape)).sum().backward()
    held = "encoder.0."
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad != name.startswith(held)
        assert (parameter.grad is None) == name.startswith(held)
    assert not any(m.training for stage in backbone.stages()[:2] for m in list(stage.modules())[1:])


def test_too_small_an_image_is_refused(image: torch.Tensor) -> None:
    backbone = build(width=0.25)
    assert backbone(image[:, :, :29, :29])["layer4"].shape[2:] == (2, 2)
    with pytest.raises(ConfigurationError, match=r"at least 29 pixels a side, found \(28, 64\)"):
        backbone(image[:, :, :28, :64])


@pytest.mark.parametrize("name", ["classifier", "seam", "segmenter", "one_stage", "rcm_mam"])
def test_pages_learn_on_it(name: str, image: torch.Tensor) -> None:
    pytest.importorskip("transformers")
    page = resolve(METHODS, name, "method")
    options = {"backbone": "mit_b0", "width": 0.25, "head_width": 16, "second_size": 32, "freeze_bn": True}
    torch.manual_seed(0)
    method: Method = page(3, **{k: v for k, v in options.items() if k in page.defaults()}).train()
    seeds = torch.ones(2, 64, 96, dtype=torch.int64)
    batch = Batch(image, torch.tensor([[True, False, True], [False, True, False]]), seeds)
    losses = method.losses(method(batch), batch, StepContext(0, 10, 5))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters() if p.requires_grad)
    groups = {g.name: g for g in method.parameter_groups()}
    norms = [m for m in method.modules() if isinstance(m, torch.nn.LayerNorm)]
    scales = {id(norm.weight) for norm in norms if norm.weight.requires_grad}
    assert scales
    assert scales <= {id(p) for p in groups["weights"].parameters}
    assert groups["biases"].weight_decay == 0


@pytest.mark.parametrize("name", ["mit_b0", "mit_b1", "mit_b2"])
def test_without_the_package_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigurationError, match=r"transformers.*pip install 'weak2mask\[mit\]'"):
        resolve({name: f"models.backbones.mit:MitB{name[-1]}"}, name, "backbone")()
