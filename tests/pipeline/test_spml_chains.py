"""SPML through the verbs of a book on made images: every kind of supervision, both rounds of tags, regions, resume."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from models.errors import ConfigurationError, DataError
from models.methods.spml import Spml
from models.ops.boxes import within_boxes
from models.ops.known_labels import filled_regions, with_labels
from models.ops.resize import resize_bilinear
from models.settings import TrainSettings
from models.structures import IGNORE, UNLABELLED, Batch, Cam
from pipeline.annotations.regions import RegionSource
from pipeline.book.check import check
from pipeline.book.check_inputs import check_files
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book, load_book
from pipeline.storage.checkpoints import read_checkpoint
from pipeline.storage.stores import CamStore, SupervisionStore
from pipeline.tracking.log import Log
from stages.train import TrainingState, train
from tests.helpers.chain import Chain, chain_in, root_content

ROOT = Path(__file__).parents[2]
REGIONS = {"count": 12, "markers": 60}
SOURCES = {"points": "points", "scribbles": "scribbles", "boxes": "box_seeds", "tags": "tag_seeds", "mixed": "mixed"}
"""Training -> its supervision, the only thing in which they differ."""
TAGS = {"points": "points", "scribbles": "scribbles", "boxes": "boxes", "tags": "tags", "mixed": "mixed"}


def content() -> dict[str, Any]:
    found = root_content()
    toy = {"data": "toy"}
    on_train = {**toy, "split": "train"}
    found["annotate"] |= {
        "points": {**on_train, "kind": "points", "options": {"radius": 3, "background": 2}, "regions": REGIONS},
        "scribbles": {**on_train, "kind": "scribbles", "regions": REGIONS},
        "boxes": {**on_train, "kind": "boxes"},
        "mixed": {
            **on_train, "kind": "mixture", "options": {"parts": {"boxes": 0.5, "points": 0.5}}, "regions": REGIONS,
        },
    }  # fmt: skip
    small = {"backbone": "resnet18", "width": 0.25}
    page = {**small, "embedding": 8, "clusters": 3, "bank": 512, "inference_clusters": 4, "neighbours": 3}
    learns = {
        **toy,
        "init": "random",
        "loader": {"crop": 64, "batch_size": 3, "num_workers": 0},
        "settings": {"steps": 2, "lr": 0.01},
    }
    spml = {**learns, "method": "spml", "model": page}
    head = {**spml, "init": "tags", "model": {**page, "frozen": True}}
    found["train"] = {
        "plain": {**learns, "supervision": "tags", "method": "classifier", "model": small},
        **{name: {**spml, "supervision": source} for name, source in SOURCES.items()},
        "near": {**head, "supervision": "tags_spread", "model": {**page, "frozen": True, "inference": "neighbours"}},
        "first_head": {**head, "supervision": "near"},
        "second_near": {**head, "supervision": "first", "model": {**page, "frozen": True, "inference": "neighbours"}},
        "second_head": {**head, "supervision": "second_near"},
        **{f"{name}_head": {**head, "init": name, "supervision": f"{name}_spread"} for name in SOURCES},
    }
    found["export_cams"] = {
        "cam": {**toy, "supervision": "tags", "checkpoint": "plain", "options": {"scales": [1.0], "grid": 8}},
        "box_cam": {**toy, "supervision": "boxes", "checkpoint": "plain", "boxes": True, "options": {"scales": [1.0]}},
        "click_cam": {**toy, "supervision": "points", "checkpoint": "plain", "keep_labels": True},
    }
    asked = {"maps": "posteriors", "scales": [1.0], "grid": 4}
    for name in (*SOURCES, "near", "second_near"):
        source = TAGS.get(name, "tags")
        found["export_cams"][name] = {**toy, "supervision": source, "checkpoint": name, "options": asked}
    found["export_cams"]["first"] = {**toy, "supervision": "tags", "checkpoint": "first_head", "options": asked}
    found["refine_cams"] = {"near_crf": {**toy, "cams": "near", "refiner": "dense_crf", "options": {"preset": "spml"}}}
    found["propagate_cams"] = {
        **{f"{n}_spread": {**toy, "cams": n, "checkpoint": n, "options": {"preset": "spml_softmax"}} for n in SOURCES},
        "cam_spread": {**toy, "cams": "cam", "checkpoint": "tags", "options": {"preset": "spml"}},
    }
    band = {"rule": "two_threshold", "regions": REGIONS}
    spread = {f"{name}_spread": {**toy, "cams": f"{name}_spread", "rule": "complement"} for name in SOURCES}
    found["make_pseudo_masks"] = {
        "tag_seeds": {**toy, "cams": "cam", **band, "options": {"high": 0.6, "low": 0.2, "unsure": 254}},
        "box_seeds": {**toy, "cams": "box_cam", **band, "options": {"high": 0.5, "low": 0.0, "unsure": 254}},
        **spread,
        "tags_spread": {**toy, "cams": "cam_spread", "rule": "complement"},
        "near": {**toy, "cams": "near_crf", "rule": "complement", "options": {"peak": 0.15}},
        "first": {**toy, "cams": "first", "rule": "complement"},
        "second_near": {**toy, "cams": "second_near", "rule": "complement", "options": {"peak": 0.15}},
    }
    heads = [*(f"{name}_head" for name in SOURCES), "second_head"]
    found["predict_masks"] = {name: {**toy, "split": "val", "checkpoint": name} for name in (*heads, "near")}
    found["evaluate"] = {name: {**toy, "of": f"masks/{name}"} for name in (*heads, "near")}
    return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    yield from chain_in(tmp_path_factory.mktemp("spml"), "spml_chains", content())


@pytest.mark.parametrize("name", [*(f"{name}_head" for name in SOURCES), "near"])
def test_from_any_supervision_to_scores(chain: Chain, name: str) -> None:
    pytest.importorskip("pydensecrf")
    metrics = chain.evaluated(name)
    assert metrics["images"] == 2


def test_both_rounds_of_tags(chain: Chain) -> None:
    """CAMs, walk, neighbours, head; then the head's posteriors, neighbours, head: on the embeddings of the first."""
    pytest.importorskip("pydensecrf")
    chain.run("evaluate", "second_head")
    names = [name for verb, name in ancestors(chain.book, "evaluate", "second_head") if verb == "train"]
    assert names == ["plain", "tags", "near", "first_head", "second_near", "second_head"]
    states = [read_checkpoint(chain.work / "checkpoints" / name)[1] for name in ("tags", "second_head")]
    kept = [key for key in states[0] if key.startswith(("backbone.", "head."))]
    assert kept
    assert all(torch.equal(states[0][key], states[1][key]) for key in kept)


