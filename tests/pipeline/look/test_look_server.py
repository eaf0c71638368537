"""The server of the local page: what it answers, what it saves, whom it refuses."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from starlette.testclient import TestClient

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED
from pipeline.binders import import_annotations
from pipeline.book.params import Book
from pipeline.look import application as server
from pipeline.look.drawings import ConflictError, Drawing
from pipeline.look.guard import HEADERS, Guard
from pipeline.look.serving import address, open_desk, who_can_reach
from pipeline.look.targets import find_targets
from pipeline.storage.stores import SupervisionStore
from pipeline.tracking.log import Log
from tests.helpers import look_book, made_book

HEIGHT, WIDTH = made_book.SIZE
ODD = "t 1#?%&'<i>"
MARKS: dict[str, Any] = {
    "points": [{"label": 1, "x": 3, "y": 4}, {"label": 0, "x": 59, "y": 39}],
    "boxes": [{"label": 2, "x1": 1, "y1": 2.5, "x2": 10, "y2": 20}],
    "runs": [[UNLABELLED, 100], [2, 20], [0, 5], [UNLABELLED, HEIGHT * WIDTH - 125]],
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    book = look_book.book()
    made_book.make(book, stages=("cams/cam", "supervision/pseudo", "masks/net"))
    return book


@pytest.fixture
def client(made: Book) -> TestClient:
    return client_of(look_book.desk(made))


def client_of(desk: Any) -> TestClient:
    return TestClient(server.application(desk, Guard("127.0.0.1", "secret")), base_url="http://127.0.0.1:8421/secret/")


def drawing(client: TestClient, id: str) -> dict[str, Any]:
    plain: dict[str, Any] = client.get("api/image", params={"set": "made", "id": id}).json()["drawing"]
    return plain


def save(client: TestClient, id: str, **marks: Any) -> Any:
    body = {"version": drawing(client, id)["version"], **marks}
    return client.put("api/drawing", params={"set": "made", "id": id}, json=body)


def test_a_page_of_images_and_its_pictures(client: TestClient) -> None:
    assert '<script src="assets/main.js" type="module">' in client.get("").text
    assert client.get("assets/look.css").headers["content-type"].startswith("text/css")
    overview = client.get("api/overview").json()
    assert [one["name"] for one in overview["sets"][0]["classes"]] == list(made_book.CLASSES)
    assert (page := client.get("api/page", params={"set": "made", "split": "train"}).json())["drawn"] == 0
    assert [item["id"] for item in page["items"]] == list(made_book.IDS["train"])
    for kind in ("thumbnail", "photo"):
        answer = client.get(f"api/{kind}", params={"set": "made", "id": ODD})
        assert Image.open(io.BytesIO(answer.content)).size == (WIDTH, HEIGHT)


def test_layers_of_an_image(client: TestClient, made: Book) -> None:
    image = client.get("api/image", params={"set": "made", "id": "t0"}).json()
    assert [layer["key"] for layer in image["layers"]] == ["cams/cam", "supervision/pseudo", "truth"]
    assert (image["problems"], image["at"]) == ([], None)
    assert client.get("api/image", params={"set": "made", "id": "t2", "split": "train"}).json()["at"] == 2
    assert client.get("api/image", params={"set": "made", "id": "v0"}).json()["layers"][0]["key"] == "masks/net"
    for layer in image["layers"]:
        for part in ("fill",) if layer["heat"] else ("fill", "line"):
            query = {"set": "made", "id": "t0", "key": layer["key"], "part": part, "label": layer["classes"][0]}
            answer = client.get("api/layer", params=query)
            assert answer.status_code == 200
            assert Image.open(io.BytesIO(answer.content)).size[0] >= WIDTH
    wrong = client.get("api/layer", params={"set": "made", "id": "t0", "key": "cams/came", "part": "fill"})
    assert wrong.status_code == 422
    assert "Did you mean 'cams/cam'" in wrong.json()["error"]


def test_a_stage_that_ran_again_is_read_again(client: TestClient, made: Book) -> None:
    query = {"set": "made", "id": "t0", "key": "supervision/pseudo", "part": "fill"}
    before = client.get("api/layer", params=query).content
    catalogue = look_book.desk(made).sets["made"].catalogue
    made_book._store(Path(made.book.work), catalogue, "supervision", "full")
    Path("work/made/supervision/pseudo").rename("work/made/supervision/old")
    Path("work/made/supervision/full").rename("work/made/supervision/pseudo")
    again = client.get("api/layer", params=query).content
    assert Image.open(io.BytesIO(again)).size == Image.open(io.BytesIO(before)).size
    assert "truth" in str(client.get("api/image", params={"set": "made", "id": "t0"}).json()["layers"])


def used(client: TestClient, split: str = "train") -> dict[str, Any]:
    answer: dict[str, Any] = client.get("api/use", params={"set": "made", "split": split}).json()
    return answer


def test_what_is_drawn_is_what_import_annotations_reads(client: TestClient) -> None:
    for id in made_book.IDS["train"]:
        assert save(client, id, **MARKS).status_code == 200
    use = used(client)
    assert [count["images"] for count in use["counts"]] == [4, 4, 4]
    assert [way["title"] for way in use["ways"]] == ["Over 'tags'", "Alone"]
    entries = yaml.safe_load(use["ways"][0]["lines"])
    assert list(entries["train"]) == ["net_drawn"]
    assert entries["overlay_labels"]["with_drawn"] == {"data": "made", "supervision": "tags", "over": "drawn"}
    book = look_book.book(import_annotations=entries["import_annotations"])
    import_annotations.run(book, "drawn", Log())
    stored = SupervisionStore(Path("work/made/supervision/drawn"))[ODD]
    seeds = np.full(HEIGHT * WIDTH, UNLABELLED, np.uint8)
    seeds[100:120], seeds[120:125] = 2, 0
    seeds = seeds.reshape(made_book.SIZE)
    seeds[4, 3], seeds[39, 59] = 1, 0
    np.testing.assert_array_equal(stored.seeds, seeds)
    assert (stored.boxes.tolist(), stored.box_classes.tolist()) == ([[1, 2.5, 10, 20]], [2])  # type: ignore[union-attr]
    again = used(client_of(look_book.desk(book)))
    assert ([count["entry"] for count in again["counts"]], again["refusing"]) == (["drawn"] * 3, [])
    assert [way["lines"] for way in again["ways"]] == [""]


def test_a_few_drawn_images_can_be_used(client: TestClient) -> None:
    assert used(client)["ways"] == []
    for id in ("t2", ODD):
        assert save(client, id, **MARKS).status_code == 200
    assert save(client, "v0", **MARKS).status_code == 200
    use = used(client)
    assert (use["drawn"], use["total"]) == (2, 4)
    titles = [way["title"] for way in use["ways"]]
    assert titles == ["Over 'tags'", "Left out", "Tags alone", "Without an object"]
    sizes = {}
    for way in use["ways"]:
        entries = yaml.safe_load(way["lines"])
        book = look_book.book(**{verb: {**getattr(made_book.book(), verb), **new} for verb, new in entries.items()})
        import_annotations.run(book, "drawn", Log())
        store = SupervisionStore(Path("work/made/supervision/drawn"))
        sizes[way["title"]] = [int((item.seeds != UNLABELLED).sum()) for _, item in store]
        taught = entries.get("train", {}).get("net_drawn", {}).get("loader", {})
        assert taught == ({"batch_size": 2} if way["title"] == "Left out" else {})  # larger batches could not be filled
    assert sizes == dict(zip(titles, [[27, 27], [27, 27], [0, 27, 27, 0], [2400, 27, 27, 2400]], strict=True))
    entry = entries["import_annotations"]["drawn"]
    del entry["options"]
    asked = used(client_of(look_book.desk(look_book.book(import_annotations={"drawn": entry}))))
    assert asked["refusing"] == ["drawn"]


def test_a_batch_of_accumulated_parts_is_filled_by_the_drawn_images(client: TestClient) -> None:
    """Three images fill one part of the four that the book's segmenter has, at its size or smaller."""
    for id in made_book.IDS["train"][:3]:
        assert save(client, id, points=MARKS["points"]).status_code == 200
    net = made_book.book().train["net"].model_dump(exclude_defaults=True)
    book = look_book.book(train={"net": {**net, "loader": {"batch_size": 8}, "settings": {"accumulate": 4}}})
    (way,) = (way for way in used(client_of(look_book.desk(book)))["ways"] if way["title"] == "Left out")
    taught = yaml.safe_load(way["lines"])["train"]["net_drawn"]
    assert (taught["loader"], taught["settings"]["accumulate"]) == ({"batch_size": 2}, 1)


