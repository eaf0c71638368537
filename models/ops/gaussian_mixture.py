"""A mixture of two Gaussians on numbers, fitted to each row of a batch at once (Dempster et al. 1977).

scikit-learn's mixture is on the host and for one set of numbers; this one leaves them on their device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

EPS = 10 * torch.finfo(torch.float64).eps
"""What each component has before the first number, as in scikit-learn."""
LLOYD_STEPS = 20


@dataclass(frozen=True, eq=False)
class TwoGaussians:
    """The mixtures of B rows.

    Attributes:
        means, variances, weights: float [B,2].
        iterations: int64 [B], steps until the likelihood stood still.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor
    iterations: Tensor
