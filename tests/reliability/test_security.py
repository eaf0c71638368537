"""What comes from outside is data: no code in it runs, no name in it leaves its folder, nothing small becomes huge."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import resource
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from models.errors import ConfigurationError, DataError, Weak2MaskError
from pipeline.book.artifacts import VERBS
from pipeline.book.load import checked_book
from pipeline.book.params import Book, load_book
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.images import BadFileError
from pipeline.datasets.label_files import read_labels
from pipeline.datasets.sbd import read_mat
from pipeline.inference.inputs import find_images
from pipeline.inference.predict import predict
from pipeline.inference.worker import PredictOptions
from pipeline.storage.checkpoints import read_checkpoint
from pipeline.storage.csv_cells import plain_cell
from pipeline.storage.resume import Resume
from pipeline.weights.pretrained import read_entries
from tests.helpers import look_book, made_book
from tests.helpers.coco_folder import square, write_coco

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def grown(work: Callable[[], Any]) -> float:
    """Megabytes by which the most memory that this process ever had grows in ``work``."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def checkpoint(path: Path) -> None:
    (path.parent / "checkpoint.json").write_text(
        json.dumps({"format": "weak2mask checkpoint, version 1", "method": "", "options": {}, "class_names": [],
                    "recipe": {}})
    )  # fmt: skip
    read_checkpoint(path.parent)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "weights .pth": ("w.pth", read_entries),
    "weights .bin": ("w.bin", read_entries),
    "weights .npz": ("w.npz", read_entries),
    "weights .safetensors": ("w.safetensors", read_entries),
    "checkpoint": ("model.safetensors", checkpoint),
    "labels .npy": ("l.npy", lambda path: read_labels(path, "labels", 2)),
    "labels .json": ("l.json", lambda path: read_labels(path, "labels", 2)),
    "SBD .mat": ("m.mat", read_mat),
}


def pickled(form: str, content: Any) -> bytes:
    """The content as pickle, torch's archive, or NumPy's files with objects."""
    file = io.BytesIO()
    if form == "torch":
        torch.save(content, file)
    elif form == "npz":
        np.savez(file, **{"a": np.array([content], dtype=object)})
    elif form == "npy":
        np.save(file, np.array(content, dtype=object), allow_pickle=True)
    else:
        file.write(pickle.dumps(content))
    return file.getvalue()


@pytest.mark.parametrize("form", ["pickle", "torch", "npz", "npy"])
@pytest.mark.parametrize("reader", READERS)
def test_no_pickle_from_outside_runs(tmp_path: Path, reader: str, form: str) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(pickled(form, {"a": Evil(tmp_path / "trace")}))
    with pytest.raises((DataError, BadFileError)):
        read(tmp_path / name)
    assert not (tmp_path / "trace").exists()


def test_no_pickle_as_a_resume_state_runs(tmp_path: Path) -> None:
    state = Resume(tmp_path / "state")
    state.path.parent.mkdir()
    state.path.write_bytes(pickled("torch", {"a": Evil(tmp_path / "trace")}))
    with pytest.warns(UserWarning, match="state"):
        assert state.load() is None
    assert not (tmp_path / "trace").exists()


UNPICKLES = {"pipeline/compute/engines/worker.py", "pipeline/compute/engines/processes.py"}
"""Tasks of this project's own processes (SECURITY.md)."""
LOADERS = {"load_model", "load_result", "read_pickle", "extractall", "system", "popen", "exec"}


def calls(tree: ast.AST) -> list[tuple[str, dict[str, Any]]]:
    """(name, constant keywords) of all calls."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            constants = {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
            found.append((ast.unparse(node.func), constants))
    return found


def test_no_source_unpickles_or_asks_a_shell() -> None:
    """Also what MLflow, Prefect, joblib and pandas would unpickle."""
    for path in (path for room in ("models", "stages", "pipeline") for path in (ROOT / room).rglob("*.py")):
        file, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        assert "0.0.0.0" not in source
        for name, given in calls(ast.parse(source)):
            if name in ("pickle.load", "pickle.loads", "ForkingPickler.loads"):
                assert file in UNPICKLES
            assert name.rpartition(".")[2] not in LOADERS, (file, name)
            assert name != "eval" or file == "pipeline/book/signatures.py"
            assert name != "torch.load" or given.get("weights_only") is True
            assert name != "np.load" or not given.get("allow_pickle")
            assert not given.get("shell")
            assert not given.get("persist_result")
            assert name not in ("torch.jit.load", "shutil.unpack_archive"), "code would run, or names leave the folder"
        if "pickle._Unpickler" in source or "pickle.Unpickler" in source:
            assert file == "pipeline/storage/plain_pickle.py"


OUTSIDE = [
    "../secret.png",
    "../../secret.png",
    "{outside}/secret.png",
    "images/../../secret.png",
    "..\\secret.png",
    "~/s",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_in_a_table_leaves_the_folder(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for place in (tmp_path / "secret.png", data / "images" / "a.png"):
        Image.new("RGB", (8, 6), (9, 90, 200)).save(place)
    written = name.format(outside=tmp_path)
    (data / "tags.csv").write_text(f'image,tags\na.png,cat\n"{written}",dog\n')
    with pytest.raises(DataError, match=r"secret|~/s"):
        made(tmp_path, "folder", data)
    assert not list((tmp_path / "c").rglob("*secret*"))


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_in_a_coco_file_leaves_the_folder(tmp_path: Path, name: str) -> None:
    root = write_coco(tmp_path / "data")
    Image.new("RGB", (20, 10)).save(tmp_path / "secret.png")
    file = root / "annotations" / "instances_train2014.json"
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name.format(outside=tmp_path)
    file.write_text(json.dumps(content))
    with pytest.raises(Weak2MaskError):
        made(tmp_path, "coco", root)
    assert not list((tmp_path / "c").rglob("*secret*"))


def test_a_link_in_a_data_set_is_read_and_nothing_is_written_through_it(tmp_path: Path) -> None:
    """The policy of SECURITY.md: links of the user's own disk are followed, for reading."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    Image.new("RGB", (8, 6), (9, 90, 200)).save(tmp_path / "elsewhere.png")
    Image.new("RGB", (8, 6), (200, 90, 9)).save(data / "images" / "b.png")
    (data / "images" / "a.png").symlink_to(tmp_path / "elsewhere.png")
    (data / "tags.csv").write_text("image,tags\na.png,cat\nb.png,dog\n")
    before = (tmp_path / "elsewhere.png").read_bytes()
    made(tmp_path, "folder", data)
    assert (tmp_path / "elsewhere.png").read_bytes() == before