def test_a_book_of_blocks_gets_a_block(client: TestClient) -> None:
    Path("book.yaml").touch()
    assert save(client, ODD, boxes=MARKS["boxes"]).status_code == 200
    ways = used(client)["ways"]
    block = yaml.safe_load(ways[0]["lines"])["drawn"]
    assert list(block) == ["import_annotations", "overlay_labels", "train", "predict_masks"]
    assert ways[0]["commands"][0].endswith("expand")
    assert list(yaml.safe_load(ways[1]["lines"])["drawn"]) == ["import_annotations"]  # boxes name no pixel's class


def test_two_servers_of_one_book_lose_nothing_of_each_other(made: Book) -> None:
    """Each draws on images of its own, at once, in the same files; on the same image the later one is refused."""
    desks = [look_book.desk(made), look_book.desk(made)]

    def draw(number: int) -> None:
        for x in range(12):
            for id in made_book.IDS["train"][2 * number : 2 * number + 2]:
                version = desks[number].image("made", id)["drawing"]["version"]
                marks = {"points": [{"label": 1, "x": x, "y": 5}], "boxes": MARKS["boxes"]}
                desks[number].save("made", id, Drawing.model_validate(marks | {"version": version}))

    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(draw, range(2))] == [None, None]
    for desk in (*desks, look_book.desk(made)):
        for id in made_book.IDS["train"]:
            drawing = desk.image("made", id)["drawing"]
            assert [point["x"] for point in drawing["points"]] == [11]
            assert len(drawing["boxes"]) == 1
    assert sorted(path.name for path in Path("annotations/made/made").iterdir()) == ["boxes.csv", "points.csv"]
    seen = [desk.image("made", ODD)["drawing"]["version"] for desk in desks]
    desks[0].save("made", ODD, Drawing(no_object=True, version=seen[0]))
    with pytest.raises(ConflictError, match="changed since this page read them"):
        desks[1].save("made", ODD, Drawing(version=seen[1]))


