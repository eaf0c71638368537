"""The nearest prototypes beside a full sort of all cosines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from models.ops.nearest import nearest


@dataclass(frozen=True)
class Inputs:
    """Unit vectors: queries [Q,D] and prototypes [M,D]; k neighbours are wanted."""

    queries: Tensor
    prototypes: Tensor
    k: int


def inputs(queries: int, prototypes: int, width: int, k: int) -> Inputs:
    """Random unit vectors."""
    generator = torch.Generator().manual_seed(0)
    asked, bank = (F.normalize(torch.randn(n, width, generator=generator), dim=1) for n in (queries, prototypes))
    return Inputs(asked, bank, k)


def chunked(x: Inputs) -> Results:
    """The best k of each chunk of the prototypes, merged."""
    cosines, indices = nearest(x.queries, x.prototypes, x.k)
    return {"cosines": cosines, "indices": indices}


def sorted_whole(x: Inputs) -> Results:
    """All cosines of a query in order, of which the first k are taken: as the published code does it.

    Source: docs/methods/spml.md.
    """
    order = (x.queries @ x.prototypes.T).sort(dim=1, descending=True)
    return {"cosines": order.values[:, : x.k], "indices": order.indices[:, : x.k]}


CASES = {
    "search": Case(
        "20 nearest prototypes",
        inputs,
        chunked,
        sorted_whole,
        size={"queries": 100, "prototypes": 200_000, "width": 64, "k": 20},
        quick={"queries": 8, "prototypes": 500, "width": 16, "k": 5},
        tolerance=1e-3,  # equal cosines may change places
    )
}
