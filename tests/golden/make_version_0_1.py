"""How version_0_1.tar.gz was made: in a worktree of the commit before version 0.2.0, with this file and the helper.

git worktree add --detach OLD 1217086^
git show ac6bf13:tests/helpers/made_book.py > OLD/tests/helpers/made_book.py   # with the names of that version:
# CatalogueImage was Entry, ImageTruth was TruthEntry, and GroundTruth lay in pipeline/datasets/catalogue.py
cd OLD && PYTHONPATH=. WEAK2MASK_WORKERS=0 python .../make_version_0_1.py FOLDER
tar --sort=name --mtime=2026-11-29 --owner=0 --group=0 --numeric-owner -C FOLDER -cf - . | gzip -9n
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from pipeline.storage.checkpoints import build_method, save_checkpoint
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore
from tests.helpers import made_book

WORK = Path("work/made")
OPTIONS = {"backbone": "resnet18", "width": 0.0625}
OLD = Path.cwd()


def main(folder: Path) -> None:
    """Write artefacts of each kind, two books, and sums of what readers must get."""
    folder.mkdir(parents=True)
    for name, book in (("params.yaml", "params.yaml"), ("voc_mini.yaml", "recipes/voc_mini/params.yaml")):
        shutil.copy(OLD / book, folder / name)
    os.chdir(folder)
    catalogue = made_book.make(made_book.book())
    method = build_method("classifier", catalogue.num_classes, OPTIONS)
    with torch.no_grad():
        for number, value in enumerate(method.parameters()):
            value.fill_(number / 64)  # packs well
    recipe = {"method": "classifier", "options": OPTIONS, "name": "net"}
    save_checkpoint(WORK / "checkpoints/net", method, recipe=recipe, class_names=catalogue.class_names)
    stores = {"cams/cam": CamStore, "masks/net": MaskStore, "supervision/pseudo": SupervisionStore}
    values: dict[str, Any] = {name: _sums(kind(WORK / name)) for name, kind in stores.items()}
    values["checkpoint"] = {key: float(value.double().sum()) for key, value in method.state_dict().items()}
    Path("values.json").write_text(json.dumps(values, indent=1))


def _sums(store: Any) -> dict[str, float]:
    return {id: float(getattr(item, "scores", getattr(item, "seeds", item)).sum()) for id, item in store}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
