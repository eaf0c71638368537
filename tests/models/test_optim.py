"""Optimisers, schedules and the moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.ema import Ema
from models.method import ParameterGroup
from models.optim import build_optimizer, lr_factor, set_lr


def parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.full((3,), value))


def test_group_multipliers_reach_the_optimiser_and_survive_the_schedule() -> None:
    groups = [ParameterGroup("weights", [parameter(1.0)]), ParameterGroup("new_biases", [parameter(1.0)], 20.0, 0.0)]
    optimizer = build_optimizer(groups, lr=0.01, weight_decay=5e-4)
    set_lr(optimizer, 0.5)
    set_lr(optimizer, 0.25)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.0025, 0.05])
    assert [g["weight_decay"] for g in optimizer.param_groups] == [5e-4, 0.0]
    assert [g["momentum"] for g in optimizer.param_groups] == [0.9, 0.9]


def test_one_sgd_step_follows_the_group_rates() -> None:
    weight, bias = parameter(1.0), parameter(1.0)
    groups = [ParameterGroup("weights", [weight]), ParameterGroup("biases", [bias], 2.0, 0.0)]
    optimizer = build_optimizer(groups, lr=0.1, weight_decay=0.5)
    (weight.sum() + bias.sum()).backward()
    optimizer.step()
    torch.testing.assert_close(weight.data, torch.full((3,), 1 - 0.1 * (1 + 0.5)))
    torch.testing.assert_close(bias.data, torch.full((3,), 1 - 0.2 * 1))


def test_adamw_decays_apart_from_the_gradient() -> None:
    weight = parameter(1.0)
    optimizer = build_optimizer([ParameterGroup("weights", [weight])], "adamw", lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(weight.data, torch.full((3,), 1 - 0.1 * 0.5))


def test_what_cannot_be_optimised_is_refused() -> None:
    with pytest.raises(ValueError, match="frozen"):
        build_optimizer([], lr=0.1)
    with pytest.raises(ValueError, match="adamw, sgd"):
        build_optimizer([ParameterGroup("weights", [parameter(1.0)])], "adam", lr=0.1)  # type: ignore[arg-type]


def test_schedules_at_known_steps() -> None:
    assert [lr_factor(s, 4, "poly") for s in range(4)] == pytest.approx([(1 - s / 4) ** 0.9 for s in range(4)])
    assert [lr_factor(s, 4, "cosine") for s in range(4)] == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert {lr_factor(s, 4, "constant") for s in range(4)} == {1.0}
    assert lr_factor(5, 10, "poly", power=2.0) == pytest.approx(0.25)


def test_warm_up_rises_to_one_and_the_schedule_takes_over() -> None:
    factors = [lr_factor(s, 10, "poly", power=1.0, warmup_steps=4) for s in range(10)]
    assert factors[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert factors[4:] == pytest.approx([1 - k / 6 for k in range(6)])


@pytest.mark.parametrize(("step", "warmup"), [(-1, 0), (10, 0), (0, 11)])
def test_a_step_outside_the_training_is_refused(step: int, warmup: int) -> None:
    with pytest.raises(ValueError, match="within 10 steps"):
        lr_factor(step, 10, warmup_steps=warmup)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="constant, cosine, poly, step"):
        lr_factor(0, 1, "stairs")  # type: ignore[arg-type]


def test_a_step_schedule_falls_every_so_many_steps() -> None:
    factors = [lr_factor(s, 10, "step", decay=0.1, decay_steps=3) for s in range(10)]
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])
    with pytest.raises(ValueError, match="decay_steps of 1 or more, found 0"):
        lr_factor(0, 10, "step")


def test_ema_averages_parameters_and_copies_buffers() -> None:
    module = nn.BatchNorm1d(2)
    ema = Ema(module, decay=0.05)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.running_mean.fill_(7.0)  # type: ignore[union-attr]
    ema.update(module)
    torch.testing.assert_close(ema.average["weight"], torch.full((2,), 1 + 0.95 * (3 - 1)))
    torch.testing.assert_close(ema.average["running_mean"], torch.full((2,), 7.0))


def test_ema_follows_faster_at_first() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, decay=0.999)
    nn.init.ones_(module.weight)
    expected = 0.0
    for n in range(3):
        ema.update(module)
        decay = (1 + n) / (10 + n)
        expected = decay * expected + (1 - decay)
    assert ema.average["weight"].item() == pytest.approx(expected)


def test_ema_resumes_with_the_same_bytes() -> None:
    module = nn.Linear(2, 2)
    ema = Ema(module, decay=0.9)
    with torch.no_grad():
        module.weight.add_(1.0)
    ema.update(module)
    assert not torch.equal(module.weight, ema.average["weight"])

    resumed = Ema(module, decay=0.9)
    resumed.load_state_dict(ema.state_dict())
    for average in (ema, resumed):
        average.update(module)
    assert all(torch.equal(value, resumed.average[name]) for name, value in ema.average.items())
    with pytest.raises(ValueError, match="not of this network"):
        Ema(nn.Linear(2, 2, bias=False)).load_state_dict(ema.state_dict())
    with pytest.raises(ValueError, match=r"\[0,1\)"):
        Ema(module, decay=1.0)
