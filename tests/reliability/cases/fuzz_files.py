"""Files of every kind that people bring, made at random or damaged at random: a result, or an error that says why."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save as safetensors
from scipy.io import savemat

from models.errors import Weak2MaskError
from pipeline.annotations.build import annotate_catalogue, check_annotations
from pipeline.book.expansion import expand
from pipeline.book.load import checked_book
from pipeline.datasets import labelmap
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.coco_json import read_instances
from pipeline.datasets.images import BadFileError, read_image, read_indices
from pipeline.datasets.label_files import read_labels
from pipeline.datasets.rle import encoded
from pipeline.datasets.sbd import read_mat
from pipeline.datasets.voc_xml import read_voc_xml
from pipeline.storage.checkpoints import FORMAT, load_method, read_checkpoint
from pipeline.weights.pretrained import read_entries
from tests.helpers.any_value import JSON, VALUE, places_in, replaced
from tests.helpers.coco_folder import PAINTED, write_coco
from tests.helpers.made_annotations import catalogue_of
from tests.reliability.frame import Case, Counts

ROOT = Path(__file__).parents[3]
EXAMPLES = 20
"""Of a trial."""
LONGEST = 8000
"""Characters of a message."""
CATALOGUE = catalogue_of(("q0", "q1"), tags={"q0": (1,)})

Files = dict[str, bytes]
"""Path in the working folder -> content."""


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file cut off, with a few bytes replaced, or of any bytes at all."""
    start = st.integers(0, len(whole) - 1)
    cut = start.map(lambda at: whole[:at])
    patch = st.tuples(start, st.binary(min_size=1, max_size=4))
    patched = st.lists(patch, min_size=1, max_size=3).map(lambda patches: _patched(whole, patches))
    return patched | cut | st.binary(max_size=300)


def _patched(whole: bytes, patches: list[tuple[int, bytes]]) -> bytes:
    for at, new in patches:
        whole = whole[:at] + new + whole[at + len(new) :]
    return whole


def changed(content: Any) -> st.SearchStrategy[bytes]:
    """A JSON with any value in any place, any other JSON, or its text damaged."""
    anywhere = st.tuples(st.sampled_from(places_in(content)[1:]), VALUE)
    values = anywhere.map(lambda change: replaced(content, *change)) | JSON
    return values.map(lambda value: json.dumps(value).encode()) | damaged(json.dumps(content).encode())


def fuzzed(name: str, files: st.SearchStrategy[bytes], work: Callable[[Path], Any], examples: int = EXAMPLES) -> Any:
    """A trial: ``work`` with the file ``name`` of so many contents."""

    def trial(number: int) -> Counts:
        seen: Counter[str] = Counter()

        @hypothesis.seed(number)
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(content=files)
        def one(content: bytes) -> None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(content)
            seen["examples"] += 1
            try:
                work(Path(name))
            except (Weak2MaskError, BadFileError) as error:
                message = str(error)
            else:
                message = ""
            seen["refused" if message else "taken"] += 1
            assert len(message.encode()) < LONGEST

        one()
        return seen

    return trial


def _annotations(kind: str) -> Callable[[Path], Any]:
    def work(file: Path) -> None:
        options = {"file": str(file)}
        check_annotations(kind, CATALOGUE, ("q0", "q1"), options)
        list(annotate_catalogue(kind, CATALOGUE, None, ("q0", "q1"), options))

    return work


def _book(file: Path) -> None:
    checked_book(str(file.parent), committed=True)


def _coco(file: Path) -> None:
    root = file.parent.parent
    for split in ("train2014", "val2014"):
        if not (root / split).is_dir():
            content = file.read_bytes()
            write_coco(root)
            file.write_bytes(content)
    read_instances(file)
    make_catalogue("coco", root / "c" / "d", root / "g" / "d", {"root": str(root), "splits": {"train": "train2014"}})


