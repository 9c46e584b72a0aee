"""The device of a training: choice, precision, peak speed, compilation. Knows nothing of models or data."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch
from torch import nn

from pipelines.shared.errors import InputError

# Dense bf16 tensor-core peaks in TFLOP/s, from NVIDIA's data sheets; the first name that the GPU's name contains wins.
PEAKS_BF16 = {
    "B200": 2250, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "A40": 150, "A30": 165,
    "A10G": 70, "A10": 125, "L40S": 362, "L40": 181, "L4": 121, "RTX 5090": 209, "RTX 4090": 165, "RTX 4080": 97,
    "RTX 3090": 71, "RTX A6000": 155, "RTX 6000 Ada": 364,
}  # fmt: skip

BFLOAT16_UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86, x86, ARM


@dataclass(frozen=True, slots=True)
class Peak:
    flops: float  # per second
    source: str


def choose_device(requested: str) -> torch.device:
    """`requested`, or the best available one for 'auto'. Raises InputError for a device that does not exist."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if requested == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    best = "cuda" if cuda else "mps" if mps else "cpu"
    if requested.startswith("cuda") and not cuda:
        reason = "this PyTorch was built without CUDA" if torch.version.cuda is None else "no usable GPU was found"
        raise InputError(f"--device={requested}: {reason}; use --device={best} or auto")
    if requested == "mps" and not mps:
        raise InputError(f"--device=mps: there is no Apple GPU here; use --device={best} or auto")
    device = torch.device(requested)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise InputError(f"--device={requested}: the last GPU here is cuda:{last}; use --device=cuda:{last}")
    return device


def choose_dtype(requested: str, device: torch.device, *, compiled: bool = False) -> torch.dtype:
    """`requested`, or for 'auto' the fastest one: bfloat16 where there are units for it, on a processor if compiled.

    Otherwise float16 on a GPU and float32 on a processor.
    """
    if requested != "auto":
        return getattr(torch, requested)
    if device.type == "cuda":
        return torch.bfloat16 if has_bfloat16_units(device) else torch.float16
    if device.type == "cpu" and compiled and has_bfloat16_units(device):
        return torch.bfloat16
    return torch.float32


def has_bfloat16_units(device: torch.device) -> bool:
    """False if PyTorch calculates bfloat16 with other units: on a processor that takes several times float32's time."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or not BFLOAT16_UNITS.isdisjoint(_processor_flags())


@functools.cache
def _processor_flags() -> frozenset[str]:
    """What the processor can do, by Linux's names; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager:
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def peak_flops(device: torch.device, dtype: torch.dtype) -> Peak:
    """What MFU is relative to: the data sheet where it is known, else a short matrix product in `dtype`."""
    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        for known, tera in PEAKS_BF16.items():
            if known in name:
                return Peak(tera * 1e12, f"data sheet of {known}, dense bf16")
    return Peak(measure_matmul(device, dtype), f"measured here: {dtype_name(dtype)} matrix product")


def measure_matmul(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """FLOP/s of the best of several square products, within about `seconds`."""
    size = 4096 if device.type == "cuda" else 768
    a = torch.ones(size, size, device=device, dtype=dtype)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not best:
        begin = time.perf_counter()
        a @ a
        synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - begin))
    return best


def memory_bytes(device: torch.device) -> int:
    """Peak memory: of the GPU by tensors, otherwise of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def total_memory(device: torch.device) -> int | None:
    """Bytes of the device; None where it is not known."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total if device.type == "cpu" else None


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def compiles(requested: Literal["auto"] | bool, device: torch.device) -> bool:
    """Whether to compile: 'auto' means on a GPU, where Triton is there for it."""
    if requested != "auto":
        return requested
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def compiled(model: nn.Module, try_step: Callable[[nn.Module], None], *, graphs: bool = False) -> nn.Module:
    """torch.compile(model) if `try_step` succeeds with it; otherwise a warning, and the model as it is.

    A missing compiler shows only when the first step runs, so one is tried here. `try_step` may leave gradients
    behind; the state of the random generators is restored.
    """
    devices = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
    try:
        fast = torch.compile(model, mode="reduce-overhead" if graphs and devices else None)
        with torch.random.fork_rng(devices=devices):
            try_step(fast)
        return fast
    except Exception as error:  # whatever the compiler's toolchain raises, the model itself is fine
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"warning: torch.compile does not work here ({first_line}); continuing without it", file=sys.stderr)
        torch._dynamo.reset()
        return model
    finally:
        model.zero_grad(set_to_none=True)


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
