"""From the keys of the fixtures of SEPL and other uses of mask proposals to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from oracle_case import Case, Results

from models.ops.proposal_merge import merge_proposals


def _sepl_merge(case: Case, dtype: torch.dtype) -> Results:
    labels, masks = case.inputs["label"].astype(np.uint8), case.inputs["masks"] > 0
    inside, covered = case.par["inside"], case.par["covered"]
    forms = {
        "sepl": merge_proposals(labels, masks, inside, covered),
        "keep": merge_proposals(labels, masks, inside, None),
        "plain": merge_proposals(labels, masks, inside, None, keep_uncovered=False),
    }
    backwards, _ = merge_proposals(labels, masks[::-1], inside, covered)
    results: Results = {"out.merged_sepl_reversed": backwards}
    for name, (merged, order) in forms.items():
        results |= {f"out.merged_{name}": merged, f"out.order_{name}": order}
    return results


PROPOSALS: dict[str, Callable[[Case, torch.dtype], Results]] = {"sepl_merge": _sepl_merge}
