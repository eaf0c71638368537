"""What is special to networks of timm: features of any network, position embeddings, attention, names."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from models.backbones.base import LAYERS
from models.backbones.build import build_backbone
from models.errors import ConfigurationError
from models.method import Method
from models.ops.batch_norm import SynchronisedBatchNorm2d, synchronise_batch_norm
from models.structures import Batch, StepContext
from tests.helpers.pages import build

timm: Any = pytest.importorskip("timm")

STRIDES = {
    "test_efficientnet": (16, 32),
    "test_resnet": (8, 32),
    "test_convnext": (16,),
    "test_vit": (16,),  # with a class token
    "test_vit2": (16,),  # with a register token and layer scales
}
"""Small networks of timm -> output strides to try."""


def backbone(name: str, **options: object) -> Any:
    torch.manual_seed(0)
    return build_backbone(f"timm/{name}", **options).eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "stride"), [(name, stride) for name, known in STRIDES.items() for stride in known])
def test_features_have_the_declared_channels_and_strides(name: str, stride: int, image: torch.Tensor) -> None:
    network = backbone(name, output_stride=stride)
    with torch.inference_mode():
        features = network(image)
    assert list(features) == list(network.channels) == ["stem", *LAYERS]
    assert network.strides["layer4"] == network.output_stride == stride
    for key, feature in features.items():
        cells = (64 // network.strides[key], 96 // network.strides[key])
        assert feature.shape == (2, network.channels[key], *cells)


@pytest.mark.parametrize("name", STRIDES)
def test_the_last_features_are_those_that_timm_pools(name: str) -> None:
    """At the network's own size; entries that are left out are the classifier's."""
    reference = timm.create_model(name).eval()
    network = taking_over(name, reference)
    image = torch.rand(1, 3, *reference.pretrained_cfg["input_size"][1:])
    with torch.inference_mode():
        expected = reference.forward_features((image - network.mean) / network.std)
        found = network(image)["layer4"]
    if expected.dim() == 3:
        expected = expected[:, network.prefix :].transpose(1, 2).unflatten(2, found.shape[2:])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def taking_over(name: str, reference: Any) -> Any:
    """Our network with the weights of timm's."""
    network = backbone(name)
    theirs = {network.own_name(key): value for key, value in reference.state_dict().items()}
    known = set(network.state_dict()) - {"mean", "std"}
    assert known <= set(theirs)
    assert all(key.removeprefix("network.").startswith(network.not_needed) for key in set(theirs) - known)
    network.load_state_dict({key: theirs[key] for key in known}, strict=False)
    return network


@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])
def test_at_another_size_it_is_timms_network_of_that_size(name: str) -> None:
    """With the table resized by torch's bicubic kernel."""
    reference = timm.create_model(name, num_classes=0, img_size=(64, 96)).eval()
    network = backbone(name)
    theirs = {
        key: network.state_dict()[network.own_name(key)] for key in reference.state_dict() if "fc_norm" not in key
    }
    first, table = theirs["pos_embed"].tensor_split([1], 1)
    table = table.unflatten(1, network.network.patch_embed.grid_size).permute(0, 3, 1, 2)
    table = F.interpolate(table, (4, 6), mode="bicubic").permute(0, 2, 3, 1).flatten(1, 2)
    reference.load_state_dict(theirs | {"pos_embed": torch.cat([first, table], 1)}, strict=False)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        tokens, _ = network.tokens(image)
        expected = reference.forward_features((image - network.mean) / network.std)
        torch.testing.assert_close(network.network.norm(tokens[-1]), expected, rtol=1e-4, atol=1e-5)
    assert len(tokens) == 1 + len(reference.blocks)