def test_a_drawing_comes_back_and_can_be_taken_away(client: TestClient) -> None:
    assert save(client, ODD, **MARKS).status_code == 200
    plain = drawing(client, ODD)
    assert {key: plain[key] for key in MARKS} == MARKS
    assert (
        client.get("api/page", params={"set": "made", "split": "train", "drawn": "yes"}).json()["items"][0]["id"] == ODD
    )
    assert save(client, "t2", no_object=True).status_code == 200
    assert drawing(client, "t2")["no_object"]
    assert save(client, ODD).status_code == 200
    folder = Path("annotations/made/made")
    assert (folder / "points.csv").read_text() == "image,class,x,y\n"
    assert (folder / "boxes.csv").read_text() == "image,class,x1,y1,x2,y2\nt2,background,,,,\n"
    assert list((folder / "scribbles").iterdir()) == []


def test_rows_of_others_stay(client: TestClient) -> None:
    folder = Path("annotations/made/made")
    folder.mkdir(parents=True)
    rows = ["image,class,x,y", "v1,cat,1,2", "t0,zebra,5,5", "t0,cat,6,7", '"who, is this",cat,1,1', ""]
    (folder / "points.csv").write_text("\n".join(rows))
    assert [point["x"] for point in drawing(client, "t0")["points"]] == [6]
    assert save(client, "t0", points=[{"label": 2, "x": 8, "y": 9}]).status_code == 200
    after = list(csv.reader((folder / "points.csv").open()))
    assert after[1:] == [
        ["v1", "cat", "1", "2"],
        ["t0", "zebra", "5", "5"],
        ["t0", made_book.CLASSES[1], "8", "9"],
        ["who, is this", "cat", "1", "1"],
    ]


