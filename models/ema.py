"""Exponential moving average of a network: a steadier copy of its weights, or a network that follows another."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Self

import torch
from torch import Tensor, nn


class Ema:
    """Average of the parameters of ``module``; buffers (batch-norm statistics, normalisation) are copied.

    Early in training the average follows faster: the decay of update n is min(decay, (1 + n) / (10 + n)).

    Args:
        decay: weight of the past, in [0,1).
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"EMA decay must be in [0,1), not {decay}.")
        self.decay = decay
        self.updates = 0
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards ``module``, after an optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averaged = {name for name, _ in module.named_parameters()}
        for name, value in module.state_dict().items():
            if name in averaged:
                self.average[name].lerp_(value, 1.0 - decay)
            else:
                self.average[name].copy_(value)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """What :meth:`load_state_dict` needs to go on with the same bytes."""
        return {"updates": self.updates, "average": {k: v.clone() for k, v in self.average.items()}}

    def load_state_dict(self, state: Mapping[str, int | dict[str, Tensor]]) -> None:
        """Go on from ``state``; entries must be those of the module."""
        average, updates = state["average"], state["updates"]
        if not isinstance(average, dict) or not isinstance(updates, int) or average.keys() != self.average.keys():
            raise ValueError("The EMA state is not of this network.")
        self.updates = updates
        for name, value in average.items():
            self.average[name].copy_(value)


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """Parameters of ``average`` become ``momentum`` of themselves and the rest of ``module``'s; buffers are copied.

    A momentum of 0 copies.
    """
    for weight, target in zip(average.parameters(), module.parameters(), strict=True):
        weight.lerp_(target, 1.0 - momentum)
    for kept, current in zip(average.buffers(), module.buffers(), strict=True):
        kept.copy_(current)


class Follower(nn.Module):
    """A second network beside one that learns: without gradient, always in eval mode, moved after each step.

    Args:
        module: the network that learns; it is copied, not kept.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(module).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def start(self, module: nn.Module) -> None:
        """Become ``module``, before a training: weights to start from are loaded into the other network alone."""
        follow(self.network, module, 0.0)

    def follow(self, module: nn.Module, momentum: float) -> None:
        """Move towards ``module``, after a step."""
        follow(self.network, module, momentum)
