"""How new layers start."""

from __future__ import annotations

from torch import nn


def initialise(module: nn.Module) -> None:
    """He initialisation of every convolution (fan out; He et al. 2015), zero biases, from torch's global generator.

    Batch norms already start as the identity.
    """
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