def _tags(file: Path) -> None:
    (file.parent / "images").mkdir(exist_ok=True)
    for name in ("s0.png", "s1.png"):
        Image.new("RGB", (8, 6), (9, 90, 200)).save(file.parent / "images" / name)
    root = file.parent
    make_catalogue("folder", root / "c" / "d", root / "g" / "d", {"root": str(root)})


def _card(file: Path) -> None:
    weights = file.parent / "model.safetensors"
    weights.write_bytes(safetensors({"backbone.mean": torch.zeros(1, 3, 1, 1)}))
    read_checkpoint(file.parent)
    load_method(file.parent)


def _labels(file: Path) -> None:
    read_labels(file, "labels", 3)


def _image(file: Path) -> None:
    for read in (read_image, read_indices):
        read(file)


def _of_weights(suffix: str) -> bytes:
    tensors, file = {"conv1.weight": torch.zeros(4, 3, 3, 3), "bn1.weight": torch.ones(4)}, io.BytesIO()
    if suffix == ".safetensors":
        return safetensors(tensors)
    if suffix == ".npz":
        np.savez(file, **{key: value.numpy() for key, value in tensors.items()})
    else:
        torch.save({"state_dict": tensors}, file, _use_new_zipfile_serialization=suffix == ".pth")
    return file.getvalue()


def _picture(format: str, mode: str) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 5, (9, 11, 3), np.uint8)
    picture = Image.fromarray(pixels if mode == "RGB" else pixels[..., 0])
    (picture.convert("P") if mode == "P" else picture).save(file, format)
    return file.getvalue()


def _npy() -> bytes:
    file, rows = io.BytesIO(), {f"2007_00000{k}": np.array([1.0, 0.0, float(k % 2)], np.float32) for k in range(3)}
    np.save(file, np.array(rows, dtype=object), allow_pickle=True)
    return file.getvalue()


def _mat() -> bytes:
    file = io.BytesIO()
    savemat(file, {"GTcls": {"Segmentation": np.eye(9, dtype=np.uint8)}}, do_compression=True)
    return file.getvalue()


def _runs() -> st.SearchStrategy[bytes]:
    """COCO's file with run lengths, as text or as numbers, that are of any kind."""
    region = np.zeros((10, 20), bool)
    region[2:7, 3:12] = True
    text = encoded(region)[0]
    texts = st.text(alphabet=[chr(code) for code in range(44, 116)], max_size=30) | damaged(text.encode()).map(
        lambda data: data.decode("latin1")
    )
    numbers = st.lists(st.integers(-5, 210) | st.integers(), max_size=9)
    sizes = st.just([10, 20]) | st.lists(st.integers(0, 30) | st.integers(), max_size=3)
    return st.builds(
        lambda counts, size: json.dumps(replaced(COCO, REGION, {"counts": counts, "size": size})).encode(),
        texts | numbers,
        sizes,
    )


REGION = ("annotations", 2, "segmentation")
COCO: dict[str, Any] = {
    "images": [{"id": k, "file_name": f"COCO_train2014_{k:012d}.jpg", "height": 10, "width": 20} for k in (9, 25, 30)],
    "annotations": PAINTED,
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}],
}
CARD = {"format": FORMAT, "method": "classifier", "options": {"backbone": "resnet18", "width": 0.25},
        "class_names": ["cat", "dog"], "recipe": {"method": "classifier", "seed": 0}}  # fmt: skip
BOOK = (ROOT / "params.yaml").read_bytes()
XML = (
    b"<annotation><filename>q0.png</filename><size><width>96</width><height>64</height></size><object><name>cat</name>"
    b"<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    b"</annotation>"
)
CSV = b"image,class,x1,y1,x2,y2\nq0,cat,1,2,30,40\nq1.png,dog,5,5,9,60\nq1,background,0,0,0,0\n"
TAGS = b"image,tags,split\ns0.png,cat,train\ns1,cat;dog,val\n"
POINTS = {"q0": {"main": [{"x": 3, "y": 4, "cls": 1, "rank": 0}], "supp": []}, "q1": {"main": [], "supp": []}}
EACH = b"""book: {root: ., path: ., params: params.yaml, work: work/x}
chain:
  each: {kind: {a: {seeds: one}, b: {seeds: two}}, seed: [0, 1]}
  train: {<kind>_<seed>: {data: six, supervision: <kind.seeds>, seed: <seed>}}
"""


