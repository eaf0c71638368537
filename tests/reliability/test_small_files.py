"""What is small stays small, and what is short takes a short time: bombs, pipes, shapes far away."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError, Weak2MaskError
from pipeline.annotations.tools.yolo import names_of_yaml
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.images import BadFileError, read_image
from pipeline.datasets.label_files import read_labels
from pipeline.datasets.sbd import read_mat
from pipeline.datasets.voc_xml import read_voc_xml
from pipeline.weights.pretrained import read_entries
from tests.helpers.drawn_labels import drawn
from tests.reliability.frame import Case, tried

MEGABYTE = 2**20
SECONDS, MEGABYTES = 120, 250
"""Of an attack, in a process of its own, which may share two cores with many others."""


def zip_bomb(megabytes: int, name: str) -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        for _ in range(megabytes):
            member.write(bytes(MEGABYTE))
    return file.getvalue()


def png_bomb(width: int, height: int, text: bytes = b"") -> bytes:
    """A PNG that claims to be so large, with a compressed text."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    content = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    if text:
        content += chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


MEMO_BOMB = b"\x80\x02K\x01r" + struct.pack("<I", 2**31 - 1) + b"."
"""A pickle of a number that is to be remembered as the two thousand millionth."""


def npy_of(pickle_bytes: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + pickle_bytes


def torchscript(pickled: bytes, numbers: bytes = b"") -> bytes:
    """An archive with compiled code, of this pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        members = {"data.pkl": pickled, "constants.pkl": b"\x80\x02).", "version": b"3", "data/0": numbers}
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return file.getvalue()


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


TUPLES = b"\x80\x04K\x01\x94" + b"".join(b"h" + bytes([k]) + b"h" + bytes([k]) + b"\x86\x94" for k in range(60))
"""60 tuples, each of the one before it twice: to hash the last one takes a thousand years."""
AS_KEY = TUPLES + b"}h\x3cK\x01s."
IN_A_SET = TUPLES + b"\x8f(h\x3c\x90."
BYTE_ARRAY = b"\x80\x05\x96" + struct.pack("<Q", 4 << 30) + b"."
NEW_MODULE = b"c__torch__\nM\n)\x81"
STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n"


def modules() -> bytes:
    """60 modules, each of which holds the one before it twice."""
    pairs = b"".join(
        NEW_MODULE + b"(" + text("a") + b"h" + bytes([k]) + text("b") + b"h" + bytes([k]) + b"ubq" + bytes([k + 1])
        for k in range(60)
    )
    return b"\x80\x02" + NEW_MODULE + b"q\x00" + pairs + b"."


def many_tensors() -> bytes:
    """1000 parameters over the same 16 MiB of numbers."""
    numbers = STORAGE + text("0") + text("cpu") + b"K\x00tQ"
    shape = b"K\x00J" + struct.pack("<i", 1 << 22) + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    one = b"ctorch._utils\n_rebuild_tensor_v2\n(" + numbers + shape
    return b"\x80\x02" + NEW_MODULE + b"}(" + b"".join(text(f"k{k}") + one for k in range(1000)) + b"ub."


def entities(encoding: str) -> bytes:
    grown = "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(9))
    head = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY e0 "bbbbbbbbbb">{grown}]>'
    return f"{head}<annotation><filename>&e9;</filename></annotation>".encode(encoding)


def lists_of_aliases(merged: bool = False) -> bytes:
    """Ten times ten times ... the same list, or mapping."""
    lines = ["a0: &a0 {x: 1, y: 2}" if merged else "a0: &a0 [x, x]"]
    for k in range(9):
        ten = ", ".join([f"*a{k}"] * 10)
        lines.append(f"a{k + 1}: &a{k + 1} {{<<: [{ten}]}}" if merged else f"a{k + 1}: &a{k + 1} [{ten}]")
    return "\n".join([*lines, "names: *a9"]).encode()


def supervisely(item: Mapping[str, Any], times: int = 1) -> bytes:
    """The objects of an image of 96 x 64 pixels."""
    size = {"height": 64, "width": 96}
    return json.dumps({"size": size, "tags": [], "objects": [{"classTitle": "cat", **item}] * times}).encode()


def polygon(exterior: list[Any], interior: list[Any]) -> bytes:
    return supervisely({"geometryType": "polygon", "points": {"exterior": exterior, "interior": interior}})


def packed_picture(megabytes: int) -> dict[str, Any]:
    """A PNG with so many zeros behind its end, packed."""
    file = io.BytesIO()
    Image.new("1", (9, 9), 1).save(file, "PNG")
    data = base64.b64encode(zlib.compress(file.getvalue() + bytes(megabytes * MEGABYTE))).decode()
    return {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [1, 1]}}


FAR = 10**9
INSIDE = [[1, 1], [50, 1], [50, 50]]
BOMBS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], Any]]] = {
    "npz": ("w.npz", lambda: zip_bomb(300, "a.npy"), read_entries),
    "pth": ("w.pth", lambda: zip_bomb(300, "archive/data/0"), read_entries),
    "labels": ("l.npy", lambda: npy_of(MEMO_BOMB), lambda path: read_labels(path, "labels", 2)),
    "labels: tuples as a key": ("l.npy", lambda: npy_of(AS_KEY), lambda path: read_labels(path, "labels", 2)),
    "labels: tuples in a set": ("l.npy", lambda: npy_of(IN_A_SET), lambda path: read_labels(path, "labels", 2)),
    "labels: byte array": ("l.npy", lambda: npy_of(BYTE_ARRAY), lambda path: read_labels(path, "labels", 2)),
    "TorchScript: memo": ("w.pt", lambda: torchscript(MEMO_BOMB), read_entries),
    "TorchScript: tuples as a key": ("w.pt", lambda: torchscript(AS_KEY), read_entries),
    "TorchScript: tuples as a name": (
        "w.pt", lambda: torchscript(TUPLES + STORAGE + b"h\x3c" + text("cpu") + b"K\x00tQ."), read_entries
    ),
    "TorchScript: byte array": ("w.pt", lambda: torchscript(BYTE_ARRAY), read_entries),
    "TorchScript: modules": ("w.pt", lambda: torchscript(modules()), read_entries),
    "mat": ("m.mat", lambda: zlib.compress(bytes(300 * MEGABYTE), 1), read_mat),
    "pixels": ("i.png", lambda: png_bomb(60_000, 60_000), read_image),
    "text": ("i.png", lambda: png_bomb(8, 8, bytes(300 * MEGABYTE)), read_image),
    "entities": ("x.xml", lambda: entities("utf-8"), read_voc_xml),
    "entities in UTF-16": ("x.xml", lambda: entities("utf-16"), read_voc_xml),
    "a packed picture": ("ann/q0.png.json", lambda: supervisely(packed_picture(100)), lambda path: _drawn(path)),
    "an outline that goes far": ("ann/q0.png.json", lambda: polygon([[1, 1], [FAR, 1], [50, 50]], []),
                                 lambda path: _drawn(path)),
    "a hole that goes far": ("ann/q0.png.json", lambda: polygon(INSIDE, [[[5, 5], [FAR, 6], [7, FAR]]]),
                             lambda path: _drawn(path)),
}  # fmt: skip
"""Name -> file, what is in it, and what reads it."""


def _drawn(path: Path) -> Any:
    return drawn(path.parent.parent, ("q0",))


def within_bounds(work: Callable[[], object]) -> None:
    """Does the work in a fork: no end by a signal, no hang, no memory beyond :data:`MEGABYTES`."""
    outcome = tried(Case("", lambda _: (work(), {"done": 1})[1], 1, 1, SECONDS, MEGABYTES), 0)
    assert not outcome.problem


def refused(name: str, content: bytes, read: Callable[[Path], Any]) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    with pytest.raises((DataError, BadFileError)):
        read(Path(name))


@pytest.mark.parametrize("kind", BOMBS)
def test_what_would_become_huge_is_refused(kind: str) -> None:
    name, make, read = BOMBS[kind]
    within_bounds(partial(refused, name, make(), read))


def test_parameters_that_share_their_numbers_are_not_copied() -> None:
    content = torchscript(many_tensors(), bytes(1 << 24))

    def read() -> None:
        Path("w.pt").write_bytes(content)
        assert len(read_entries(Path("w.pt"))) == 1000

    within_bounds(read)


def test_pictures_of_many_objects_stay_packed() -> None:
    """Each of 40 objects has 15 MiB unpacked, which is within the limit of one."""
    content = supervisely(packed_picture(15), times=40)

    def read() -> None:
        Path("ann").mkdir()
        Path("ann/q0.png.json").write_bytes(content)
        assert (drawn(Path(), ("q0",))["q0"].seeds == 1).sum() == 81

    within_bounds(read)


@pytest.mark.parametrize("merged", [False, True])
def test_a_data_yaml_of_aliases_has_no_names(merged: bool) -> None:
    content = lists_of_aliases(merged)

    def read() -> None:
        Path("data.yaml").write_bytes(content)
        assert names_of_yaml(Path("data.yaml")) is None

    within_bounds(read)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("address", ["file:///etc/hostname", "http://127.0.0.1:9/x"])
def test_no_entity_of_an_xml_is_read(tmp_path: Path, encoding: str, address: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY e SYSTEM "{address}">]>'
    (tmp_path / "x.xml").write_bytes(f"{text}<annotation><filename>&e;</filename></annotation>".encode(encoding))
    with pytest.raises(DataError):
        read_voc_xml(tmp_path / "x.xml")


PIPES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "image": ("i.png", read_image),
    "weights": ("w.pth", read_entries),
    "labels .npy": ("l.npy", lambda path: read_labels(path, "labels", 2)),
    "labels .json": ("l.json", lambda path: read_labels(path, "labels", 2)),
    "SBD .mat": ("m.mat", read_mat),
    "VOC XML": ("x.xml", read_voc_xml),
    "an export of a tool": ("x.json", lambda path: drawn(path, ("q0",))),
    "tags": ("tags.csv", lambda path: make_catalogue("folder", Path("c"), Path("g"), {"root": "."})),
    "COCO": (
        "annotations/instances_train2014.json",
        lambda path: make_catalogue("coco", Path("c"), Path("g"), {"root": ".", "splits": {"train": "train2014"}}),
    ),
}


@pytest.mark.parametrize("kind", PIPES)
def test_nobody_waits_for_a_pipe(kind: str) -> None:
    """An archive that is unpacked may have one in place of a file."""
    name, read = PIPES[kind]

    def waits() -> None:
        Path(name).parent.mkdir(exist_ok=True)
        os.mkfifo(name)
        if kind == "tags":
            Path("images").mkdir()
            Image.new("RGB", (8, 6)).save("images/a.png")
        with pytest.raises((Weak2MaskError, BadFileError)):
            read(Path(name))

    within_bounds(waits)


def test_a_pipe_among_the_files_of_an_export_is_passed_over() -> None:
    def read() -> None:
        Path("ann").mkdir()
        os.mkfifo("ann/q1.png.json")
        Path("ann/q0.png.json").write_bytes(polygon(INSIDE, []))
        assert drawn(Path(), ("q0",))["q0"].tags.tolist() == [True, False]

    within_bounds(read)
