"""SPML (Ke, Hwang and Yu 2021): pixel embeddings by contrast with segments; one learner for every kind of weak label.

Tags (as seeds from CAMs), boxes, points, scribbles, masks and mixtures of them differ in ``supervision:`` alone.
arXiv 2105.00957; numbers in brackets are the equations of docs/methods/spml.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.doors import resolve
from models.errors import ConfigurationError, DataError
from models.heads import HEADS
from models.heads.pixel_classifier import PixelClassifier
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.segment_relations import (
    annotation_loss,
    co_occurrence_loss,
    feature_affinity_loss,
    image_similarity_loss,
    relation_weights,
)
from models.ops.affinity import cosine_affinity
from models.ops.labelled_segments import (
    LabelledSegments,
    affinity_sets,
    cell_seeds,
    cell_values,
    cluster_prototypes,
    labelled_segments,
)
from models.ops.nearest import label_shares, nearest
from models.ops.random_walk import DenseLinks
from models.options import Count, PositiveCount, ShareBelowOne, Weight
from models.prototype_bank import PrototypeBank
from models.structures import UNLABELLED, Batch, Links, Outputs, StepContext

STRIDE = 4
"""Pixels of the image between two embeddings."""
WALK_STRIDE = 8


class Spml(BackboneMethod):
    """Learns from seeds that may leave most pixels unlabelled (254), from regions of the image, and from tags.

    Prototypes come from the images of one process: a batch should have several.

    Args:
        num_classes: foreground classes C; the network answers 1 + C channels.
        head: name of a head (``models.heads``) that makes the embedding.
        embedding: channels of the embedding (SPML 64, body parts 32).
        dropout: in the joint classifier (SPML 0.75; 0.65 with ``frozen``).
        preset: published weights by kind of supervision: tags, boxes, points, scribbles, parts.
        annotation, co_occurrence, similarity, affinity: weights of the terms; None takes the preset's.
        clusters: cells of k-means on each side of a training crop (SPML 6, body parts 12).
        iterations: of k-means.
        located_similarity: the similarity term compares embeddings with place (SPML; body parts: false).
        anchors: pixels an image that the annotation and the co-occurrence term draw; 0 takes all of them (SPML).
        untagged_anchors: pixels of images without tags are anchors of the co-occurrence term, as in the published code,
            where their loss is ln 2 or more (``models.losses.segment_relations``); false leaves them out.
        memory: optimiser steps whose prototypes stay in the contrast (SPML 2, body parts 0).
        bank: prototypes that are kept, for the memory and as neighbours.
        frozen: embeddings stay as they are, and the classifier learns alone: the stage after label propagation.
        inference: scores of the classifier ("softmax"), or shares of labels among the nearest prototypes of the bank
            ("neighbours"; average probabilities of views, not logits).
        inference_clusters: cells of k-means on each side of an image, for neighbours (SPML 12).
        neighbours: prototypes that are asked (SPML 20).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`
            (SPML: ``output_stride`` 8, ``frozen_stages`` 2).

    Raises:
        ConfigurationError: a bank smaller than the number of neighbours.
        DataError: neighbours are asked for, and the bank has too few labelled prototypes.

    Source: twke18/SPML@0800afd:spml/models/predictions/segsort_softmax.py, spml/models/embeddings/resnet_deeplab.py.
    """

    learns_from_pixels = True

    def __init__(
        self,
        num_classes: int,
        *,
        head: str = "aspp_v2",
        embedding: PositiveCount = 64,
        dropout: ShareBelowOne = 0.75,
        preset: Literal["tags", "boxes", "points", "scribbles", "parts"] = "tags",
        annotation: Weight | None = None,
        co_occurrence: Weight | None = None,
        similarity: Weight | None = None,
        affinity: Weight | None = None,
        clusters: PositiveCount = 6,
        iterations: PositiveCount = 10,
        located_similarity: bool = True,
        anchors: Count = 0,
        untagged_anchors: bool = False,
        memory: Count = 2,
        bank: Count = 8192,
        frozen: bool = False,
        inference: Literal["softmax", "neighbours"] = "softmax",
        inference_clusters: PositiveCount = 12,
        neighbours: PositiveCount = 20,
        **on_backbone: Any,
    ) -> None:
        if inference == "neighbours" and bank < neighbours:
            raise ConfigurationError(
                f"spml: expected a bank of at least the {neighbours} neighbours that are asked, found bank: {bank}. "
                "Remedy: a larger bank, fewer neighbours, or inference: softmax."
            )
        super().__init__(**on_backbone)
        stride = self.backbone.output_stride
        self.head = resolve(HEADS, head, "head")(self.backbone.channels, embedding, output_stride=stride)
        self.classifier = PixelClassifier(embedding, 1 + num_classes, dropout=dropout)
        self.bank = PrototypeBank(bank, embedding, num_classes)
        shares = {
            "annotation": annotation,
            "co_occurrence": co_occurrence,
            "similarity": similarity,
            "affinity": affinity,
        }
        published = relation_weights(preset)
        self.weights = replace(published, **{name: value for name, value in shares.items() if value is not None})
        self.num_classes, self.frozen, self.inference = num_classes, frozen, inference
        self.clusters, self.iterations, self.inference_clusters = clusters, iterations, inference_clusters
        self.located_similarity, self.anchors = located_similarity, anchors
        self.untagged_anchors = untagged_anchors
        self.memory, self.neighbours = memory, neighbours
        if frozen:
            self.backbone.requires_grad_(False)
            self.head.requires_grad_(False)

    @property
    def stride(self) -> int:
        """Pixels between two cells of the embeddings, whatever the backbone's stride."""
        return STRIDE

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
            self.head.eval()
        return self

    def embed(self, image: Tensor) -> Tensor:
        """Embeddings float32 [B,D,h,w] at stride 4, of any length, for image [B,3,H,W] in [0,1].

        As many cells as the backbone's, times a whole factor: where H is no multiple of the backbone's stride, h is
        more than H/4.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.head(self.backbone(image)).float()
        factor = self.backbone.strides["layer4"] // STRIDE
        size = [length * factor for length in features.shape[2:]]
        return F.interpolate(features, size, mode="bilinear", align_corners=False)

    def forward(self, batch: Batch) -> Outputs:
        """``embeddings`` [B,D,h,w], the classifier's ``logits`` [B,1+C,h,w], which do not shape them, and segments.

        Segments are the fields of :class:`models.ops.labelled_segments.LabelledSegments`, named ``segments_FIELD``;
        a training with ``frozen`` embeddings has them for the bank alone.
        """
        embeddings = self.embed(batch.image)
        size = [(length + STRIDE - 1) // STRIDE for length in batch.image.shape[2:]]
        if list(embeddings.shape[2:]) != size:  # labels have a cell for each four pixels of the crop
            embeddings = F.interpolate(embeddings, size, mode="bilinear", align_corners=False)
        outputs = {"embeddings": embeddings, "logits": self._classify(embeddings)}
        return outputs | self._segments(embeddings, batch) if not self.frozen or self._kept else outputs

    @property
    def _kept(self) -> bool:
        """Whether prototypes of this pass are to be kept."""
        return self.training and len(self.bank.vectors) > 0

    def _segments(self, embeddings: Tensor, batch: Batch) -> Outputs:
        with torch.autocast(embeddings.device.type, enabled=False):
            regions = None if batch.regions is None else cell_values(batch.regions, STRIDE)  # [B,h,w]
            seeds = cell_seeds(batch.seeds, STRIDE)  # released: the nearest pixel alone, which may lose a point
            segments = labelled_segments(embeddings.float(), seeds, regions, self.clusters, self.iterations)
        return {f"segments_{field.name}": getattr(segments, field.name) for field in fields(segments)}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(3): L = w_C (CE + L_C) + w_O L_O + w_I L_I + w_A L_A; frozen: the cross-entropy alone."""
        logits = F.interpolate(outputs["logits"].float(), batch.seeds.shape[1:], mode="bilinear", align_corners=False)
        entropy = seed_cross_entropy(logits, batch.seeds)
        parts = {"segmentation": entropy if self.frozen else self.weights.annotation * entropy}
        return parts if self.frozen else parts | self._relations(_read_segments(outputs), batch, context)

    def begin(self) -> None:
        """What an earlier training left in the bank has other labels.

        Raises:
            ConfigurationError: a memory without a bank; not for embeddings that are frozen, whose loss has none, and
                not where the page is built, for a checkpoint that predicts needs neither.
        """
        if self.memory and not self.frozen and not len(self.bank.vectors):
            raise ConfigurationError(
                f"spml: expected a bank above 0 for memory: {self.memory}, found bank: 0, which keeps no prototypes. "
                "Remedy: memory: 0, or a bank."
            )
        self.bank.clear()

    def remember(self, outputs: Outputs, batch: Batch) -> None:
        """Keep the prototypes, for the memory of the contrast and as neighbours."""
        if self._kept:
            segments = _read_segments(outputs)
            self.bank.add(segments.prototypes.detach(), segments.segment_label, batch.tags[segments.segment_image])

    def after_step(self, context: StepContext) -> None:
        """The memory counts optimiser steps, however many batches each accumulates."""
        if self._kept:
            self.bank.advance()

    def _relations(self, segments: LabelledSegments, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        w, s = self.weights, segments
        old, old_labels, old_tags = self.bank.recent(self.memory if self.training else 0)
        prototypes = torch.cat([s.prototypes, old])  # [S+m,D], those of the memory without gradient
        parts = {}
        if w.annotation:
            pixels = (s.embeddings, s.segment, s.label)
            if self.anchors:
                at = self._draw((s.label < UNLABELLED).nonzero()[:, 0], batch, context)
                pixels = (s.embeddings[at], s.segment[at], s.label[at])
            labels = torch.cat([s.segment_label, old_labels])
            loss = annotation_loss(*pixels, prototypes, labels, 1 + self.num_classes, w.kappa_annotation)
            parts["annotation"] = w.annotation * loss
        if w.co_occurrence:
            at = self._draw(torch.arange(len(s.segment), device=s.segment.device), batch, context)
            tags = torch.cat([batch.tags[s.segment_image], old_tags])  # [S+m,C]
            pixels = (s.embeddings[at], s.segment[at], s.image[at])
            parts["co_occurrence"] = w.co_occurrence * co_occurrence_loss(
                *pixels, batch.tags, prototypes, tags, w.kappa_co_occurrence, self.untagged_anchors
            )
        if w.similarity:
            vectors = s.located if self.located_similarity else s.embeddings
            loss = image_similarity_loss(
                vectors, s.segment, s.image, s.segment_image, s.segment_region, len(s.kept), w.kappa_similarity
            )
            parts["similarity"] = w.similarity * loss
        if w.affinity:  # released: built and never called; there parts need the co-occurrence slot
            sets = affinity_sets(s, batch.image, 1 + self.num_classes)
            parts["affinity"] = w.affinity * feature_affinity_loss(
                s.embeddings, s.segment, sets[s.segment], s.prototypes, sets, w.kappa_affinity
            )
        return parts

    def _draw(self, pixels: Tensor, batch: Batch, context: StepContext) -> Tensor:
        most = self.anchors * len(batch.image)
        if not self.anchors or len(pixels) <= most:
            return pixels
        return pixels[torch.randperm(len(pixels), generator=context.generator, device=pixels.device)[:most]]

    def _classify(self, embeddings: Tensor) -> Tensor:
        logits: Tensor = self.classifier(F.normalize(embeddings, dim=1).detach())
        return logits

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] at stride 4, for image [B,3,H,W] in [0,1]."""
        embeddings = self.embed(image)
        return self._classify(embeddings) if self.inference == "softmax" else self._ask_neighbours(embeddings)

    def _ask_neighbours(self, embeddings: Tensor) -> Tensor:
        """Logarithms of the shares of labels among the nearest prototypes of each pixel's cluster."""
        vectors, labels = self.bank.labelled()
        if len(vectors) < self.neighbours:
            raise DataError(
                f"spml: expected at least {self.neighbours} labelled prototypes in the bank, found {len(vectors)}. "
                "Remedy: train with a larger bank, longer, or with more labels; or `inference: softmax`."
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            cluster, prototypes = cluster_prototypes(embeddings, self.inference_clusters, self.iterations)
            neighbours = nearest(prototypes, vectors, self.neighbours)[1]
            shares = label_shares(labels[neighbours], 1 + self.num_classes)
            return shares.clamp(min=1e-6).log()[cluster].permute(0, 3, 1, 2)

    def links(self, image: Tensor) -> Links:
        """Cosines of the embeddings of an image [1,3,H,W] and its mirror, at stride 8, between all cells."""
        grid = (max(1, image.shape[2] // WALK_STRIDE), max(1, image.shape[3] // WALK_STRIDE))
        plain, mirrored = (self.embed(view) for view in (image, image.flip(-1)))
        views = (plain, mirrored.flip(-1))
        with torch.autocast(image.device.type, enabled=False):  # cosines of half precision blur the walk
            small = (F.interpolate(view, grid, mode="bilinear", align_corners=False) for view in views)
            affinity = torch.stack([cosine_affinity(view)[0] for view in small]).mean(0)
        return DenseLinks(affinity.cpu().numpy(), grid, WALK_STRIDE)

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.head
        yield self.classifier


def _read_segments(outputs: Outputs) -> LabelledSegments:
    return LabelledSegments(**{field.name: outputs[f"segments_{field.name}"] for field in fields(LabelledSegments)})
