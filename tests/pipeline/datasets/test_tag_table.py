"""Tables of tags as people and their tools write them: read as they are meant, said, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import DataError, Weak2MaskError
from pipeline.datasets.folder import folder
from pipeline.datasets.listing import Listing
from pipeline.datasets.tag_table import TagTable
from pipeline.datasets.tag_words import name_notices


def table(root: Path, text: str, classes: list[str] | None = None) -> TagTable:
    (root / "tags.csv").write_text(text, encoding="utf-8")
    return TagTable.read(root / "tags.csv", classes)


def listing(root: Path, text: str) -> Listing:
    """Of six images s0.jpg ... s5.jpg."""
    (root / "images").mkdir(exist_ok=True)
    for k in range(6):
        Image.new("RGB", (6, 4)).save(root / "images" / f"s{k}.jpg")
    (root / "tags.csv").write_text(text, encoding="utf-8")
    return folder(str(root), val_fraction=0)


def topics(read: TagTable | Listing) -> list[str]:
    return [notice.topic for notice in read.notices]


@pytest.mark.parametrize(
    ("cells", "names", "sentence"),
    [
        (['"cat"', '"dog"', '"cat, dog"'], ["cat", "dog"], "is made of other classes' names and is read as"),
        (["cat", "dog", "cat|dog"], ["cat", "dog"], "class 'cat|dog' is made of other classes' names"),
        (["cat", "dog|cat"], ["cat", "dog"], "class 'dog|cat' is made of other classes' names"),
        (['"cat,dog"', '"dog,cow"', '"cat,cow"'], ["cat", "cow", "dog"], "class 'cat,dog' is made of"),
        (["cat;dog", '"cat, dog"', "dog"], ["cat", "dog"], "Separate them by ';'"),
        (["cat", "dog", "cat/dog"], ["cat", "cat/dog", "dog"], "'cat/dog' (1) is made of other classes' names, but"),
        (["cat", "dog", "cat and dog"], ["cat", "cat and dog", "dog"], "Class 'cat and dog' (1) is made of"),
        (["cat", "dog", "cat dog"], ["cat", "cat dog", "dog"], "Class 'cat dog' (1) is made of"),
        (["cat", "dog", '"bird, other"'], ["bird, other", "cat", "dog"], "'bird, other' (1). Several names are"),
        (["cat", "dog", "cat#dog"], ["cat", "cat#dog", "dog"], "Class 'cat#dog' (1) is made of"),
        (["cat/dog", "dog/cow", "cow/cat"], ["cat/dog", "cow/cat", "dog/cow"], "Class 'cat/dog' (1), 'cow/cat' (1)"),
        (["cat", '"cat\ndog"', '"dog\n"'], ["cat", "dog"], ""),
        (["cat\u200b", "\ufeffcat", "dog"], ["cat", "dog"], ""),
        (["\"['cat', 'dog']\"", "['cat']", "[]"], ["cat", "dog"], ""),
        (['"[""cat"", ""dog""]"', "'dog'", "cat"], ["cat", "dog"], ""),
    ],
)  # fmt: skip
def test_several_names_in_a_cell(tmp_path: Path, cells: list[str], names: list[str], sentence: str) -> None:
    lines = [f"s{k},{cell}" for k, cell in enumerate(cells)]
    read = table(tmp_path, "\n".join(["image,tags", *lines]))
    assert list(read.classes) == names
    assert sentence in " ".join(notice.text for notice in read.notices)
    assert bool(sentence) == bool(read.notices)


def test_given_classes_are_names_whatever_they_look_like(tmp_path: Path) -> None:
    text = 'image,tags\ns0,none\ns1,"cat, dog"\ns2,cat\ns3,dog\n'
    read = table(tmp_path, text, ["none", "cat, dog", "cat", "dog"])
    assert read.tags == [["none"], ["cat, dog"], ["cat"], ["dog"]]
    assert not read.notices


@pytest.mark.parametrize("word", ["Background", "BACKGROUND", "_background_", "__background__", " bg"])
def test_the_background_in_other_letters_is_no_class_and_said(tmp_path: Path, word: str) -> None:
    read = table(tmp_path, f"image,tags\ns0,cat\ns1,{word}\ns2,{word};cat\n")
    assert read.classes == ("cat",)
    assert read.tags == [["cat"], [], ["cat"]]
    assert topics(read) == ["background_spelled_otherwise", "background_beside_classes"]
    assert "2 rows say" in read.notices[0].text


@pytest.mark.parametrize(
    "word", ["none", "None", "nan", "NaN", "null", "-", "--", "n/a", "N/A", "no object", "Nothing", "NA"]
)
def test_words_for_nothing_are_no_class(tmp_path: Path, word: str) -> None:
    found = listing(tmp_path, "image,tags\n" + "".join(f"s{k}.jpg,{'cat' if k else word}\n" for k in range(6)))
    assert found.class_names == ("cat",)
    assert [str(problem).split("tags.csv ")[1] for problem in found.problems] == [
        f"line 2: expected tags, or 'background' for an image without objects, found '{word}'"
    ]


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("image,label", "tag"), ("Image,Tags", "tags"), ("filename,class", "tag"), ("File Name,Labels", "tags"),
        ("file_name,category", "tag"), ("path,tags", "tags"), ("image_id,classes", "tags"), ("ID,Label", "tag"),
        ("FILEPATH,tag", "tag"), ("img,class_name", "tag"),
    ],
)  # fmt: skip
def test_columns_of_other_names_are_taken_and_said(tmp_path: Path, header: str, tags: str) -> None:
    read = table(tmp_path, f"{header}\ns0.jpg,cat\ns1.jpg,dog;cat\n")
    assert read.tags == [["cat"], ["dog", "cat"]]
    assert topics(read) == ["column_renamed"]
    repeated = table(tmp_path, f"{header}\ns0.jpg,cat\ns0.jpg,dog\n")
    assert repeated.tags == ([["cat", "dog"]] if tags == "tag" else [["cat"], ["dog"]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,path,tags\na,b,cat\n", "one column of images, found filename, path. Call the right one 'image'"),
        ("image,label,class\na,cat,pet\n", "one column of class names, found label, class. Call the right one"),
        ("picture,tags\na,cat\n", "Call the column of file names 'image'"),
        ("image,cat,width\na,1,640\nb,0,480\n", "found width='640'; 2 of 2 cells .*if 'width' is no class, remove the"),
        ("image,cat,score\na,1,0.83\nb,0,0.1\n", "score='0.83'.*counts or scores"),
        ("image,cat,dog\na,1,-1\nb,-1,1\nc,1,1\n", "cat='-1'.*write 0 for -1"),
        ("image,cat,dog\na,x,\nb,,x\n", "write 1 where the class is there, and 0 where it is not"),
        ("image,cat,subset\na,1,left\nb,0,right\n", "if its cells are class names, call it 'tags'"),
        ("image,species\na,cat\nb,dog\n", "found species='cat'.*call it 'tags'"),
        ("image,cat\na,3\nb,5\n", "counts or scores"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_say_what_to_call_or_write(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


@pytest.mark.parametrize(
    ("one", "zero"),
    [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("TRUE", "FALSE"), ("yes", "no"), ("Y", "n"), ("t", "f")],
)
def test_ones_and_zeros(tmp_path: Path, one: str, zero: str) -> None:
    read = table(tmp_path, f"image,cat,dog\ns0,{one},{zero}\ns1,{zero},{one}\ns2,{one},{one}\ns3,{zero},{zero}\n")
    assert read.tags == [["cat"], ["dog"], ["cat", "dog"], []]
    assert not read.problems
    assert not read.notices


@pytest.mark.parametrize("header", [",image,cat,dog", "Unnamed: 0,image,cat,dog", "image_path,image,cat,dog"])
def test_an_index_is_no_class(tmp_path: Path, header: str) -> None:
    read = table(tmp_path, f"{header}\n0,s0.jpg,1,0\n1,s1.jpg,0,1\n2,s2.jpg,1,1\n")
    assert read.classes == ("cat", "dog")
    assert topics(read) == ["columns_of_no_class"]
    assert not read.problems


def test_a_column_of_the_background_is_no_class(tmp_path: Path) -> None:
    read = table(tmp_path, "image,background,cat\ns0,0,1\ns1,1,0\ns2,1,1\ns3,0,0\n")
    assert read.classes == ("cat",)
    assert read.tags == [["cat"], [], ["cat"], []]
    assert [str(problem).split("tags.csv ")[1] for problem in read.problems] == [
        "line 4: expected 'background' alone, or classes, found cat"
    ]


def test_single_bad_cells_are_problems_of_their_rows(tmp_path: Path) -> None:
    rows = "".join(f"s{k},{1 if k else 2},0\n" for k in range(10))
    read = table(tmp_path, f"image,cat,dog\n{rows}")
    assert [str(problem).split("tags.csv ")[1] for problem in read.problems] == [
        "line 2: expected 0 or 1 for each class, found cat='2'"
    ]


def test_splits_of_other_names(tmp_path: Path) -> None:
    assert table(tmp_path, "image,tags,Split\na,cat,train\n").rows[0].cells["split"] == "train"
    assert table(tmp_path, "image,tags,subset\na,cat,Train\nb,cat,val\n").has_splits
    assert not table(tmp_path, "image,tags,set\na,cat,kitchen\n").has_splits
    rows = "".join(f"s{k},cat,{split}\n" for k, split in enumerate(["train"] * 18 + ["Train", "trian", "val", "valid"]))
    text = next(n.text for n in table(tmp_path, f"image,tags,split\n{rows}").notices if n.topic == "split_names_alike")
    for words in ("'Train' (1 rows) and 'train' (18 rows)", "'trian' (1 rows) and 'train' (18 rows)", "'val' (1 rows)"):
        assert words in text


@pytest.mark.parametrize(
    ("counts", "topic", "words"),
    [
        ({"cat": 30, "Cat": 1}, "class_names_alike", "'Cat' (1) and 'cat' (30)"),
        ({"cat": 30, "cats": 20}, "class_names_alike", "'cat' (30) and 'cats' (20)"),
        ({"red light": 3, "red_light": 4, "dog": 9}, "class_names_alike", "'red light' (3) and 'red_light' (4)"),
        ({"dog": 30, "dog.": 4}, "class_names_alike", "'dog' (30) and 'dog.' (4)"),
        ({"dog": 30, "dgo": 1}, "class_names_misspelled", "'dgo' (1) beside 'dog' (30)"),
        ({"zebra": 30, "zebr": 2}, "class_names_misspelled", "'zebr' (2) beside 'zebra' (30)"),
        ({"0": 30, "1": 20}, "class_names_are_numbers", "0 is a class of its own"),
    ],
)  # fmt: skip
def test_names_that_may_be_one(counts: dict[str, int], topic: str, words: str) -> None:
    (notice,) = name_notices(counts)
    assert notice.topic == topic
    assert words in notice.text


@pytest.mark.parametrize(
    "counts",
    [{"cat": 30, "cow": 1}, {"cat": 30, "car": 20}, {"c001": 30, "c011": 1}, {"glass": 9, "gas": 9}, {"bus": 9}],
)
def test_names_that_differ_get_no_word(counts: dict[str, int]) -> None:
    assert not list(name_notices(counts))


def test_val_leaves_the_last_image_of_a_class_to_train(tmp_path: Path) -> None:
    root = tmp_path
    (root / "images").mkdir()
    for k in range(20):
        Image.new("RGB", (6, 4)).save(root / "images" / f"s{k:02}.png")
    for seed in range(10):
        for first in range(0, 19, 3):
            rows = [f"s{k:02}.png,{'owl' if k in (first, first + 1) else 'cat'}" for k in range(20)]
            (root / "tags.csv").write_text("\n".join(["image,tags", *rows]))
            found = folder(str(root), seed=seed)
            assert len(found.splits["val"]) == 4
            assert any(item.tags == (2,) for item in found.splits["train"])
            (root / "tags.csv").write_text("\n".join(["image,tags", *(f"s{k:02}.png,cat" for k in range(20))]))
            before = {item.id for item in folder(str(root), seed=seed).splits["val"]}
            moved = before ^ {item.id for item in found.splits["val"]}
            assert bool(moved) == ({f"s{first:02}", f"s{first + 1:02}"} <= before)


def test_where_every_image_has_a_class_of_its_own_there_is_a_val_split(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for k in range(20):
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"s{k}.png")
    (tmp_path / "tags.csv").write_text("image,tags\n" + "".join(f"s{k}.png,c{k}\n" for k in range(20)))
    assert len(folder(str(tmp_path)).splits["val"]) == 4


WORDS = st.sampled_from(
    ["image", "tags", "tag", "split", "label", "cat", "dog", "s0.jpg", "s1", "\\s2.jpg", "background", "none", "0", "1",
     "-1", "", ",", ";", "|", "\n", "\r\n", '"', "[", "]", "'", "Ä", "Ä", "\x00", "\u2028", "train", "val", "1.0",
     "nan", "/"]
)  # fmt: skip
BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(WORDS, max_size=60).map(lambda words: "".join(words).encode()),
    st.lists(st.lists(WORDS, min_size=2, max_size=3), max_size=12).map(
        lambda rows: "\n".join(["image,tags,split", *(",".join(row) for row in rows)]).encode()
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=BYTES)
def test_any_bytes_give_a_listing_or_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "images").mkdir(exist_ok=True)
    for k in range(3):
        (tmp_path / "images" / f"s{k}.jpg").touch()
    (tmp_path / "tags.csv").write_bytes(content)
    try:
        found = folder(str(tmp_path))
    except Weak2MaskError as error:
        message = str(error)
    else:
        message = ""
    assert len(message) < 2000
    if message:
        return
    names = [item.id for items in found.splits.values() for item in items]
    assert set(names) <= {"s0", "s1", "s2"}
    assert all(len(notice.text) < 2000 for notice in found.notices)
    assert found.class_names


def is_name(name: bytes) -> bool:
    return b"/" not in name and b"\0" not in name and name not in (b".", b"..")


NAMES = st.binary(min_size=1, max_size=12).filter(is_name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=st.lists(NAMES, max_size=6), masks=st.lists(NAMES, max_size=6))
def test_any_file_names_give_a_listing_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, images: list[bytes], masks: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("names")
    for place, names in (("images", images), ("masks", masks)):
        (root / place).mkdir()
        for name in names:
            Path(bytes(root / place / "x")[:-1].decode(), name.decode(errors="surrogateescape") + ".png").touch()
    try:
        found = folder(str(root), tags=None, classes=["a"], masks="masks")
    except Weak2MaskError as error:
        str(error).encode()
        return
    for text in (*(str(problem) for problem in found.problems), *(notice.text for notice in found.notices)):
        text.encode()


def test_a_long_table_with_as_many_classes_is_read(tmp_path: Path) -> None:
    """A table that took more than linear time would run into the tests' limit."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "s0.jpg").touch()
    rows = ["s0.jpg,cat", *(f"image_{k}.jpg,name {k}, and {k}".replace(", ", "|") for k in range(3000))]
    (tmp_path / "tags.csv").write_text("\n".join(["image,tags", *rows]))
    assert len(folder(str(tmp_path)).class_names) > 3000


