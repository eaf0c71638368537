"""MiT weights as transformers publishes them, and what is said where they, or the package, are not there."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from models.errors import ConfigurationError, DataError
from pipeline.book.check import check
from pipeline.book.params import load_book
from pipeline.storage.checkpoints import build_method, load_init
from pipeline.weights.pretrained import import_weights, save_imported

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def network() -> Any:
    """An ImageNet classifier of transformers."""
    transformers: Any = pytest.importorskip("transformers")
    torch.manual_seed(7)
    return transformers.SegformerForImageClassification(transformers.SegformerConfig(num_labels=10))


@pytest.fixture(scope="module")
def published(network: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Its entries as transformers saves them: the layout of nvidia/mit-b0."""
    folder = tmp_path_factory.mktemp("published")
    network.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_a_published_file_ends_in_the_network(
    tmp_path: Path, network: Any, published: dict[str, torch.Tensor], suffix: str
) -> None:
    file = tmp_path / f"weights{suffix}"
    save_file(published, file) if suffix == ".safetensors" else torch.save(published, file)
    save_imported(tmp_path / "imagenet", import_weights("mit_b0", file))
    method = build_method("segmenter", 2, {"backbone": "mit_b0", "output_stride": 8})
    load_init(method, tmp_path / "imagenet")
    ours = {k.removeprefix("backbone.encoder."): v for k, v in method.state_dict().items() if "encoder" in k}
    theirs = network.segformer.stages.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_names_in_published_files_are_those_of_nvidia_mit(published: dict[str, torch.Tensor]) -> None:
    """They have not changed since 2021, whatever the modules are called."""
    block = "segformer.encoder.block.3.1."
    assert {
        "segformer.encoder.patch_embeddings.0.proj.weight",
        "segformer.encoder.patch_embeddings.3.layer_norm.bias",
        "segformer.encoder.layer_norm.2.weight",
        "segformer.encoder.block.0.0.attention.self.sr.weight",
        "segformer.encoder.block.0.0.attention.self.layer_norm.weight",
        *(f"{block}attention.self.{name}.weight" for name in ("query", "key", "value")),
        *(f"{block}{name}.bias" for name in ("attention.output.dense", "mlp.dense1", "mlp.dense2")),
        *(f"{block}{name}.weight" for name in ("layer_norm_1", "layer_norm_2", "mlp.dwconv.dwconv")),
        "classifier.weight",
    } <= published.keys()


def test_the_wrong_file_says_which_entries_differ(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    file = tmp_path / "mit_b0.bin"
    torch.save(published, file)
    with pytest.raises(DataError) as error:
        import_weights("mit_b2", file)
    message = str(error.value)
    assert "'mit_b2' under names of transformers" in message
    assert "entries missing: encoder.0.blocks.2." in message
    assert "(expected [64, 3, 7, 7], found [32, 3, 7, 7])" in message
    with pytest.raises(DataError, match="'resnet18' under names of torchvision"):
        import_weights("resnet18", file)


@pytest.mark.slow
def test_without_a_network_a_download_fails_at_once_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub: Any = pytest.importorskip("huggingface_hub")

    def no_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"pytorch_model\.bin of nvidia/mit-b0 from .*file: PATH"):
        import_weights("mit_b0", Path("unused"), download=True)


def test_the_check_says_that_the_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"]["classifier"]["model"]["backbone"] = "mit_b1"
    content["import_weights"]["published"] = {"architecture": "mit_b1", "file": "params.yaml"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    book = load_book()
    monkeypatch.setattr("pipeline.book.check.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as error:
        check(book)
    message = str(error.value)
    for key in ("train.classifier.model.backbone", "import_weights.published.architecture"):
        assert f"{key}: 'mit_b1' needs the package transformers" in message
    assert "pip install 'weak2mask[mit]'" in message
