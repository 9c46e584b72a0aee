"""The processes that train one model (torchrun): the rank of this one, and what they must agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from pipelines.shared.errors import InputError

# Long enough for rank 0 to evaluate, prepare data or write to a slow disk while the others wait.
TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class World:
    rank: int = 0
    local_rank: int = 0  # on this machine: the number of its GPU
    size: int = 1

    @property
    def is_rank_zero(self) -> bool:
        """Rank 0 prints and writes."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        return self.size == 1

    def device(self, requested: str) -> str:
        """Each process uses the GPU of its local rank, unless the config names one."""
        if self.is_single or requested not in ("auto", "cuda") or not torch.cuda.is_available():
            return requested
        return f"cuda:{self.local_rank}"

    def describe(self) -> str:
        return "" if self.is_single else f", {self.size} processes"

    def partition(self, micro_batches: int, rows: int) -> tuple[range, slice]:
        """The indices of this rank's micro-batches, and its rows of each. All ranks together have every row once,
        so that the training does not depend on the number of processes. Raises InputError for an uneven split.
        """
        if micro_batches % self.size == 0:
            return range(self.rank, micro_batches, self.size), slice(None)
        if rows % self.size == 0:
            return range(micro_batches), slice(self.rank, None, self.size)
        raise InputError(
            f"{self.size} processes can split neither gradient_accumulation_steps ({micro_batches})"
            f" nor batch_size ({rows}) evenly; make one of them a multiple of {self.size}"
        )

    def seed_dropout(self, seed: int) -> None:
        """Let dropout differ between the ranks, which have the same weights; rank 0 keeps its random state."""
        if not self.is_rank_zero:
            torch.manual_seed(seed * self.size + self.rank)

    def mean(self, value: torch.Tensor) -> float:
        if self.is_single:
            return value.item()
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total.item() / self.size

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        if self.is_single:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on every rank."""
        values = [value] * self.size
        if not self.is_single:
            torch.distributed.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        if self.is_single:
            return flag
        # Called before every step. A number takes a twentieth of the time of an object, which would be pickled.
        raised = torch.tensor(int(flag))
        torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
        return bool(raised)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """`network` with gradients that are averaged over the ranks while they are computed."""
        if self.is_single:
            return network
        # Buffers are tables that follow from the shape: they never change, so they are not broadcast at every step.
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )

    def no_sync(self, network: Any, *, last: bool) -> AbstractContextManager[None]:
        """While entered, gradients accumulate on this rank only: they are averaged with the last micro-batch."""
        return nullcontext() if self.is_single or last else network.no_sync()


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """The world that torchrun started, or a world of this process alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield World()
        return
    world = World(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), count)
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus and world.local_rank >= torch.cuda.device_count():
        raise InputError(
            f"torchrun started {count} processes here, and there are {torch.cuda.device_count()} GPUs;"
            " lower --nproc_per_node, or use --device=cpu"
        )
    if on_gpus:
        torch.cuda.set_device(world.local_rank)
    # gloo beside nccl: flags and objects are on the CPU, and must not wait for a GPU.
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=TIMEOUT)
    try:
        yield world
    finally:
        torch.distributed.destroy_process_group()
