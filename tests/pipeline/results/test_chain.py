"""What ``show`` says of a chain: which stages, their options, files, states, times, counted work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from models.errors import ConfigurationError
from pipeline.__main__ import app
from pipeline.book.check import check
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book, load_book
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.results.chain.collect import Chain, chain, drawn_inputs
from pipeline.results.chain.files import GraphFile
from pipeline.results.chain.names import named_entry
from pipeline.results.chain.settings import settings
from pipeline.results.chain.text import as_yaml, cost, duration, summary
from pipeline.running.graph import read_graph
from pipeline.tracking.times import Measured, recorded_times
from tests.helpers.toy_results import toy_content, write_book, write_lock, write_results

ROOT = Path(__file__).parents[3]
BOOKS = [".", *sorted(path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("recipes/*/params.yaml"))]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The toy book in a folder of its own; nothing has run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    return write_book(tmp_path, toy_content())


def seen(book: Book, name: str = "segmenter_val", busy: Mapping[str, int] | None = None) -> Chain:
    return chain(book, named_entry(book, name), busy or {})


def words(found: Chain) -> dict[str, str]:
    return {stage.stage: stage.state.word for stage in found.stages}


def test_a_name_that_stands_once_needs_no_verb(book: Book) -> None:
    assert named_entry(book, "segmenter_val") == ("evaluate", "segmenter_val")
    assert named_entry(book, "refine_cams@cam_crf") == ("refine_cams", "cam_crf")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cam_crf", "names 2 stages of params.yaml: expected one of make_pseudo_masks@cam_crf, refine_cams@cam_crf"),
        ("segmentr", "no entry 'segmentr'. Did you mean 'segmenter'"),
        ("train@clasifier", "no stage 'train@clasifier'. Did you mean 'train@classifier'"),
        ("code", "no entry 'code'"),
    ],
)
def test_other_names_are_refused_with_what_is_valid(book: Book, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        named_entry(book, name)
    assert message in str(raised.value)


def test_stages_stand_after_what_they_read(book: Book) -> None:
    found = seen(book)
    made: set[str] = set()
    for stage in found.stages:
        assert {one.made_by for one in stage.reads if one.made_by} <= made
        assert set(stage.after) <= made
        made.add(stage.stage)
    assert [stage.stage for stage in found.stages][-1] == found.target == "evaluate@segmenter_val"
    assert "train@full" not in made


def test_options_are_given_or_defaults(book: Book) -> None:
    found = {one.key: one for one in settings("train", book.train["classifier"])}
    assert (found["settings.lr"].value, found["settings.lr"].given) == (0.02, True)
    assert (found["settings.weight_decay"].value, found["settings.weight_decay"].given) == (5e-4, False)
    assert (found["model.pooling"].value, found["model.pooling"].given) == ("gap", False)
    assert (found["seed"].value, found["seed"].given) == (0, False)
    assert not {"data", "supervision", "init", "method"} & set(found)


def test_options_of_an_add_on_have_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with_add_on = [(name, entry) for name, entry in load_book("recipes/voc12").train.items() if entry.add_ons]
    assert with_add_on
    for name, entry in with_add_on:
        keys = [one.key for one in settings("train", entry)]
        for add_on in entry.add_ons:
            assert any(key.startswith(f"add_ons.{add_on}") for key in keys), name


def test_options_are_written_as_the_book_has_them(book: Book) -> None:
    for verb, name in book.entries():
        read: dict[str, Any] = {}
        lines = as_yaml([one for one in settings(verb, book.entry(verb, name)) if one.given])
        for line in lines:
            read |= yaml.safe_load(line if line.endswith("}") else f"{{{line}}}")
        content = toy_content()[verb][name]
        assert read == {key: value for key, value in content.items() if key in read}
        assert {"options", "model", "loader", "settings"} & set(content) <= set(read)


@pytest.mark.parametrize("folder", BOOKS)
def test_every_entry_of_every_book_has_a_chain(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and options of each entry can be said, and the last entry's chain as a whole."""
    monkeypatch.chdir(ROOT)
    book = load_book(folder)
    check(book)
    graph = GraphFile(book)
    for verb, name in book.entries():
        files = graph.files((verb, name))
        assert files.writes, (verb, name)
        assert not [path for path in (*files.reads, *files.writes) if "$" in path]
        assert settings(verb, book.entry(verb, name)) or verb == "overlay_labels"
    *_, last = book.entries()
    assert [stage.stage for stage in chain(book, last, {}).stages] == ["@".join(n) for n in ancestors(book, *last)]


