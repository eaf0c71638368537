"""The pretend GPU itself, and every page trained on it: no mixing of devices, golden reads, the bytes of the CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.counting import occurrences, places
from models.ops.nearest import nearest
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.spherical_kmeans import grid_clusters, spherical_kmeans, split
from models.ops.tagged_pairs import TaggedPairs
from tests.helpers import on_device
from tests.helpers.pages import build
from tests.helpers.pretend_gpu import PretendGpu
from tests.helpers.pretend_run import GOLDEN, READS_OF_THE_LOOP, TRAININGS, golden_trips, trained_on_cpu, trained_on_gpu
from tests.helpers.pretend_tensor import CUDA, MixingError, PretendTensor, held


def reads(gpu: PretendGpu) -> dict[str, int]:
    return {operation: count for (_, operation), count in gpu.trips.items()}


@pytest.mark.parametrize("training", TRAININGS)
def test_two_steps_on_a_gpu_are_those_on_the_cpu_with_the_golden_reads(training: str) -> None:
    plain, pretended = trained_on_cpu(training), trained_on_gpu(training)
    assert pretended.history == plain.history
    assert pretended.tensors.keys() == plain.tensors.keys()
    for name, value in plain.tensors.items():
        assert torch.equal(pretended.tensors[name], value), name
    assert golden_trips(pretended.trips) == json.loads(GOLDEN.read_text())[training]
    assert sum(pretended.trips.values()) - sum(golden_trips(pretended.trips).values()) == 1  # a row is one read
    assert any(name.startswith(READS_OF_THE_LOOP) for name in pretended.trips)


def test_the_golden_table_has_every_training() -> None:
    assert list(json.loads(GOLDEN.read_text())) == list(TRAININGS)


def test_a_mixing_names_both_places() -> None:
    def forgetful(like: Tensor) -> Tensor:
        return like + torch.ones(3)

    with PretendGpu():
        there = torch.zeros(3, device="cuda")
        with pytest.raises(MixingError) as caught:
            forgetful(there)
        message = str(caught.value)
        assert message.count("tests/models/test_pretend_gpu.py:") == 2
        assert "aten.add" in message
        assert "made by ones at" in message
        assert torch.equal(held(there + torch.tensor(2.0)), torch.full((3,), 2.0))  # of no dimension: as CUDA takes it
        for mixed in (lambda: there[torch.tensor([0])], lambda: torch.cat([there, torch.ones(1)])):
            with pytest.raises(MixingError):
                mixed()


def test_a_mixing_in_a_backward_of_ones_own_is_seen() -> None:
    class Careless(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * torch.ones(3)

    with PretendGpu():
        there = torch.zeros(3, device="cuda").requires_grad_()
        loss = Careless.apply(there).sum()
        with pytest.raises(MixingError, match="backward"):
            loss.backward()


READS = {
    "item": lambda x: x.sum().item(),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.to("cpu").numpy(),
    "nonzero": lambda x: x.nonzero(),
    "boolean index": lambda x: x[x > 1],
    "unique": lambda x: x.unique(),
    "copy_": lambda x: torch.empty(3).copy_(x),
}


@pytest.mark.parametrize("operation", READS)
def test_reads_by_the_host_are_counted(operation: str) -> None:
    with PretendGpu() as gpu:
        READS[operation](torch.tensor([0.0, 1.0, 2.0], device=CUDA))
        assert reads(gpu) == {operation: 1}


def test_a_condition_is_a_read_and_what_stays_on_the_device_is_none() -> None:
    with PretendGpu() as gpu:
        x = torch.arange(3, device=CUDA)
        x[x > 1] = 0
        F.one_hot(x, 4)
        y = x.new_tensor([1, 2, 3]) + torch.zeros_like(x) + x[[0, 1, 2]] + torch.arange(3).to(x.device)
        assert isinstance(y, PretendTensor)
        assert (y.device, y.is_cuda, y.dtype) == (CUDA, True, torch.int64)
        assert not gpu.trips
        assert bool((y > 0).any())
        assert reads(gpu) == {"item": 1}


def test_arrays_and_generators_of_the_other_side_are_refused() -> None:
    with PretendGpu():
        x = torch.zeros(3, device=CUDA)
        with pytest.raises(TypeError, match=r"Tensor\.cpu"):
            x.numpy()
        with pytest.raises(MixingError, match="generator"):
            torch.rand(3, device=CUDA, generator=torch.Generator())
        drawn = torch.rand(3, device=CUDA, generator=torch.Generator(CUDA).manual_seed(1))
    assert torch.equal(held(drawn), torch.rand(3, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("kind", ["pamr", "par", "varm"])
def test_pixel_adaptive_refinement(kind: str) -> None:
    image, mask = torch.rand(1, 3, 12, 14), torch.rand(1, 2, 6, 7)
    expected = PixelAdaptive(kind, 2, (1, 2))(image, mask)  # type: ignore[arg-type]
    with PretendGpu() as gpu:
        found = PixelAdaptive(kind, 2, (1, 2))(image.to(CUDA), mask.to(CUDA))  # type: ignore[arg-type]
        assert not gpu.trips
    torch.testing.assert_close(held(found), expected)  # rows together on a GPU, in blocks on a CPU


def test_neighbours_and_clusters() -> None:
    vectors = F.normalize(torch.rand(2, 48, 5, generator=torch.Generator().manual_seed(0)), dim=2)
    kept = torch.ones(2, 48, dtype=torch.bool)
    with PretendGpu() as gpu:
        there = vectors.to(CUDA)
        start = grid_clusters((6, 8), (2, 2), CUDA).flatten()
        clusters = spherical_kmeans(there, start, kept.to(CUDA), 4, 3)
        indices = nearest(there[0], there[1], 3, block=256)[1]
        assert not gpu.trips
        split(clusters.flatten(), start.repeat(2), below=(4, 4))
        assert reads(gpu) == {"unique": 1}
    start = grid_clusters((6, 8), (2, 2)).flatten()
    assert torch.equal(held(clusters), spherical_kmeans(vectors, start, kept, 4, 3))
    assert torch.equal(held(indices), nearest(vectors[0], vectors[1], 3, block=256)[1])


def test_pairs_are_those_of_a_mask_as_index() -> None:
    tags, maps = torch.tensor([[True, False, True], [False] * 3, [False, True, False]]), torch.rand(3, 3, 2)
    pairs = TaggedPairs.of(tags)
    assert torch.equal(maps[pairs.index], maps[tags])
    assert torch.equal(torch.stack(pairs.index, 1), tags.nonzero())
    assert [values.tolist() for values in pairs.each(pairs.channel)] == [[0, 2], [], [1]]
    assert TaggedPairs.of(tags.float()).counts == pairs.counts == (2, 0, 1)
    assert TaggedPairs.of(tags[1:2]).image.dtype == torch.int64


def test_occurrences_are_bincounts() -> None:
    numbers = torch.tensor([[3, 0], [3, 1]])
    assert torch.equal(occurrences(numbers, 5), numbers.flatten().bincount(minlength=5))
    assert occurrences(numbers[:0], 2).tolist() == [0, 0]


def test_maps_are_enlarged_whatever_an_earlier_training_has_set() -> None:
    """Torch's deterministic form of it, for GPUs, asks for a driver."""
    before = torch.get_deterministic_debug_mode()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with PretendGpu():
            enlarged = F.interpolate(torch.ones(1, 1, 2, 2, device=CUDA), (4, 4), mode="bilinear")
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.set_deterministic_debug_mode(before)
    assert torch.equal(held(enlarged), torch.ones(1, 1, 4, 4))


def test_a_test_that_names_no_device_computes_where_it_is_asked_to() -> None:
    """As ``pytest tests/models --device cuda`` does; what the project's code mixes up is still seen."""
    here = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = build("classifier").eval().tag_scores(here)
    with on_device.computing("pretend"):
        image, method = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), build("classifier").eval()
        assert image.device == on_device.device() == CUDA
        scores = method.tag_scores(image)
        torch.testing.assert_close(scores, scores.cpu())
        assert np.array_equal(scores.detach().numpy(), expected.detach().numpy())
        with pytest.raises(MixingError):
            method.tag_scores(here)
    assert on_device.device().type == "cpu"


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_places_are_those_of_nonzero(share: float) -> None:
    mask = torch.rand(7, 9, generator=torch.Generator().manual_seed(0)) < share
    rows, columns = mask.nonzero(as_tuple=True)
    assert torch.equal(places(mask, int(mask.sum())), rows * 9 + columns)
    assert places(mask[:0], 0).tolist() == []