@pytest.mark.parametrize("header", ["fname,labels,is_valid", "image,cat,dog,is_valid"])
def test_columns_of_splits_are_no_class_and_said(tmp_path: Path, header: str) -> None:
    cells = "cat,False" if "labels" in header else "1,0,True"
    more = "dog,True" if "labels" in header else "0,1,False"
    read = table(tmp_path, f"{header}\ns0,{cells}\ns1,{more}\n")
    assert read.classes == ("cat", "dog")
    message = next(notice.text for notice in read.notices if notice.topic == "column_of_splits_passed_over")
    assert "the column 'is_valid' is passed over" in message
    assert "column 'split' with train and val" in message


def test_a_label_column_of_numbers_is_said(tmp_path: Path) -> None:
    read = table(tmp_path, "image,label\ns0,0.0\ns1,1.0\n")
    assert read.classes == ("label",)
    assert [notice.text for notice in read.notices if notice.topic == "column_of_numbers"] == [
        f"{tmp_path}/tags.csv: the column 'label' holds nothing but 0 and 1 and is taken for one class of that name. "
        "If these are numbers of classes, write the names of the classes instead."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("image,tags\n", "found the header alone"),
        ("s0.jpg,cat\ns1.jpg,dog\n", "found the first image: 's0.jpg,cat'. Write a first line"),
        ("image,tags\ns0.jpg,cat,dog\n", "found 3. A cell that holds the separator itself stands in quotes"),
    ],
)
def test_tables_without_a_header_or_rows(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        table(tmp_path, text)
    assert message in str(caught.value)