def test_files_are_those_of_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    book, graph = load_book(), read_graph()
    files = GraphFile(book)
    for verb, name in book.entries():
        stage = graph[f"{verb}@{name}"]
        found = files.files((verb, name))
        assert {str(ROOT / path) for path in found.writes} == set(stage.outs)
        assert found.gpu == stage.gpu


def test_without_a_dvc_yaml_the_remedy_is_said(book: Book) -> None:
    Path("dvc.yaml").unlink()
    with pytest.raises(ConfigurationError, match=r"dvc.yaml: expected the stages.*refresh"):
        seen(book)


def test_an_input_from_outside_that_is_missing_is_marked(book: Book) -> None:
    prepare = seen(book).stages[0]
    assert [(one.path, one.made_by, one.missing) for one in prepare.reads] == [("pipeline/datasets/toy.py", None, True)]
    Path("pipeline/datasets").mkdir(parents=True)
    Path("pipeline/datasets/toy.py").touch()
    assert not seen(book).stages[0].reads[0].missing


def test_edges_to_the_data_set_are_drawn_where_nothing_else_leads_to_it(book: Book) -> None:
    order = ancestors(book, "evaluate", "segmenter_val")
    after = drawn_inputs(book, order)
    assert after["annotate", "tags"] == ("prepare@toy",)
    assert after["train", "segmenter"] == ("make_pseudo_masks@cam_crf", "train@classifier")
    assert [node for node in order if "prepare@toy" in after[node]] == [("annotate", "tags")]


def test_without_a_lock_nothing_is_known(book: Book) -> None:
    assert set(words(seen(book)).values()) == {"not known"}