def test_the_head_reads_the_pseudo_labels_and_no_prototype_the_ground_truth(chain: Chain) -> None:
    """In the released drivers a stale pattern leaves the head on sparse labels, and k-NN has ground-truth labels."""
    for name in SOURCES:
        needed = ancestors(chain.book, "train", f"{name}_head")
        assert ("make_pseudo_masks", f"{name}_spread") in needed
    for verb, name in chain.book.entries():
        if verb == "train":
            assert not any(v == "annotate" and n == "masks" for v, n in ancestors(chain.book, verb, name))


def test_kinds_differ_in_their_supervision_alone(chain: Chain) -> None:
    plain = [chain.book.train[name].model_dump(exclude={"supervision"}) for name in SOURCES]
    assert all(entry == plain[0] for entry in plain)


def test_regions_are_the_segments_of_every_kind_and_made_once(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb, name in (("annotate", "points"), ("annotate", "mixed"), ("make_pseudo_masks", "tag_seeds")):
        chain.run(verb, name)
    stores = [SupervisionStore(chain.work / "supervision" / n) for n in ("points", "mixed", "tag_seeds")]
    for id in stores[0].ids:
        first, *others = (store[id].segments for store in stores)
        assert first is not None
        assert first.shape == stores[0][id].seeds.shape
        assert 0 < first.max() < 12
        assert all(np.array_equal(first, other) for other in others)
    monkeypatch.setattr("pipeline.annotations.regions.oversegment", None)
    import_module("pipeline.binders.annotate").run(chain.book, "scribbles", Log())


def test_own_maps_of_regions_come_from_a_folder(chain: Chain) -> None:
    from pipeline.datasets.catalogue import Catalogue

    chain.run("prepare", "toy")
    catalogue = Catalogue.load(chain.work / "catalogues" / "toy")
    one, other = catalogue.ids("train")[:2]
    height, width = catalogue.size(one)
    Path("maps").mkdir(exist_ok=True)
    mine = np.arange(height * width).reshape(height, width) % 300
    Image.fromarray(mine.astype(np.uint16)).save(f"maps/{one}.png")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(f"maps/{other}.png")
    source = RegionSource.of({"method": "files", "folder": "maps"}, catalogue)
    assert source is not None
    assert np.array_equal(source(one), mine)
    with pytest.raises(DataError, match="expected region ids of size"):
        source(other)
    with pytest.raises(DataError, match="expected maps of regions for 1 images, found none"):
        source(catalogue.ids("train")[2])


def test_the_check_knows_regions(chain: Chain, tmp_path: Path) -> None:
    changed = content()
    changed["annotate"]["points"]["regions"] = {"method": "rga"}
    changed["annotate"]["scribbles"]["regions"] = {"cuont": 3}
    changed["annotate"]["mixed"] |= {"regions": None, "fill_regions": True}
    changed["annotate"]["tags"] |= {"regions": REGIONS, "fill_regions": True}
    changed["export_cams"]["click_cam"]["supervision"] = "tags"
    changed["export_cams"]["box_cam"]["supervision"] = "points"
    changed["train"]["points"]["model"]["memory"] = -1
    changed["train"]["tags"]["supervision"] = "tags"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(ConfigurationError) as caught:
        check(load_book(tmp_path))
    for part in (
        "annotate.points.regions",
        "annotate.mixed.fill_regions: needs `regions:`",
        "annotate.tags.fill_regions: image tags label no pixel",
        "export_cams.click_cam.keep_labels: 'tags' holds image tags",
        "export_cams.box_cam.boxes: 'points' holds points, not boxes",
        "Did you mean 'count'",
        "model.memory",
        "'spml' needs pseudo-masks",
    ):
        assert part in str(caught.value)
    changed = content()
    changed["annotate"]["points"]["regions"] = {"method": "files", "folder": "nowhere"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(ConfigurationError, match=r"annotate\.points\.regions\.folder: nowhere does not exist"):
        check_files(load_book(tmp_path))


def test_boxes_stretch_the_maps_within_them() -> None:
    scores = np.array([[[0.2, 0.4, 0.6, 0.9], [0.2, 0.2, 0.2, 0.2]]], np.float32)
    cam = Cam(np.array([2]), scores, (2, 4))
    found = within_boxes(cam, np.array([[0, 0, 3, 1], [1, 1, 3, 2], [0, 0, 4, 2]], np.float32), np.array([2, 2, 1]))
    np.testing.assert_allclose(found.scores, [[[0.01, 0.5, 1, 0], [0, 1, 1, 0]]], atol=1e-6)


def test_labelled_pixels_have_the_scores_that_their_labels_say() -> None:
    cam = Cam(np.array([1, 3]), np.array([[[0.2, 0.4]], [[0.6, 0.8]]], np.float32), (1, 6))
    seeds = np.array([[1, 0, UNLABELLED, IGNORE, 3, 2]], np.uint8)  # 2 is no class of the image's CAM
    plain = np.array(resize_bilinear(cam.scores, cam.size))
    found = with_labels(cam, seeds)
    np.testing.assert_array_equal(found.scores[:, 0, [0, 1, 4, 5]], [[1, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(found.scores[:, 0, 2:4], plain[:, 0, 2:4])


def test_a_region_of_one_class_takes_it_whole() -> None:
    regions = np.array([[0, 0, 0, 1, 1, 2, 2, 4, 4]], np.int32)
    seeds = np.array([[254, 1, 255, 1, 254, 254, 254, 0, 254]], np.uint8)
    np.testing.assert_array_equal(filled_regions(seeds, regions), [[1, 1, 255, 1, 1, 254, 254, 0, 0]])
    seeds[0, 2] = 2  # two classes in a region: what is unlabelled there stays so
    np.testing.assert_array_equal(filled_regions(seeds, regions)[0, :3], [254, 1, 2])
    blank = np.full_like(seeds, 254)
    np.testing.assert_array_equal(filled_regions(blank, regions), blank)


def test_points_fill_the_regions_that_they_lie_in(chain: Chain) -> None:
    chain.run("annotate", "points")
    import_module("pipeline.binders.annotate").run(
        add_entry(chain.book, "annotate", "filled", "points", fill_regions=True), "filled", Log()
    )
    work = chain.work
    clicks, filled = (SupervisionStore(work / "supervision" / name) for name in ("points", "filled"))
    for name, before in clicks.items(clicks.ids):
        after = filled[name]
        assert (after.seeds < UNLABELLED).sum() > (before.seeds < UNLABELLED).sum()
        np.testing.assert_array_equal(after.seeds, filled_regions(before.seeds, before.segments))


def test_clicks_stay_in_cams_that_keep_labels(chain: Chain) -> None:
    chain.run("export_cams", "click_cam")
    work = chain.work
    clicks, cams = SupervisionStore(work / "supervision/points"), CamStore(work / "cams/click_cam")
    for name, cam in cams.items(cams.ids):
        seeds = clicks[name].seeds
        for scores, class_ in zip(cam.scores, cam.classes, strict=True):
            assert (seeds == class_).any()
            assert (scores[seeds == class_] == 1).all()
            assert (scores[(seeds != class_) & (seeds < UNLABELLED)] == 0).all()


def test_clicks_that_label_no_background_are_told(chain: Chain) -> None:
    chain.run("prepare", "toy")
    annotate = import_module("pipeline.binders.annotate")
    with pytest.warns(UserWarning, match=r"annotate\.clicks: no pixel of 6 images is background.*keep_labels: true"):
        annotate.run(add_entry(chain.book, "annotate", "clicks", "points", options={}), "clicks", Log())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        annotate.run(add_entry(chain.book, "annotate", "strokes", "scribbles"), "strokes", Log())


def test_a_supervision_without_boxes_is_named(chain: Chain) -> None:
    chain.run("annotate", "tags")
    chain.run("train", "plain")
    wrong = replace_entry(chain.book, "export_cams", "box_cam", supervision="tags")
    with pytest.raises(DataError, match="expected boxes in supervision 'tags', found none for image"):
        import_module("pipeline.binders.export_cams").run(wrong, "box_cam", Log())


def replace_entry(book: Book, verb: str, name: str, **values: Any) -> Book:
    section = {**getattr(book, verb), name: getattr(book, verb)[name].model_copy(update=values)}
    return book.model_copy(update={verb: section})


def add_entry(book: Book, verb: str, name: str, like: str, **values: Any) -> Book:
    section = getattr(book, verb)
    return book.model_copy(update={verb: {**section, name: section[like].model_copy(update=values)}})


class Made:
    """Batches that are a function of the step."""

    steps_per_epoch = 4

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        for step in range(start, stop):
            generator = torch.Generator().manual_seed(step)
            seeds = torch.full((2, 32, 32), UNLABELLED)
            seeds[0, :16], seeds[1, :16] = 1, 2
            seeds[:, 24:] = 0
            tags = torch.tensor([[True, False], [False, True]])
            yield Batch(torch.rand(2, 3, 32, 32, generator=generator), tags, seeds, ("a", "b"))


def test_a_resumed_training_has_the_bank_of_an_uninterrupted_one() -> None:
    from lightning_fabric import Fabric

    fabric: Any = Fabric(accelerator="cpu", devices=1)
    settings = TrainSettings(steps=4, lr=0.01)

    def fresh() -> Spml:
        torch.manual_seed(0)
        return Spml(2, backbone="resnet18", width=0.25, embedding=8, clusters=2, bank=40, anchors=20)

    states: list[TrainingState] = []

    def keep(done: int, snapshot: Any) -> None:
        if done == 2:
            states.append(torch.load(_saved(snapshot()), weights_only=True))

    whole, resumed = fresh(), fresh()
    train(whole, Made(), fabric, settings, seed=1, on_step=keep)
    train(resumed, Made(), fabric, settings, seed=1, state=states[0])
    assert int(whole.bank.steps) == 4
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def _saved(state: TrainingState) -> Any:
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_the_shipped_book_has_one_page_for_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    book = load_book("recipes/voc_mini_spml")
    trained = [book.train[f"{kind}_0"] for kind in ("points", "scribbles", "boxes", "tags", "mixture")]
    assert len({entry.supervision for entry in trained}) == 5
    same = [replace_supervision(entry) for entry in trained]
    assert all(entry == same[0] for entry in same)


def replace_supervision(entry: Any) -> Any:
    return entry.model_copy(update={"supervision": ""})
