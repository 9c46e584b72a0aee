"""Prepare any UTF-8 text for training: as characters, as GPT-2's byte pairs, or as byte pairs learned from it.

    python data/text.py book.txt --name mybook                             # dataset = "mybook": data/mybook/
    python data/text.py book.txt --name mybook --tokenizer bpe --vocab_size 1000
    python data/text.py book.txt --tokenizer gpt2                          # what dataset = "book.txt" trains on

A training runs the last one by itself. It takes the name of a dataset instead of a file, too.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import configurator
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.open import prepare, prepare_named
from pipelines.diffusion.text.tokenization import Tokenization
from pipelines.shared.errors import InputError
from pipelines.shared.settings_types import DATA, dataset_meta
from runner.core.errors import UserError


def main() -> str:
    """Prepare, and return a sentence on what is there now."""
    args = parsed()
    request = Tokenization(args.file, args.tokenizer, int(args.vocab_size))
    if args.name is None:
        folder, fresh = prepare(request)
    else:
        folder = named(args.name, request)
        fresh = prepare_named(folder, request, again=args.again)
    meta = dataset_meta(folder)
    held = f"{meta['train_tokens']:,} + {meta['val_tokens']:,} tokens, {meta['vocab_size']:,} different ones"
    return f"{folder}: {'prepared' if fresh else 'was prepared already'} ({meta['tokenizer']}; {held})"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", metavar="FILE", help="the text")
    parser.add_argument("--tokenizer", default="auto", help="characters, gpt2 or bpe (default: characters)")
    parser.add_argument("--vocab_size", default="512", help="of bpe: 256 bytes and the pairs (default: 512)")
    parser.add_argument("--name", help="make the dataset data/NAME")
    parser.add_argument("--again", action="store_true", help="with --name: replace an existing dataset")
    args = parser.parse_args()
    given = {"dataset": args.file, "tokenizer": args.tokenizer, "bpe_vocab_size": args.vocab_size}
    configurator.resolve_for(DiffusionSettings, None, given)  # the limits are those of a config
    return args


def named(name: str, request: Tokenization) -> Path:
    """data/NAME, where that is free for a text."""
    folder = DATA / name
    if folder.parent != DATA or name.startswith("."):
        raise InputError(f"--name {name}: give a plain name, such as mybook")
    if (folder / "prepare.py").is_file() or folder in (DATA / "prepared", DATA / "tiktoken"):
        raise InputError(f"--name {name}: {folder} belongs to the project; choose another name")
    if not request.is_file:
        raise InputError(f"--name {name}: {request.dataset} is a dataset already; name a text file")
    return folder


if __name__ == "__main__":
    try:
        print(main())
    except (InputError, UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
