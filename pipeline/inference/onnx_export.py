"""A trained segmenter as an ONNX file, compared with the network before it is left (the only user of onnxruntime)."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConfigurationError, DataError, Weak2MaskError
from models.structures import Image
from pipeline.datasets.voc_colours import voc_palette
from pipeline.storage.whole import whole_file

TOLERANCE = 1e-3
"""Largest difference of a logit that is left; float32 and another order of sums explain a hundredth of it."""
TRACED = (2, 3, 97, 129)
"""An input without round numbers, from which nothing is taken for constant."""
INPUT, OUTPUT = "image", "logits"


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from the network on the images that were tried."""

    path: str
    input: tuple[str | int, ...]
    classes: tuple[str, ...]
    output_stride: int
    images: int
    difference: float


class _Network(nn.Module):
    """The segmenter as a function of the image alone."""

    def __init__(self, segmenter: Any, full: bool) -> None:
        super().__init__()
        self.segmenter, self.full = segmenter, full
        self.align_corners = bool(getattr(segmenter, "align_corners", False))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.segmenter.scores(image)
        if not self.full:
            return logits
        return F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=self.align_corners)


def export_onnx(
    segmenter: nn.Module,
    class_names: Sequence[str],
    out: Path,
    images: Sequence[Image],
    *,
    size: tuple[int, int] | None = None,
    full: bool = False,
) -> Exported:
    """Write ``out`` if onnxruntime answers as the network does.

    The file takes ``image`` float32 RGB [B,3,H,W] in [0,1] (it normalises itself) and gives ``logits``
    [B,1+C,h,w], channel 0 background; its metadata name the classes, the palette and the stride. Of a vision
    transformer H and W must be larger than a patch; it enlarges images to whole patches itself.

    Args:
        segmenter: on the CPU, in evaluation mode.
        class_names: its C classes.
        out: where to; replaced if it is there.
        images: uint8 RGB [H,W,3] to compare on.
        size: (H, W) to fix; None leaves height and width open.
        full: enlarge the logits to the image's size (bilinear) in the file.

    Raises:
        ConfigurationError: the packages of ONNX are not installed.
        Weak2MaskError: the exporter fails, or the answers differ by more than :data:`TOLERANCE`; nothing is written.
    """
    network = _Network(segmenter, full).eval()
    stride = 1 if full else _stride(network)
    with whole_file(out) as scratch:
        program = _traced(network, size)
        program.model.metadata_props.update(_metadata(class_names, stride, network.align_corners))
        program.save(scratch)
        difference = _difference(network, scratch, images, size)
        if not difference <= TOLERANCE:
            raise Weak2MaskError(
                f"The ONNX file answers otherwise than the network: logits differ by up to {difference:.2g}, at most "
                f"{TOLERANCE:g} was expected. Nothing was written. Remedy: try --size H,W, or other versions of torch "
                "and onnxruntime."
            )
    shape = ("batch", 3, *(size or ("height", "width")))
    return Exported(str(out), shape, tuple(class_names), stride, len(images), difference)


def _traced(network: nn.Module, size: tuple[int, int] | None) -> Any:
    """The exporter's program; batch open, height and width too unless ``size`` is given."""
    open_axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if size is None:
        patch = _patch(network)
        least = 1 + patch if patch > 1 else None  # a transformer's graph is of more than one patch a side
        open_axes |= {2: torch.export.Dim("height", min=least), 3: torch.export.Dim("width", min=least)}
    example = torch.rand((TRACED[0], 3, *(size or TRACED[2:])), generator=torch.Generator().manual_seed(0))
    try:
        with _quiet():
            return torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={"image": open_axes},
                verbose=False,
            )
    except ImportError as error:
        raise ConfigurationError(_missing(error)) from None
    except Exception as error:  # the exporter has many ways to say no
        remedy = "Remedy: name one image size, --size H,W." if size is None else "Remedy: another version of torch."
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Weak2MaskError(f"This network cannot be exported to ONNX: {reason[:300]} {remedy}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own progress."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _metadata(class_names: Sequence[str], stride: int, align_corners: bool) -> Mapping[str, str]:
    """What another program must know, as text (numbers and lists as JSON)."""
    palette = voc_palette()[: 1 + len(class_names)].tolist()
    return {
        "producer": "weak2mask",
        "class_names": json.dumps(["background", *class_names], ensure_ascii=False),
        "palette": json.dumps(palette),
        "input": "float32 RGB [B,3,H,W] in [0,1]; normalisation is inside",
        "output": "logits [B,1+C,h,w], channel 0 background; the label of a pixel is the argmax",
        "output_stride": str(stride),
        "align_corners": json.dumps(align_corners),
    }


def _stride(network: nn.Module) -> int:
    side = math.lcm(64, _patch(network))
    with torch.inference_mode():
        return side // int(network(torch.zeros(1, 3, side, side)).shape[-1])


def _patch(network: nn.Module) -> int:
    """Pixels a side of a vision transformer's patches; 1 for other networks."""
    backbone = getattr(getattr(network, "segmenter", None), "backbone", None)
    return int(getattr(backbone, "patch", 1))


def _difference(network: nn.Module, path: Path, images: Sequence[Image], size: tuple[int, int] | None) -> float:
    """Largest difference of a logit between the file and the network; NaN counts as one."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(_missing(error)) from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for image in images:
        batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        if size is not None:
            batch = F.interpolate(batch, size, mode="bilinear", antialias=True).clamp(0, 1)
        with torch.inference_mode():
            expected = network(batch).numpy()
        (exported,) = session.run([OUTPUT], {INPUT: batch.numpy()})
        if exported.shape != expected.shape:
            return float("inf")
        largest = max(largest, float(np.nan_to_num(np.abs(exported - expected), nan=np.inf).max()))
    return largest


def _missing(error: ImportError) -> str:
    return f"ONNX export needs packages that are not installed ({error.name}). Remedy: pip install 'weak2mask[onnx]'."


def parse_size(text: str | None) -> tuple[int, int] | None:
    """ "512,640" as (H, W) (ConfigurationError unless both are whole numbers from 32 to 8192)."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdigit() and 32 <= int(part) <= 8192 for part in parts):
        raise ConfigurationError(f"--size: expected height,width in pixels (32 to 8192), as 512,640, found '{text}'.")
    return int(parts[0]), int(parts[1])


def check_target(out: Path) -> None:
    """Raises ConfigurationError or DataError when ``out`` is not a place for an .onnx file."""
    if out.suffix != ".onnx":
        raise ConfigurationError(f"{out}: expected the name of a file that ends in .onnx.")
    if not out.parent.is_dir() or out.is_dir():
        raise DataError(f"{out}: expected a file in a folder that is there.")
