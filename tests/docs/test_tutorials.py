"""The tutorials are followed to the letter in a fresh copy of the project, with a toy data set that is small."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.tutorial import Typed, Written, missing, steps

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
SMALL = {"train: 240, val: 80": "train: 24, val: 8", "epochs: 30": "epochs: 1", "epochs: 20": "epochs: 1"}
"""What the toy book has -> what a test has."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a clone has, edits that are not committed included."""
    folder = tmp_path / "weak2mask"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "As it is"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    book = folder / "params.yaml"
    text = book.read_text()
    assert all(large in text for large in SMALL)
    book.write_text(made_small(text))
    return folder


def made_small(text: str) -> str:
    """Entries of the toy book with less to do."""
    for large, small in SMALL.items():
        text = text.replace(large, small)
    return text


def environment(project: Path) -> dict[str, str]:
    """This Python first, the copy's source, one core."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEAK2MASK_", "MLFLOW_"))}
    set_here = {"PATH": path, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", "WEAK2MASK_WORKERS": "0"}
    return kept | set_here | {"WEAK2MASK_DEVICE": "cpu", "COLUMNS": "160"}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two minutes of one core, which others may need too
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_it_can_be_followed(tutorial: Path, project: Path) -> None:
    for step in steps(tutorial.read_text(encoding="utf-8")):
        if isinstance(step, Written):
            replace(step, text=made_small(step.text)).write(project)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step.commands],
            cwd=project,
            env=environment(project),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{step.commands}\n{done.stdout[-5000:]}"
        assert not missing(step.printed, done.stdout), f"{step.commands}\n{done.stdout[-5000:]}"


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_what_is_left_out_has_a_reason_and_most_is_run(tutorial: Path) -> None:
    text = tutorial.read_text(encoding="utf-8")
    run = [step for step in steps(text) if isinstance(step, Typed)]
    assert len(run) >= 2 / 3 * text.count("\n```sh\n")
    skips = [line for line in text.splitlines() if line.startswith("<!-- test: skip")]
    assert all(line.startswith("<!-- test: skip because ") for line in skips)


MARKDOWN = """
```sh
echo one two
```

It prints:

```text
one … wo
```

<!-- test: echo short -->
```sh
sleep 900
```

<!-- test: skip because the test has one -->
```sh
make setup
```

```yaml title="a/new.yaml"
x:
z: 1
```

```yaml title="a/new.yaml, under x:"
  y: 2
```

```diff title="a/new.yaml"
-z: 1
+z: 3
```

```yaml
only: read
```
"""


def test_blocks_are_typed_written_or_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "new.yaml").write_text("")
    first, second, *written = steps(MARKDOWN)
    assert first == Typed("echo one two\n", "echo one two\n", ("one … wo",))
    assert second == Typed("sleep 900\n", "echo short")
    (tmp_path / "a" / "new.yaml").unlink()
    for step in written:
        assert isinstance(step, Written)
        step.write(tmp_path)
    assert (tmp_path / "a" / "new.yaml").read_text() == "x:\n  y: 2\nz: 3\n"
    with pytest.raises(AssertionError, match="expected once, found 0 times"):
        written[2].write(tmp_path)
    with pytest.raises(AssertionError, match="is there already"):
        written[0].write(tmp_path)


def test_a_line_that_was_not_printed_is_seen() -> None:
    assert missing(("a … c", "a … d"), "before\na  b   c, after\n") == ["a … d"]


@pytest.mark.parametrize("wrong", ["<!-- test: echo -->\nwords\n", '```diff title="a"\n-x\n y\n+z\n```\n'])
def test_a_tutorial_that_does_not_hold_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"[Ee]xpected"):
        list(steps(wrong))
