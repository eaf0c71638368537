"""By how much one row of a table is better than another, with a 95 % interval over images and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np

from models.metrics.confusion import Counts, Fractions
from models.metrics.from_sums import Metric

LEVEL = 0.95
RESAMPLES = 2000
"""They know the standard error to 1.6 %: a standard deviation of R numbers has the relative error 1 / sqrt(2 R)."""
CELLS = 1 << 22
"""Weights (resamples x images) that are held at once."""

Watch = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A score of one row minus that of another, in percentage points.

    Attributes:
        value: mean over the pairs of seeds, on the images as they are.
        low, high: the 95 % interval.
        pairs: how many pairs of seeds.
        images: how many images.
    """

    value: float
    low: float
    high: float
    pairs: int
    images: int

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the interval excludes 0, else ``open``; of one pair ``one seed``."""
        if self.pairs == 1:
            return "one seed"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "open"


def paired_difference(
    ours: Sequence[Counts],
    theirs: Sequence[Counts],
    metric: Metric,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    watch: Watch = iter,
) -> Difference:
    """The difference of two rows that were evaluated on the same images, and its interval.

    Two errors add up, of which one is known far better than the other. That of the images is a bootstrap's: each
    resample draws the N images with replacement, the same ones for both rows and all seeds, sums their counts and takes
    the score of the sums; its standard deviation has N - 1 degrees of freedom. That of the seeds is the standard error
    of the mean of the S differences, of S - 1 degrees. Each is multiplied by Student's t of its degrees, and the
    interval reaches the root of the sum of both squares to either side (Howe). One t for both, with S - 1 degrees,
    would be far too wide where the images decide. One pair has no spread over seeds: its interval is over images alone.

    Args:
        ours, theirs: for each of S seeds, int64 [N,L,K]: of each image and label the counts that the metric needs;
            pair s is ``ours[s], theirs[s]``. Counts of the truth are the same in all.
        metric: what is compared.
        resamples: R.
        seed: of the Generator that draws; the same one gives the same interval.
        watch: sees the parts of the work go by, for a progress bar.

    Raises:
        ValueError: no pair, unpaired seeds, unequal shapes, other truths, or a single image.

    Sources: An Introduction to the Bootstrap, chapters 6 and 12 (Efron and Tibshirani 1993): standard errors, Student's
    t on them; Approximate confidence limits on the mean of X + Y (Howe 1974); Construction of confidence limits about
    effect measures: a general approach (Zou and Donner 2008).
    """
    from scipy.special import stdtrit

    _require_pairs(ours, theirs, metric)
    pairs, images = len(ours), len(ours[0])
    values = _differences(ours, theirs, metric, np.ones((1, images)))[0]
    generator, part = np.random.default_rng(seed), max(CELLS // images, 1)
    made = [
        _differences(ours, theirs, metric, _weights(generator, min(part, resamples - start), images))
        for start in watch(range(0, resamples, part))
    ]
    of_images = float(np.concatenate(made).mean(1).std(ddof=1)) * float(stdtrit(images - 1, (1 + LEVEL) / 2))
    of_seeds = 0.0
    if pairs > 1:
        of_seeds = float(values.std(ddof=1)) / pairs**0.5 * float(stdtrit(pairs - 1, (1 + LEVEL) / 2))
    value, half = float(values.mean()), hypot(of_images, of_seeds)
    return Difference(value, value - half, value + half, pairs, images)


def _weights(generator: np.random.Generator, resamples: int, images: int) -> Fractions:
    """How often each image is drawn: [resamples, images], each row sums to ``images``."""
    drawn = generator.integers(images, size=(resamples, images)) + images * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.float64)


def _differences(ours: Sequence[Counts], theirs: Sequence[Counts], metric: Metric, weights: Fractions) -> Fractions:
    """[R,S], in percentage points, of the images weighted by ``weights`` [R,N]."""
    pairs = zip(ours, theirs, strict=True)
    return np.stack([metric.score(_sums(one, weights)) - metric.score(_sums(two, weights)) for one, two in pairs], 1)


def _sums(counts: Counts, weights: Fractions) -> Fractions:
    """Of weighted images, [R,L,K]. They are whole numbers below 2**53, so exact."""
    sums = weights @ counts.reshape(len(counts), -1).astype(np.float64)
    return sums.reshape(len(weights), *counts.shape[1:])


def _require_pairs(ours: Sequence[Counts], theirs: Sequence[Counts], metric: Metric) -> None:
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"expected as many evaluations on both sides, found {len(ours)} and {len(theirs)}")
    shapes, columns = {each.shape for each in (*ours, *theirs)}, len(metric.columns)
    if len(shapes) > 1 or ours[0].ndim != 3 or ours[0].shape[2] != columns:
        raise ValueError(f"expected counts of one shape [N,L,{columns}], found {sorted(shapes)}")
    if len(ours[0]) < 2:
        raise ValueError("expected at least two images to draw from, found one")
    truth = ours[0][..., : metric.of_truth]
    if any((each[..., : metric.of_truth] != truth).any() for each in (*ours, *theirs)):
        raise ValueError("expected evaluations against the same ground truth, found others")
