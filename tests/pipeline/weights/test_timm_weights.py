"""Weights of timm's networks from files and by name, and what ``check`` says of their names."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from models.errors import ConfigurationError, DataError
from pipeline.book.check import check
from pipeline.book.params import load_book
from pipeline.storage.checkpoints import build_method, load_init
from pipeline.weights.pretrained import import_weights, save_imported

ROOT = Path(__file__).parents[3]
timm: Any = pytest.importorskip("timm")


@pytest.mark.parametrize(("name", "suffix"), [("test_efficientnet", ".npz"), ("test_vit", ".safetensors")])
def test_a_file_in_timms_names_ends_in_the_network(tmp_path: Path, name: str, suffix: str) -> None:
    torch.manual_seed(7)
    published = timm.create_model(name).state_dict()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(file, **{key: value.numpy() for key, value in published.items() if "num_batches" not in key})
    else:
        save_file(published, file)
    save_imported(tmp_path / "start", import_weights(f"timm/{name}", file))
    method = build_method("classifier", 2, {"backbone": f"timm/{name}", "output_stride": 16})
    load_init(method, tmp_path / "start")
    state = method.state_dict()
    missing = {key for key in published if f"backbone.network.{key}" not in state}
    assert missing == {"classifier.weight", "classifier.bias"} or missing == {"head.weight", "head.bias"}
    assert all(torch.equal(state[f"backbone.network.{key}"], published[key]) for key in published.keys() - missing)
    mean = timm.get_pretrained_cfg(name).mean
    assert state["backbone.mean"].flatten().tolist() == pytest.approx(mean)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"'timm/test_vit2' under names of timm"):
        import_weights("timm/test_vit2", tmp_path / "w.safetensors")
    with pytest.raises(ConfigurationError, match="Did you mean 'test_vit'"):
        import_weights("timm/test_vitt", tmp_path / "w.safetensors")


@pytest.mark.slow  # the hub's client tries several times
def test_without_a_network_a_download_fails_at_once_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"weights of timm/test_vit .*file: PATH"):
        import_weights("timm/test_vit", Path("unused"), download=True)


def test_the_check_reads_the_form_of_a_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"]["classifier"]["model"]["backbone"] = "timm/vit_small_patch14_dinov2.lvd142m"
    content["import_weights"]["published"] = {"architecture": "timm/resnet50", "file": "params.yaml"}
    book = written(content, tmp_path, monkeypatch)
    check(book)
    monkeypatch.setattr("pipeline.book.check.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as error:
        check(book)
    assert "import_weights.published.architecture: 'timm/resnet50' needs the package timm" in str(error.value)
    assert "pip install 'weak2mask[timm]'" in str(error.value)
    content["train"]["classifier"]["model"]["backbone"] = "tim/resnet50"
    with pytest.raises(ConfigurationError, match=r"unknown backbone 'tim/resnet50'"):
        check(written(content, tmp_path, monkeypatch))


def written(content: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(folder)
    return load_book()