def test_a_smaller_grid_takes_positions_between_those_of_the_table() -> None:
    """As the authors of DeiT and ToCo shrink it: without a smoothing, so that half the grid is the mean of 4x4 cells'
    middle, by the weights of the bicubic kernel."""
    network = backbone("test_vit")
    rows, columns = network.network.patch_embed.grid_size
    with torch.no_grad():
        ramp = torch.arange(rows).float().view(1, rows, 1, 1).expand(1, rows, columns, 64)
        network.network.pos_embed[:, 1:] = ramp.flatten(1, 2)
        found = network._positions(rows // 2, columns)[0, 1:, 0].unflatten(0, (rows // 2, columns))
    inner = found[1:-1, 0]
    torch.testing.assert_close(inner, 2 * torch.arange(1.0, rows // 2 - 1) + 0.5)


def test_an_image_is_enlarged_to_whole_patches(image: torch.Tensor) -> None:
    network = backbone("test_vit")
    with torch.inference_mode():
        assert network(image[..., :57, :90])["layer4"].shape[2:] == (4, 6)


def test_attention_is_what_the_blocks_use(image: torch.Tensor) -> None:
    network = backbone("test_vit")
    block = network.network.blocks[-1]
    block.attn.fused_attn = False
    seen: list[torch.Tensor] = []
    block.attn.attn_drop.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    with torch.inference_mode():
        features, products = network.with_attention(image)
        tokens, (before, last) = network.tokens(image, blocks=2)
        torch.testing.assert_close(features["layer4"], network(image)["layer4"])
    torch.testing.assert_close(last.softmax(-1), seen[0])
    assert products.shape == (2, network.attentions, 24, 24)
    torch.testing.assert_close(products, torch.cat([before, last], 1)[:, :, 1:, 1:])
    assert tokens[0].shape == (2, 25, 64)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("test_efficientnet", ("conv_stem", "bn1", "blocks.0", "blocks.1.")),
        ("test_resnet", ("conv1", "bn1", "layer1")),
        ("test_vit", ("cls_token", "pos_embed", "patch_embed", "blocks.0.")),
    ],
)
def test_frozen_stages_hold_still(name: str, held: tuple[str, ...], image: torch.Tensor) -> None:
    network = backbone(name, freeze_bn=True, frozen_stages=2).train()
    feature = network(image)["layer4"]
    (feature * torch.randn(feature.shape)).sum().backward()
    for key, parameter in network.network.named_parameters():
        norm = "test_vit" not in name and parameter.dim() == 1 and not key.endswith("fc.bias")
        still = key.startswith(held)
        assert (parameter.grad is None) == (still or (norm and parameter.grad is None)), key
        assert not still or not parameter.requires_grad, key
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize(
    ("page", "name"),
    [("seam", "test_vit"), ("rtc", "test_efficientnet"), ("spml", "test_vit"), ("boundary_net", "test_efficientnet")],
)
def test_pages_learn_on_it(page: str, name: str, image: torch.Tensor) -> None:
    method = build(page, backbone=f"timm/{name}", width=1.0, head_width=16, second_size=32)
    batch = Batch(image, torch.tensor([[True, False, True], [False, True, False]]), torch.ones(2, 64, 96).long())
    losses = method.train().losses(method(batch), batch, StepContext(0, 10, 5))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    gradients = {key: p.grad for key, p in method.named_parameters() if p.requires_grad and "backbone" in key}
    assert all(g is not None and g.isfinite().all() for g in gradients.values()), gradients.keys()


def test_attention_teaches_afa(image: torch.Tensor) -> None:
    method = build("afa", backbone="timm/test_vit", width=1.0, head_width=16)
    assert method.look(image)["affinity"].shape == (2, 24, 24)  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match="'timm/test_resnet' has no attention"):
        build("afa", backbone="timm/test_resnet", width=1.0)


def test_a_frozen_backbone_keeps_no_graph_and_its_statistics(image: torch.Tensor) -> None:
    method: Method = build("segmenter", frozen=True).train()
    backbone: Any = method.backbone
    assert not any(module.training for module in backbone.modules())
    assert not any(p.requires_grad for p in backbone.parameters())
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    features = backbone(image)
    assert all(not feature.requires_grad for feature in features.values())
    batch = Batch(image, torch.ones(2, 3).bool(), torch.ones(2, 64, 96).long())
    losses = method.losses(method(batch), batch, StepContext(0, 10, 5))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    names = {id(p) for group in method.parameter_groups() for p in group.parameters}
    assert names == {id(p) for key, p in method.named_parameters() if not key.startswith("backbone.")}


def test_its_batch_norms_are_synchronised(image: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one process, whose global batch is its own."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: None)
    plain, together = (backbone("test_efficientnet").train() for _ in range(2))
    synchronise_batch_norm(together)
    norms = [m for m in together.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(isinstance(norm, SynchronisedBatchNorm2d) for norm in norms)
    torch.testing.assert_close(together(image)["layer4"], plain(image)["layer4"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(dict(together.named_buffers()), dict(plain.named_buffers()), rtol=1e-3, atol=1e-4)


def test_slips_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, options, message in (
        ("resnet5o", {}, "Did you mean 'resnet50'"),
        ("test_vit.r160_in1", {}, r"Did you mean 'test_vit\.r160_in1k'"),
        ("test_vit", {"output_stride": 8}, r"expected output_stride 16.*found 8"),
        ("test_vit", {"width": 0.5}, r"expected width 1\.0, found 0\.5"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            backbone(name, **options)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigurationError, match=r"timm.*pip install 'weak2mask\[timm\]'"):
        backbone("test_vit")
