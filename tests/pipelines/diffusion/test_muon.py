"""Muon in batches is torch's Muon, and a skipped step moves nothing."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from pipelines.diffusion import muon
from pipelines.diffusion.muon import BatchedMuon, orthogonalised

SHAPES = ((24, 8), (8, 8), (32, 8), (8, 32)) * 3  # of three blocks


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=generator) / 8) for shape in SHAPES]


def step(optimizer: torch.optim.Muon, number: int, skipped: float = 0.0, factor: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(number)
    for p in optimizer.param_groups[0]["params"]:
        p.grad = torch.randn(p.shape, generator=generator) * factor
    if isinstance(optimizer, BatchedMuon):
        optimizer.step_unless(torch.tensor(skipped))
    else:
        optimizer.step()


def everything(optimizer: torch.optim.Muon) -> list[Tensor]:
    matrices = optimizer.param_groups[0]["params"]
    return [x.detach().clone() for p in matrices for x in (p, optimizer.state[p]["momentum_buffer"])]


def test_it_equals_the_optimizer_of_torch_and_loads_its_checkpoints(monkeypatch):
    monkeypatch.setattr(muon, "has_bfloat16_units", lambda device: True)  # torch's never asks for them
    theirs, ours = torch.optim.Muon(parameters(), lr=0.02), BatchedMuon(parameters(), lr=0.02)
    for number in range(3):
        step(theirs, number)
        step(ours, number)
    torch.testing.assert_close(everything(ours), everything(theirs), rtol=0, atol=1e-4)

    continued = BatchedMuon([nn.Parameter(p.detach().clone()) for p in theirs.param_groups[0]["params"]], lr=0.02)
    continued.load_state_dict(deepcopy(theirs.state_dict()))
    step(theirs, 3)
    step(continued, 3)
    torch.testing.assert_close(everything(continued), everything(theirs), rtol=0, atol=1e-4)


def test_a_checkpoint_continues_bit_for_bit():
    ours = BatchedMuon(parameters(), lr=0.02)
    step(ours, 0)
    other = BatchedMuon([nn.Parameter(p.detach().clone()) for p in ours.param_groups[0]["params"]], lr=0.02)
    other.load_state_dict(deepcopy(ours.state_dict()))
    step(ours, 1)
    step(other, 1)
    assert all(torch.equal(a, b) for a, b in zip(everything(ours), everything(other), strict=True))


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_skipped_step_moves_nothing(factor):
    ours = BatchedMuon(parameters(), lr=0.02)
    step(ours, 0)
    before = everything(ours)
    step(ours, 1, skipped=1.0, factor=factor)
    assert all(torch.equal(a, b) for a, b in zip(everything(ours), before, strict=True))
    step(ours, 2)
    assert not any(torch.equal(a, b) for a, b in zip(everything(ours), before, strict=True))


@pytest.mark.parametrize("has_units", [False, True])
@pytest.mark.parametrize("shape", [(5, 16, 16), (2, 32, 8), (2, 8, 32)])
def test_singular_values_become_about_one_and_their_vectors_stay(shape, has_units, monkeypatch):
    monkeypatch.setattr(muon, "has_bfloat16_units", lambda device: has_units)
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ orthogonalised(matrices) @ v.mT
    assert (inner.diagonal(dim1=1, dim2=2) > 0.3).all() and (inner.diagonal(dim1=1, dim2=2) < 1.3).all()
    assert (inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max() < 0.1
