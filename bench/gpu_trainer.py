"""What the trainer promises on a GPU, one line for each claim. bench/gpu_check.py runs this after the runner's claims.

Every expectation is stated in the claim's own words, so that a line can be read by itself. `--device cpu` tries the
program where there is no GPU, with small networks; its figures then mean nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from reference import Reference, optimizer_of, windows
from torch import Tensor
from trainee import RECIPE, Trainee, some_text

from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.train_state import loss_of
from pipelines.shared import devices
from pipelines.shared.errors import InputError

PROJECT = Path(__file__).resolve().parent.parent
TINY: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 64, "batch_size": 8, "block_size": 64}
BABY: dict[str, Any] = {"n_layer": 6, "n_head": 6, "n_embd": 384, "batch_size": 64, "block_size": 256}
GPT2: dict[str, Any] = {"n_layer": 12, "n_head": 12, "n_embd": 768, "batch_size": 32, "block_size": 1024}
GRAPHS: dict[str, Any] = {"compile": True, "graphs": True}
TOKENS_BAR, GPT2_BAR, RATIO_BAR, MFU_BAR = 2.5e6, 460e3, 2.0, 0.35


class Failed(Exception):
    """A claim does not hold."""


class Checks:
    """Where the claims are checked: a device, and a text that all of them read."""

    def __init__(self, device: torch.device, folder: Path) -> None:
        self.device, self.folder = device, folder
        self.text: Dataset = some_text(folder / "text")
        self.gpu = device.type == "cuda"
        self.baby = BABY if self.gpu else TINY
        self.rates: dict[str, float] = {}  # tokens a second of ours, for the last claim

    def trainee(self, dtype: torch.dtype = torch.float32, **settings: Any) -> Trainee:
        given = TINY | settings
        if not self.gpu:  # a rehearsal: compiling takes longest there, and shows nothing
            given |= {"compile": False, "graphs": False}
        return Trainee(self.text, self.device, dtype, **given)

    # Right

    def equal(self) -> str:
        """20 steps give the same losses eagerly, compiled, and with graphs: 1e-3 apart, 1e-2 with Muon."""
        apart = {}
        for recipe, most in (({}, 1e-3), (RECIPE, 1e-2)):
            losses = {}
            for name, how in (("eager", {}), ("compiled", {"compile": True}), ("graphs", GRAPHS)):
                one = self.trainee(**recipe, **how)
                steps = []
                for _ in range(20):
                    one.step()
                    steps.append(one.loss.clone())
                losses[name] = torch.stack(steps).cpu()
                if name != "eager":
                    title = f"{name}, {'recipe' if recipe else 'AdamW'}"
                    apart[title] = ((losses[name] - losses["eager"]).abs().max().item(), most)
        words = ", ".join(f"{name} {x:.1e}" for name, (x, _) in apart.items())
        return held(all(x <= most for x, most in apart.values()), words)

    def on_the_processor(self) -> str:
        """A network trained on the processor is evaluated on the GPU: 1e-4 nats apart in float32, 5e-3 in bfloat16."""
        cpu = Trainee(self.text, torch.device("cpu"), torch.float32, **TINY)
        for _ in range(10):
            cpu.step()
        expected = evaluated(cpu)
        apart = {}
        for dtype, most in ((torch.float32, 1e-4), (torch.bfloat16, 5e-3)):
            one = self.trainee(dtype)
            one.state.model.load_state_dict(cpu.state.model.state_dict())
            apart[dtype] = (abs(evaluated(one) - expected), most)
        words = ", ".join(f"{devices.dtype_name(dtype)} {x:.1e}" for dtype, (x, _) in apart.items())
        return held(all(x <= most for x, most in apart.values()), words)

    def silent(self) -> str:
        """30 steps never wait for the GPU: AdamW, Muon, float16 with a scaler, and CUDA graphs."""
        kinds: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
            "AdamW": (torch.bfloat16, {}), "Muon": (torch.bfloat16, RECIPE), "float16": (torch.float16, RECIPE),
            "graphs": (torch.bfloat16, RECIPE | GRAPHS),
        }  # fmt: skip
        for name, (dtype, settings) in kinds.items():
            one = self.trainee(dtype, **settings)
            for _ in range(20 if self.gpu else 1):  # the first group of batches and the first allocations
                one.step()
            if self.gpu:
                torch.cuda.set_sync_debug_mode("error")
            try:
                for _ in range(30 if self.gpu else 1):
                    one.step()
            except RuntimeError as error:
                raise Failed(f"{name}: {str(error).splitlines()[0]}: {place_of(error)}") from error
            finally:
                if self.gpu:
                    torch.cuda.set_sync_debug_mode("default")
        return ", ".join(kinds)

    def skipped(self) -> str:
        """A step whose gradient is not finite moves no weight, no moment and no momentum."""
        for dtype, how in ((torch.float32, {}), (torch.float16, {}), (torch.float32, GRAPHS)):
            one = self.trainee(dtype, **RECIPE, **how)
            for _ in range(8):  # float16 finds its scale
                one.step()
            before = everything(one)
            if one.step(math.inf).item() != 1.0:
                raise Failed(f"{devices.dtype_name(dtype)}: the step was not skipped")
            moved = [name for name, x in everything(one).items() if not torch.equal(x, before[name])]
            if moved:
                raise Failed(f"{devices.dtype_name(dtype)}: {len(moved)} moved, the first {moved[0]}")
            while one.step().item():
                pass
        return f"{len(before)} tensors bit-equal, then it went on"

    def accumulated(self) -> str:
        """The gradients of two batches add up compiled as eagerly, 1e-3 of their norm apart; with graphs: refused."""
        gradients = []
        for how in ({}, {"compile": True}):
            one = self.trainee(**how)
            for number in range(2):
                loss_of(one.network, one.objective.draw(number, 0, 0)).backward()
            gradients.append(torch.cat([p.grad.flatten() for p in one.state.model.parameters() if p.grad is not None]))
        apart = ((gradients[1] - gradients[0]).norm() / gradients[0].norm()).item()
        try:
            DiffusionSettings(training_type="elbo", cuda_graphs=True, gradient_accumulation_steps=2)
        except ValueError:
            return held(apart <= 1e-3, f"{apart:.1e} apart, refused")
        raise Failed("cuda_graphs with gradient_accumulation_steps = 2 is accepted")

    # Fast

    def speed(self) -> str:
        """Tokens a second with CUDA graphs, launches a step, and the largest kernels, of AdamW and the recipe."""
        return self.raced({"AdamW": GRAPHS, "recipe": RECIPE | GRAPHS}, TOKENS_BAR)

    def speed_without_graphs(self) -> str:
        """The same, when the host starts every kernel."""
        return self.raced({"AdamW": {"compile": True}, "recipe": RECIPE | {"compile": True}}, 0.0)

    def raced(self, kinds: dict[str, dict[str, Any]], bar: float) -> str:
        rates = {}
        for name, settings in kinds.items():
            one = self.trainee(torch.bfloat16, **(self.baby | settings))
            rates[name] = self.timed(one.step, self.baby)
            print(f"        {name}: {rates[name]:,.0f} tokens a second; {self.profiled(one.step)}", flush=True)
        self.rates = {name: max(rate, self.rates.get(name, 0.0)) for name, rate in rates.items()}
        words = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        return held(max(rates.values()) >= bar or not self.gpu, f"{words} tokens a second; bar {bar:,.0f}")

    def beside_the_reference(self) -> str:
        """Twice the tokens of nanoGPT's step, compiled, in the same minute."""
        shape = self.baby
        torch.manual_seed(0)
        model = Reference(
            self.text.vocab_size + 1, self.text.vocab_size, shape["block_size"], shape["n_layer"], shape["n_embd"],
            shape["n_head"],
        ).to(self.device)  # fmt: skip
        network = torch.compile(model) if self.gpu else model
        optimizer = optimizer_of(model, 1e-3)
        batches = windows(self.text.train, shape["batch_size"], shape["block_size"], self.device)

        def step() -> None:
            ids = next(batches)
            with devices.autocast(self.device, torch.bfloat16):
                loss = network(ids, ids)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        rate = self.timed(step, shape)
        ours = self.rates.get("AdamW", 0.0)
        words = f"reference {rate:,.0f} tokens a second; ours {ours / rate:.2f} times, bar {RATIO_BAR}"
        words += f"; the recipe {self.rates.get('recipe', 0.0) / rate:.2f} times"
        return held(ours >= RATIO_BAR * rate or not self.gpu, f"{words}; {self.profiled(step)}")

    def large(self) -> str:
        """124 million parameters, windows of 1024: tokens a second, part of the peak, memory."""
        shape = GPT2 if self.gpu else TINY
        one = self.trainee(torch.bfloat16, compile=True, **shape)
        rate = self.timed(one.step, shape, rounds=3, steps=8)
        part = one.state.model.flops_per_token() * rate / devices.peak_flops(self.device, torch.bfloat16).flops
        memory = devices.memory_bytes(self.device) / 2**30
        words = f"{rate:,.0f} tokens a second, bar {GPT2_BAR:,.0f}; MFU {part:.0%}, bar {MFU_BAR:.0%}; {memory:.1f} GiB"
        print(f"        {self.profiled(one.step)}", flush=True)
        return held((rate >= GPT2_BAR and part >= MFU_BAR) or not self.gpu, words)

    # Whole

    def resumed(self) -> str:
        """train_run.py is killed with -9 and resumed: at most 1e-3 from an undisturbed training at the last step."""
        steps = 60 if self.gpu else 20
        first, second = self.started("a", steps), self.started("b", steps)
        wait_for(first), wait_for(second)
        third = self.started("c", steps)
        saved = f"iter {steps * 2 // 3}:"
        assert third.stdout is not None
        while (line := third.stdout.readline()) and not line.startswith(saved):
            pass
        third.send_signal(signal.SIGKILL)
        third.wait()
        wait_for(self.started("c", steps, "--init_from=resume"))
        last = {name: last_loss(self.folder / name) for name in "abc"}
        same = "two equal trainings are bit-equal" if last["a"] == last["b"] else "two equal trainings differ"
        words = f"{last['a']:.6f}, again {last['b']:.6f} ({same}), killed and resumed {last['c']:.6f}"
        return held(abs(last["c"] - last["a"]) <= max(1e-3, 2 * abs(last["b"] - last["a"])), words)

    def started(self, name: str, steps: int, *more: str) -> subprocess.Popen[str]:
        words = [f"--{key}={value}" for key, value in (TINY | RECIPE).items()]
        every = steps // 6
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "train_run.py"), str(PROJECT / "config/shakespeare_elbo.py"), *words,
             f"--dataset={self.text.folder}", f"--out_dir={self.folder / name}", f"--max_iters={steps}",
             f"--eval_interval={every}", f"--log_interval={every}", "--eval_iters=4", "--compile=false",
             f"--device={self.device.type}", "--final_evaluation=false", "--always_save_checkpoint=true",
             *(["--dtype=bfloat16"] if self.gpu else []), *more],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    # Measuring

    def timed(self, step: Callable[[], Any], shape: dict[str, Any], rounds: int = 5, steps: int = 40) -> float:
        """Tokens a second: the median over rounds of so many steps."""
        if not self.gpu:
            rounds, steps = 1, 2
        for _ in range(steps):
            step()
        seconds = []
        for _ in range(rounds):
            devices.synchronize(self.device)
            begun = time.perf_counter()
            for _ in range(steps):
                step()
            devices.synchronize(self.device)
            seconds.append((time.perf_counter() - begun) / steps)
        return shape["batch_size"] * shape["block_size"] / statistics.median(seconds)

    def profiled(self, step: Callable[[], Any], steps: int = 16) -> str:
        """Launches and milliseconds of kernels a step, and the kernels that take longest."""
        if not self.gpu:
            return "not profiled"
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            for _ in range(steps):
                step()
            torch.cuda.synchronize()
        events = found.key_averages()
        launches = sum(e.count for e in events if re.match(r"cu(da)?(Launch|GraphLaunch)", e.key)) / steps
        kernels = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
        total = sum(e.self_device_time_total for e in kernels) / steps / 1e3
        largest = sorted(kernels, key=lambda e: -e.self_device_time_total)[:8]
        named = "; ".join(f"{e.self_device_time_total / steps / 1e3:.3f} ms {e.key[:60]}" for e in largest)
        return f"{launches:.0f} launches and {total:.2f} ms of kernels a step: {named}"


