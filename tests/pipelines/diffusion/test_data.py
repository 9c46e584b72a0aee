"""Datasets: what prepare.py writes, once, and where windows begin."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import characters, windows
from pipelines.diffusion.text.open import open_dataset
from pipelines.shared.errors import InputError
from tests.conftest import PROJECT

TEXT = "One paragraph.\n\nAnother one, a little longer.\nStill it.\n\nThe third, with an é and a €.\n" * 20


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", PROJECT / "data" / name / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(tmp_path) -> windows.Dataset:
    characters.prepare_once(tmp_path / "text", lambda: (TEXT, {"name": "test"}))
    return open_dataset(str(tmp_path / "text"))


def test_a_dataset_gives_back_its_text(text):
    ids = np.concatenate((text.train, text.val))
    assert "".join(text.characters[i] for i in ids) == TEXT
    assert len(text.train) == int(0.9 * len(TEXT))
    assert text.mask_id == text.vocab_size == len(set(TEXT))


def test_the_unigram_entropy_is_that_of_the_validation_text(text):
    fractions = [np.mean(text.val == i) for i in set(text.val.tolist())]
    assert text.val_unigram_entropy == pytest.approx(-sum(p * np.log(p) for p in fractions))


def test_paragraphs_begin_after_empty_lines(text):
    starts = windows.paragraph_starts(text.train, 32, text.characters.index("\n"))
    assert starts[0] == 0 and len(starts) > 20
    assert all(TEXT[s - 2 : s] == "\n\n" and TEXT[s] != "\n" for s in starts[1:])
    rng = np.random.default_rng(0)
    first = windows.draw(text.train, starts, 50, 32, rng)[:, 0]
    assert {text.characters[i] for i in first} <= {"O", "A", "T"}


def test_windows_are_stretches_of_the_text(text):
    drawn = windows.draw(text.train, windows.window_starts(text.train, 24), 8, 24, np.random.default_rng(0))
    assert drawn.shape == (8, 24) and drawn.dtype == np.int64
    assert all("".join(text.characters[i] for i in row) in TEXT for row in drawn)


def test_even_windows_span_the_whole_text(text):
    spread = windows.even_windows(text.val, 5, 20)
    assert (spread[0] == text.val[:20]).all() and (spread[-1] == text.val[-20:]).all()


def test_a_text_shorter_than_a_window_is_an_error(text):
    with pytest.raises(InputError, match="lower block_size"):
        windows.window_starts(text.val, 10_000)


def test_an_unknown_dataset_names_the_known_ones_before_anything_starts():
    with pytest.raises(ValidationError, match=r"no dataset 'shakespear_char'.*pydoc_char, shakespeare_char"):
        DiffusionSettings(dataset="shakespear_char")


def test_a_dataset_that_lacks_a_part_and_cannot_be_prepared_is_an_error(text):
    (text.folder / "val.bin").unlink()
    with pytest.raises(InputError, match="is incomplete"):
        open_dataset(str(text.folder))


def test_a_damaged_meta_file_is_an_error(text):
    (text.folder / "meta.json").write_text("{")
    with pytest.raises(InputError, match="prepare it again"):
        open_dataset(text.name)


def test_three_processes_prepare_once(tmp_path):
    program = f"""
import sys; sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
from pipelines.diffusion.text.characters import prepare_once
folder = Path({str(tmp_path)!r})
def read():
    with (folder / "readings").open("a") as file:
        file.write("x")
    return "some text, long enough " * 2000, {{}}
print(prepare_once(folder / "text", read))
"""
    children = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    output = [child.communicate(timeout=60)[0].strip() for child in children]
    assert sorted(output) == ["False", "False", "True"]
    assert (tmp_path / "readings").read_text() == "x"
    assert characters.is_prepared(tmp_path / "text")


def test_pydoc_char_prepares_itself_without_the_network():
    dataset = open_dataset("pydoc_char")
    meta = json.loads((dataset.folder / "meta.json").read_text())
    assert meta["source"]["name"] == "pydoc_data.topics" and len(meta["sha256"]) == 64
    assert 2.5 < dataset.val_unigram_entropy < 3.8


def test_a_download_is_checked(tmp_path):
    shakespeare = script("shakespeare_char")
    page = tmp_path / "page.txt"
    page.write_text("not the plays")
    with pytest.raises(InputError, match="sha256 differs"):
        shakespeare.fetch(page.as_uri(), shakespeare.SHA256)
    with pytest.raises(InputError, match="--file PATH"):
        shakespeare.fetch((tmp_path / "nothing").as_uri(), shakespeare.SHA256)


def test_a_missing_file_is_one_sentence(tmp_path):
    command = [sys.executable, str(PROJECT / "data/shakespeare_char/prepare.py"), "--file", str(tmp_path / "none.txt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
