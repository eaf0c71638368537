"""Mixtures of two Gaussians on numbers, one for each row of a batch, by expectation maximisation.

scikit-learn's is on the host and takes one set of numbers; this one leaves them on their device and reads none of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

LLOYD_STEPS = 20


@dataclass(frozen=True, eq=False)
class TwoGaussians:
    """The mixtures of B rows, each tensor [B,2]: ``means``, ``variances``, and ``weights``, which sum to 1."""

    means: Tensor
    variances: Tensor
    weights: Tensor

    @classmethod
    def fit(
        cls,
        values: Tensor,
        counted: Tensor,
        start: Tensor | None = None,
        *,
        steps: int = 10,
        tolerance: float = 0.01,
        added: float = 5e-4,
    ) -> Self:
        """Fit; a row stops when the mean of its log-likelihoods changes by less than ``tolerance``.

        Args:
            values: float [B,n].
            counted: bool [B,n]; the other values do not count. A row without any has means 0.
            start: bool [B,n], which values begin in the second component; None for those of 2-means.
            steps: at most.
            added: to each variance.

        Source: (Dempster et al. 1977); it stops, and keeps variances from 0, as scikit-learn's ``GaussianMixture``.
        """
        second = _two_means(values, counted) if start is None else start
        mixture = cls._of(values, torch.stack([~second, second], 1) * counted[:, None], added)
        before = values.new_full((len(values), 1), -math.inf)
        going = torch.ones_like(before, dtype=torch.bool)
        for _ in range(steps):
            joint = mixture._log_joint(values)  # [B,2,n]
            evidence = joint.logsumexp(1)
            likelihood = _mean(evidence, counted)
            moved = cls._of(values, (joint - evidence[:, None]).exp() * counted[:, None], added)
            mixture = cls(*(getattr(moved, key).where(going, getattr(mixture, key)) for key in vars(mixture)))
            going = going & ((likelihood - before).abs() >= tolerance)
            before = likelihood
        return mixture

    @classmethod
    def _of(cls, values: Tensor, shares: Tensor, added: float) -> Self:
        """From the share [B,2,n] that each component has in each value."""
        shares = shares.to(values.dtype)
        count = shares.sum(2) + 10 * torch.finfo(values.dtype).eps  # as scikit-learn keeps the division finite
        means = (shares * values[:, None]).sum(2) / count
        spread = (values[:, None] - means[..., None]).square()
        variances = (shares * spread).sum(2) / count + added
        return cls(means, variances, count / count.sum(1, keepdim=True))

    def _log_joint(self, values: Tensor) -> Tensor:
        """log(weight) + log(density), [B,2,n]."""
        spread = (values[:, None] - self.means[..., None]).square() / self.variances[..., None]
        return self.weights.log()[..., None] - (math.log(2 * math.pi) + self.variances.log()[..., None] + spread) / 2

    def upper(self, values: Tensor) -> Tensor:
        """Probability [B,n] that each value is of the component with the larger mean, for values [B,n]."""
        posterior = self._log_joint(values).softmax(1)
        return posterior[:, 1].where(self.means[:, 1:] > self.means[:, :1], posterior[:, 0])

    @property
    def gap(self) -> Tensor:
        """Distance [B] of the means."""
        return self.means.diff(dim=1)[:, 0].abs()


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """[B,1]; 0 without values."""
    return (values * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)


def _two_means(values: Tensor, counted: Tensor) -> Tensor:
    """Whether a value is nearer to the larger of two means, bool [B,n], by Lloyd's steps from both ends."""
    low = values.masked_fill(~counted, math.inf).amin(1, keepdim=True)
    high = values.masked_fill(~counted, -math.inf).amax(1, keepdim=True)
    for _ in range(LLOYD_STEPS):
        upper = values > (low + high) / 2
        low, high = _mean(values, counted & ~upper), _mean(values, counted & upper)
    return values > (low + high) / 2