@pytest.mark.parametrize("name", ["t0_scribble.png", "t0.PNG", "old/t0.png"])
def test_strokes_go_into_the_file_that_an_image_has_under_another_name(client: TestClient, name: str) -> None:
    """A second file beside it would be refused by import_annotations."""
    file = scribbles_of(name)
    assert drawing(client, "t0")["runs"] == [[1, 20], [UNLABELLED, HEIGHT * WIDTH - 20]]
    assert used(client)["counts"][2]["images"] == 1
    assert client.get("api/page", params={"set": "made", "split": "train"}).json()["drawn"] == 1
    before = file.read_bytes()
    assert save(client, "t0", points=MARKS["points"], runs=drawing(client, "t0")["runs"]).status_code == 200
    assert file.read_bytes() == before  # nobody changed the strokes
    assert save(client, "t0", **MARKS).status_code == 200
    assert drawing(client, "t0")["runs"] == MARKS["runs"]
    assert [path for path in Path("annotations/made/made/scribbles").rglob("*") if path.is_file()] == [file]
    assert save(client, "t0").status_code == 200
    assert not file.exists()


def test_files_of_strokes_that_cannot_be_written_to(client: TestClient) -> None:
    """One in another format than PNG, and two of one image: nothing of a drawing is saved."""
    tiff = scribbles_of("t0.tif")
    runs = drawing(client, "t0")["runs"]
    assert save(client, "t0", points=MARKS["points"], runs=runs).status_code == 200  # beside it
    refused = save(client, "t0", **MARKS)
    assert refused.status_code == 422
    assert "t0.tif: expected a PNG to draw strokes into" in refused.json()["error"]
    assert drawing(client, "t0")["boxes"] == []
    scribbles_of("t0_mask.png")
    both = client.get("api/image", params={"set": "made", "id": "t0"})
    assert both.status_code == 422
    assert "expected one file for image 't0', found 2: " in both.json()["error"]
    assert used(client)["counts"][2]["images"] == 1
    tiff.unlink()
    assert save(client, "t0", **MARKS).status_code == 200


def scribbles_of(name: str) -> Path:
    """A file of 20 pixels of the first class."""
    file = Path("annotations/made/made/scribbles", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((HEIGHT, WIDTH), 255, np.uint8)
    values[0, :20] = 1
    Image.fromarray(values).save(file)
    return file


def test_two_windows_do_not_write_over_each_other(client: TestClient) -> None:
    old = drawing(client, "t0")["version"]
    assert save(client, "t0", points=MARKS["points"]).status_code == 200
    same = {"points": MARKS["points"], "version": old}  # of a page that did not hear the answer
    assert client.put("api/drawing", params={"set": "made", "id": "t0"}, json=same).status_code == 200
    late = client.put("api/drawing", params={"set": "made", "id": "t0"}, json={"points": [], "version": old})
    assert late.status_code == 409
    assert len(drawing(client, "t0")["points"]) == 2


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"points": [{"label": 3, "x": 1, "y": 1}]}, "expected points"),
        ({"points": [{"label": 1, "x": WIDTH, "y": 1}]}, "expected points"),
        ({"points": [{"label": 1, "x": -1, "y": 1}]}, "points.0.x"),
        ({"boxes": [{"label": 0, "x1": 1, "y1": 1, "x2": 2, "y2": 2}]}, "boxes.0.label"),
        ({"boxes": [{"label": 1, "x1": 2, "y1": 1, "x2": 2, "y2": 2}]}, "expected boxes"),
        ({"runs": [[254, 7]]}, "strokes of"),
        ({"runs": [[9, HEIGHT * WIDTH]]}, "found labels"),
        ({"runs": [[254, HEIGHT * WIDTH + 5], [1, -5]]}, "runs.1.1"),
        ({"runs": [[254, 10**30]]}, "runs.0.1"),
        ({"more": 1}, "more"),
    ],
)
def test_what_cannot_be_is_not_saved(client: TestClient, marks: dict[str, Any], message: str) -> None:
    answer = save(client, "t0", **marks)
    assert answer.status_code in (400, 422)
    assert message in answer.json()["error"]
    assert not Path("annotations").exists()