def test_an_image_whose_name_nothing_can_say_costs_no_other_its_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of other bytes than UTF-8, or with a control character, in JSON and in the XML of CVAT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    look_book.make_network(look_book.book())
    Path("photos").mkdir()
    for name in (b"a<&>.png", b"b\xff.png", b"c\x01.png"):
        with open(os.path.join(b"photos", name), "wb") as file:
            Image.new("RGB", (40, 32), (9, 90, 200)).save(file, "PNG")
    summary = predict(
        find_images(["photos"]), Path("work/made/checkpoints/net"), made_book.CLASSES, Path("out"),
        PredictOptions(scales=(1.0,)), formats=("json", "coco", "cvat", "labelme", "labelstudio", "yolo"),
    )  # fmt: skip
    assert (summary.images, len(summary.problems)) == (1, 2)
    with pytest.raises(DataError, match="expected a name in UTF-8 without control characters"):
        summary.raise_problems()
    json.dumps(summary.plain()).encode()
    (image,) = ElementTree.parse("out/cvat/annotations.xml").iter("image")
    assert image.get("name") == "a<&>.png"


def made(tmp_path: Path, reader: str, root: Path) -> Any:
    return make_catalogue(reader, tmp_path / "c" / "d", tmp_path / "g" / "d", {"root": str(root)})


EVIL_PATHS = ["x; touch trace", "$(touch trace)", "`touch trace`", "x && touch trace #/../..", "x\ntouch trace", "-h",
              "x|y", "a b", "x'y", 'x"y', "x>y", "*", ""]  # fmt: skip


def book_of(**place: str) -> dict[str, Any]:
    own = {"root": ".", "path": ".", "params": "params.yaml", "work": "work/mine"} | place
    return {verb: {} for verb in VERBS} | {"book": own}


@pytest.mark.parametrize("text", EVIL_PATHS)
@pytest.mark.parametrize("key", ["root", "path", "params", "work"])
def test_no_place_of_a_book_is_a_line_for_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(book_of(**{key: text})))
    for read in (load_book, checked_book):  # the start of every stage; `check`, `run`, `flow`, the stage `code`
        with pytest.raises(ConfigurationError, match=rf"book\.{key}.*expected a path of letters"):
            read(".")


@pytest.mark.parametrize("text", EVIL_PATHS)
def test_no_name_of_an_entry_is_a_line_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    content = book_of() | {"prepare": {text: {"reader": "toy", "root": "params.yaml"}}}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match="prepare"):
        load_book(".")


def test_what_a_book_may_say_a_shell_takes_as_it_stands() -> None:
    place = {
        "root": "../..",
        "path": "recipes/my.book-2",
        "params": "recipes/my.book-2/params.yaml",
        "work": "work/a-b",
    }
    book = Book.model_validate(book_of(**place))
    for text in place.values():
        assert shlex.quote(text) == text
    assert book.book.path == "recipes/my.book-2"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")', "=cmd|' /C calc'!A0"]
)
def test_a_spreadsheet_computes_no_text(text: str) -> None:
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["cat", "", "a=b", 1, -1.5, None, True])
def test_a_plain_cell_stays(value: Any) -> None:
    assert plain_cell(value) is value


def test_regions_of_coco_stay_within_the_image(tmp_path: Path) -> None:
    """An image that the file calls huge makes no huge mask."""
    root = write_coco(tmp_path / "data")
    file = root / "annotations" / "instances_train2014.json"
    content = json.loads(file.read_text())
    content["images"][0] |= {"height": 10**6, "width": 10**6}
    content["annotations"][0]["segmentation"] = square(0, 0, 10**6, 10**6)
    file.write_text(json.dumps(content))

    def refused() -> None:
        with pytest.raises(DataError):
            made(tmp_path, "coco", root)

    assert grown(refused) < 500
