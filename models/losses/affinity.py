"""Losses on pairs of pixels: affinity (PSA, IRN), displacement (IRN), and the dense one of AFA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.ops.affinity import PairLabels
from models.ops.pixel_pairs import Offset, pair_sources, pair_targets

EPS = 1e-5


@dataclass(frozen=True)
class AffinityLoss:
    """Means over the pairs of a kind, scalars: ``-log a`` where ends are alike, ``-log(1 - a)`` where they differ."""

    background: Tensor
    foreground: Tensor
    different: Tensor

    @property
    def total(self) -> Tensor:
        """A quarter for each kind of alike pairs and half for the others: PSA's weights, and IRN's."""
        return self.background / 4 + self.foreground / 4 + self.different / 2


def affinity_loss(affinity: Tensor, labels: PairLabels) -> AffinityLoss:
    """Cross-entropy of affinities [B,P,h',w'] against pair labels of the same shape. A kind without pairs counts 0.

    Source: jiwoon-ahn/psa@9493e59:train_aff.py; the same terms in jiwoon-ahn/irn@a2ece00:net/resnet50_irn.py.
    """
    alike, unlike = -torch.log(affinity + EPS), -torch.log(1 + EPS - affinity)
    return AffinityLoss(
        _mean(alike, labels.background), _mean(alike, labels.foreground), _mean(unlike, labels.different)
    )


def displacement_losses(
    displacement: Tensor, labels: PairLabels, offsets: tuple[Offset, ...], radius: int
) -> tuple[Tensor, Tensor]:
    """How displacements to the centre of an object must differ between pixels of it, and agree in the background.

    Args:
        displacement: [B,2,h,w], (y, x) in cells.
        labels, offsets, radius: the pairs.

    Returns:
        (foreground, background): mean absolute error per coordinate over their pairs, scalars.

    Source: jiwoon-ahn/irn@a2ece00:net/resnet50_irn.py (AffinityDisplacementLoss).
    """
    sources = pair_sources(displacement, radius).unsqueeze(-3)
    pair = sources - pair_targets(displacement, offsets, radius)
    wanted = displacement.new_tensor(offsets).T.view(2, -1, 1, 1)
    return (
        _mean((pair - wanted).abs().sum(1), labels.foreground, 2),
        _mean(pair.abs().sum(1), labels.background, 2),
    )


def _mean(values: Tensor, where: Tensor, parts: int = 1) -> Tensor:
    """Mean over a kind of pairs. The sum is float64: a training crop has millions of pairs."""
    total = (values * where).sum(dtype=torch.float64)
    count = parts * where.sum(dtype=torch.float64)
    return (total / (count + EPS)).to(values.dtype)


def dense_affinity_loss(affinity: Tensor, alike: Tensor, different: Tensor) -> Tensor:
    """Half the mean of ``1 - a`` over alike pairs plus half the mean of ``a`` over different ones, one pair added.

    Args:
        affinity: [B,n,n] in [0,1]; half precision, whose range the sums exceed, is summed in float32.
        alike, different: bool [B,n,n].

    Source: rulixiang/afa@adcfa29:utils/losses.py (get_aff_loss).
    """
    affinity = affinity.float()
    pull = ((1 - affinity) * alike).sum() / (alike.sum() + 1)
    push = (affinity * different).sum() / (different.sum() + 1)
    return (pull + push) / 2
