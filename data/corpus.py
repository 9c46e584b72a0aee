"""Prepare a corpus that is larger than the memory, from local files, as shards of tokens.

    python data/corpus.py owt/*.jsonl.gz --name owt --tokenizer gpt2    # dataset = "owt"

Files are text (.txt) or JSON lines (.jsonl) with a field "text", each packed by gzip (.gz) or not. Every --val_every-th
document, or piece of about a million characters of a text file, is for validation.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import configurator
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import dataset, stream
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from pipelines.shared.settings_types import DATA, dataset_meta
from runner.core.errors import UserError


def main() -> str:
    """Prepare, and return a sentence on what is there now."""
    args = parsed()
    folder = DATA / args.name
    if folder.parent != DATA or args.name.startswith(".") or (folder / "prepare.py").is_file():
        raise InputError(f"--name {args.name}: give a plain name that no dataset of the project has, such as mycorpus")
    if dataset.is_prepared(folder) and not args.again:
        raise InputError(f"{folder} is prepared already; --again replaces it")
    request = stream.Request(
        args.files, args.tokenizer, args.vocab_size, shard_tokens=args.shard_tokens, val_every=args.val_every
    )
    folder.mkdir(parents=True, exist_ok=True)
    with dataset_preparation.locked(folder / "prepare.lock"):
        stream.write(folder, request)
    meta = dataset_meta(folder)
    return (
        f"{folder}: prepared ({meta['tokenizer']}; {meta['train_tokens']:,} + {meta['val_tokens']:,} tokens in"
        f" {len(meta['shards'])} shards, {meta['vocab_size']:,} different ones)"
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    parser.add_argument("--name", required=True, help="makes the dataset data/NAME")
    parser.add_argument("--tokenizer", default="gpt2", choices=("characters", "gpt2", "bpe"), help="default: gpt2")
    parser.add_argument("--vocab_size", type=int, default=32768, help="of bpe, with 256 bytes (default: 32768)")
    parser.add_argument("--shard_tokens", type=int, default=100_000_000, help="tokens of a file (default: 100000000)")
    parser.add_argument("--val_every", type=int, default=200, help="default: 200")
    parser.add_argument("--again", action="store_true", help="replace an existing dataset")
    args = parser.parse_args()
    if args.shard_tokens < 1 or args.val_every < 2:
        parser.error("--shard_tokens must be at least 1, --val_every at least 2")
    # The limits are those of a config.
    configurator.resolve_for(DiffusionSettings, None, {"bpe_vocab_size": str(args.vocab_size)})
    return args


if __name__ == "__main__":
    try:
        print(main())
    except (InputError, UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
