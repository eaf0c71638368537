"""Adapters of SPML's fixtures: clusters, prototypes, contrasts, neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from oracle_case import Case, Results
from oracle_only import pixel_losses, row_majority, segment_majority, segment_means
from torch.nn import functional as F

from models.losses.pixel_segment import pixel_segment_loss
from models.losses.segment_relations import annotation_loss, co_occurrence_loss, image_similarity_loss
from models.ops.nearest import label_shares, multiset_labels, nearest
from models.ops.prototypes import segment_prototypes
from models.ops.spherical_kmeans import grid_clusters, located, location, spherical_kmeans, split
from models.structures import UNLABELLED
from tests.helpers.on_device import device

MANY = 2**20


def _integers(case: Case, name: str) -> torch.Tensor:
    return torch.tensor(case.inputs[name]).long()


def _gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    gradient = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(of) if gradient is None else gradient


def _partition(ids: torch.Tensor) -> np.ndarray[Any, Any]:
    """Numbers by first appearance: how the fixtures write a partition."""
    order = _first_appearance(ids)
    return np.argsort(order)[ids.numpy()]


def _first_appearance(ids: torch.Tensor) -> np.ndarray[Any, Any]:
    """The ids 0..S-1 in the order in which they first appear."""
    return np.argsort(np.unique(ids.numpy(), return_index=True)[1])


def _init_clusters(case: Case, _: torch.dtype) -> Results:
    par = case.par
    size = (par["height"], par["width"])
    return {
        "out.labels": grid_clusters(size, (par["ny"], par["nx"])),
        "out.location": location(size, torch.zeros(())),
    }


def _kmeans(case: Case, dtype: torch.dtype) -> Results:
    par, panoptic = case.par, _integers(case, "panoptic")
    unit = F.normalize(torch.tensor(case.inputs["emb"], dtype=dtype), dim=1)
    vectors = located(unit)
    kept, grid = panoptic != par["ignore"], (par["ny"], par["nx"])
    flat = vectors.flatten(2).transpose(1, 2)
    start = grid_clusters(panoptic.shape[1:], grid, device()).flatten()
    image = torch.arange(len(panoptic))[:, None, None].expand_as(panoptic)
    results: Results = {
        "out.emb": unit.permute(0, 2, 3, 1)[kept],
        "out.emb_loc": vectors.permute(0, 2, 3, 1)[kept],
        "out.labels": panoptic[kept],
        "out.batch": image[kept],
    }
    for rounds in (1, 5, 10):
        found = spherical_kmeans(flat, start, kept.flatten(1), grid[0] * grid[1], rounds).view_as(panoptic)
        bounds = (len(panoptic), grid[0] * grid[1], MANY)
        ids, (images, _, _) = split(image[kept], found[kept], panoptic[kept], below=bounds)
        results[f"out.partition_it{rounds}"] = _partition(ids)
        results[f"out.n_segments_it{rounds}"] = len(images)
        results[f"out.kmeans_image0_it{rounds}"] = found[0][kept[0]]
    return results


def _prototypes(case: Case, dtype: torch.dtype) -> Results:
    x, count = case.tensor("x", dtype), case.par["max_label"]
    segment, semantic, image, instance = (
        _integers(case, name) for name in ("segment", "semantic", "batch", "instance")
    )
    prototypes = segment_prototypes(x, segment, count)
    ids, (_, semantics) = split(segment, semantic, below=(count, MANY))
    majority_of = segment_majority(segment, semantic, count)
    gathered, (_, images, split_semantics, instances) = split(
        segment, image, semantic, instance, below=(count, 99, 256, MANY)
    )
    order = _first_appearance(gathered)
    return {
        "out.prototypes": prototypes,
        "out.nearest": (x @ prototypes.T).argmax(1),
        "out.split_semantic": semantics,
        "out.split_partition": _partition(ids),
        "out.majority": majority_of,
        "out.majority_pixels": (majority_of[segment] == semantic).nonzero()[:, 0],
        "out.segment_mean": segment_means(x, segment, count),
        "out.gather_partition": _partition(gathered),
        "out.gather_prototypes": segment_prototypes(x, gathered, len(images))[order],
        "out.gather_semantic": split_semantics[order],
        "out.gather_instance": instances[order],
        "out.gather_batch": images[order],
        "grad.prototypes.x": _gradient(prototypes.sum(), x),
    }


def _losses(case: Case, dtype: torch.dtype) -> Results:
    embeddings, prototypes = case.tensor("emb", dtype), case.tensor("prototypes", dtype)
    segment = _integers(case, "segment")
    labels, group = torch.unique(_integers(case, "semantic"), return_inverse=True)
    alike = labels[:, None] == _integers(case, "proto_semantic")
    sets, set_group = torch.unique(_integers(case, "tags"), dim=0, return_inverse=True)
    sharing = (sets @ _integers(case, "proto_tags").T) > 0
    results: Results = {}
    for name, groups, positive in (("segsort", group, alike), ("setsegsort", set_group, sharing)):
        relation = positive.long() * 2 - 1
        for kappa in (6, 8, 12, 16):
            loss = pixel_segment_loss(embeddings, prototypes, segment, groups, relation, kappa)
            results[f"out.{name}_k{kappa}"] = loss
            results[f"grad.{name}_k{kappa}.emb"] = _gradient(loss, embeddings)
            results[f"grad.{name}_k{kappa}.prototypes"] = _gradient(loss, prototypes)
            results[f"out.{name}_pix_k{kappa}"] = pixel_losses(embeddings, prototypes, segment, groups, relation, kappa)
    return results


def _terms(case: Case, dtype: torch.dtype) -> Results:
    par, classes = case.par, case.par["num_classes"]
    embeddings, prototypes = case.tensor("emb", dtype), case.tensor("prototypes", dtype)
    located_ = case.tensor("emb_loc", dtype)
    segment, image, instance = (_integers(case, name) for name in ("segment", "batch", "instance"))
    semantic, here, memory = (_integers(case, name) for name in ("semantic", "proto_semantic", "memory_semantic"))
    tags = _integers(case, "image_tags")[:, 1:classes].bool()
    bank = torch.cat([prototypes, torch.tensor(case.inputs["memory"], dtype=dtype)])
    bank_labels = torch.cat([here, memory])
    bank_tags = torch.cat([tags[_integers(case, "proto_batch")], _integers(case, "memory_tags")[:, 1:classes].bool()])
    known, bank_known = (v.where(v < classes, torch.full_like(v, UNLABELLED)) for v in (semantic, bank_labels))
    cell, (cell_image, _, cell_region) = split(image, segment, instance, below=(len(tags), len(prototypes), MANY))
    losses = {
        "annotation": par["w_ann"]
        * annotation_loss(embeddings, segment, known, bank, bank_known, classes, par["kappa_ann"]),
        "cooccurrence": par["w_occ"]
        * co_occurrence_loss(embeddings, segment, image, tags, bank, bank_tags, par["kappa_occ"]),
        "image_similarity": par["w_img"]
        * image_similarity_loss(located_, cell, image, cell_image, cell_region, len(tags), par["kappa_img"]),
    }
    found = bank_labels[nearest(bank.detach(), bank.detach(), 5)[1]]
    results: Results = {f"out.{name}": loss for name, loss in losses.items()}
    results["out.top5_accuracy"] = (found == bank_labels[:, None]).to(dtype).mean()
    for name in ("annotation", "cooccurrence"):
        results[f"grad.{name}.emb"] = _gradient(losses[name], embeddings)
        results[f"grad.{name}.prototypes"] = _gradient(losses[name], prototypes)
    results["grad.image_similarity.emb_loc"] = _gradient(losses["image_similarity"], located_)
    return results


def _topk(case: Case, dtype: torch.dtype) -> Results:
    queries, prototypes = (torch.tensor(case.inputs[name], dtype=dtype) for name in ("emb", "prototypes"))
    labels, count = _integers(case, "proto_labels"), case.par["num_classes"]
    found = labels[nearest(queries, prototypes, case.par["top_k"])[1]]
    return {
        "out.accuracy": (found == _integers(case, "labels")[:, None]).to(dtype).mean(),
        "out.topk_labels": found,
        "out.majority": row_majority(found, count),
        "out.histogram": label_shares(found, count),
    }


def _multiset(case: Case, dtype: torch.dtype) -> Results:
    queries, prototypes = (torch.tensor(case.inputs[name], dtype=dtype) for name in ("emb", "prototypes"))
    codes = (_integers(case, name) for name in ("proto_semantic", "batch", "proto_batch"))
    par = case.par
    sets = multiset_labels(queries, prototypes, *codes, par["num_classes"], par["top_k"], par["threshold"])
    return {"out.set": sets.long()}


SPML: dict[str, Callable[[Case, torch.dtype], Results]] = {
    "spml_init_clusters": _init_clusters,
    "spml_kmeans": _kmeans,
    "spml_prototypes": _prototypes,
    "spml_losses": _losses,
    "spml_terms": _terms,
    "spml_topk": _topk,
    "spml_multiset": _multiset,
}
