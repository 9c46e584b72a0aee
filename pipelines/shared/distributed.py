"""Several processes that train one model (torchrun): which one this is, and what they must agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from pipelines.shared.errors import Mistake

# Long enough for the first one to evaluate, prepare data or write to a slow disk while the others wait.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Processes:
    rank: int = 0  # which one of all
    local_rank: int = 0  # which one on this machine: its GPU
    count: int = 1

    @property
    def first(self) -> bool:
        """The one that prints, evaluates and writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.count == 1

    def device(self, wanted: str) -> str:
        """Each process takes the GPU of its number, where the config leaves that open."""
        if self.alone or wanted not in ("auto", "cuda") or not torch.cuda.is_available():
            return wanted
        return f"cuda:{self.local_rank}"

    def describe(self) -> str:
        return "" if self.alone else f", {self.count} processes"

    def part(self, lanes: int, rows: int) -> tuple[range, slice]:
        """Which micro-steps of an iteration this process takes, and which rows of each. Together they are all of them,
        so that the training is the same however many processes share it. Raises Mistake where that is not even.
        """
        if lanes % self.count == 0:
            return range(self.rank, lanes, self.count), slice(None)
        if rows % self.count == 0:
            return range(lanes), slice(self.rank, None, self.count)
        raise Mistake(
            f"{self.count} processes can share neither gradient_accumulation_steps ({lanes}) nor batch_size ({rows})"
            f" evenly; make one of them a multiple of {self.count}"
        )

    def spread_chance(self, seed: int) -> None:
        """Let dropout differ between the processes, which hold the same weights; the first one keeps its own."""
        if not self.first:
            torch.manual_seed(seed * self.count + self.rank)

    def mean(self, value: torch.Tensor) -> float:
        if self.alone:
            return value.item()
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total.item() / self.count

    def shared(self, value: Any) -> Any:
        """The first process's value, in all of them."""
        if self.alone:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Whether it is so in one of them."""
        if self.alone:
            return flag
        # Asked before every step. A number takes a twentieth of the time of an object, which would be pickled.
        raised = torch.tensor(int(flag))
        torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
        return bool(raised)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """`network` with gradients that are averaged over the processes while they are computed."""
        if self.alone:
            return network
        # Buffers are tables that follow from the shape: they never change, and need not be sent round at every step.
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )

    def quiet(self, network: Any, *, last: bool) -> AbstractContextManager[None]:
        """While entered, gradients add up here alone: before the last micro-step there is nothing to average."""
        return nullcontext() if self.alone or last else network.no_sync()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    processes = Processes(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), count)
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus and processes.local_rank >= torch.cuda.device_count():
        raise Mistake(
            f"torchrun started {count} processes here, and there are {torch.cuda.device_count()} GPUs;"
            " lower --nproc_per_node, or type --device=cpu"
        )
    if on_gpus:
        torch.cuda.set_device(processes.local_rank)
    # gloo beside nccl: what is agreed on lies on the CPU, and must not wait for a GPU.
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=PATIENCE)
    try:
        yield processes
    finally:
        torch.distributed.destroy_process_group()
