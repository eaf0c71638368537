"""Write wsol_boxes.npz: OpenCV's contours of small maps at every level.

Needs opencv-python-headless, which nothing else does:

    python tests/golden/boxes/make_wsol.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

FILE = Path(__file__).with_name("wsol_boxes.npz")


def maps() -> list[np.ndarray]:
    """Few values (ties, thin lines, rings, holes), noise, and smooth maps such as CAMs are; uint8 from 0 to 255."""
    rng = np.random.default_rng(7)
    found = [rng.choice([0, 80, 160, 255], (16, 13), p=[0.4, 0.25, 0.2, 0.15]).astype(np.uint8) for _ in range(6)]
    found.append(rng.integers(0, 256, (9, 12), np.uint8))
    for size, sigma in (((40, 52), 2), ((56, 56), 4), ((28, 36), 1), ((1, 11), 1), ((11, 1), 1)):
        smooth = ndimage.gaussian_filter(rng.random(size), sigma)
        smooth = (smooth - smooth.min()) / (smooth - smooth.min()).max()
        found.append((smooth * 255).astype(np.uint8))
    rings = np.zeros((20, 30), np.uint8)
    for k, value in enumerate((90, 0, 140, 0, 255)):
        rings[2 * k : 20 - 2 * k, 2 * k : 20 - 2 * k] = value
    rings[3:9, 22:29], rings[12:19, 23:28] = 90, 200
    return [*found, rings]


def main() -> None:
    """V1: the largest contour's box at each level. V2: level and box of all contours, sorted, each once."""
    content: dict[str, np.ndarray] = {}
    for k, levels in enumerate(maps()):
        largest, every = np.zeros((255, 4), np.int64), []
        for level in range(255):
            above = cv2.threshold(levels, level, 255, cv2.THRESH_BINARY)[1]
            contours = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
            boxes = [(x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, contours)]
            every += [(level, *box) for box in boxes]
            if contours:
                largest[level] = boxes[int(np.argmax([cv2.contourArea(contour) for contour in contours]))]
        rows = np.array(sorted(every), np.int64).reshape(-1, 5)
        content |= {f"map_{k}": levels, f"largest_{k}": largest.astype(np.int16), f"every_{k}": rows.astype(np.int16)}
    np.savez_compressed(FILE, maps=len(content) // 3, opencv=cv2.__version__, **content)


if __name__ == "__main__":
    main()
