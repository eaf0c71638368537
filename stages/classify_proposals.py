"""classify_proposals: Proposals x Supervision x Checkpoint -> Masks, without training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.errors import ConfigurationError, DataError, closest
from models.ops.multiscale import evaluating, to_batch
from models.ops.region_bank import (
    BankOptions,
    labelled_regions,
    near_their_mean,
    neighbours_vote,
    painted,
    pooled_features,
)
from models.structures import Featured, Image, Mask, Proposals


@dataclass(frozen=True, eq=False)
class Bank:
    """Features float32 [n,D] of unit length of labelled regions, and their labels int64 [n], 0..C."""

    vectors: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def bank_regions(
    samples: Iterable[tuple[str, Image, Mask]], network: Featured, options: BankOptions, *, device: Any = "cpu"
) -> Bank:
    """The labelled regions of some images.

    Args:
        samples: (id, image uint8 RGB [H,W,3], seeds uint8 [H,W]).
        network: on ``device``.
        options: which regions, which features.
    """
    vectors, labels = [np.zeros((0, 0), np.float32)], [np.zeros(0, np.int64)]
    for _, image, seeds in samples:
        regions = labelled_regions(seeds, options.erosion, options.least_area)
        if regions:
            masks = np.stack([region for _, region in regions])
            vectors.append(pooled_features(_look(network, image, options.layer, device), masks).cpu().numpy())
            labels.append(np.array([label for label, _ in regions], np.int64))
    return Bank(np.concatenate(vectors[1:] or vectors), np.concatenate(labels))


def joined(banks: Iterable[Bank], options: BankOptions) -> Bank:
    """One bank of several, without the regions that are far from their class's mean.

    Raises:
        DataError: no region at all.
    """
    filled = [bank for bank in banks if len(bank.labels)]
    if not filled:
        raise DataError(
            f"The bank of regions is empty: no labelled region has {options.least_area} pixels after "
            f"{options.erosion} erosions. Remedy: smaller `erosion` or `least_area`, or other labels."
        )
    vectors = np.concatenate([bank.vectors for bank in filled])
    labels = np.concatenate([bank.labels for bank in filled])
    kept = near_their_mean(torch.from_numpy(vectors), torch.from_numpy(labels), options.dropped).numpy()
    return Bank(vectors[kept], labels[kept])


def classify_proposals(
    samples: Iterable[tuple[str, Image, Proposals]],
    network: Featured,
    bank: Bank,
    options: BankOptions,
    *,
    device: Any = "cpu",
) -> Iterator[tuple[str, Mask]]:
    """Name each proposal by the regions that are like it, and paint them.

    Args:
        samples: (id, image uint8 RGB [H,W,3], proposals).
        network: the one that made the bank, on ``device``.
        bank: of :func:`joined`.
        options: as for the bank.

    Yields:
        (id, mask uint8 [H,W] of 0..C), in order; background where no proposal is.
    """
    vectors, labels = torch.from_numpy(bank.vectors).to(device), torch.from_numpy(bank.labels).to(device)
    for name, image, proposals in samples:
        counts = proposals.masks.sum((1, 2)) >= options.least_area
        counts &= proposals.scores >= options.least_score
        chosen = Proposals(proposals.masks[counts], proposals.scores[counts])
        named = np.zeros(0, np.int64)
        if counts.any():
            queries = pooled_features(_look(network, image, options.layer, device), chosen.masks)
            named = neighbours_vote(queries, vectors, labels, options.neighbours).cpu().numpy()
        yield name, painted(chosen, named, options.overlap)


def _look(network: Featured, image: Image, layer: str, device: Any) -> Tensor:
    """Features float32 [D,h,w] of an image. Raises ConfigurationError where the network has no such layer."""
    with evaluating(network, device, "float32"):
        features = network.features(to_batch([image], device))
    if layer not in features:
        raise ConfigurationError(
            f"classify_proposals.options.layer: no layer '{layer}' in the network.{closest(layer, features)}"
        )
    return features[layer][0].float()