@pytest.mark.parametrize("id", ["../t0", "nobody", "", "t0/../t1"])
def test_only_images_of_the_data_set_are_read_or_written(client: TestClient, id: str) -> None:
    query = {"set": "made", "id": id}
    for kind in ("image", "photo", "thumbnail"):
        assert client.get(f"api/{kind}", params=query).status_code == 422
    assert client.put("api/drawing", params=query, json={}).status_code == 422
    assert client.get("assets/..%2F..%2Findex.html").status_code == 404
    assert not Path("annotations").exists()


def test_a_request_has_a_limit(made: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_TEXT", 1 << 20)
    client = client_of(look_book.desk(made))
    answer = client.put("api/drawing", params={"set": "made", "id": "t0"}, content=b" " * (1 << 21))
    assert answer.status_code == 413
    assert client.put("api/drawing", params={"set": "made", "id": "t0"}, content=b"[" * 100_000).status_code == 400


def test_a_network_predicts_images_of_the_book_and_others(client: TestClient, made: Book) -> None:
    look_book.make_network(made)
    assert client.get("api/overview").json()["checkpoints"] == ["net"]
    query = {"checkpoint": "net"}
    of_book = client.post("api/predict", params=query | {"set": "made", "id": ODD}).json()
    file = Path("work/made/catalogues/made/images/1.png").read_bytes()
    sent = client.post("api/predict", params=query | {"name": "new.png"}, content=file).json()
    assert sent["size"] == [HEIGHT, WIDTH]
    assert (sent["fill"], sent["classes"]) == (of_book["fill"], of_book["classes"])
    shares = [one["share"] for one in (*sent["classes"], sent["background"])]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert all(0 <= one["score"] <= 1 for one in sent["classes"])
    bad = client.post("api/predict", params=query | {"name": "new.png"}, content=file[:200])
    assert bad.status_code == 422
    assert bad.json()["error"].startswith("new.png: expected")
    wrong = client.post("api/predict", params={"checkpoint": "/etc"}, content=file)
    assert wrong.status_code == 400


ASKED = "http://127.0.0.1:8421"


@pytest.mark.parametrize(
    ("path", "headers", "allowed"),
    [
        ("/secret/", {"host": "127.0.0.1:8421"}, True),
        ("/secret/api/page", {"host": "localhost:9000", "origin": "http://localhost:9000"}, True),  # a tunnel
        ("/secret/", {"host": "[::1]:8421", "sec-fetch-site": "same-origin"}, True),
        ("/secret/", {"host": "evil.example:8421"}, False),
        ("/secret/", {"host": "127.0.0.1.evil.example"}, False),
        ("/secret/", {}, False),
        ("/secret/", {"host": "127.0.0.1:8421", "origin": "http://evil.example"}, False),
        ("/secret/", {"host": "127.0.0.1:8421", "origin": "null"}, False),
        ("/secret/", {"host": "127.0.0.1:8421", "origin": "http://127.0.0.1:5000"}, False),
        ("/secret/", {"host": "127.0.0.1:8421", "sec-fetch-site": "cross-site"}, False),
        ("/secret/", {"host": "127.0.0.1:8421", "sec-fetch-site": "same-site"}, False),
        ("/", {"host": "127.0.0.1:8421"}, False),
        ("/secre/api/page", {"host": "127.0.0.1:8421"}, False),
        ("/secret2/", {"host": "127.0.0.1:8421"}, False),
        ("/\u00e9", {"host": "127.0.0.1:8421"}, False),
        ("/secret/", {"host": "192.168.1.5:8421"}, False),
    ],
)
def test_who_may_ask(path: str, headers: dict[str, str], allowed: bool) -> None:
    refusal = Guard("127.0.0.1", "secret").refusal(path, headers)
    assert (refusal is None) == allowed, refusal


def test_an_opened_server_answers_to_addresses_and_its_own_name() -> None:
    guard = Guard("0.0.0.0", "secret")
    for host, allowed in (("192.168.1.5:8421", True), ("127.0.0.1", True), ("evil.example", False)):
        assert (guard.refusal("/secret/", {"host": host}) is None) == allowed
    assert "lets other machines" in who_can_reach(guard, 8421)
    assert "Only this machine" in who_can_reach(Guard("127.0.0.1", "secret"), 8421)
    assert address(guard, 8421) == "http://127.0.0.1:8421/secret/"


def test_every_answer_has_the_policy(client: TestClient) -> None:
    for answer in (client.get(""), client.get("api/overview"), client.get("http://127.0.0.1/"), client.get("nothing")):
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
    refused = client.get("http://127.0.0.1/other/api/overview")
    assert refused.status_code == 403
    assert "made" not in refused.text
    assert client.get("api/overview", headers={"host": "evil.example"}).status_code == 403
    assert client.get("api/overview").headers["cache-control"] == "no-store"
    assert client.get("http://127.0.0.1/secret").url.path == "/secret/"


def test_a_book_in_which_nothing_has_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "farm")
    entry = {"reader": "folder", "root": "farm", "options": {}}
    book = look_book.book(prepare={"made": entry, "toys": {"reader": "toy", "root": "."}})
    client = client_of(look_book.desk(book))
    farm, toys = client.get("api/overview").json()["sets"]
    assert "run prepare@toys" in toys["problem"]
    assert [one["name"] for one in farm["classes"]] == ["cow", "dog"]
    assert sum(split["images"] for split in farm["splits"]) == 3
    assert client.get("api/image", params={"set": "made", "id": "a"}).json()["layers"] == []
    assert save(client, "a", points=[{"label": 1, "x": 3, "y": 4}]).status_code == 200
    assert Image.open(io.BytesIO(client.get("api/photo", params={"set": "made", "id": "a"}).content)).size == (40, 30)


