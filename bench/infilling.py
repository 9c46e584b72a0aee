"""How well trained models fill gaps of the validation text, by the length of the gap.

    python bench/infilling.py MODEL [MODEL ...] --lengths 1,2,4,8,16,32 --windows 200

MODEL is a checkpoint, a job's folder or a batch's. The gap is in the middle of a window of the model; an autoregressive
model sees what is to its left only. nll: nats per token of the gap (an upper bound for gaps of two and more of a
masked-diffusion model); exact: the fraction of gaps that are filled as the text has them, always with the likeliest
answer; right: the fraction of their tokens. Models are comparable when they have the same text and block_size.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from pipelines.diffusion.evaluation.infilling import of_model
from pipelines.diffusion.sampling.load import load_model
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.text.windows import even_windows
from pipelines.shared import devices
from pipelines.shared.errors import InputError


def main() -> int:
    given = arguments()
    device = devices.choose_device(given.device)
    print(f"{'':30}{'gap':>5}{'nll':>9}{'exact':>9}{'±':>8}{'right':>9}")
    for path in given.models:
        model = load_model(path, device)
        if model.is_in_blocks:
            raise InputError(f"{path} is of block diffusion, which does not see what follows a gap")
        trained = model.settings
        text = open_dataset(trained["dataset"], trained.get("tokenizer", "auto"), trained.get("bpe_vocab_size", 512))
        ids = torch.from_numpy(even_windows(text.val, given.windows, model.block_size)).to(device)
        lengths = [length for length in given.lengths if length < model.block_size]
        for found in of_model(model, ids, lengths):
            print(
                f"{model.path.parent.name[:28]:30}{found.length:>5}{found.nll:>9.4f}{found.exact:>9.3f}"
                f"{found.exact_stderr:>8.3f}{found.right:>9.3f}",
                flush=True,
            )
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL", nargs="+", type=Path)
    parser.add_argument(
        "--lengths", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2, 4, 8, 16, 32]
    )
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
