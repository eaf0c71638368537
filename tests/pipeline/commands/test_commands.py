"""The command line and what it refuses."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import pipeline.__main__ as command_line
from models.errors import ConfigurationError
from pipeline.__main__ import app
from pipeline.book.artifacts import VERBS
from pipeline.book.links import make_link
from pipeline.book.params import load_book
from pipeline.commands.app import PANELS, app_for, complete_book
from pipeline.commands.stages import EXAMPLES
from pipeline.running.repro import run

ROOT = Path(__file__).parents[3]
INSTALLED = Path(sys.executable).parent / "weak2mask"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_link_is_made_and_replaced(project: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_link(Path("data/photos"), tmp_path / name)
        assert Path("data/photos").resolve() == tmp_path / name


@pytest.mark.parametrize("source", ["/tmp/weak2mask_elsewhere", "../elsewhere", "data/photos/inside", "file/below"])
def test_a_link_stays_in_the_project(project: Path, tmp_path: Path, source: str) -> None:
    (tmp_path / "photos").mkdir()
    (project / "file").touch()
    make_link(Path("data/photos"), tmp_path / "photos")
    with pytest.raises(ConfigurationError, match="a path in the project"):
        make_link(Path(source), tmp_path / "photos")
    assert list((tmp_path / "photos").iterdir()) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.ENOTDIR])
def test_what_the_machine_refuses_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    def refused(**_: object) -> None:
        raise OSError(code, os.strerror(code), "work/toy")

    monkeypatch.setattr(command_line, "app_for", lambda _: refused)
    with pytest.raises(SystemExit) as left:
        command_line.main()
    output = capsys.readouterr().err
    assert left.value.code == 1
    assert "work/toy" in output
    assert "Finished stages are kept" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("variable", ["WEAK2MASK_WORKERS", "WEAK2MASK_DEVICES", "WEAK2MASK_DEVICE"])
def test_a_run_looks_at_its_environment_first(project: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "many")
    with pytest.raises(ConfigurationError, match=variable):
        run(load_book(ROOT))
    assert list(project.iterdir()) == []


COMMANDS = sorted(command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands)  # type: ignore[union-attr]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], terminal_width=200)
    assert done.exit_code == 0, done.output
    assert f"python -m pipeline {command}" in " ".join(done.output.split())
    assert "Example" in done.output


@pytest.mark.parametrize("verb", EXAMPLES)
def test_the_example_of_a_verb_is_an_entry_of_a_shipped_book(verb: str) -> None:
    name, _, option = EXAMPLES[verb].partition(" ")
    folder = option.removeprefix("--book ") or "."
    assert load_book(ROOT / folder).entry(verb, name) is not None


def test_every_verb_has_an_example() -> None:
    assert set(EXAMPLES) == set(VERBS)


def run_program(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"COLUMNS": "80"} | environment
    )


def test_the_console_command_is_the_same_program() -> None:
    helps = [run_program(*words, "--help").stdout for words in ((str(INSTALLED),), (sys.executable, "-m", "pipeline"))]
    assert helps[0].replace("weak2mask [", "python -m pipeline [").split() == helps[1].split()
    at = [helps[1].index(f" {panel} ") for panel in PANELS if f" {panel} " in helps[1]]
    assert at == sorted(at)
    assert len(at) >= 4
    assert run_program(str(INSTALLED), "--version").stdout.startswith("weak2mask 0.")


HEAVY = {
    "torch",
    "torchvision",
    "prefect",
    "mlflow",
    "plotly",
    "distributed",
    "dvc",
    "zarr",
    "pandas",
    "scipy",
    "skimage",
}


@pytest.mark.parametrize(
    ("typed", "too_heavy"),
    [
        ("--help", HEAVY | {"numpy", "pydantic"}),
        ("check", HEAVY),
        ("check --book recipes/voc12", HEAVY),
        ("show segmenter_val", HEAVY),
    ],
)
def test_a_quick_command_imports_nothing_heavy(typed: str, too_heavy: set[str]) -> None:
    code = (
        f"import sys; sys.argv = ['pipeline', *{typed!r}.split()]\n"
        "from pipeline.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code\n"
        f"print({too_heavy!r} & set(sys.modules), file=sys.stderr)"
    )
    assert run_program(sys.executable, "-c", code).stderr.strip() == "set()"


def test_a_stage_imports_what_it_computes_with_and_no_more() -> None:
    """Its process, its workers and their fork server all pay for what a binder imports."""
    verbs = {*VERBS} - {"import_weights", "train"}
    code = (
        f"import sys; [__import__(f'pipeline.binders.{{verb}}') for verb in {sorted(verbs)!r}]\n"
        f"print({HEAVY!r} & set(sys.modules))"
    )
    assert run_program(sys.executable, "-c", code).stdout.strip() == "set()"


def test_a_command_is_built_without_the_others() -> None:
    built = {name: [*app_for(name.split()).registered_commands] for name in ("check", "export_cams cam --book .")}
    assert [command.name or command.callback.__name__ for [command] in built.values()] == ["check", "export_cams"]  # type: ignore[union-attr]
    for everything in ("", "--help", "--version", "chek"):
        assert app_for(everything.split()) is app


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run evaluate@seg", {"evaluate@segmenter_val"}),
        ("train c", {"classifier"}),
        ("predict a.jpg --checkpoint f", {"full"}),
        ("check --book recipes/f", {"recipes/folder"}),
        ("run --book recipes/voc_mini import_annotations@", {"import_annotations@points"}),
        ("run --book recipes/nothing eval", set()),
    ],
)
def test_a_shell_completes_names_of_the_book(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    asked = {"COMP_WORDS": f"weak2mask {typed}", "COMP_CWORD": str(len(words))}
    done = run_program(str(INSTALLED), _WEAK2MASK_COMPLETE="complete_bash", **asked)
    assert set(done.stdout.split()) == offered, done.stderr


def test_books_complete_to_books(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert {"recipes/folder", "recipes/voc_mini"} <= set(complete_book("rec"))
    assert complete_book("nowhere") == []


def test_check_says_the_same_to_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["check", "--json"])
    output = json.loads(done.stdout)
    assert (done.exit_code, output["ok"], output["errors"]) == (0, True, [])
    assert "train@classifier" in output["stages"]
    done = CliRunner().invoke(app, ["check", "--json", "--book", "recipes/voc_min"])
    assert done.exit_code == 2
    assert "Did you mean 'recipes/voc_mini'" in json.loads(done.stdout)["errors"][0]


@pytest.mark.parametrize("bounds", [[], ["--max-steps", "1"]])
def test_all_stages_and_some_stages_are_not_asked_for_at_once(
    monkeypatch: pytest.MonkeyPatch, bounds: list[str]
) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["run", "--all", "evaluate@cam", *bounds])
    assert isinstance(done.exception, ConfigurationError)
    assert "expected no targets beside it, found evaluate@cam" in str(done.exception)


def test_all_anew_and_what_is_left_are_not_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["run", "--force", "--resume", "--max-steps", "1"])
    assert isinstance(done.exception, ConfigurationError)
    assert "expected one of them, found both" in str(done.exception)


def test_an_unexpected_error_fills_one_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither its message, which may hold a whole file, nor its calls are shown in full."""

    def deep(count: int = 200, **_: Any) -> None:
        if count:
            deep(count - 1)
        raise ValueError(100_000 * "x")

    monkeypatch.setattr(command_line, "app_for", lambda _: deep)
    with pytest.raises(SystemExit) as left:
        command_line.main()
    output = capsys.readouterr().err
    assert left.value.code == 1
    assert output.startswith("error: unexpected ValueError: xxx")
    assert "This is a bug" in output
    assert len(output.splitlines()) < 40
    assert len(output) < 4000


def test_a_reader_that_goes_away_leaves_no_traceback() -> None:
    command = f"{sys.executable} -m pipeline check --json | head -c 1"
    assert run_program("sh", "-c", command).stderr == ""


def test_an_interrupt_before_there_is_a_command_leaves_no_traceback() -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "import pipeline.__main__"
    )
    done = run_program(sys.executable, "-c", code)
    assert (done.returncode, done.stderr) == (130, "")