def held(holds: bool, words: str) -> str:
    if not holds:
        raise Failed(words)
    return words


def evaluated(one: Trainee) -> float:
    found = one.objective.evaluate(one.state.model, lambda: False)
    assert found is not None
    return found.val_loss


def everything(one: Trainee) -> dict[str, Tensor]:
    """Weights, moments and momenta, copied."""
    found = {f"weight {name}": p for name, p in one.state.model.named_parameters()}
    for kind, optimizer in (("AdamW", one.state.optimizer.adamw), ("Muon", one.state.optimizer.muon)):
        for number, values in enumerate(optimizer.state.values() if optimizer else ()):
            found |= {f"{kind} {number} {key}": x for key, x in values.items() if torch.is_tensor(x)}
    return {name: x.detach().clone() for name, x in found.items()}


def place_of(error: BaseException) -> str:
    """The last line of the project on the way to an error."""
    trace, found = error.__traceback__, "?"
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(str(PROJECT)) and ".venv" not in name:
            found = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def wait_for(process: subprocess.Popen[str]) -> None:
    out, _ = process.communicate(timeout=120)
    if process.returncode:
        raise Failed(f"train_run.py ended with {process.returncode}: {out[-400:]}")


def last_loss(folder: Path) -> float:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(float(row["val/loss"]) for row in reversed(rows) if "val/loss" in row)


