"""What docs/gpus.md and docs/performance.md claim, checked on a real GPU within six minutes: one line for each claim.

    python bench/gpu_check.py                     # everything: the runner, then the trainer (bench/gpu_trainer.py)
    python bench/gpu_check.py --part trainer      # or runner
    python bench/gpu_check.py --rehearse          # on a machine without a GPU: does each claim still run?

Needs an NVIDIA GPU that nobody else uses, and torch with CUDA. Each line has what was found, what was expected, and the
time beside its estimate. `--rehearse` takes a false GPU, small networks and the processor, where that is possible. Each
claim runs batches in a folder of its own, and has a limit of its own; what does not fit into six minutes is left out.
A claim that fails does not stop the others, since minutes on a GPU may be rare; with `--stop` it does. The words of
errors of torch and of the driver are printed as they are: they differ between versions. Exit code 1: at least one claim
did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runner.gpus.looker import Looker

PROJECT = Path(__file__).resolve().parent.parent
RUNNER = (sys.executable, str(PROJECT / "run_experiments.py"))
VISIBLE = "CUDA_VISIBLE_DEVICES"
ALL = 345.0  # seconds for all claims together
LIMIT = 60.0  # seconds for one claim
FALSE = {"driver": "false", "gpus": [{
    "index": 0, "uuid": "GPU-0a2b3c4d-0000-0000-0000-000000000000", "name": "False GPU", "memory_total": 80 << 30,
    "memory_used": 0, "processes": [],
}]}  # fmt: skip
HOLDS = "import sys, torch; kept = torch.zeros(1 << 28, device='cuda'); print('holds', flush=True); sys.stdin.read()"
FILLS = """
import sys, torch
kept = []
while (free := torch.cuda.mem_get_info()[0]) > 64 << 20:
    kept.append(torch.empty(max(free - (48 << 20), 1 << 20), dtype=torch.uint8, device="cuda"))
print("holds", flush=True)
sys.stdin.read()
"""
SEES = """
import json, torch
found = [str(torch.cuda.get_device_properties(n).uuid) for n in range(torch.cuda.device_count())]
print("sees", json.dumps(found))
"""
USES = "import time, torch; kept = torch.zeros(4 << 30, dtype=torch.uint8, device='cuda'); time.sleep(8)"
LEARNS = """
import os, torch
torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.randn(512, 512, device=device)
for _ in range(20):
    x = torch.sin(x @ x.mT)  # a difference in the last bit grows
