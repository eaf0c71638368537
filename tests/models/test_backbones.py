"""One body over every registered backbone."""

from __future__ import annotations

import pytest
import torch

from models.backbones import BACKBONES
from models.backbones.base import LAYERS, NOMINAL_STRIDES, Backbone
from models.doors import resolve

CONVOLUTIONAL = ["mobilenet_v2", "resnet18", "resnet50", "resnet101"]
"""Of torchvision, and with dilations for lost strides; what is special to others is below and in ``test_mit.py``."""
OWN = [name for name in BACKBONES if "/" not in name]
"""Those with a name of their own; ``test_timm.py`` is about a library's."""
STRIDES_OF = {"resnet38d": (8,), "resnet38d_sum": (8,), "resnet50_irn": (16,)}
"""Those that are published with one output stride alone."""
TRANSFORMERS = [name for name in OWN if "vit" in name]
"""Features of one stride and width: see ``test_clip.py``."""
PYRAMIDS = [name for name in OWN if name not in TRANSFORMERS]
STRIDES = [(name, stride) for name in PYRAMIDS for stride in STRIDES_OF.get(name, (8, 16, 32))]


def build(name: str, **options: object) -> Backbone:
    torch.manual_seed(0)
    part = resolve(BACKBONES, name, "backbone")
    if part.package is not None:
        pytest.importorskip(part.package[0])
    backbone: Backbone = part(**options)
    return backbone.eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "output_stride"), STRIDES)
def test_features_have_the_declared_channels_and_strides(name: str, output_stride: int, image: torch.Tensor) -> None:
    backbone = build(name, output_stride=output_stride)
    with torch.inference_mode():
        features = backbone(image)
    assert list(features) == list(backbone.channels) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert [backbone.strides[name] for name in LAYERS] == [min(stride, output_stride) for stride in NOMINAL_STRIDES]
    assert backbone.output_strides == STRIDES_OF.get(name, (8, 16, 32))
    more = name == "resnet101_caffe"  # its pooling rounds up
    for key, feature in features.items():
        stride = backbone.strides[key]
        assert feature.shape == (1, backbone.channels[key], 64 // stride + more, 96 // stride + more)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_dilated_features_hold_the_strided_ones(name: str, image: torch.Tensor) -> None:
    """À trous is exact: every n-th cell of the dense map is the strided network's value."""
    strided, image = build(name, output_stride=32).double(), image.double()
    with torch.inference_mode():
        coarse = strided(image)["layer4"]
        for output_stride, step in ((16, 2), (8, 4)):
            dense = build(name, output_stride=output_stride).double()
            dense.load_state_dict(strided.state_dict())
            torch.testing.assert_close(dense(image)["layer4"][..., ::step, ::step], coarse)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_entries_and_values_are_those_of_torchvision(name: str, image: torch.Tensor) -> None:
    import torchvision

    reference = torchvision.models.get_model(name).eval()
    backbone = build(name, output_stride=32)
    theirs = {k: v for k, v in reference.state_dict().items() if not k.startswith(("fc.", "classifier."))}
    assert set(backbone.state_dict()) - {"mean", "std"} == set(theirs)
    backbone.load_state_dict(theirs, strict=False)
    pooled = backbone(image)["layer4"].mean((2, 3))
    head = reference.fc if hasattr(reference, "fc") else reference.classifier
    torch.testing.assert_close(head(pooled), reference((image - backbone.mean) / backbone.std), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_width_shrinks_the_network(name: str, image: torch.Tensor) -> None:
    half, full = build(name, width=0.5), build(name)
    assert sum(p.numel() for p in half.parameters()) < 0.5 * sum(p.numel() for p in full.parameters())
    assert half(image)["layer4"].shape[1] == half.channels["layer4"]


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18"])
def test_frozen_parts_do_not_move_in_training(name: str, image: torch.Tensor) -> None:
    backbone = build(name, freeze_bn=True, frozen_stages=2).train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    feature = backbone(image)["layer4"]
    (feature / feature.detach().max()).sum().backward()
    torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], 0.1).step()
    moved = {k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])}
    stem_and_layer1 = {id(p) for stage in backbone.stages()[:2] for p in stage.parameters()}
    frozen = {k for k, p in backbone.named_parameters() if id(p) in stem_and_layer1 or p.ndim == 1}
    assert moved == {k for k, _ in backbone.named_parameters()} - frozen


def test_training_without_freezing_updates_the_statistics(image: torch.Tensor) -> None:
    backbone = build("resnet18").train()
    backbone(image)
    assert not torch.equal(backbone.get_buffer("bn1.running_mean"), torch.zeros(64))


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match="one of 8, 16, 32"):
        build("resnet18", output_stride=4)
    with pytest.raises(ValueError, match=r"frozen_stages must be 0\.\.5"):
        build("resnet18", frozen_stages=6)


def test_resnet38d_has_the_published_trunk(image: torch.Tensor) -> None:
    plain, raw = build("resnet38d"), build("resnet38d_sum")
    assert list(plain.channels.values()) == [128, 256, 512, 1024, 4096]
    assert sum(p.numel() for p in plain.parameters()) == 105_070_912
    raw.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        features, sums = plain(image), raw(image)
        torch.testing.assert_close(plain.b4.activate(sums["layer1"]), features["layer1"])
    torch.testing.assert_close(sums["layer4"], features["layer4"])


def test_irns_resnet_is_strided_by_16_and_not_dilated() -> None:
    convolutions = [m for m in build("resnet50_irn").modules() if isinstance(m, torch.nn.Conv2d)]
    assert {m.dilation for m in convolutions} == {(1, 1)}


def test_the_deep_stem_dilates_a_first_block_half_as_far() -> None:
    layer4 = build("resnet101_deep", output_stride=8).layer4
    assert [block.conv2.dilation for block in layer4] == [(2, 2), (4, 4), (4, 4)]


def test_caffes_resnet_strides_early_dilates_all_blocks_alike_and_takes_off_its_mean(image: torch.Tensor) -> None:
    dense, strided = build("resnet101_caffe", output_stride=8), build("resnet101_caffe", output_stride=32)
    assert {block.conv2.dilation for block in dense.layer4} == {(4, 4)}
    assert (strided.layer2[0].conv1.stride, strided.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    colour = torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1) / 255
    torch.testing.assert_close((colour - dense.mean) / dense.std, torch.zeros(1, 3, 1, 1))
    assert type(dense).own_name("layer3.block2.reduce.conv.weight") == "layer2.1.conv1.weight"
    assert type(dense).own_value("conv1.weight", torch.arange(3).view(1, 3, 1, 1)).flatten().tolist() == [2, 1, 0]
