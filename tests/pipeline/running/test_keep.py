"""Results that stay over an edit of the code: the lock of a real book, whose code is said to have been another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from models.errors import ConfigurationError, DataError
from pipeline.__main__ import app
from pipeline.book.load import checked_book
from pipeline.new_book.write import init
from pipeline.results.tables.freshness import Record
from pipeline.running import repro
from pipeline.running.keep import keep
from tests.helpers.tiny_graph import ENVIRONMENT

pytestmark = pytest.mark.slow


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Eight photos, prepared and annotated; then the code of both stages counts as another's."""
    photos, here = tmp_path / "farm", tmp_path / "user"
    (photos / "images").mkdir(parents=True)
    here.mkdir()
    for k in range(8):
        Image.new("RGB", (60, 40), (20 * k, 90, 30)).save(photos / "images" / f"{k}.png")
    rows = "".join(f"{k}.png,{('cat', 'cow')[k % 2]}\n" for k in range(8))
    (photos / "tags.csv").write_text("image,tags\n" + rows)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    made = checked_book(init(photos, weights="random").path, files=True)
    repro.run(made, [f"annotate@{next(iter(made.annotate))}"])
    text = lock(made).read_text()
    for verb in ("prepare", "annotate"):
        for stage, recorded in yaml.safe_load(text)["stages"].items():
            if stage.startswith(f"{verb}@"):
                code = next(dep for dep in recorded["deps"] if "/code/" in dep["path"])
                text = text.replace(f"path: {code['path']}\n      hash: md5\n      md5: {code['md5']}",
                                    f"path: {code['path']}\n      hash: md5\n      md5: {32 * 'f'}")  # fmt: skip
    lock(made).write_text(text)
    return made


def lock(book: Any) -> Path:
    return Path(book.book.path) / "dvc.lock"


def reasons(book: Any) -> dict[str, tuple[str, ...]]:
    record = Record(book)
    return {verb: record.reasons((verb, name)) for verb in ("prepare", "annotate") for name in getattr(book, verb)}


def test_other_code_is_kept_and_nothing_runs(book: Any) -> None:
    assert reasons(book) == {"prepare": ("ran with other code",), "annotate": ("ran with other code",)}
    before = yaml.safe_load(lock(book).read_text())["stages"]
    (prepared,) = (Path(book.book.work) / "catalogues").iterdir()
    made = (prepared / "catalogue.json").stat().st_mtime_ns
    done = keep(book)
    assert [stage.partition("@")[0] for stage in done.kept] == ["prepare", "annotate"]
    assert done.left == {}
    assert reasons(book) == {"prepare": (), "annotate": ()}
    after = yaml.safe_load(lock(book).read_text())["stages"]
    assert {stage: recorded["outs"] for stage, recorded in after.items() if "@" in stage} == {
        stage: recorded["outs"] for stage, recorded in before.items() if "@" in stage
    }
    repro.run(book, [f"annotate@{next(iter(book.annotate))}"])
    assert (prepared / "catalogue.json").stat().st_mtime_ns == made
    assert keep(book).kept == ()


def test_other_settings_are_not_kept(book: Any) -> None:
    name = next(iter(book.annotate))
    text = lock(book).read_text()
    lock(book).write_text(text.replace("kind: tags", "kind: boxes"))
    left = f"These run again all the same:\n  annotate@{name} ran with other settings: kind\n"
    for kept in ("Kept, with the code of now: 1 prepare.", "Nothing to keep."):
        assert CliRunner().invoke(app, ["keep", "--book", book.book.path]).output == f"{kept}\n{left}"
    assert keep(book).left == {f"annotate@{name}": "ran with other settings: kind"}


def test_an_output_that_was_touched_is_not_kept(book: Any) -> None:
    before = lock(book).read_text()
    (catalogue,) = (Path(book.book.work) / "catalogues").glob("*/catalogue.json")
    content = catalogue.read_text()
    catalogue.unlink()
    catalogue.write_text(content + " ")
    with pytest.raises(DataError, match=r"1 of 2 stages to keep have an output that is not what they wrote: prepare@"):
        keep(book)
    assert lock(book).read_text() == before
    for path in sorted(catalogue.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    catalogue.parent.rmdir()
    with pytest.raises(DataError, match=r"1 of 2 stages to keep have no output here: prepare@.*dvc checkout"):
        keep(book)
    with pytest.raises(ConfigurationError, match="has no stage 'train@nothing'"):
        keep(book, ["train@nothing"])


def test_the_fingerprints_are_no_result_to_keep(book: Any) -> None:
    before = lock(book).read_text()
    with pytest.raises(ConfigurationError, match=r"code: expected stages whose results are kept.*Leave it out"):
        keep(book, ["code", f"annotate@{next(iter(book.annotate))}"])
    assert lock(book).read_text() == before
