"""DVC's graph, read as it is; ``tests/pipeline/running/test_graph.py`` compares it with ``dvc dag``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError, closest
from pipeline.running.dvc_books import project_graph

FIRST = "code"
"""The stage that fingerprints the source: it decides what else has to run."""


@dataclass(frozen=True)
class Stage:
    """One DVC stage and the stages that it reads from."""

    name: str
    """As in the book, ``train@segmenter``; of another dvc.yaml with its path in front."""
    address: str
    """As ``dvc repro`` takes it: ``recipes/voc_mini/dvc.yaml:train@segmenter``."""
    upstream: frozenset[str] = field(default=frozenset())
    gpu: bool = False
    """Whether ``meta: {gpu: 1}`` says that it computes on the device."""
    outs: frozenset[str] = field(default=frozenset())
    """Absolute paths of what it makes."""

    @property
    def verb(self) -> str:
        """The stanza it comes from: ``train``."""
        return self.name.partition("@")[0]


Graph = Mapping[str, Stage]
"""Stages by name, each after the ones it reads from."""


def read_graph(dvc_yaml: Path = Path("dvc.yaml")) -> Graph:
    """The stages of a dvc.yaml (project-relative) and whatever they read from.

    Raises:
        ConfigurationError: DVC cannot read the project.
    """
    file = dvc_yaml.as_posix()
    with project_graph(dvc_yaml) as dvc_graph:
        stages = [_stage(node, dvc_graph.successors(node), file) for node in dvc_graph]
    targets = [stage.name for stage in stages if stage.address.startswith(f"{file}:")]
    return plan({stage.name: stage for stage in stages}, targets)


def plan(graph: Graph, targets: Sequence[str] = ()) -> Graph:
    """The targets (default: all) and every stage above them, each after the ones it reads from.

    Raises:
        ConfigurationError: a target is no stage; the message has the closest one.
    """
    for target in targets:
        if target not in graph:
            raise ConfigurationError(f"no stage '{target}' in the graph.{closest(target, graph)}")
    needed: set[str] = set()
    queue = list(targets or graph)
    while queue:
        name = queue.pop()
        if name not in needed:
            needed.add(name)
            queue.extend(graph[name].upstream)
    order = TopologicalSorter({name: sorted(graph[name].upstream) for name in graph if name in needed})
    return {name: graph[name] for name in order.static_order()}


def nearest_upstream(graph: Graph) -> dict[str, list[str]]:
    """Of each stage the upstream stages that no other of its upstream stages waits for already."""
    above: dict[str, frozenset[str]] = {}
    for name, stage in graph.items():
        above[name] = stage.upstream.union(*(above[other] for other in stage.upstream))
    return {
        name: sorted(stage.upstream - frozenset().union(*(above[other] for other in stage.upstream)))
        for name, stage in graph.items()
    }


def downstream(graph: Graph, names: set[str]) -> set[str]:
    """The named stages and all that read from them, directly or not."""
    reached = set(names) & set(graph)
    for name, stage in graph.items():
        if stage.upstream & reached:
            reached.add(name)
    return reached


def _stage(node: Any, upstream: Any, file: str) -> Stage:
    meta = getattr(node, "meta", None) or {}
    above = frozenset(_name(other, file) for other in upstream)
    outs = frozenset(str(out.fs_path) for out in node.outs)
    return Stage(_name(node, file), _address(node), above, _on_gpu(meta), outs)


def _on_gpu(meta: object) -> bool:
    return isinstance(meta, Mapping) and bool(meta.get("gpu"))


def _name(node: Any, file: str) -> str:
    return str(node.name) if _file(node) == file else _address(node)


def _address(node: Any) -> str:
    name = getattr(node, "name", None)
    return f"{_file(node)}:{name}" if name else _file(node)


def _file(node: Any) -> str:
    return Path(node.path_in_repo).as_posix()