def _yaml_values() -> st.SearchStrategy[bytes]:
    content = yaml.safe_load(BOOK)
    anywhere = st.tuples(st.sampled_from(places_in(content)[1:]), VALUE)
    return anywhere.map(lambda change: json.dumps(replaced(content, *change)).encode())


TARGETS: dict[str, tuple[str, str, st.SearchStrategy[bytes], Callable[[Path], Any]]] = {
    "book": ("params.yaml", "A book with any value in any place", _yaml_values(), _book),
    "book_text": ("params.yaml", "A book whose text is damaged", damaged(BOOK), _book),
    "book_each": ("book.yaml", "A book.yaml whose text is damaged", damaged(EACH),
                  lambda file: expand(file.read_bytes().decode("utf-8", "replace"))),
    "boxes_csv": ("f.csv", "A table of boxes, damaged", damaged(CSV), _annotations("boxes")),
    "points_json": ("f.json", "A JSON of points with any value in any place", changed(POINTS), _annotations("points")),
    "boxes_coco": ("f.json", "COCO's JSON as boxes with any value in any place", changed(COCO), _annotations("boxes")),
    "boxes_xml": ("xml/q0.xml", "VOC's XML, damaged", damaged(XML),
                  lambda file: (read_voc_xml(file), _annotations("boxes")(file.parent))),
    "tags_csv": ("tags.csv", "A table of tags, damaged", damaged(TAGS),
                 _tags),
    "coco": ("d/annotations/instances_train2014.json", "COCO's JSON, any value in any place", changed(COCO), _coco),
    "rle": ("d/annotations/instances_train2014.json", "Run lengths of any kind in COCO's JSON", _runs(), _coco),
    "labels_npy": ("l.npy", "Pickled image labels, damaged", damaged(_npy()), _labels),
    "labels_json": ("l.json", "Image labels with any value in any place", changed({"labels": {"a": [1, 2], "b": []}}),
                    _labels),
    "labelmap": ("labelmap.json", "A label map with any value in any place",
                 changed({"cat": [1, 2, 3], "dog": "#0a0b0c"}), labelmap.LabelMap.read),
    "safetensors": ("w.safetensors", "Weights as safetensors, damaged",
                    damaged(_of_weights(".safetensors")), read_entries),
    "pth": ("w.pth", "Weights of PyTorch, damaged", damaged(_of_weights(".pth")), read_entries),
    "pth_legacy": ("w.bin", "Weights of PyTorch before 1.6, damaged", damaged(_of_weights(".bin")), read_entries),
    "npz": ("w.npz", "Weights as .npz, damaged", damaged(_of_weights(".npz")), read_entries),
    "card": ("k/checkpoint.json", "The card of a checkpoint with any value in any place", changed(CARD), _card),
    "mat": ("m.mat", "A .mat of SBD, damaged", damaged(_mat()), read_mat),
    **{f"image_{format.lower()}_{mode.lower()}": (
        f"i.{format.lower()}", f"A {format} file ({mode}), damaged", damaged(_picture(format, mode)), _image)
       for format, mode in (("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("TIFF", "RGB"), ("GIF", "P"),
                            ("WEBP", "RGB"), ("BMP", "RGB"))},
}  # fmt: skip
"""Name -> (file, what is made, contents, what reads it)."""

CASES = {
    name: Case(
        f"{made}: a result, or an error of at most {LONGEST} characters",
        fuzzed(file, contents, work),
        quick=1,
        long=20,
        seconds=120,
        megabytes=2000,
    )
    for name, (file, made, contents, work) in TARGETS.items()
}
