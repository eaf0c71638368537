"""Fully connected CRF (Krähenbühl and Koltun 2011) on CAMs, labels and segmenter probabilities.

The only file that imports pydensecrf, whose permutohedral lattice is approximate: another implementation of the same
equations agrees on about 97 % of the labels. It holds the interpreter lock, so images go in parallel by process.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError, closest
from models.ops.background import Scores, winner
from models.ops.resize import resize_bilinear
from models.options import Count, InnerShare, NonNegative, Positive, PositiveCount, Share, ShareBelowOne, require
from models.refiners.crf_picture import wrapped_picture
from models.refiners.crf_unary import unary_from_labels, unary_from_probabilities, unary_from_scores
from models.structures import Cam, Image

UNARIES = ("scores", "softmax", "labels")


@dataclass(frozen=True, slots=True)
class CrfSettings:
    """Numbers of the two pairwise terms and the number of mean-field steps.

    Attributes:
        gaussian_sxy: reach of the smoothness term, in pixels.
        gaussian_compat: its Potts weight.
        bilateral_sxy: reach of the appearance term, in pixels.
        bilateral_srgb: and in colour, in units of 0-255 RGB.
        bilateral_compat: its Potts weight.
        iterations: mean-field steps.
        unary: what the family of methods feeds in ("scores", "softmax" or "labels").
        wrapped: it sees :func:`models.refiners.crf_picture.wrapped_picture` of the image.
    """

    gaussian_sxy: Positive = 3
    gaussian_compat: NonNegative = 3
    bilateral_sxy: Positive = 80
    bilateral_srgb: Positive = 13
    bilateral_compat: NonNegative = 10
    iterations: PositiveCount = 10
    unary: str = "scores"
    wrapped: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that the kernels cannot have (ConfigurationError)."""
        require("dense_crf", CrfSettings, asdict(self))
        if self.unary not in UNARIES:
            raise ConfigurationError(f"Dense CRF: unknown unary '{self.unary}'.{closest(self.unary, UNARIES)}")


PRESETS: dict[str, CrfSettings] = {
    "psa": CrfSettings(3, 3, 80, 13, 10, 10, "scores"),  # also SEAM, ICAM and HFPL
    "irn": CrfSettings(3, 3, 50, 5, 10, 10, "labels"),  # also AMN, RIB, ReCAM, AdvCAM and SIPE
    "ppc_png": CrfSettings(3, 3, 50, 5, 10, 10, "labels"),
    "ppc_aff": CrfSettings(3, 3, 80, 13, 10, 10, "labels"),
    "spml": CrfSettings(1, 3, 67, 3, 4, 10, "softmax"),
    "clip_es": CrfSettings(1, 3, 67, 3, 4, 10, "scores", wrapped=True),
    "weclip": CrfSettings(3, 3, 64, 5, 4, 10, "softmax"),  # also AFA's author
    "seg_test": CrfSettings(3, 3, 32, 13, 10, 1, "softmax"),  # SEAM's and HFPL's test of the segmenter
}


def crf_settings(preset: str) -> CrfSettings:
    """The published numbers called ``preset``; ConfigurationError for an unknown name."""
    if preset not in PRESETS:
        raise ConfigurationError(f"Unknown dense CRF preset '{preset}'.{closest(preset, PRESETS)}")
    return PRESETS[preset]


class MeanField:
    """The pairwise terms of one image; several unaries can be inferred on it, as the lattices are built once."""

    def __init__(self, image: Image, num_labels: int, settings: CrfSettings) -> None:
        """Build the Gaussian and the bilateral term over ``image`` uint8 [H,W,3]."""
        self.shape = image.shape[:2]
        self.iterations = settings.iterations
        self._crf = _densecrf().DenseCRF2D(image.shape[1], image.shape[0], num_labels)
        self._crf.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=settings.gaussian_compat)
        self._crf.addPairwiseBilateral(
            sxy=settings.bilateral_sxy,
            srgb=settings.bilateral_srgb,
            rgbim=np.ascontiguousarray(wrapped_picture(image) if settings.wrapped else image, np.uint8),
            compat=settings.bilateral_compat,
        )

    def __call__(self, unary: Scores) -> Scores:
        """Posterior float32 [L,H,W] for the unary float32 [L,H*W]."""
        self._crf.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
        posterior = np.array(self._crf.inference(self.iterations), np.float32)
        return posterior.reshape(-1, *self.shape)