def finished(book: Book, found: Chain) -> None:
    """A lock, and something at every path that the chain writes."""
    write_results(book)
    for stage in found.stages:
        for path in map(Path, stage.writes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    write_lock(book, toy_content())


def test_what_was_made_is_up_to_date_until_its_output_goes(book: Book) -> None:
    finished(book, seen(book))
    assert set(words(seen(book)).values()) == {"up to date"}
    Path("work/toy/cams/cam_crf").unlink()
    gone = words(seen(book))
    assert [stage for stage, word in gone.items() if word != "up to date"] == ["refine_cams@cam_crf"]
    assert gone["refine_cams@cam_crf"] == "restored"


def test_a_change_runs_its_stage_and_perhaps_those_below(book: Book, tmp_path: Path) -> None:
    finished(book, seen(book))
    content = toy_content()
    content["refine_cams"]["cam_crf"]["options"]["alpha"] = 2.0
    found = seen(write_book(tmp_path, content))
    below = ["make_pseudo_masks@cam_crf", "train@segmenter", "predict_masks@segmenter", "evaluate@segmenter_val"]
    expected = {stage.stage: "depends" if stage.stage in below else "up to date" for stage in found.stages}
    assert words(found) == expected | {"refine_cams@cam_crf": "would run"}
    why = {stage.stage: stage.state.why for stage in found.stages}
    assert why["refine_cams@cam_crf"] == ("ran with other settings: options.alpha",)
    assert why["train@segmenter"] == ("runs if another output comes of make_pseudo_masks@cam_crf",)


def test_what_another_command_makes_now_is_at_work(book: Book) -> None:
    finished(book, seen(book))
    found = seen(book, busy={str(Path("work/toy/checkpoints/segmenter").absolute()): 4711})
    assert words(found)["train@segmenter"] == "at work"
    assert words(found)["predict_masks@segmenter"] == "depends"
    assert words(found)["train@classifier"] == "up to date"


def test_work_is_counted_once_the_data_set_is_known(book: Book) -> None:
    work = {stage.stage: stage.work for stage in seen(book).stages}
    assert work["train@classifier"] == "30 epochs, 16 images a step"
    assert work["export_cams@cam"] == "6 views of each image"
    ids = {"train": [f"t{k}" for k in range(250)], "val": ["v0", "v1"]}
    entries = {id: CatalogueImage(id, f"{id}.png", (4, 4)) for split in ids.values() for id in split}
    splits = {split: tuple(names) for split, names in ids.items()}
    Catalogue("toy", ("cat",), splits, entries).save(Path("work/toy/catalogues/toy"))
    work = {stage.stage: stage.work for stage in seen(book).stages}
    assert work["train@classifier"] == "30 epochs of 250 images: 450 steps of 16"  # 15 whole batches of each epoch
    assert work["export_cams@cam"] == "250 images, 6 views of each"
    assert work["evaluate@segmenter_val"] == "2 images"
    assert work["make_pseudo_masks@cam_crf"] == "250 images"


def test_steps_need_no_data_set(book: Book, tmp_path: Path) -> None:
    content = toy_content()
    content["train"]["classifier"]["settings"] = {"steps": 2000}
    found = {stage.stage: stage.work for stage in seen(write_book(tmp_path, content)).stages}
    assert found["train@classifier"] == "2,000 steps of 16 images"


@pytest.mark.slow
def test_times_are_those_of_the_last_finished_runs(book: Book) -> None:
    """As MLflow itself writes them: the query is on its tables."""
    from pipeline.tracking.recorder import connect

    assert recorded_times(book.name).note.startswith("No times: mlflow.db is not there")
    client = connect()
    mine, other = (client.create_experiment(name, "mlruns") for name in (book.name, "other"))
    for experiment, name, start, seconds, status in (
        (mine, "train@classifier", 1_000, 50, "FINISHED"),
        (mine, "train@classifier", 100_000, 20, "KILLED"),
        (mine, "train@classifier", 200_000, 30, "FINISHED"),
        (mine, "export_cams@cam", 300_000, 7, "FINISHED"),
        (mine, "export_cams@cam", 400_000, 9, "FAILED"),
        (other, "refine_cams@cam_crf", 500_000, 9, "FINISHED"),
    ):
        run = client.create_run(experiment, start_time=start, run_name=name).info.run_id
        client.set_terminated(run, status, end_time=start + 1000 * seconds)
    client.delete_run(client.create_run(mine, start_time=600_000, run_name="export_cams@cam").info.run_id)
    found = recorded_times(book.name)
    assert found.note == ""
    assert {name: (one.seconds, one.start, one.continued) for name, one in found.measured.items()} == {
        "train@classifier": (30.0, 200_000, True),
        "export_cams@cam": (7.0, 300_000, False),
    }
    shown = seen(book)
    assert "Their last runs took 37 s (2 measured)" in summary(shown)
    assert "perhaps the last part only" in cost(next(one for one in shown.stages if one.stage == "train@classifier"))


@pytest.mark.parametrize("content", [b"no database at all, and long enough for one" * 40, b""])
def test_a_store_that_cannot_be_read_is_no_end(book: Book, content: bytes) -> None:
    Path("mlflow.db").write_bytes(content)
    found = seen(book)
    assert "cannot be read" in found.note
    assert all(stage.measured is None for stage in found.stages)


def test_a_server_is_not_asked(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "MLflow server" in seen(book).note


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.97, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (312, "5 min 12 s"),
     (3599.7, "1 h 00 min"), (11_040, "3 h 04 min")],
)  # fmt: skip
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_time_names_its_day(book: Book) -> None:
    stage = seen(book).stages[0]
    assert cost(stage) == "not measured"
    noon = int(datetime(2026, 3, 4, 12).timestamp() * 1000)
    assert cost(replace(stage, measured=Measured(312.0, noon, "run"))) == "took 5 min 12 s on 2026-03-04"


def test_the_command_prints_for_people_and_machines(book: Book) -> None:
    done = CliRunner().invoke(app, ["show", "evaluate@cam"])
    assert done.exit_code == 0, done.output
    assert "evaluate@cam of params.yaml, stages: 6 (6 not known)." in done.output
    assert "│ ●  import_weights@random" in done.output
    assert "default  seed: 0, precision: 32-true" in done.output
    said = json.loads(CliRunner().invoke(app, ["show", "evaluate@cam", "--json"]).stdout)
    assert [stage["stage"] for stage in said["stages"]] == [stage.stage for stage in seen(book, "evaluate@cam").stages]
    assert {"key": "settings.lr", "value": 0.02, "given": True} in said["stages"][3]["settings"]


def test_a_terminal_without_signs_gets_plain_ones(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from pipeline.results.chain.text import _overview

    Console(width=80).print(_overview(seen(book), signs=False))
    text = capsys.readouterr().out
    assert text.isascii()
    assert "| *  import_weights@random" in text
