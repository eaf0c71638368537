"""Depthwise convolutions that timm pads as TensorFlow does (networks with ``tf_`` before their name)."""

from __future__ import annotations

from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn

from models.ops.depthwise import DepthwiseConv2d, is_depthwise


class PaddedDepthwiseConv2d(DepthwiseConv2d):
    """``Conv2dSame`` of timm: as many zeros around the image as its size needs, the odd one on the right and below."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad_same(input, self.kernel_size, self.stride, self.dilation))


def quicken_padded(network: nn.Module) -> None:
    """What :func:`models.ops.depthwise.quicken` does, for these convolutions."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and type(layer) is Conv2dSame and is_depthwise(layer):
            layer.__class__ = PaddedDepthwiseConv2d
