"""Prototypes of past steps, kept in buffers: negatives and positives for the next ones, neighbours for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.structures import UNLABELLED


class PrototypeBank(nn.Module):
    """The last prototypes, first in first out. All that it is lies in its state, so a training that resumes has it.

    Args:
        capacity: prototypes that are kept.
        width: channels of one.
        num_classes: foreground classes C.

    Attributes:
        vectors: float [capacity,width], unit length.
        labels: int64 [capacity]; 0..C, or 254.
        tags: bool [capacity,C], of the image that each comes from.
        born: int64 [capacity], the step at which it came, counted from 1; 0 where there is none yet.
        steps, cursor: int64 scalars: optimiser steps that are over, and where the next prototype goes.
    """

    vectors: Tensor
    labels: Tensor
    tags: Tensor
    born: Tensor
    steps: Tensor
    cursor: Tensor

    def __init__(self, capacity: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(capacity, width))
        self.register_buffer("labels", torch.full((capacity,), UNLABELLED))
        self.register_buffer("tags", torch.zeros(capacity, num_classes, dtype=torch.bool))
        self.register_buffer("born", torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def clear(self) -> None:
        """Forget everything."""
        self.labels.fill_(UNLABELLED)
        for buffer in (self.vectors, self.tags, self.born, self.steps, self.cursor):
            buffer.zero_()

    @torch.no_grad()
    def add(self, vectors: Tensor, labels: Tensor, tags: Tensor) -> None:
        """Keep prototypes of the running step: [n,width], int64 [n], bool [n,C]; of more than fit every so-manieth.

        A step of several accumulated batches calls it for each of them, and :meth:`advance` once.
        """
        capacity = len(self.vectors)
        if len(vectors) > capacity:
            chosen = torch.arange(capacity, device=vectors.device) * len(vectors) // capacity
            vectors, labels, tags = vectors[chosen], labels[chosen], tags[chosen]
        places = (self.cursor + torch.arange(len(vectors), device=self.cursor.device)) % max(capacity, 1)
        self.vectors[places] = vectors.to(self.vectors.dtype)
        self.labels[places], self.tags[places], self.born[places] = labels, tags, self.steps + 1
        self.cursor.copy_((self.cursor + len(vectors)) % max(capacity, 1))

    @torch.no_grad()
    def advance(self) -> None:
        """The running step is over."""
        self.steps += 1

    def recent(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors [m,width], labels [m] and tags [m,C] of the last so many steps that are over."""
        over = (self.born > 0) & (self.born <= self.steps)
        chosen = (over & (self.born > self.steps - steps)).nonzero()[:, 0]
        return self.vectors[chosen], self.labels[chosen], self.tags[chosen]

    def labelled(self) -> tuple[Tensor, Tensor]:
        """Vectors [m,width] and labels [m] of all that have a label."""
        chosen = ((self.born > 0) & (self.labels < UNLABELLED)).nonzero()[:, 0]
        return self.vectors[chosen], self.labels[chosen]
