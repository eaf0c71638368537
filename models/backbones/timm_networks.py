"""Networks of timm (Wightman 2019) as backbones (extra ``timm``): ``timm/NAME`` in a book."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import LAYERS, Backbone
from models.errors import ConfigurationError, closest
from models.ops.depthwise import quicken
from models.ops.relu6 import slim

LEVELS = ("stem", *LAYERS)
SIDE = 64
"""Pixels a side of the image that shows what a network gives: a multiple of all strides."""
NEVER_NEEDED = ("mask_token", "head.", "head_dist.", "fc_norm.")
"""How published entries begin that serve pretraining or classification alone, whether the network here has them or not.
"""


class TimmNetwork(Backbone):
    """Any network of timm that gives intermediate features, under its own names, behind ``network.``.

    ``layer4`` is what the network would pool, its last norm or 1x1 convolution included; the levels before it are the
    last four that timm lists, ``stem`` repeated where there are fewer. Where all levels have one stride they are those
    after each quarter of the blocks. Channels, strides, and the parts that ``frozen_stages`` holds still are read off
    the network itself, by one small pass.

    Args:
        network: of timm, without classifier.
        output_stride: pixels between two cells of ``layer4``; None takes what the network has.
        freeze_bn, frozen_stages: see :meth:`Backbone.freeze`.

    Raises:
        ConfigurationError: a network that does not take images of any size, or without such an output stride.
    """

    library = "timm"
    package = ("timm", "timm")

    def __init__(
        self, network: Any, output_stride: int | None = None, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        from models.backbones.timm_padding import quicken_padded

        super().__init__(output_stride or 32, [0] * len(LAYERS), (0, 0))
        settings = network.pretrained_cfg
        self.name = settings["architecture"]
        self.mean.copy_(torch.tensor(settings["mean"]).view(1, 3, 1, 1))
        self.std.copy_(torch.tensor(settings["std"]).view(1, 3, 1, 1))
        self.network = network
        dynamic = getattr(network, "dynamic_img_size", False)
        self.patch: int = network.patch_embed.feat_ratio() if dynamic else 1
        self.taken: list[int] | None = None
        self.stage_of: dict[str, int] = {}
        self._measure()
        self.output_stride = self._checked_stride(output_stride)
        quicken(network)
        quicken_padded(network)
        slim(network)
        self.freeze(freeze_bn, frozen_stages)

    @staticmethod
    def named(name: str, *, width: float = 1.0, output_stride: int | None = None, **options: Any) -> TimmNetwork:
        """The network that timm calls ``name``, or ``name.TAG``; arguments are those of the class.

        Raises:
            ConfigurationError: timm is not installed or has no such network, or another ``width`` than 1.
        """
        from models.backbones.timm_vit import TimmVit

        if width != 1:
            raise ConfigurationError(
                f"timm/{name}: expected width 1.0, found {width:g}. Remedy: another network of its family."
            )
        network = created(name, output_stride)
        kind = TimmVit if TimmVit.fits(network) else TimmNetwork
        return kind(network, output_stride, **options)

    @classmethod
    def own_name(cls, published: str) -> str:
        return published if published in ("mean", "std") else f"network.{published.removeprefix('network.')}"

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self._features(self.levels(self.prepared(image)))

    def _features(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        return dict(zip(LEVELS, maps, strict=True))

    def prepared(self, image: Tensor) -> Tensor:
        """The image normalised, and enlarged to whole patches where the network cuts it into some."""
        if self.patch > 1:
            size = [  # ONNX divides integers towards 0, so a negative one would not be rounded down
                (length + self.patch - 1) // self.patch * self.patch for length in image.shape[2:]
            ]
            image = F.interpolate(image, size, mode="bilinear", align_corners=False)
        return (image - self.mean) / self.std

    def levels(self, image: Tensor) -> list[Tensor]:
        """Five maps [B,C,h,w] of a prepared image."""
        last: Any
        maps: list[Tensor]
        last, maps = self.network.forward_intermediates(image, indices=self.taken, norm=True)
        if isinstance(last, Tensor) and last.dim() == 4 and last.shape[2:] == maps[-1].shape[2:]:
            maps[-1] = last
        return [maps[0]] * (len(LEVELS) - len(maps)) + maps[-len(LEVELS) :]

    def stages(self) -> list[nn.Module]:
        """What each level adds: lists of modules and parameters, to be held still and not to be called."""
        parts: list[list[nn.Module]] = [[] for _ in LEVELS]
        for stage, part in self._parts(self.network, ""):
            parts[stage].append(part)
        return [nn.ModuleList(some) for some in parts]

    def _parts(self, module: nn.Module, prefix: str) -> Iterator[tuple[int, nn.Module]]:
        """The largest modules, and single parameters, that belong to one stage."""
        stages = {
            self.stage_of[prefix + name] for name, _ in module.named_parameters() if prefix + name in self.stage_of
        }
        if prefix and len(stages) == 1:
            yield stages.pop(), module
        elif stages:
            for name, parameter in module.named_parameters(recurse=False):
                if prefix + name in self.stage_of:
                    yield self.stage_of[prefix + name], nn.ParameterList([parameter])
            for name, child in module.named_children():
                yield from self._parts(child, f"{prefix}{name}.")

    @torch.enable_grad()
    def _measure(self) -> None:
        """Channels, strides and stages, from a pass over a black image; what no level needs is taken away."""
        self.network.eval()
        image = torch.zeros(1, 3, SIDE, SIDE)
        try:
            self.taken = self._indices(image)
            features = self(image)
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigurationError(
                f"timm/{self.name}: expected features of an image of {SIDE}x{SIDE} pixels, found an error "
                f"({reason:.200}). Remedy: a network that takes images of any size, such as timm/resnet50 or "
                "timm/vit_small_patch16_224."
            ) from None
        self.channels = {name: feature.shape[1] for name, feature in features.items()}
        self.strides = {name: self._stride(feature) for name, feature in features.items()}
        names = {parameter: name for name, parameter in self.network.named_parameters()}
        for stage, feature in enumerate(features.values()):
            for parameter in _leaves(feature):
                self.stage_of.setdefault(names[parameter], stage)
        self._prune()
        self.network.train()

    def _indices(self, image: Tensor) -> list[int] | None:
        """Which of timm's features to take: after each quarter of the blocks, where all have one stride."""
        _, maps = self.network.forward_intermediates(self.prepared(image))
        if len({one.shape[2:] for one in maps}) > 1 or len(maps) < len(LEVELS):
            return None
        return [0, *(len(maps) * quarter // 4 - 1 for quarter in range(1, 5))]

    def _stride(self, feature: Tensor) -> int:
        stride = -(-SIDE // self.patch) * self.patch / feature.shape[2]
        return int(stride) if stride.is_integer() else 2 ** round(math.log2(stride))

    def _prune(self) -> None:
        """Children that no level needs become nothing; single parameters of that kind do not learn."""
        gone = []
        for name, child in list(self.network.named_children()):
            entries = [f"{name}.{entry}" for entry, _ in child.named_parameters()]
            if entries and not any(entry in self.stage_of for entry in entries):
                setattr(self.network, name, nn.Identity())
                gone.append(f"{name}.")
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self.stage_of)
        classifier = self.network.pretrained_cfg.get("classifier") or ()
        heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        self.not_needed = (*NEVER_NEEDED, *gone, *(f"{head}." for head in heads))

    def _checked_stride(self, wanted: int | None) -> int:
        """``wanted``, where the features have that stride; that of patches counts as the nearest power of two."""
        nominal: int = 2 ** round(math.log2(self.strides["layer4"]))
        if wanted not in (None, nominal):
            raise ConfigurationError(
                f"timm/{self.name}: expected output_stride {nominal}, the only one that timm offers for it, found "
                f"{wanted}. Remedy: output_stride: {nominal}."
            )
        return nominal


def created(name: str, output_stride: int | None) -> Any:
    """A network of timm without classifier, for images of any size, with dilations for strides where timm offers them.

    Raises:
        ConfigurationError: timm is not installed, or has no network or no tag of that name.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigurationError(
            f"timm/{name} needs packages that are not installed ({error.name}). Remedy: pip install 'weak2mask[timm]'."
        ) from None
    if not timm.is_model(name):
        raise ConfigurationError(f"Unknown network of timm '{name}'.{closest(name, timm.list_models())}")
    strided: list[dict[str, Any]] = [{"output_stride": output_stride}] if output_stride else []
    refused: Exception | None = None
    for options in ({"dynamic_img_size": True}, *strided, {"strict_img_size": False}, {}):
        try:
            return timm.create_model(name, num_classes=0, **options)
        except RuntimeError as error:
            if "." not in name:
                refused = error
                continue
            tags = [one for one in timm.list_pretrained() if one.startswith(name.partition(".")[0] + ".")]
            raise ConfigurationError(f"Unknown weights of timm '{name}'.{closest(name, tags)}") from None
        except (AssertionError, NotImplementedError, TypeError, ValueError) as error:  # an option that it does not have
            refused = error
    raise ConfigurationError(f"timm/{name} cannot be built ({refused}). Remedy: another network.")


def _leaves(feature: Tensor) -> Iterator[nn.Parameter]:
    """Parameters that a feature was computed from, by its graph."""
    seen, queue = set(), [feature.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        queue += [before for before, _ in node.next_functions]
