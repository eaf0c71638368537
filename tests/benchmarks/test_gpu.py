"""The check of a GPU: its parts are there, and one that fails or takes too long costs no other."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.parts import PARTS


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_a_function(name: str) -> None:
    module, _, function = PARTS[name].place.partition(":")
    assert callable(getattr(import_module(f"benchmarks.gpu.{module}"), function))


def test_a_part_that_fails_or_takes_too_long_keeps_its_output(tmp_path: Path) -> None:
    failed = command.one("no_part", "cpu", True, tmp_path, 60)
    assert failed["error"] == "exit code 2"
    assert "invalid choice: 'no_part'" in failed["output"]
    stopped = command.one("machine", "cpu", True, tmp_path, 0.3)
    assert stopped["error"].startswith("stopped after")
    assert stopped["rows"] == []
    assert not list(tmp_path.glob("*.rows"))


def test_results_are_written_after_each_part_and_a_failure_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def one(name: str, *given: object) -> dict[str, Any]:
        file = tmp_path / "gpu.json"
        written.append([*json.loads(file.read_text())["parts"]] if file.exists() else [])
        return {"seconds": 1.0, "rows": [], **({"error": "exit code 1"} if name == "steps" else {})}

    monkeypatch.setattr(command, "one", one)
    assert command.main(["--tiny", "--parts", "machine", "steps", "export", "--out", str(tmp_path)]) == 1
    assert written == [[], ["machine"], ["machine", "steps"]]
    assert command.main(["--tiny", "--parts", "machine", "--out", str(tmp_path)]) == 0
    assert command.main(["--parts", "machine", "--seconds", "1", "--out", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "gpu.json").read_text())["parts"]["machine"]["error"] == "no time was left"
