"""Pretrained weights from files of three kinds, and the files that must be refused."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.backbones import BACKBONES
from models.doors import resolve
from models.errors import ConfigurationError, DataError
from pipeline.storage.checkpoints import build_method, load_init, read_checkpoint
from pipeline.weights.pretrained import import_weights, read_entries, save_imported


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A ResNet-18 as torchvision would save it, classifier included."""
    torch.manual_seed(7)
    state = resolve(BACKBONES, "resnet18", "backbone")().state_dict()
    state = {name: value for name, value in state.items() if name not in ("mean", "std")}
    return state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def write(path: Path, state: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
def test_every_kind_of_file_ends_in_the_network(
    tmp_path: Path, published: dict[str, torch.Tensor], suffix: str
) -> None:
    imported = import_weights("resnet18", write(tmp_path / f"w{suffix}", published), normalisation="half")
    save_imported(tmp_path / "imagenet", imported)
    method = build_method("classifier", 2, {"backbone": "resnet18"})
    report = load_init(method, tmp_path / "imagenet")
    assert report.new == ("head.classifier.weight",)
    for name, value in published.items():
        if not name.startswith("fc."):
            assert torch.equal(method.state_dict()["backbone." + name], value)
    assert method.backbone.mean.flatten().tolist() == method.backbone.std.flatten().tolist() == [0.5] * 3
    card, _ = read_checkpoint(tmp_path / "imagenet")
    assert (card.method, card.recipe["architecture"], card.recipe["file"]) == ("", "resnet18", f"w{suffix}")


def test_prefixes_containers_and_missing_counters_are_understood(
    tmp_path: Path, published: dict[str, torch.Tensor]
) -> None:
    wrapped = {
        "epoch": 3,
        "state_dict": {f"module.{k}": v.half() for k, v in published.items() if "num_batches" not in k and v.ndim != 0},
    }
    state = import_weights("resnet18", write(tmp_path / "w.pth", wrapped)).state
    torch.testing.assert_close(state["backbone.conv1.weight"], published["conv1.weight"], rtol=1e-3, atol=1e-3)
    assert state["backbone.conv1.weight"].dtype == torch.float32
    assert state["backbone.bn1.num_batches_tracked"].item() == 0


def test_random_is_an_empty_checkpoint(tmp_path: Path) -> None:
    save_imported(tmp_path / "random", import_weights("random", tmp_path / "not_read"))
    assert read_checkpoint(tmp_path / "random")[1] == {}


def test_the_wrong_file_says_which_entries_and_shapes_differ(
    tmp_path: Path, published: dict[str, torch.Tensor]
) -> None:
    file = write(tmp_path / "w.safetensors", published)
    with pytest.raises(DataError) as error:
        import_weights("resnet50", file)
    message = str(error.value)
    assert str(file) in message
    assert "entries missing: layer1.0.conv3.weight" in message
    assert "layer1.0.conv1.weight (expected [64, 64, 1, 1], found [64, 64, 3, 3])" in message
    assert " more\n" in message
    assert len(message.splitlines()) < 8
    extra = write(tmp_path / "e.safetensors", published | {"layer5.weight": torch.zeros(1)})
    with pytest.raises(DataError, match=r"1 unexpected entries: layer5\.weight"):
        import_weights("resnet18", extra)


class Malicious:
    """Unpickling it would make a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("kind", ["torch", "pickle", "npz"])
def test_code_in_a_weights_file_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    trace, content = tmp_path / "trace", {"conv1.weight": Malicious(tmp_path / "trace")}
    path = tmp_path / ("w.npz" if kind == "npz" else "w.pth")
    if kind == "torch":
        torch.save(content, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        np.savez(path, **{"conv1.weight": np.array([content["conv1.weight"]], dtype=object)})
    with pytest.raises(DataError, match="refused"):
        read_entries(path)
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
def test_a_truncated_file_is_an_error_with_its_path(tmp_path: Path, suffix: str, keep: float) -> None:
    path = write(tmp_path / f"w{suffix}", {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.ones(64)})
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DataError, match=f"w{suffix}"):
        read_entries(path)


def test_a_web_page_that_was_saved_instead_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("\n<!DOCTYPE html><html>too large to scan, download anyway?</html>")
    with pytest.raises(DataError, match=r"w\.pth is a web page"):
        read_entries(tmp_path / "w.pth")


def test_what_is_not_a_state_dict_is_refused(tmp_path: Path) -> None:
    for content in ([torch.zeros(1)], {"epoch": 3}, {}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(DataError, match="expected a state dict"):
            read_entries(tmp_path / "w.pth")


def test_missing_files_and_unknown_names_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No weights file at"):
        import_weights("resnet18", tmp_path / "w.pth")
    with pytest.raises(ConfigurationError, match=r"'\.h5'.*Valid: \.bin, \.npz, \.pt, \.pth, \.safetensors"):
        import_weights("resnet18", tmp_path / "w.h5")
    with pytest.raises(ConfigurationError, match="Did you mean 'resnet18'"):
        import_weights("resnet-18", tmp_path / "w.pth")
    with pytest.raises(ConfigurationError, match="Valid: clip, half, imagenet"):
        import_weights("resnet18", tmp_path / "w.pth", normalisation="zero")  # type: ignore[arg-type]


def test_without_a_network_a_download_fails_at_once_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    before = socket.getdefaulttimeout()
    with pytest.raises(DataError, match=r"resnet18-\w+\.pth.*file: PATH"):
        import_weights("resnet18", Path("unused"), download=True)
    assert socket.getdefaulttimeout() == before
