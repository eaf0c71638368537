"""What two branches of a single-stage network teach each other (DuPL, Wu et al. 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.cross_entropy import seed_cross_entropy
from models.ops.gaussian_mixture import TwoGaussians
from models.structures import BACKGROUND, IGNORE
