"""predict_masks: a segmenter's labels, over scales and mirror images, with or without a dense CRF."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.errors import ConfigurationError, DataError
from models.ops.multiscale import evaluating, in_batches, to_batch
from models.ops.posteriors import posteriors
from models.options import InnerShare, PositiveCount, Scales
from models.structures import IGNORE, Image, Mask, Segmenter

Tags: TypeAlias = npt.NDArray[np.bool_]
ImageSample: TypeAlias = tuple[str, Image, Tags | None]
Probabilities: TypeAlias = npt.NDArray[np.float32]
Crf: TypeAlias = Callable[[Image, Probabilities], Probabilities]
Result = TypeVar("Result")
AHEAD = 32
"""Images whose probabilities may wait for a CRF elsewhere: bounds what is in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A mask and how sure the network is of it.

    Attributes:
        mask: uint8 [H,W] of 0..C.
        scores: float32 [1+C], the mean probability of each label over the pixels that have it; 0 for absent labels.
        confidence: float32 [H,W] in [0,1], the probability of each pixel's label.
    """

    mask: Mask
    scores: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]


def predict_masks(
    samples: Iterable[ImageSample],
    segmenter: Segmenter,
    *,
    device: Any = "cpu",
    scales: Scales = (1.0,),
    flip: bool = False,
    average: Literal["logits", "probabilities"] = "logits",
    gate: bool = False,
    background: InnerShare | None = None,
    crf: Crf | None = None,
    elsewhere: Executor | None = None,
    batch_size: PositiveCount = 1,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> Iterator[tuple[str, Mask]]:
    """Average the scores of all views at the image's size and take the best class of each pixel.

    Args:
        samples: (id, image uint8 RGB [H,W,3], tags bool [C] or None). With tags, only background and the tagged
            classes can win.
        segmenter: on ``device``. Its attribute ``align_corners``, where it has one, says how its grid is enlarged.
        scales: factors of the image's size.
        flip: add the mirror image at every scale.
        average: what is averaged; the published tests average logits, single-stage ones probabilities.
        gate: multiply each class by the probability that it is in the image (``GatedSegmenter``; RTC). Of averaged
            probabilities only.
        background: constant that takes the place of the background's score (RTC 0.17); None keeps the network's.
        crf: from image uint8 [H,W,3] and probabilities float32 [1+C,H,W] to refined probabilities.
        elsewhere: where CRFs run while the network goes on with the next images, at most :data:`AHEAD`; picklable ones
            for processes. None runs each when its image is done.
        batch_size: images that go through the network together; more than one pays on a GPU, and costs memory.
        precision: of the network's arithmetic; averages are float32.

    Yields:
        (id, mask uint8 [H,W] of 0..C) in order.

    Raises:
        ConfigurationError: ``gate`` with averaged logits.
    """
    _require_probabilities(gate, average)
    finish: Callable[[Image, Tensor], Any] = _label if crf is None else partial(_refine, crf=crf, elsewhere=elsewhere)
    run = partial(
        _predict,
        finish=finish,
        segmenter=segmenter,
        device=device,
        views={"scales": scales, "flip": flip, "average": average, "gate": gate},
        background=background,
        precision=precision,
    )
    found = in_batches(samples, lambda sample: sample[1].shape, run, batch_size)
    return found if crf is None or elsewhere is None else _awaited(found)


def predict_scored(
    sample: ImageSample,
    segmenter: Segmenter,
    *,
    device: Any = "cpu",
    scales: Scales = (1.0,),
    flip: bool = False,
    average: Literal["logits", "probabilities"] = "logits",
    gate: bool = False,
    background: InnerShare | None = None,
    crf: Crf | None = None,
) -> Scored:
    """The mask of :func:`predict_masks` for one image, with the mean probability of each label (after the CRF).

    With ``gate`` or ``background`` the scores are these, which do not add up to 1.

    Raises:
        ConfigurationError: ``gate`` with averaged logits.
    """
    _require_probabilities(gate, average)
    ((_, scored),) = _predict(
        [sample],
        finish=partial(_scored, crf=crf),
        segmenter=segmenter,
        device=device,
        views={"scales": scales, "flip": flip, "average": average, "gate": gate},
        background=background,
        precision="float32",
    )
    return scored


def _require_probabilities(gate: bool, average: str) -> None:
    if gate and average != "probabilities":
        raise ConfigurationError(f"gate: true needs average: probabilities, found average: {average}.")


def _predict(
    samples: list[ImageSample],
    *,
    finish: Callable[[Image, Tensor], Result],
    segmenter: Segmenter,
    device: Any,
    views: dict[str, Any],
    background: float | None,
    precision: str,
) -> list[tuple[str, Result]]:
    size = samples[0][1].shape[:2]
    with evaluating(segmenter, device, precision):
        image = to_batch([image for _, image, _ in samples], device)
        probabilities = posteriors(segmenter, image, (size[0], size[1]), **views)
        if background is not None:
            probabilities[:, 0] = background
        return [
            (name, _finished(name, finish, image, _restrict(each_class, tags)))
            for (name, image, tags), each_class in zip(samples, probabilities, strict=True)
        ]


def _finished(name: str, finish: Callable[[Image, Tensor], Result], image: Image, probabilities: Tensor) -> Result:
    """What ``finish`` makes; DataError where it raises FloatingPointError: the probabilities are not finite."""
    try:
        return finish(image, probabilities)
    except FloatingPointError:
        raise DataError(
            f"Image '{name}': expected finite probabilities, found nan or inf: weights or activations of a network are "
            "not finite. Remedy: precision float32, or train it again with a smaller lr."
        ) from None


def _restrict(probabilities: Tensor, tags: Tags | None) -> Tensor:
    """Probabilities [1+C,H,W] among background and the tagged classes alone."""
    if tags is None:
        return probabilities
    allowed = torch.from_numpy(np.concatenate([[True], tags])).to(probabilities.device)
    kept = probabilities * allowed[:, None, None]
    return kept / kept.sum(0, keepdim=True).clamp(min=1e-12)


def _label(image: Image, probabilities: Tensor) -> Mask:
    best = probabilities.argmax(0).to(torch.uint8)
    found: Mask = torch.where(probabilities.sum().isfinite(), best, IGNORE).cpu().numpy()  # one read of the device
    if found.flat[0] == IGNORE:
        raise FloatingPointError
    return found


def _refine(image: Image, probabilities: Tensor, crf: Crf, elsewhere: Executor | None) -> Mask | Future[Mask]:
    given = crf, image, probabilities.cpu().numpy()
    if not np.isfinite(given[2]).all():
        raise FloatingPointError
    return _refined(*given) if elsewhere is None else elsewhere.submit(_refined, *given)


def _refined(crf: Crf, image: Image, probabilities: Probabilities) -> Mask:
    refined: Mask = crf(image, probabilities).argmax(0).astype(np.uint8)
    return refined


def _awaited(found: Iterator[tuple[str, Future[Mask]]]) -> Iterator[tuple[str, Mask]]:
    """What is under way, in order."""
    waiting: deque[tuple[str, Future[Mask]]] = deque()
    for result in found:
        waiting.append(result)
        if len(waiting) > AHEAD:
            name, mask = waiting.popleft()
            yield name, mask.result()
    for name, mask in waiting:
        yield name, mask.result()


def _scored(image: Image, probabilities: Tensor, crf: Crf | None) -> Scored:
    if crf is not None:
        probabilities = torch.from_numpy(crf(image, probabilities.cpu().numpy()))
    best = probabilities.argmax(0)
    labels = len(probabilities)
    top = probabilities.gather(0, best[None])[0].double()
    sums = torch.zeros(labels, dtype=torch.float64, device=top.device).index_add_(0, best.flatten(), top.flatten())
    counts = best.flatten().bincount(minlength=labels)
    means = (sums / counts.clamp(min=1)).float().cpu().numpy()
    if not np.isfinite(means).all():
        raise FloatingPointError
    return Scored(best.to(torch.uint8).cpu().numpy(), means, top.float().cpu().numpy())
