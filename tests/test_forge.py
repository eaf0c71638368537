"""What a public forge reads: workflows, templates and citation hold, and name commands and files that are there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
YAML = sorted([ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff", *(ROOT / ".github").rglob("*.yml")])
TARGETS = set(re.findall(r"^([a-z_]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))  # config.yml is none
PAGES = ["CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md", "docs/howto/install.md"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def parsed(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_is_a_mapping(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("name", ["tests", "docs"])
def test_workflows_run_commands_that_are_there(name: str) -> None:
    jobs = parsed(f".github/workflows/{name}.yml")["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands
    assert all(("uses" in step) != ("run" in step) for step in steps)
    for command in commands:
        first, *rest = command.split()
        if first == "make":
            assert set(rest) <= TARGETS, command
        else:
            assert (ROOT / first).is_file(), command
            assert (ROOT / first).stat().st_mode & 0o111, f"{first} cannot be executed"


def test_pre_commit_runs_what_the_development_extra_installs() -> None:
    hooks = [hook for repo in parsed(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy", "lint-imports", "books"]
    tools = {"lint-imports": "import-linter"}
    development = " ".join(PROJECT["optional-dependencies"]["dev"])
    for hook in hooks:
        program, *words = hook["entry"].split()
        if program == "make":
            assert words[-1] in TARGETS
        else:
            tool = program.removeprefix(".venv/bin/")
            assert tools.get(tool, tool) in development


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_a_form_needs(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    ids = [item["id"] for item in form["body"]]
    assert len(ids) == len(set(ids))
    for item in form["body"]:
        assert item["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert item["attributes"]["label"]


def test_one_version_and_one_licence() -> None:
    citation = parsed("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what its schema requires
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()[:200]
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])


@pytest.mark.parametrize("name", PAGES)
def test_make_targets_and_files_that_are_named_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    code = [*re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL), *re.findall(r"`([^`\n]+)`", text)]
    targets = [name for part in code for name in re.findall(r"^make ([a-z_]+)", part, re.MULTILINE)]
    assert set(targets) <= TARGETS
    paths = re.findall(r"`((?:docs|tests|models|pipeline|recipes)/[\w/.]+\.[a-z]+)`", text)
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).is_file()] == []
    assert targets or paths or name == "SECURITY.md"


def test_the_container_and_its_editor_settings() -> None:
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    dockerfile = (ROOT / ".devcontainer" / settings["build"]["dockerfile"]).resolve()
    assert dockerfile == ROOT / "Dockerfile"
    lines = dockerfile.read_text().splitlines()
    arguments = {line.split()[1].partition("=")[0] for line in lines if line.startswith("ARG ")}
    assert set(settings["build"]["args"]) <= arguments
    assert f"USER {settings['remoteUser']}" in lines
    ignored = set((ROOT / ".dockerignore").read_text().split())
    needed = {"pyproject.toml", "constraints.txt", "Makefile", "README.md", "LICENSE", "params.yaml", "dvc.yaml"}
    assert not ignored & (needed | {".dvc", "models", "stages", "pipeline"})
    assert [line for line in lines if line.startswith("CMD ")] == ['CMD ["make", "run"]']