CLAIMS = (
    "equal", "on_the_processor", "silent", "skipped", "accumulated", "speed", "speed_without_graphs",
    "beside_the_reference", "large", "resumed",
)  # fmt: skip


def check_all(device: torch.device, names: Sequence[str], end: float, *, stop: bool) -> list[bool]:
    """Check the claims of these names, print a line on each, and return which ones held."""
    results = []
    torch.set_float32_matmul_precision("highest")
    with tempfile.TemporaryDirectory(prefix="gpu-trainer-") as folder:
        checks = Checks(device, Path(folder))
        for name in names:
            function = getattr(checks, name)
            if name == "speed":
                torch.set_float32_matmul_precision("high")  # as in a training
            begun = time.monotonic()
            if begun > end - 5:
                word, found = "LATE", "the time is over"
            else:
                try:
                    found, word = function(), "held"
                except Exception as error:  # a claim that fails must not take the others with it
                    found, word = f"{type(error).__name__}: {error} ({place_of(error)})", "FAILED"
            title = (function.__doc__ or name).strip().rstrip(".")
            print(f"{word:6}  {title}: {found}  [{time.monotonic() - begun:.1f} s]", flush=True)
            results.append(word == "held")
            if stop and not results[-1]:
                break
            torch._dynamo.reset()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return results


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=345.0, help="for all claims together")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=CLAIMS)
    parser.add_argument("--stop", action="store_true", help="at the first claim that does not hold")
    given = parser.parse_args(argv)
    try:
        device = devices.choose_device(given.device)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{devices.describe(device)}, torch {torch.__version__}, {os.cpu_count()} cores", flush=True)
    results = check_all(device, given.claims, time.monotonic() + given.seconds, stop=given.stop)
    print(f"{sum(results)} of {len(results)} claims held")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
