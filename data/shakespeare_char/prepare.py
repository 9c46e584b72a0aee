"""Tiny Shakespeare (1.1 MB of plays, collected by Andrej Karpathy), as characters.

    python data/shakespeare_char/prepare.py [--file PATH] [--again]

Takes input.txt beside this file, or --file, or downloads it and checks its sha256. A training that names
`shakespeare_char` runs this by itself.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.diffusion.text.characters import prepare_once
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from runner.disk import atomic

KIND = "characters"
FOLDER = Path(__file__).resolve().parent
INPUT = FOLDER / "input.txt"
URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def prepare(*, file: Path | None = None, again: bool = False) -> bool:
    """Prepare from `file`, else from input.txt, else from the network."""

    def read() -> tuple[str, dict[str, str]]:
        path = file or INPUT
        if not path.is_file():
            if file:
                raise InputError(f"{path} is not there; give the path of a text to --file")
            atomic.write_bytes(INPUT, fetch(URL, SHA256))
        try:
            return path.read_text(encoding="utf-8"), {"name": path.name}
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error

    return prepare_once(FOLDER, read, again=again)


def fetch(url: str, sha256: str) -> bytes:
    hint = f"put the text at {INPUT} or use --file PATH"
    return dataset_preparation.download(url, sha256, title="tiny Shakespeare", hint=hint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--file", type=Path, help="a text of your own instead of input.txt")
    parser.add_argument("--again", action="store_true", help="prepare again what is prepared already")
    args = parser.parse_args()
    try:
        fresh = prepare(file=args.file, again=args.again or args.file is not None)
        print(f"{FOLDER}: {'prepared' if fresh else 'was prepared already'}")
    except InputError as error:
        sys.exit(f"error: {error}")
