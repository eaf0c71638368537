"""From the keys of the fixtures of DHR's optimal transport to calls of production functions, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from oracle_case import Case, Results

from models.ops.heat_maps import (
    cell_majority,
    class_prototypes,
    cosine_maps,
    final_heat_maps,
    look_alikes,
    prototype_correlation,
    rebalanced,
    second_heat_maps,
    stretched,
)
from models.ops.transport import transport_plan


def _dhr_ot(case: Case, dtype: torch.dtype) -> Results:
    similarity = torch.tensor(case.inputs["similarity"], dtype=dtype)
    plan, rounds = transport_plan(similarity, case.par["eps"], case.par["max_iter"])
    return {"out.plan": plan, "out.iterations": rounds}


def _dhr_heatmaps(case: Case, dtype: torch.dtype) -> Results:
    uss, c4, c5 = (torch.tensor(case.inputs[name], dtype=dtype) for name in ("uss", "c4", "c5"))
    labels, grid = torch.tensor(case.inputs["label"]), uss.shape[1:]
    prototypes, classes = class_prototypes(uss, cell_majority(labels, grid, [case.par["patch"]] * 2))
    cosine, correlation = cosine_maps(uss, prototypes), prototype_correlation(prototypes)
    heat, second = stretched(cosine), second_heat_maps([c4, c5], cell_majority(labels, grid, grid))
    groups = look_alikes(correlation, case.par["tau"])
    shared = rebalanced(heat, second, groups)
    return {
        "out.prototypes": prototypes,
        "out.classes": classes,
        "out.cosine": cosine,
        "out.heat_uss": heat,
        "out.correlation": correlation,
        "out.trigger": int(bool(groups)),
        "out.heat_wss": second,
        "out.heat_rebalanced": shared,
        "out.heat_final": final_heat_maps(shared),
    }


TRANSPORT: dict[str, Callable[[Case, torch.dtype], Results]] = {"dhr_ot": _dhr_ot, "dhr_heatmaps": _dhr_heatmaps}