def test_a_plain_folder_of_images(tmp_path: Path) -> None:
    photos(tmp_path / "farm", tags=False)
    with pytest.raises(ConfigurationError, match="--classes"):
        open_desk(str(tmp_path / "farm"))
    with pytest.raises(ConfigurationError, match="found none"):
        open_desk(str(tmp_path / "fram"))
    client = client_of(open_desk(str(tmp_path / "farm"), ["dog", "cow"]))
    query = {"set": "farm", "id": "b"}
    version = client.get("api/image", params=query).json()["drawing"]["version"]
    body = {"boxes": [{"label": 1, "x1": 1, "y1": 1, "x2": 9, "y2": 9}], "version": version}
    assert client.put("api/drawing", params=query, json=body).status_code == 200
    assert (tmp_path / "farm" / "boxes.csv").read_text() == "image,class,x1,y1,x2,y2\nb,cow,1,1,9,9\n"
    ways = client.get("api/use", params={"set": "farm", "split": "images"}).json()["ways"]
    ends = [way["commands"][0].partition("farm ")[2] for way in ways]
    assert ends == [
        f"--option 'classes: [cow, dog]' --option 'unannotated: {how}'" for how in ("left_out", "background")
    ]


def test_a_file_of_another_form_is_not_written_to(client: TestClient) -> None:
    folder = Path("annotations/made/made")
    folder.mkdir(parents=True)
    (folder / "points.csv").write_text("filename,label,x,y\nt0,cat,1,1\n")
    answer = client.get("api/image", params={"set": "made", "id": "t0"})
    assert answer.status_code == 422
    assert "--out" in answer.json()["error"]
    assert (folder / "points.csv").read_text() == "filename,label,x,y\nt0,cat,1,1\n"


