"""The exact sum of the dense-energy loss beside what a permutohedral lattice makes of it, and its cost on a CPU.

    python -m benchmarks.energy PHOTO [PHOTO ...] --sides 64 112

Photos are squeezed to squares. The lattice is pydensecrf's, as is that of the published losses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from pydensecrf import densecrf

from models.losses.dense_energy import gaussian_filter
from models.structures import Image

SIGMA_RGB, SIGMA_XY = 15.0, 50.0
CLASSES = 21
APART = 40.0
"""How much surer one label is than the other at the start: its share is 1 everywhere."""
WEIGHT = 2e-3


def lattice_sums(image: Image) -> npt.NDArray[np.float64]:
    """What the lattice makes of a map of ones, [H*W]: read off how one step of mean field moves the two labels."""
    height, width = image.shape[:2]
    field = densecrf.DenseCRF2D(width, height, 2)
    unary = np.zeros((2, height * width), np.float32)
    unary[1] = APART
    field.setUnaryEnergy(unary)
    field.addPairwiseBilateral(
        sxy=SIGMA_XY, srgb=SIGMA_RGB, rgbim=image, compat=WEIGHT, normalization=densecrf.NO_NORMALIZATION
    )
    posterior, one, other = field.startInference()
    field.stepInference(posterior, one, other)
    shares = np.log(np.array(posterior, np.float64))
    found: npt.NDArray[np.float64] = (shares[0] - shares[1] - APART) / WEIGHT
    return found


def exact_sums(image: Image) -> tuple[npt.NDArray[np.float64], float]:
    """The same of the exact filter, and the CPU seconds of filtering as many maps as VOC has classes."""
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    ones = torch.ones(1, CLASSES, *image.shape[:2])
    start = time.process_time()
    sums = gaussian_filter(ones, picture, SIGMA_RGB, SIGMA_XY)
    return sums[0, 0].flatten().double().numpy(), time.process_time() - start


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 112])
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for side in given.sides:
        for path in given.photos:
            with PILImage.open(path) as photo:
                image = np.ascontiguousarray(photo.convert("RGB").resize((side, side)))
            lattice, (exact, seconds) = lattice_sums(image), exact_sums(image)
            ratio, alike = lattice.sum() / exact.sum(), np.corrcoef(lattice, exact)[0, 1]
            each = 1e9 * seconds / len(exact) ** 2
            print(f"{path.name} {side}: lattice/exact {ratio:.3f}, correlation {alike:.4f}, {each:.1f} ns a pair")


if __name__ == "__main__":
    main()
