"""CLIP-ES through the verbs of a book, without training: weights and prompts in, masks out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.backbones import BACKBONES
from models.errors import ConfigurationError
from pipeline.book.check import check
from pipeline.book.params import Book, load_book
from pipeline.datasets.class_names import COCO_CLASSES, VOC_CLASSES
from pipeline.datasets.toy import ANIMALS
from pipeline.storage.stores import CamStore, SupervisionStore
from pipeline.weights.prompts import Prompts
from tests.helpers.chain import Chain, chain_in, root_content

ROOT = Path(__file__).parents[2]
TEXT_ORACLE = Path(os.environ.get("MODERN_NETWORKS", "../shared/modern/networks")) / "clip_vit_b16_text_white.npz"


def content(**changes: Any) -> dict[str, Any]:
    found = root_content()
    prompts = {"words": {}, "background": ["ground", "sky", "wall"]}
    clip = {"official": "clip_es", "file": "params.yaml", "untrained": True, "classes": None, "prompts": prompts}
    maps = {"scales": [1.0], "flip": False, "grid": 16, "normalization": "mean", "alignment": "half_pixel"}
    found["import_weights"] = {"clip": clip | changes}
    found["train"] = found["predict_masks"] = {}
    found["export_cams"] = {"es": {"data": "toy", "supervision": "tags", "checkpoint": "clip", "options": maps}}
    found["propagate_cams"] = {
        "es_caa": {"data": "toy", "cams": "es", "checkpoint": "clip", "options": {"preset": "clip_es"}}
    }
    crf = {"data": "toy", "cams": "es_caa", "refiner": "dense_crf", "options": {"preset": "clip_es", "alpha": 1.0}}
    found["refine_cams"] = {"es_crf": crf}
    sure = {"data": "toy", "cams": "es_crf", "rule": "complement", "options": {"confidence": 0.95}}
    found["make_pseudo_masks"] = {"es": sure}
    found["evaluate"] = {"es": {"data": "toy", "of": "cams/es_caa"}}
    return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    pytest.importorskip("pydensecrf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "clip_vit_b16", "tests.helpers.tiny_clip:TinyClip")
        yield from chain_in(tmp_path_factory.mktemp("book"), "test_clip_es", content(classes=names()))


def names() -> list[str]:
    return [animal.name for animal in ANIMALS]


def test_weights_become_masks_without_a_training(chain: Chain) -> None:
    for verb, name in (("make_pseudo_masks", "es"), ("evaluate", "es")):
        chain.run(verb, name)
    assert not any(verb == "train" for verb, _ in chain.done)
    maps, walked = (CamStore.opened(chain.work / "cams" / name) for name in ("es", "es_caa"))
    for _, cam in maps.items(maps.ids):
        assert cam.scores.shape[1:] == tuple(-(-length // 16) for length in cam.size)
        assert not len(cam.classes) or cam.scores.any()
    for _, cam in walked.items(walked.ids):
        assert cam.scores.shape[1:] == tuple(cam.size)
    masks = SupervisionStore.opened(chain.work / "supervision" / "es")
    values = {int(value) for id in masks.ids for value in np.unique(masks[id].seeds)}
    assert values <= {*range(1 + len(names())), 255}
    assert (chain.work / "evaluations" / "es" / "metrics.json").is_file()


def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    import yaml

    monkeypatch.chdir(tmp_path)
    made = content(**{"classes": names(), **changes.pop("clip", {})})
    made |= changes
    Path("params.yaml").write_text(yaml.safe_dump(made))
    with pytest.raises(ConfigurationError) as caught:
        check(load_book())
    return str(caught.value)


def test_check_says_what_is_wrong_with_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(tmp_path, monkeypatch, clip={"prompts": None, "untrained": False})
    assert "import_weights.clip: 'clip_es' needs `prompts:`" in found
    found = problems(tmp_path, monkeypatch, clip={"prompts": {"words": {"brid": "bird"}, "background": ["sky"]}})
    assert "import_weights.clip.prompts.words: unknown class 'brid'" in found
    found = problems(tmp_path, monkeypatch, clip={"prompts": {"templates": ["a photo"], "background": ["sky"]}})
    assert "expected a text with one {} where the words go" in found
    found = problems(tmp_path, monkeypatch, clip={"prompts": {"background": []}})
    assert "import_weights.clip.prompts.background" in found
    found = problems(tmp_path, monkeypatch, clip={"prompts": {"backgrounds": ["sky"]}})
    assert "unknown key 'backgrounds'. Did you mean 'background'?" in found
    found = problems(tmp_path, monkeypatch, clip={"download": True})
    assert "import_weights.clip.download: belongs to `architecture:`. Get the file yourself" in found
    psa = {"psa": {"official": "psa_cls", "file": "params.yaml", "prompts": {"background": ["sky"]}}}
    found = problems(tmp_path, monkeypatch, import_weights=psa | content()["import_weights"])
    assert "import_weights.psa.prompts: only networks that know classes by texts have prompts: clip_es" in found


def test_it_cannot_be_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"data": "toy", "supervision": "tags", "method": "clip_es", "init": "clip"}
    found = problems(tmp_path, monkeypatch, train={"es": entry})
    assert "train.es.method: 'clip_es' is not trained. Remedy: `import_weights` makes its checkpoint." in found


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> dict[str, Book]:
    monkeypatch.chdir(ROOT)
    return {name: load_book(f"recipes/{name}") for name in ("voc12", "coco14")}


def test_the_shipped_prompts_are_the_published_ones(books: dict[str, Book]) -> None:
    if not (ROOT / TEXT_ORACLE).exists():
        pytest.skip("no networks of methods since 2023 (environment variable MODERN_NETWORKS)")
    published = np.load(ROOT / TEXT_ORACLE, allow_pickle=False)
    compared = []
    for book, known in (("voc12", VOC_CLASSES), ("coco14", COCO_CLASSES)):
        entry = books[book].import_weights["clip"]
        assert tuple(entry.classes or VOC_CLASSES) == known
        prompts: Prompts = entry.prompts
        (template,) = prompts.templates
        ours = [template.format(text) for text in [*prompts.texts(known), *prompts.background]]
        assert len(ours) == {"voc12": 45, "coco14": 103}[book]
        if (key := f"prompts/{book[:-2]}") in published.files:
            assert ours == published[key].tolist()
            compared.append(key)
    assert compared
