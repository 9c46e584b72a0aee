"""The text of Python's own help topics, as characters: half a megabyte of English that comes with every Python.

    python data/pydoc_char/prepare.py [--again]

A training that names `pydoc_char` runs this by itself. The text belongs to the Python version, so two machines may
train on slightly different ones; meta.json records the version and the sha256.
"""

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.diffusion.text.characters import prepare_once
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError

KIND = "characters"
FOLDER = Path(__file__).resolve().parent


def text_of_topics() -> tuple[str, dict[str, str]]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise InputError("this Python comes without pydoc_data.topics; train on --dataset=shakespeare_char") from error
    return "\n".join(topics[name] for name in sorted(topics)), {
        "name": "pydoc_data.topics",
        "python": platform.python_version(),
    }


def prepare(*, again: bool = False) -> bool:
    return prepare_once(FOLDER, text_of_topics, again=again)


if __name__ == "__main__":
    dataset_preparation.main(FOLDER, lambda again: prepare(again=again))
