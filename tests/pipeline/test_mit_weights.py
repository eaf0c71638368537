"""MiT weights as transformers publishes them, and what is said where they, or the package, are not there."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from models.errors import ConfigurationError, DataError
from pipeline.check import check
from pipeline.checkpoints import build_method, load_init
from pipeline.params import load_book
from pipeline.weights import import_weights, save_imported

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """An ImageNet classifier as transformers saves it: the layout of nvidia/mit-b0."""
    transformers: Any = pytest.importorskip("transformers")
    torch.manual_seed(7)
    state: dict[str, torch.Tensor] = transformers.SegformerForImageClassification(
        transformers.SegformerConfig(num_labels=10)
    ).state_dict()
    assert any(name.startswith("segformer.encoder.") for name in state)
    assert "classifier.weight" in state
    return state


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_a_published_file_ends_in_the_network(tmp_path: Path, published: dict[str, torch.Tensor], suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    save_file(published, file) if suffix == ".safetensors" else torch.save(published, file)
    save_imported(tmp_path / "imagenet", import_weights("mit_b0", file))
    method = build_method("segmenter", 2, {"backbone": "mit_b0", "output_stride": 8})
    load_init(method, tmp_path / "imagenet")
    state = method.state_dict()
    for name, value in published.items():
        if name.startswith("segformer."):
            assert torch.equal(state["backbone." + name.removeprefix("segformer.")], value)


def test_the_wrong_file_says_which_entries_differ(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    file = tmp_path / "mit_b0.bin"
    torch.save(published, file)
    with pytest.raises(DataError) as error:
        import_weights("mit_b2", file)
    message = str(error.value)
    assert "'mit_b2' under the names of transformers" in message
    assert "entries missing: encoder.block.0.2." in message
    assert "(expected [64, 3, 7, 7], found [32, 3, 7, 7])" in message
    with pytest.raises(DataError, match="'resnet18' under the names of torchvision"):
        import_weights("resnet18", file)


def test_without_a_network_a_download_fails_at_once_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub: Any = pytest.importorskip("huggingface_hub")

    def no_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"nvidia/mit-b0, file pytorch_model\.bin.*file: PATH"):
        import_weights("mit_b0", Path("unused"), download=True)


def test_the_check_says_that_the_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"]["classifier"]["model"]["backbone"] = "mit_b1"
    content["import_weights"]["published"] = {"architecture": "mit_b1", "file": "params.yaml"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    book = load_book()
    monkeypatch.setattr("pipeline.check.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as error:
        check(book)
    message = str(error.value)
    for key in ("train.classifier.model.backbone", "import_weights.published.architecture"):
        assert f"{key}: 'mit_b1' needs the package transformers" in message
    assert "pip install 'weak2mask[mit]'" in message
