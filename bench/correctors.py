"""Whether an error-detection model improves samples at equal numbers of network calls.

    python bench/correctors.py MODEL CORRECTOR --scorer AR --steps 16,32,64 --count 64

For each number of steps: samples with the corrector, whose calls count too, and samples of the same model without it in
as many steps as those were calls, plain and by the sampler remasking, which needs no second model. All are measured by
the scorer, an autoregressive model of the same text (nats per character, exact; lower is likelier), and by their
entropy and known words beside those of the validation text, since repetition is likely, too (docs/sampling.md).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from pipelines.diffusion.evaluation.perplexity import perplexity
from pipelines.diffusion.sampling.load import TrainedModel, load_model

PROJECT = Path(__file__).resolve().parents[1]


def main() -> int:
    given = arguments()
    scorer = load_model(given.scorer, torch.device("cpu"))
    print(f"{'':14}{'steps':>6}{'calls':>7}{'scorer':>9}{'±':>8}{'entropy':>9}{'known words':>13}")
    for steps in given.steps:
        calls = draw(given, scorer, "corrected", steps, f"--corrector={given.corrector}", *given.options)
        draw(given, scorer, "plain", calls)
        draw(given, scorer, "remasking", calls, "--sampler=remasking")
    return 0


def draw(given: argparse.Namespace, scorer: TrainedModel, name: str, steps: int, *options: str) -> int:
    """Draw, print a row, and return the number of network calls."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "samples.jsonl"
        command = [sys.executable, str(PROJECT / "sample.py"), str(given.model), f"--steps={steps}", "--quality",
                   f"--count={given.count}", f"--batch_size={given.count}", f"--out={out}", *options]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, text=True)
        *rows, summary = [json.loads(line) for line in out.read_text().splitlines()]
    costs = [perplexity([row["text"]], scorer, torch.device("cpu")).nats_per_character for row in rows]
    error = np.std(costs, ddof=1) / len(costs) ** 0.5
    calls, quality = summary["network_calls"], summary["quality"]
    print(
        f"{name:14}{steps:>6}{calls:>7}{np.mean(costs):>9.3f}{error:>8.3f}{quality['entropy']:>9.3f}"
        f"{quality['known_words'] or 0:>13.3f}",
        flush=True,
    )
    return int(calls)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.add_argument("corrector", metavar="CORRECTOR", type=Path)
    parser.add_argument("--scorer", metavar="AR", type=Path, required=True)
    parser.add_argument("--steps", type=lambda text: [int(word) for word in text.split(",")], default=[16, 32, 64])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--options", nargs="*", default=[], help="more options of sample.py for the corrector")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