print(os.environ["CUDA_VISIBLE_DEVICES"], torch.cuda.device_count(), x.double().sum().item().hex())
"""
CONTEXT = "import torch; torch.zeros(1, device='cuda')"
ASSERTS = (
    "import torch; x = torch.zeros(3, device='cuda'); x[torch.tensor([7], device='cuda')]; torch.cuda.synchronize()"
)
#: A name -> a program that ends with this error, and the cause that the runner has to record.
ERRORS = {
    "allocator": ("import torch; kept = [torch.zeros(1 << 34, device='cuda') for _ in range(100)]", "gpu_oom"),
    "cuBLAS": (
        "import torch; x = torch.ones(8, 8, device='cuda')\n"
        "kept = torch.empty(torch.cuda.mem_get_info()[0] - (4 << 20), dtype=torch.uint8, device='cuda'); x @ x",
        "gpu_oom",
    ),
    "assertion on the device": (ASSERTS, "code"),
}


class Failed(Exception):
    """A claim does not hold."""


@dataclass(frozen=True)
class Place:
    """Where a claim is checked, and until when."""

    folder: Path
    deadline: float

    @property
    def left(self) -> float:
        return max(self.deadline - time.monotonic(), 1.0)

    def batch(self, code: str, *words: str, jobs: int = 1, expected: int = 0) -> str:
        """Run a batch of equal jobs; what the runner printed. Raises Failed for another exit code than expected."""
        (self.folder / "c").mkdir(exist_ok=True)
        for number in range(jobs):
            (self.folder / f"c/{number}.py").write_text("")
        (self.folder / "job.py").write_text(code)
        return self.run("--configs", "c/*.py", "--train_script", "job.py", "--log_timestamps", "none", *words,
                        expected=expected)  # fmt: skip

    def run(self, *words: str, expected: int = 0) -> str:
        done = self.python(*RUNNER[1:], *words)
        if done.returncode != expected:
            raise Failed(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
        return done.stdout

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, capture_output=True, text=True, timeout=self.left, check=False
        )

    def results(self) -> list[dict[str, Any]]:
        """Those of the latest batch, by the names of its jobs."""
        paths = sorted(self.folder.glob("experiments/latest/*/experiment_result.json"))
        return [json.loads(path.read_text()) for path in paths]

    def outputs(self) -> list[str]:
        """What its jobs printed."""
        return [path.read_text() for path in sorted(self.folder.glob("experiments/latest/*/stdout.log"))]

    @contextmanager
    def other(self, code: str) -> Iterator[int]:
        """A process of somebody else that has memory of the first GPU; its number."""
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                if process.stdout.readline().strip() != "holds":
                    raise Failed("the other process could not take memory")
                yield process.pid
            finally:
                process.kill()


@dataclass(frozen=True)
class Claim:
    text: str
    expected: str
    seconds: float  # that it takes, estimated from an H100 with 16 cores
    check: Callable[[Place], str]


#: Of bench/gpu_trainer.py, in the order of their importance, and the seconds that each takes.
TRAINER = {
    "equal": 40, "speed": 40, "beside_the_reference": 15, "large": 30, "silent": 15, "skipped": 15,
    "accumulated": 12, "on_the_processor": 5, "resumed": 35,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    if not given.rehearse and not (there := Looker().look()).gpus:
        print(f"error: {there.error or 'the driver lists no GPU'}; --rehearse needs none", file=sys.stderr)
        return 2
    end = time.monotonic() + ALL
    chosen = claims(rehearse=given.rehearse) if given.part != "trainer" else []
    trainer = TRAINER if given.part != "runner" else {}
    estimate = sum(claim.seconds for claim in chosen) + sum(trainer.values())
    print(f"{len(chosen) + len(trainer)} claims, about {estimate:.0f} of {ALL:.0f} s on a GPU", flush=True)
    words: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        os.environ.pop(VISIBLE, None)
        os.environ["RUNNER_GPU_LOCKS"] = f"{folder}/locks"
        if given.rehearse and Looker().look().error:
            (Path(folder) / "gpus.json").write_text(json.dumps(FALSE))
            os.environ["RUNNER_GPU_PROBE"] = f"cat {folder}/gpus.json"
        for claim in chosen:
            words.append(check(claim, Path(folder), end))
            if given.stop and words[-1] == "FAILED":
                return summary(words)
        if trainer:
            words += of_trainer(list(trainer), end, given)
    return summary(words)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="only what needs no computation on the GPU")
    parser.add_argument("--part", choices=("runner", "trainer"), help="default: both")
    parser.add_argument("--stop", action="store_true", help="at the first claim that does not hold")
    return parser.parse_args(argv)


def summary(words: Sequence[str]) -> int:
    print(f"{words.count('held')} of {len(words)} claims held")
    return 0 if words and set(words) == {"held"} else 1


def of_trainer(names: Sequence[str], end: float, given: argparse.Namespace) -> list[str]:
    """The first word of each of its lines. In a process of its own: this one keeps no memory of the GPU."""
    command = [sys.executable, str(PROJECT / "bench/gpu_trainer.py"), "--device", "cpu" if given.rehearse else "cuda"]
    command += ["--seconds", str(max(end - time.monotonic(), 0)), "--claims", *names]
    command += ["--stop"] if given.stop else []
    # Threads that wait by spinning take the processor from the one that works, where there are few cores.
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if given.rehearse else {})
    words = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if (word := line.partition(" ")[0]) in ("held", "FAILED", "LATE"):
                words.append(word)
    return words + ["FAILED"] * (not words or process.returncode not in (0, 1))


def claims(*, rehearse: bool) -> list[Claim]:
    """Of the runner, the most important first."""
    found = [
        Claim("the driver is read", "one GPU or more, one look in less than 1 s (73 ms on an H100)", 1, driver),
        Claim("a lease is exclusive", "4 jobs, never two at once", 4, lease),
        Claim("a GPU that fails two jobs in a row is put into quarantine", "the third does not start", 10,
              partial(quarantine, rehearse)),
        Claim("a job with --warm is a fork of a process with torch", "warm, its own GPU, the results of cold jobs", 22,
              warm),
        Claim("two trainings share a GPU", "both complete; faster than in turn", 30, partial(shared, rehearse)),
    ]  # fmt: skip
    if rehearse:
        return found
    return [
        *found,
        Claim("a job sees its own GPU alone, by its UUID", "torch's UUID is the leased one", 5, sees_its_own),
        Claim("a process of somebody else is waited for", "its name, exit code 75", 10, foreign),
        Claim("the peak memory of a job is measured", "4096 MiB and its context (4706 on an H100)", 14, peak),
        *(Claim(f"cause of an error: {name}", what[1], 6, partial(cause, *what)) for name, what in ERRORS.items()),
        Claim("cause of an error: a context without memory", "gpu_oom", 10, context),
        Claim("memory is free soon after a job", "waits of less than 2 s (0.3 to 0.6 on an H100)", 10, freed),
    ]


def check(claim: Claim, parent: Path, end: float) -> str:
    """Check one claim, print a line on it, and return its first word."""
    began = time.monotonic()
    if began > end - 5:
        print(f"LATE    {claim.text}: six minutes are over", flush=True)
        return "LATE"
    with tempfile.TemporaryDirectory(prefix="claim-", dir=parent) as folder:
        try:
            found, word = claim.check(Place(Path(folder), min(began + LIMIT, end))), "held"
        except (Failed, subprocess.SubprocessError, OSError, ValueError, LookupError) as error:
            found, word = f"{type(error).__name__}: {error}", "FAILED"
    took = f"{time.monotonic() - began:.1f} s, estimated {claim.seconds:g}"
    print(f"{word:6}  {claim.text}: {found} (expected: {claim.expected})  [{took}]", flush=True)
    return word


def driver(place: Place) -> str:
    began = time.monotonic()
    found = Looker().look()
    if found.error or not found.gpus:
        raise Failed(found.error or "it lists no GPU")
    cards = ", ".join(f"{gpu.name} {gpu.uuid[:12]} {gpu.memory_used >> 20} MiB used" for gpu in found.gpus)
    return f"{cards}; driver {found.driver}; one look took {1000 * (time.monotonic() - began):.0f} ms"


def lease(place: Place) -> str:
    """Four jobs on one GPU, with as many workers: never two at once."""
    code = f"import os, time; open('claim', 'x'); time.sleep(0.2); os.unlink('claim'); print(os.environ['{VISIBLE}'])"
    place.batch(code, "--gpus", "0", "--max_workers", "4", jobs=4)
    found = {text.strip() for text in place.outputs()}
    if len(found) != 1 or not found.pop().startswith("GPU-"):
        raise Failed(f"{VISIBLE} was {found}")
    return "4 jobs, one after another, each with the whole UUID"


def quarantine(rehearse: bool, place: Place) -> str:
    """The third job is not started; without a GPU the words of the error are printed instead of provoked."""
    code = "import sys; sys.exit('RuntimeError: CUDA error: device-side assert triggered')" if rehearse else ASSERTS
    out = place.batch(code, "--gpus", "0", jobs=3, expected=1)
    if "No further job is started: no GPU works" not in out or "1 pending" not in out:
        raise Failed(out[-400:])
    (bad,) = json.loads((place.folder / "experiments/latest/experiment_summary.json").read_text())["gpu_quarantine"]
    return f"GPU {bad['index']}: {bad['reason'][:80]}"


def sees_its_own(place: Place) -> str:
    place.batch(SEES, "--gpus", "0")
    (seen,) = json.loads(place.outputs()[0].partition("sees ")[2])
    recorded = place.results()[0]["gpus"][0]["uuid"]
    if seen not in recorded:
        raise Failed(f"torch sees {seen}, recorded is {recorded}")
    return str(seen)


def foreign(place: Place) -> str:
    with place.other(HOLDS) as pid:
        text = place.batch("", "--gpus", "0", "--gpu_wait", "0", expected=75)
        said = next((line for line in text.splitlines() if "waiting" in line), "")
        if "python" not in said and "cannot be seen" not in said:
            raise Failed(f"process {pid} is not named in: {said!r}")
    place.batch("", "--gpus", "0", "--gpu_settle", "1")
    return said


def peak(place: Place) -> str:
    """A job that keeps 4 GiB."""
    place.batch(USES, "--gpus", "0")
    (result,) = place.results()
    found = result.get("gpu_memory_peak_mb")
    if found is None or not 4096 <= found <= 4096 + 2048:
        raise Failed(f"gpu_memory_peak_mb is {found} ({result.get('gpu_memory_source')})")
    return f"{found} MiB of a job that keeps 4096 MiB, by {result['gpu_memory_source']}"


def cause(code: str, expected: str, place: Place) -> str:
    place.batch(code, "--gpus", "0", expected=1)
    return _cause(place, expected)


def context(place: Place) -> str:
    """A job that starts where another process has all the memory: without --gpus, which would wait."""
    with place.other(FILLS):
        place.batch(CONTEXT, expected=1)
    return _cause(place, "gpu_oom")


def _cause(place: Place, expected: str) -> str:
    (result,) = place.results()
    words = str(result.get("error"))[:200]
    if not str(result.get("cause")).startswith(expected):  # gpu_oom_foreign is one too
        raise Failed(f"cause is {result.get('cause')}, not {expected}: {words}")
    return f"{result['cause']}: {words}"


def freed(place: Place) -> str:
    """How long the next job waits after one that used memory."""
    place.batch("import torch; torch.zeros(1 << 30, device='cuda')", "--gpus", "0", jobs=3)
    waits = [result["gpu_wait_seconds"] for result in place.results()]
    return "the jobs waited for " + ", ".join(f"{seconds:.2f} s" for seconds in waits)


def warm(place: Place) -> str:
    """Two jobs, cold and warm: the same words, bit for bit, and how long each took."""
    texts, seconds = [], []
    for words in ([], ["--warm"]):
        place.batch(LEARNS, "--gpus", "0", *words, jobs=2)
        found = place.results()
        if words and any(result.get("start") != "warm" for result in found):
            raise Failed(f"started {[result.get('start') for result in found]}: {found[0].get('cold_because')}")
        texts.append(place.outputs())
        seconds.append(found[-1]["duration_seconds"])
    if texts[0] != texts[1] or not texts[0][0].startswith("GPU-"):
        raise Failed(f"cold jobs printed {texts[0]}, warm ones {texts[1]}")
    return f"{texts[1][0].strip()}; a job took {seconds[0]:.1f} s cold, {seconds[1]:.1f} s warm"


def shared(rehearse: bool, place: Place) -> str:
    """Two trainings of ours, one after another and at once."""
    times = {}
    text = (PROJECT / "config/quickstart/easy.py").read_text()
    for number in range(2):
        (place.folder / f"{number}.py").write_text(f"{text}\nseed = {number}\n")
    how = ["--device", "cpu", "--max_iters", "2"] if rehearse else ["--device", "cuda", "--max_iters", "100"]
    for places in ("1", "2"):
        began = time.monotonic()
        place.run("--configs", "0.py", "1.py", *how, "--compile=false", "--final_evaluation=false", "--eval_iters=1",
                  "--gpus", "0", "--jobs_per_gpu", places)  # fmt: skip
        times[places] = time.monotonic() - began
    ratio = times["1"] / times["2"]
    if ratio < 1 and not rehearse:
        raise Failed(f"two trainings took {times['1']:.1f} s in turn, {times['2']:.1f} s at once")
    return f"two trainings took {times['1']:.1f} s in turn, {times['2']:.1f} s at once, ratio {ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main())