def test_the_entry_of_a_book_says_where_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"unlabelled": 9, "background_value": 200}
    entry = {"data": "made", "split": "train", "kind": "scribbles", "file": "data/strokes", "options": options}
    other = {"data": "made", "split": "train", "kind": "points", "file": "data/other.csv"}
    book = look_book.book(import_annotations={"strokes": entry, "clicks": other})
    made_book.make(book, stages=())
    Path("data").mkdir()
    Path("data/other.csv").write_text("filename,label,x,y\n")
    client = client_of(look_book.desk(book))
    assert save(client, "t0", **MARKS).status_code == 200
    values = np.asarray(Image.open("data/strokes/t0.png"))
    assert np.unique(values).tolist() == [2, 9, 200]
    assert Path("data/other.csv").read_text() == "filename,label,x,y\n"
    assert Path("annotations/made/made/points.csv").is_file()


def photos(folder: Path, tags: bool = True) -> None:
    (folder / "images").mkdir(parents=True)
    for number, name in enumerate("abc"):
        Image.new("RGB", (40, 30), (90 * number, 80, 60)).save(folder / "images" / f"{name}.png")
    if tags:
        (folder / "tags.csv").write_text("image,tags\na.png,cow\nb.png,dog\nc.png,cow;dog\n")


def test_each_split_has_the_files_of_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clicks = {"data": "made", "kind": "points"}
    entries = {split: clicks | {"split": split, "file": f"data/{split}.csv"} for split in ("train", "val")}
    book = look_book.book(import_annotations=entries)
    made_book.make(book, stages=())
    Path("data").mkdir()
    for split, id in (("train", "t0"), ("val", "v0")):
        Path(f"data/{split}.csv").write_text(f"image,class,x,y\n{id},cat,1,1\n")
    client = client_of(look_book.desk(book))
    for split, first, id in (("val", "v0", "v1"), ("train", "t0", "t2")):
        image = {"set": "made", "split": split, "id": id}
        version = client.get("api/image", params=image).json()["drawing"]["version"]
        body = {"version": version, "points": [{"label": 1, "x": 3, "y": 4}]}
        assert client.put("api/drawing", params=image, json=body).status_code == 200
        assert Path(f"data/{split}.csv").read_text() == f"image,class,x,y\n{first},cat,1,1\n{id},cat,3,4\n"
        page = client.get("api/page", params={"set": "made", "split": split}).json()
        assert page["drawn"] == 2
        use = used(client, split)
        (count,) = (one for one in use["counts"] if one["kind"] == "points")
        assert (count["entry"], count["images"]) == (split, 2)
        assert [way["commands"] for way in use["ways"]] == [[f"python -m pipeline run import_annotations@{split}"]]
    files = client.get("api/overview").json()["sets"][0]["splits"]
    assert [split["files"]["points"] for split in files] == ["data/train.csv", "data/val.csv"]
    assert len(drawing(client, "v0")["points"]) == 1  # without a split: the one that has the image


def test_a_split_that_an_entry_reads_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = {"data": "made", "split": "all", "kind": "points", "file": "clicks.csv"}
    book = look_book.book(import_annotations={"clicks": entry})
    made_book.make(book, stages=())
    desk = look_book.desk(book)
    images = desk.sets["made"]
    images.splits["all"] = (*images.splits["train"], "v0")
    found = {split: find_targets(book, images, split, tmp_path).points.entry for split in images.splits}
    assert found == {"train": "clicks", "val": None, "all": "clicks"}


def test_to_look_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def coco(root: str, *, download: bool = False) -> None:
        raise DataError(f"download: {download}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.datasets.coco.coco", coco)
    entry = {"reader": "coco", "root": "coco", "options": {"download": True}}
    (found,) = client_of(look_book.desk(look_book.book(prepare={"made": entry}))).get("api/overview").json()["sets"]
    assert found["problem"] == "download: False"
