"""ResNet-38 (Wu et al. 2019, model A1) with dilations, the trunk of PSA, SEAM, PPC, HFPL, RTC and 1-stage-wseg."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import LAYERS, Backbone
from models.ops.initialise import initialise

CHANNELS = (256, 512, 1024, 4096)


class PreActivation(nn.Module):
    """Norm, ReLU, 3x3, norm, ReLU, 3x3, added to its input, or to a 1x1 of the first activation where shapes differ."""

    def __init__(
        self, inputs: int, middle: int, outputs: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        first, second = dilations
        self.bn_branch2a = nn.BatchNorm2d(inputs)
        self.conv_branch2a = nn.Conv2d(inputs, middle, 3, stride, first, first, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(middle)
        self.conv_branch2b1 = nn.Conv2d(middle, outputs, 3, 1, second, second, bias=False)
        same = inputs == outputs and stride == 1
        self.conv_branch1 = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def activate(self, x: Tensor) -> Tensor:
        """The first norm and ReLU."""
        return F.relu(self.bn_branch2a(x))

    def forward(self, x: Tensor, activated: Tensor | None = None) -> Tensor:
        """[B,outputs,h,w]; ``activated`` is ``activate(x)`` where the caller has it."""
        activated = self.activate(x) if activated is None else activated
        shortcut = x if self.conv_branch1 is None else self.conv_branch1(activated)
        branch = F.relu(self.bn_branch2b1(self.conv_branch2a(activated)))
        total: Tensor = shortcut + self.conv_branch2b1(branch)
        return total


class PreActivationBottleneck(nn.Module):
    """The same with 1x1, dilated 3x3 and 1x1; channels are dropped before the last two."""

    def __init__(self, inputs: int, outputs: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(inputs)
        self.conv_branch2a = nn.Conv2d(inputs, outputs // 4, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(outputs // 4)
        self.conv_branch2b1 = nn.Conv2d(outputs // 4, outputs // 2, 3, 1, dilation, dilation, bias=False)
        self.bn_branch2b2 = nn.BatchNorm2d(outputs // 2)
        self.conv_branch2b2 = nn.Conv2d(outputs // 2, outputs, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def activate(self, x: Tensor) -> Tensor:
        """The first norm and ReLU."""
        return F.relu(self.bn_branch2a(x))

    def forward(self, x: Tensor, activated: Tensor | None = None) -> Tensor:
        """[B,outputs,h,w]; ``activated`` is ``activate(x)`` where the caller has it."""
        activated = self.activate(x) if activated is None else activated
        branch = self.dropout(F.relu(self.bn_branch2b1(self.conv_branch2a(activated))))
        branch = self.dropout(F.relu(self.bn_branch2b2(self.conv_branch2b1(branch))))
        total: Tensor = self.conv_branch1(activated) + self.conv_branch2b2(branch)
        return total


class ResNet38d(Backbone):
    """Features of 256 (stride 4), 512, 1024 and 4096 channels (stride 8), 105 M parameters.

    A layer's feature is its sum after the next norm and ReLU: what the family calls conv3, conv4, conv5 and conv6. The
    stem (stride 2, 128 channels) ends with b2_2, so the family's frozen part (conv1a, b2) is ``frozen_stages: 1``.

    Args:
        width: channels as a fraction of the published ones; published weights exist for 1.0.
        output_stride: 8, the only one that the network has.
        freeze_bn, frozen_stages: see :meth:`Backbone.freeze`.

    Source: YudeWang/SEAM@3212261:network/resnet38d.py.
    """

    library = "the SEAM family"
    output_strides = (8,)
    activated_first: ClassVar[bool] = True
    """Whether ``layer1`` comes after norm and ReLU, as the others do."""
    dropouts: ClassVar[tuple[float, float]] = (0.3, 0.5)

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 8, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        c0, c1, c2, c3, c4, c5 = (max(8, round(c * width / 8) * 8) for c in (64, 128, *CHANNELS))
        super().__init__(output_stride, (c2, c3, c4, c5), (c1, 2))
        self.strides = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 8, "layer4": 8}
        self.conv1a = nn.Conv2d(3, c0, 3, padding=1, bias=False)
        self.b2 = PreActivation(c0, c1, c1, stride=2)
        self.b2_1, self.b2_2 = (PreActivation(c1, c1, c1) for _ in range(2))
        self.b3 = PreActivation(c1, c2, c2, stride=2)
        self.b3_1, self.b3_2 = (PreActivation(c2, c2, c2) for _ in range(2))
        self.b4 = PreActivation(c2, c3, c3, stride=2)
        self.b4_1, self.b4_2, self.b4_3, self.b4_4, self.b4_5 = (PreActivation(c3, c3, c3) for _ in range(5))
        self.b5 = PreActivation(c3, c3, c4, dilations=(1, 2))
        self.b5_1, self.b5_2 = (PreActivation(c4, c3, c4, dilations=(2, 2)) for _ in range(2))
        self.b6 = PreActivationBottleneck(c4, c5 // 2, 4, self.dropouts[0])
        self.b7 = PreActivationBottleneck(c5 // 2, c5, 4, self.dropouts[1])
        self.bn7 = nn.BatchNorm2d(c5)
        initialise(self)
        self.freeze(freeze_bn, frozen_stages)

    def stages(self) -> list[nn.Module]:
        return [
            nn.Sequential(self.conv1a, self.b2, self.b2_1, self.b2_2),
            nn.Sequential(self.b3, self.b3_1, self.b3_2),
            nn.Sequential(self.b4, self.b4_1, self.b4_2, self.b4_3, self.b4_4, self.b4_5),
            nn.Sequential(self.b5, self.b5_1, self.b5_2),
            nn.Sequential(self.b6, self.b7, self.bn7),
        ]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = (image - self.mean) / self.std
        x = self.b2_2(self.b2_1(self.b2(self.conv1a(x))))
        features, activated = {"stem": x}, None
        layers = (
            (self.b3, self.b3_1, self.b3_2),
            (self.b4, self.b4_1, self.b4_2, self.b4_3, self.b4_4, self.b4_5),
            (self.b5, self.b5_1, self.b5_2),
            (self.b6, self.b7),
        )
        following = (self.b4, self.b5, self.b6, None)
        for name, (first, *others), after in zip(LAYERS, layers, following, strict=True):
            x = first(x, activated)
            for block in others:
                x = block(x)
            activated = F.relu(self.bn7(x)) if after is None else after.activate(x)
            features[name] = activated
            if name == "layer1" and not self.activated_first:
                features[name] = x
        return features


class ResNet38dSum(ResNet38d):
    """The same; ``layer1`` is the sum itself, before norm and ReLU (visinf/1-stage-wseg@d905fca)."""

    activated_first = False
