"""The picture that the dense CRF of some releases sees (numpy)."""

from __future__ import annotations

import numpy as np

from models.structures import Image

CAFFE_MEAN = (104.008, 116.669, 122.675)
"""Blue, green, red, in 0-255."""


def wrapped_picture(image: Image) -> Image:
    """Blue first, less the mean of Caffe's networks, and what falls below 0 wraps around to 255.

    No one would choose it: a release handed the network's input to its CRF as if it were a picture. Its published
    numbers are with it.

    Args:
        image: uint8 RGB [H,W,3].

    Source: linyq2117/CLIP-ES@3893f81:eval_cam_with_crf.py.
    """
    shifted = image[:, :, ::-1].astype(np.float32) - np.array(CAFFE_MEAN, np.float32)
    wrapped: Image = (shifted.astype(np.int64) % 256).astype(np.uint8)  # a cast from float is up to the platform
    return wrapped
