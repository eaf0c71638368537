"""Pictures of the pages, from what a run of the toy book has left in ``work/toy``.

    python -m pipeline run                            # the main chain
    python -m pipeline run export_cams@cam_val        # CAMs of validation scenes
    python docs/make_pictures.py                      # writes strip.png and masks_by_step.jpg to docs/pictures

Refined CAMs and pseudo-masks of validation scenes are made here, with the refiner and the rule of the book: the book
makes them for training scenes alone, of which a segmenter's prediction would say little.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from models.doors import resolve
from models.refiners import REFINERS
from models.rules import RULES
from models.structures import Cam, Image, Mask
from pipeline.book.artifacts import artifact
from pipeline.book.load import checked_book
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.pictures.overlays import Caption, cam_heat, contact_sheet, overlay
from pipeline.storage.stores import CamStore, MaskStore
from stages.make_pseudo_masks import make_pseudo_masks
from stages.refine_cams import refine_cams

FOLDER = Path(__file__).parent / "pictures"
CAMS, REFINED, RULE, PREDICTED, BOUND = "cam_val", "cam_crf", "cam_crf", "segmenter", "full"
"""Entries of the root book."""
SCENES = 5
"""Rows of the gallery, spread evenly over the split."""
OPAQUE = 0.65


@dataclass(frozen=True)
class Scene:
    """One image with its truth, uint8 [H,W], and the CAMs of its classes."""

    id: str
    image: Image
    truth: Mask
    cam: Cam


class ToyRun:
    """What the root book has left behind."""

    def __init__(self) -> None:
        """Open the artefacts. Raises DataError where one has not been made."""
        self.book = checked_book(".")
        work = self.book.book.work
        self.catalogue = Catalogue.load(artifact(work, "catalogues", "toy"))
        self.truth = GroundTruth(self.catalogue, artifact(work, "ground_truth", "toy"))
        self.cams = CamStore(artifact(work, "cams", CAMS))
        self.masks = {name: MaskStore(artifact(work, "masks", name)) for name in (PREDICTED, BOUND)}

    def scenes(self) -> list[Scene]:
        """The scenes of the validation split with more than one class, in its order."""
        several = [id for id, cam in self.cams.items(self.cams.ids) if len(cam.classes) > 1]
        return [Scene(id, self.catalogue.image(id), self.truth.mask(id), cam) for id, cam in self.cams.items(several)]

    def row(self, scene: Scene) -> Iterator[Caption]:
        """The captioned pictures of a scene, from the image to the truth."""
        largest = self._largest(scene)
        name = self.catalogue.class_names[scene.cam.classes[largest] - 1]
        refined = self._refined(scene)
        yield "image", scene.image
        yield f"CAM: {name}", cam_heat(scene.image, scene.cam.scores[largest])
        yield f"dense CRF: {name}", cam_heat(scene.image, refined.scores[largest])
        yield "pseudo-mask", overlay(scene.image, self._pseudo_mask(scene, refined), OPAQUE)
        yield "prediction", overlay(scene.image, self.masks[PREDICTED][scene.id], OPAQUE)
        yield "full supervision", overlay(scene.image, self.masks[BOUND][scene.id], OPAQUE)
        yield "truth", overlay(scene.image, scene.truth, OPAQUE)

    def _largest(self, scene: Scene) -> int:
        """Which map of the CAM is of the class with most pixels."""
        return int(np.argmax([(scene.truth == label).sum() for label in scene.cam.classes]))

    def _refined(self, scene: Scene) -> Cam:
        entry = self.book.refine_cams[REFINED]
        refiner = resolve(REFINERS, entry.refiner, "refiner")(**entry.options)
        ((_, cam),) = refine_cams([(scene.id, scene.image, scene.cam)], refiner)
        return cam

    def _pseudo_mask(self, scene: Scene, cam: Cam) -> Mask:
        entry = self.book.make_pseudo_masks[RULE]
        rule = resolve(RULES, entry.rule, "rule")(**entry.options)
        tags = np.isin(np.arange(1, self.catalogue.num_classes + 1), cam.classes)
        ((_, supervision),) = make_pseudo_masks([(scene.id, lambda: scene.image, cam, tags)], rule)
        return supervision.seeds


def main() -> None:
    """Write the strip of one scene, and the gallery of several."""
    run = ToyRun()
    scenes = run.scenes()
    chosen = scenes[:: max(1, len(scenes) // SCENES)][:SCENES]
    rows = [list(run.row(scene)) for scene in chosen]
    FOLDER.mkdir(exist_ok=True)
    strip = [caption for caption in rows[0] if caption[0] != "full supervision"]
    strip_sheet = Pictures.fromarray(contact_sheet([strip], width=200)).quantize(256)
    sheet = Pictures.fromarray(contact_sheet(rows, width=160))  # as PNG its noise takes twice as many bytes
    for picture, name, options in ((strip_sheet, "strip.png", {}), (sheet, "masks_by_step.jpg", {"quality": 80})):
        path = FOLDER / name
        picture.save(path, optimize=True, **options)
        sys.stdout.write(f"Written: {path}, {path.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()
