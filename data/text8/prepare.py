"""text8: the first 100 million characters of the English Wikipedia of 2006, lower case, 27 symbols (Matt Mahoney).

    python data/text8/prepare.py [--file PATH] [--again]

Takes text8 or text8.zip from raw/ beside this file, or --file, or downloads it there. The parts are those of the
papers: 90 million characters to train on, 5 million for validation, and the last 5 million as the validation text of
the dataset data/text8/test, on which published figures are measured. A training that names `text8` runs this by itself.
"""

import argparse
import io
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.diffusion.text import dataset
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from runner.disk import atomic

KIND = "characters"
FOLDER = Path(__file__).resolve().parent
URL = "http://mattmahoney.net/dc/text8.zip"
CHARACTERS = 100_000_000
BEGINNING = " anarchism originated as a term of abuse"
ALPHABET = tuple(" abcdefghijklmnopqrstuvwxyz")


def prepare(*, file: Path | None = None, again: bool = False, folder: Path = FOLDER, size: int = CHARACTERS) -> bool:
    """`size`: characters of the text, which is another one in tests."""
    test = folder / "test"
    if dataset.is_prepared(test) and dataset.is_prepared(folder) and not again:
        return False
    text = read(file, folder / "raw", size)
    source, vocabulary = {"name": "text8", "url": URL}, Characters(ALPHABET)
    train, val = size // 10 * 9, size // 20
    for place, begin, border, end in ((test, train, val, size), (folder, 0, train, train + val)):
        dataset_preparation.prepare_once(
            place, dataset.PARTS,
            lambda place=place, begin=begin, border=border, end=end: dataset.write(
                place, text[begin:end], vocabulary, source, border=border),
            again=again,
        )  # fmt: skip
    return True


def read(file: Path | None, raw: Path, size: int) -> str:
    """The text of a local file, plain or in a zip, or from the network. Raises InputError for any other text."""
    candidates = [file] if file else [raw / "text8", raw / "text8.zip"]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None and file:
        raise InputError(f"{file} is not there; give the path of text8 or text8.zip to --file")
    if path is None:
        content = download()
        raw.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(raw / "text8.zip", content)
    else:
        content = path.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(content)):
        content = zipfile.ZipFile(io.BytesIO(content)).read("text8")
    text = content.decode("ascii", errors="replace")
    if len(text) != size or not text.startswith(BEGINNING) or not set(text) <= set(ALPHABET):
        raise InputError(
            f"{path or URL} is not text8: {size:,} letters and spaces that begin with '{BEGINNING}', without a line end"
        )
    return text


def download() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=30) as response:
            return response.read()
    except (OSError, urllib.error.URLError) as error:
        raise InputError(f"could not download {URL} ({error}); put text8.zip into {FOLDER / 'raw'}") from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--file", type=Path, help="text8 or text8.zip")
    parser.add_argument("--again", action="store_true", help="prepare again what is prepared already")
    args = parser.parse_args()
    try:
        fresh = prepare(file=args.file, again=args.again or args.file is not None)
        print(f"{FOLDER}: {'prepared' if fresh else 'was prepared already'}")
    except InputError as error:
        sys.exit(f"error: {error}")