class DenseCrf:
    """Refiner: the posterior of a dense CRF at image size. Picklable."""

    built_by_check: ClassVar[bool] = True

    def __init__(
        self,
        preset: str = "psa",
        unary: str = "preset",
        alpha: Positive = 4.0,
        threshold: ShareBelowOne = 0.3,
        certainty: InnerShare = 0.7,
        num_labels: Count = 0,
        iterations: PositiveCount | None = None,
        gaussian_sxy: Positive | None = None,
        gaussian_compat: NonNegative | None = None,
        bilateral_sxy: Positive | None = None,
        bilateral_srgb: Positive | None = None,
        bilateral_compat: NonNegative | None = None,
        wrapped: bool | None = None,
    ) -> None:
        """Choose the numbers.

        Args:
            preset: key of :data:`PRESETS`; the options below that are None take its numbers.
            unary: "scores": ``[(1 - max)^alpha ; cam]``; "softmax": the same divided by their sum;
                "labels": from the argmax of ``[threshold ; cam]``; "preset": the one of the preset.
            alpha: background exponent of "scores" and "softmax".
            threshold: constant background of "labels".
            certainty: probability of the given label in "labels".
            num_labels: labels of the CRF in "labels", where absent ones share the doubt (PPC: 1 + C);
                0 takes the present ones and background (IRN).
            iterations, gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat, wrapped: as in
                :class:`CrfSettings`.

        Raises:
            ConfigurationError: unknown preset or unary, or numbers out of range.
        """
        overrides = {
            "iterations": iterations,
            "gaussian_sxy": gaussian_sxy,
            "gaussian_compat": gaussian_compat,
            "bilateral_sxy": bilateral_sxy,
            "bilateral_srgb": bilateral_srgb,
            "bilateral_compat": bilateral_compat,
            "wrapped": wrapped,
            "unary": None if unary == "preset" else unary,
        }
        chosen: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
        self.settings = replace(crf_settings(preset), **chosen)
        given = {"alpha": alpha, "threshold": threshold, "certainty": certainty, "num_labels": num_labels}
        require("dense_crf", DenseCrf.__init__, given)
        self.alpha, self.threshold, self.certainty, self.num_labels = alpha, threshold, certainty, num_labels

    def __call__(self, image: Image, cam: Cam) -> Cam:
        """Refine one CAM.

        Args:
            image: uint8 RGB [H,W,3], the size of ``cam.size``.
            cam: scores at any grid; upsampled bilinearly.

        Returns:
            A Cam at image size whose scores are the posteriors of its classes; the background has the rest
            (rule "complement"). A CAM without classes comes back as it is; one that is zero everywhere says nothing
            and comes back as zeros at image size.
        """
        if image.shape[:2] != tuple(cam.size):
            raise ValueError(f"image is {image.shape[:2]}, the CAM is of an image {cam.size}")
        if not len(cam.classes):
            return cam
        scores = resize_bilinear(cam.scores, cam.size)
        if scores.any():
            unary = self._unary(scores)
            posterior = MeanField(image, len(unary), self.settings)(unary)
            scores = np.clip(posterior[1 : 1 + len(scores)], 0, 1)
        return Cam(cam.classes, scores, cam.size, cam.instances)

    def _unary(self, scores: Scores) -> Scores:
        if self.settings.unary == "labels":
            labels = max(self.num_labels, 1 + len(scores))
            return unary_from_labels(winner(scores, self.threshold), labels, self.certainty)
        return unary_from_scores(scores, self.alpha, normalize=self.settings.unary == "softmax")


class SegmentationCrf:
    """Dense CRF on a segmenter's probabilities. Picklable."""

    built_by_check: ClassVar[bool] = True

    def __init__(
        self,
        preset: str = "seg_test",
        iterations: PositiveCount | None = None,
        min_peak: Share = 0.0,
        certainty: InnerShare | None = None,
    ) -> None:
        """Choose the numbers.

        Args:
            preset: key of :data:`PRESETS`.
            iterations: mean-field steps; None takes the preset's.
            min_peak: labels whose probability is nowhere above it are left out, which is what makes many classes
                affordable (a label costs time everywhere); 0 keeps all.
            certainty: of the best label of each pixel, all that the CRF is told then (RTC 0.7, with preset "irn");
                None tells it the probabilities.

        Raises:
            ConfigurationError: an unknown preset, ``certainty`` outside (0,1).
        """
        require("crf", SegmentationCrf.__init__, {"min_peak": min_peak, "certainty": certainty})
        self.certainty = certainty
        settings = crf_settings(preset)
        self.settings = settings if iterations is None else replace(settings, iterations=iterations)
        self.min_peak = min_peak

    def __call__(self, image: Image, probabilities: Scores, tags: npt.NDArray[np.bool_] | None = None) -> Scores:
        """Posterior of every label.

        Args:
            image: uint8 RGB [H,W,3].
            probabilities: float32 [1+C,H,W], channel 0 background, softmax over channels.
            tags: bool [C]; where given, only background and tagged classes take part.

        Returns:
            float32 [1+C,H,W]; labels that take no part have 0.
        """
        if probabilities.shape[1:] != image.shape[:2]:
            raise ValueError(f"probabilities are {probabilities.shape}, the image {image.shape}")
        part = probabilities.max((1, 2)) > self.min_peak
        part[0] = True
        if tags is not None:
            part[1:] &= tags
        posterior = np.zeros_like(probabilities, np.float32)
        posterior[part] = 1 if part.sum() == 1 else self._infer(image, probabilities[part])
        return posterior

    def _infer(self, image: Image, probabilities: Scores) -> Scores:
        if self.certainty is None:
            unary = unary_from_probabilities(probabilities)
        else:
            unary = unary_from_labels(probabilities.argmax(0), len(probabilities), self.certainty)
        return MeanField(image, len(unary), self.settings)(unary)


def _densecrf() -> Any:
    """The library, imported when the first image needs it, so that everything else works without it."""
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ConfigurationError(
            "The dense CRF needs the package pydensecrf2, which is not installed. "
            "Install it (pip install pydensecrf2, it needs a C++ compiler) or choose another refiner."
        ) from error
    return densecrf
