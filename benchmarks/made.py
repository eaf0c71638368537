"""Made batches of training, for what is measured without a data set."""

from __future__ import annotations

import torch

from models.structures import Batch


def made_batch(images: int, side: int, classes: int) -> Batch:
    """One class in half of the images, two in the others, each in the middle of the picture, void around them."""
    tags = torch.zeros(images, classes, dtype=torch.bool)
    seeds = torch.zeros(images, side, side, dtype=torch.long)
    quarter = side // 4
    for number in range(images):
        chosen = [(number + shift) % classes for shift in range(1 + number % 2)]
        tags[number, chosen] = True
        seeds[number, quarter - 8 : 3 * quarter + 8, quarter - 8 : 3 * quarter + 8] = 255
        for part, label in enumerate(chosen):
            rows = slice(quarter * (1 + part), quarter * (3 if len(chosen) == 1 else 2 + part))
            seeds[number, rows, quarter : 3 * quarter] = 1 + label
    image = torch.rand(images, 3, side, side) / 4 + (seeds[:, None] % 7) / 10
    return Batch(image.contiguous(memory_format=torch.channels_last), tags, seeds)
