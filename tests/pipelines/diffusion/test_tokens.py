"""Any text file as a dataset: its tokens, trainings on them, and files that are not text."""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipelines.diffusion.settings import DiffusionSettings, checkpoint_bytes, parameter_count, unprepared
from pipelines.diffusion.text import characters, dataset, tokenization, vocabulary, windows
from pipelines.diffusion.text.open import open_dataset, prepare_named
from pipelines.diffusion.text.tokenization import Tokenization
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.diffusion.train import run
from pipelines.shared.errors import InputError
from tests.conftest import PROJECT, Workspace
from tests.pipelines.diffusion.languages import TEXT, prepare_in, put_few_ranks, text_in

CONFIG = {
    "pipeline": "diffusion", "training_type": "elbo", "eval_interval": 20, "eval_iters": 2, "batch_size": 8,
    "block_size": 16, "n_layer": 1, "n_head": 2, "n_embd": 32, "learning_rate": 1e-2, "warmup_iters": 5,
    "max_iters": 40, "decay_lr": False, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    return prepare_in(tmp_path, monkeypatch)


@pytest.fixture
def few_ranks(tmp_path, monkeypatch) -> Path:
    return put_few_ranks(tmp_path, monkeypatch)


@pytest.fixture
def book(work: Workspace) -> Path:
    """A text whose tokens, which processes put into data/prepared/, are taken away afterwards."""
    path = work.write(f"book_{uuid.uuid4().hex[:12]}.txt", TEXT)
    yield path
    for folder in tokenization.PREPARED.glob(f"{path.stem}-*"):
        shutil.rmtree(folder)


def ids_of(found: dataset.Dataset) -> list[int]:
    return [*found.train.tolist(), *found.val.tolist()]


# Datasets.


@pytest.mark.parametrize("tokenizer", ["characters", "bpe", "gpt2"])
def test_every_tokenizer_learns_and_holds_back_the_same_text(tmp_path, place, few_ranks, tokenizer):
    found = open_dataset(text_in(tmp_path), tokenizer, 400)
    text = TEXT.replace("\r\n", "\n")
    assert found.text() == text
    assert found.vocabulary.decode(found.val.tolist()) == text[int(0.9 * len(text)) :]
    assert found.val_characters == len(text) - int(0.9 * len(text))
    assert found.val_characters_per_token == found.val_characters / len(found.val)
    assert found.mask_id == found.vocab_size > max(ids_of(found))
    fractions = np.bincount(found.val) / len(found.val)
    assert found.val_unigram_entropy == pytest.approx(-sum(p * math.log(p) for p in fractions if p))


def test_meta_describes_the_folder(tmp_path, place):
    found = open_dataset(text_in(tmp_path), "bpe", 400)
    meta = json.loads((found.folder / "meta.json").read_text())
    text = TEXT.replace("\r\n", "\n")
    expected = {
        "schema": 1, "kind": "byte_pairs", "tokenizer": "bpe", "vocab_size": 400, "bpe_vocab_size": 400,
        "train_tokens": len(found.train), "val_tokens": len(found.val), "train_characters": int(0.9 * len(text)),
        "val_characters": found.val_characters, "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }  # fmt: skip
    assert expected.items() <= meta.items() and meta["source"]["name"] == "text.txt"
    assert found.vocabulary.tokens == vocabulary.read_ranks((found.folder / "ranks.tiktoken").read_text())
    assert (found.folder / "train.bin").stat().st_size == 2 * len(found.train)


def test_the_byte_pairs_are_learned_from_the_training_part_alone(tmp_path, place):
    text = "some words that are learned from. " * 90 + "zyzzyva " * 40
    found = open_dataset(text_in(tmp_path, text[: int(len(text) * 0.99)]), "bpe", 400)
    assert not any(b"zy" in token for token in found.vocabulary.tokens) and "zyzzyva" in found.text()


def test_more_than_65536_tokens_take_four_bytes(tmp_path):
    text = "".join(chr(c) for c in range(0x10000, 0x10000 + 70_000)) * 2
    dataset.write(tmp_path, text, Characters.of(text), {})
    found = dataset.read("many", tmp_path)
    assert found.train.dtype == np.uint32 and found.text() == text
    assert dataset.token_type(2**16) == np.uint16


def test_a_dataset_from_before_byte_pairs_is_read(tmp_path):
    characters.prepare_once(tmp_path, lambda: (TEXT, {"name": "test"}))
    meta = json.loads((tmp_path / "meta.json").read_text())
    for key in ("tokenizer", "train_characters", "val_characters"):
        del meta[key]
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    found = open_dataset(str(tmp_path))
    assert found.text() == TEXT and found.val_characters_per_token == 1 and found.characters == tuple(sorted(set(TEXT)))
    assert DiffusionSettings(dataset=str(tmp_path)).tokenizer == "auto"


def test_a_dataset_is_tokenized_again_from_its_own_tokens(tmp_path, place):
    characters.prepare_once(tmp_path / "held", lambda: (TEXT, {"name": "test"}))
    name = str(tmp_path / "held")
    pairs = open_dataset(name, "bpe", 300)
    assert pairs.text() == TEXT and pairs.folder.parent == place and pairs.vocab_size == 300
    assert open_dataset(name).folder == open_dataset(name, "characters").folder == tmp_path / "held"


def test_a_folder_of_byte_pairs_is_used_as_it_is_unless_other_tokens_are_requested(tmp_path, place):
    folder = tmp_path / "mine"
    prepare_named(folder, Tokenization(text_in(tmp_path), "bpe", 300), again=False)
    name = str(folder)
    assert open_dataset(name).folder == open_dataset(name, "bpe", 300).folder == folder
    assert open_dataset(name, "bpe", 301).vocab_size == 301
    assert isinstance(open_dataset(name, "characters").vocabulary, Characters)
    with pytest.raises(TypeError, match="byte pairs"):
        _ = open_dataset(name).characters


def test_an_edited_text_or_another_vocabulary_never_meets_stale_tokens(tmp_path, place):
    name = text_in(tmp_path)
    first = open_dataset(name, "bpe", 300)
    assert open_dataset(name, "bpe", 300).folder == first.folder
    state = (tmp_path / "text.txt").stat()
    text_in(tmp_path, TEXT.replace("rain", "hail"))
    os.utime(name, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    edited = open_dataset(name, "bpe", 300)
    assert edited.folder != first.folder and "hail" in edited.text() and "rain" in first.text()
    assert len({open_dataset(name, *keys).folder for keys in [("bpe", 300), ("bpe", 301), ("characters",)]}) == 3


def test_line_ends_and_a_byte_order_mark_do_not_become_tokens(tmp_path, place):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"One line.\r\n\r\nAnother.\rThird.\n" * 20)
    assert open_dataset(str(tmp_path / "a.txt"), "bpe").text() == "One line.\n\nAnother.\nThird.\n" * 20


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_paragraphs_begin_after_empty_lines(tmp_path, place, tokenizer):
    paragraphs = "First one.\n\nSecond one,\nstill it.\n\n\n\nThird.\n\n   Indented é.\n\n" * 60
    found = open_dataset(text_in(tmp_path, paragraphs), tokenizer, 400)
    starts = windows.paragraphs(found, 8)
    begin = [found.vocabulary.decode(found.train[: int(start)].tolist()) for start in starts]
    after = [found.vocabulary.decode(found.train[int(start) :][:8].tolist()) for start in starts]
    assert starts[0] == 0 and len(starts) > 100
    assert all(text.rstrip(" ").endswith("\n\n") for text in begin[1:])
    assert {text.lstrip(" ")[:3] for text in after} == {"Fir", "Sec", "Thi", "Ind"}


def test_a_text_without_line_breaks_has_no_paragraphs(tmp_path, place):
    found = open_dataset(text_in(tmp_path, "no break at all " * 90), "bpe", 300)
    with pytest.raises(InputError, match=r"use_paragraph_boundaries: the text of .* has no line breaks"):
        windows.paragraphs(found, 8)


# Errors.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin1", errors="ignore"), r"is not UTF-8 text \(.* at byte \d+\); convert it"),
        (TEXT.encode("utf-16"), "is not UTF-8 text"),
        (b"short", "has only 5 characters; at least 100 are needed"),
    ],
)
@pytest.mark.parametrize("tokenizer", ["auto", "bpe"])
def test_a_text_that_cannot_be_taken_is_one_sentence(tmp_path, place, content, message, tokenizer):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_dataset(str(tmp_path / "t.txt"), tokenizer)
    assert not place.exists()


def test_what_is_prepared_is_not_committed():
    for name in ("prepared/a/meta.json", "mybook/ranks.tiktoken", "mybook/train.bin", "mybook/prepare.lock"):
        ignored = subprocess.run(["git", "check-ignore", "-q", f"data/{name}"], cwd=PROJECT, check=False)
        if ignored.returncode == 128:
            pytest.skip("not a git checkout")
        assert ignored.returncode == 0


def test_a_file_that_is_not_text_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "empty.txt").touch()
    for name, message in (
        ("none.txt", r"no dataset '.*none.txt' .*no text file at"),
        ("", r"no dataset '.*' \(no meta.json and no prepare.py in .*, and no text file"),
        ("empty.txt", "is empty"),
    ):
        with pytest.raises(ValidationError, match=message):
            DiffusionSettings(dataset=str(tmp_path / name))
    for size in (255, 2**18 + 1):
        with pytest.raises(ValidationError, match="bpe_vocab_size"):
            DiffusionSettings(dataset="pydoc_char", bpe_vocab_size=size)


def test_the_size_of_checkpoints_includes_the_vocabulary(tmp_path, place):
    name = text_in(tmp_path)
    asked = DiffusionSettings(dataset=name, tokenizer="bpe", bpe_vocab_size=5000)
    before = checkpoint_bytes(asked)
    found = open_dataset(name, "bpe", 5000)
    assert found.vocab_size < 5000 and checkpoint_bytes(asked) < before
    assert checkpoint_bytes(asked) > 4 * 12 * parameter_count(asked, found.vocab_size)


# Processes.


def python(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def config(work: Workspace, name: str, **changes) -> Path:
    return work.write(name, "".join(f"{key} = {value!r}\n" for key, value in {**CONFIG, **changes}.items()))


def test_three_processes_prepare_a_text_once(work, book):
    program = f"""
import sys; sys.path.insert(0, {str(PROJECT)!r})
from pipelines.diffusion.text.open import prepare
from pipelines.diffusion.text.tokenization import Tokenization
print(*prepare(Tokenization({book.name!r}, "bpe", 400)))
"""
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=work.folder)
        for _ in range(3)
    ]
    output = [child.communicate(timeout=60)[0].split() for child in children]
    assert len({folder for folder, _ in output}) == 1
    assert sorted(fresh for _, fresh in output) == ["False", "False", "True"]


def test_a_killed_preparation_leaves_nothing_that_counts_as_complete(work, book):
    """Killed when the first part is there; the next preparation makes the rest."""
    program = f"""
import sys, time; sys.path.insert(0, {str(PROJECT)!r})
from pipelines.diffusion.text.open import prepare
from pipelines.diffusion.text.tokenization import Tokenization
from runner.disk import atomic
original = atomic.write_bytes
def slowly(path, content):
    original(path, content)
    print(path, flush=True)
    time.sleep(60)
atomic.write_bytes = slowly
prepare(Tokenization({book.name!r}, "bpe", 400))
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=work.folder)
    folder = Path(child.stdout.readline().strip()).parent
    (folder / ".val.bin.1.tmp").touch()  # what a kill within a write leaves
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not dataset.is_prepared(folder)
    with contextlib.chdir(work.folder):
        found = open_dataset(book.name, "bpe", 400)
    assert found.folder == folder and found.text() == TEXT.replace("\r\n", "\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "meta.json", "prepare.lock", "ranks.tiktoken", "train.bin", "val.bin"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_training_on_byte_pairs_reports_bits_per_original_character(work, book):
    done = python(
        PROJECT / "train_run.py",
        config(work, "c.py", dataset=book.name, tokenizer="bpe", bpe_vocab_size=400),
        "--out_dir=out",
        cwd=work.folder,
    )
    assert done.returncode == 0, done.stderr
    assert "vocabulary: 400 byte pairs (bpe); a guess without context costs" in done.stdout
    rows = [json.loads(line) for line in (work / "out/metrics.jsonl").read_text().splitlines()]
    evaluated = [row for row in rows if "val/bpc" in row]
    with contextlib.chdir(work.folder):
        found = open_dataset(book.name, "bpe", 400)
    for row in evaluated:
        assert row["val/bpc"] == pytest.approx(row["val/loss"] / math.log(2) / found.val_characters_per_token)
    assert evaluated[-1]["val/loss"] < math.log(400) - 0.5
    assert f"val {evaluated[-1]['val/bpc']:.3f} bits per character" in done.stdout
    content = torch.load(work / "out/ckpt_elbo_40.pt", weights_only=True)
    assert vocabulary.of_checkpoint(content).decode(found.val.tolist()) == dataset.split(found.text())[1]


def trained(out_dir: Path, **changes) -> int:
    """A training without a process of its own."""
    return run(DiffusionSettings(**{**CONFIG, "max_iters": 2, "out_dir": str(out_dir), **changes}))


def test_a_training_resumes_with_its_own_byte_pairs_only(tmp_path, place):
    asked = {"dataset": text_in(tmp_path), "tokenizer": "bpe", "bpe_vocab_size": 300}
    resumed = {**asked, "init_from": "resume", "max_iters": 4}
    assert trained(tmp_path / "out", **asked) == 0
    assert trained(tmp_path / "out", **resumed, use_paragraph_boundaries=True) == 0
    with pytest.raises(InputError, match="tokens_in 301 there, 302 here"):
        trained(tmp_path / "out", **{**resumed, "bpe_vocab_size": 301})
    text_in(tmp_path, TEXT.replace("rain", "snow"))
    with pytest.raises(InputError, match=r"was trained on other byte pairs \(bpe\) than those of"):
        trained(tmp_path / "out", **resumed)


def test_a_checkpoint_from_before_byte_pairs_can_be_resumed(tmp_path, place):
    asked = {"dataset": text_in(tmp_path)}
    assert trained(tmp_path / "out", **asked) == 0
    path = tmp_path / "out" / "ckpt_elbo_2.pt"
    content = torch.load(path, weights_only=True)
    content["characters"] = content.pop("vocabulary")["characters"]
    torch.save(content, path)
    assert trained(tmp_path / "out", **asked, init_from="resume", max_iters=3) == 0
    assert (tmp_path / "out" / "ckpt_elbo_3.pt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_the_two_documented_lines_prepare_a_text_and_train(work, book, tokenizer):
    documented = (PROJECT / "docs" / "data.md").read_text()
    lines = re.search(r"```bash\n(python run_experiments.py .*\n)(python run_experiments.py .*)\n```", documented)
    words = lines[2 if tokenizer == "bpe" else 1].split()[2:]
    work.write("config/quickstart/easy.py", (PROJECT / "config/quickstart/easy.py").read_text())
    typed = [book.name if word == "book.txt" else word for word in words]
    done = work.run(*typed, "--max_iters", 2, "--eval_iters", 1, code=0)
    assert done.stderr.count(f"preparing dataset {book.name} …") == 1 and work.result("easy")["status"] == "completed"
    (folder,) = tokenization.PREPARED.glob(f"{book.stem}-*")
    assert folder.name.startswith(f"{book.stem}-{tokenizer}")
    with contextlib.chdir(work.folder):
        asked = {"dataset": book.name, "tokenizer": tokenizer, "bpe_vocab_size": 512}
        assert unprepared(asked) is None
        assert unprepared({**asked, "tokenizer": "bpe", "bpe_vocab_size": 300})[-1] == book.name


def test_a_text_that_cannot_be_taken_stops_a_batch_before_its_first_job(work):
    (work / "t.txt").write_bytes(TEXT.encode("utf-16"))
    config(work, "c/a.py", dataset="t.txt", tokenizer="bpe")
    done = work.run("--configs", "c/a.py", code=2)
    assert "dataset t.txt: t.txt is not UTF-8 text" in done.stderr and "Traceback" not in done.stderr
    assert not (work / "experiments").exists()


def test_by_hand_a_text_becomes_a_dataset_with_a_name(work, book):
    name = f"test_{uuid.uuid4().hex[:12]}"
    folder = PROJECT / "data" / name
    script = PROJECT / "data" / "text.py"
    try:
        made = python(script, book.name, "--name", name, "--tokenizer", "bpe", "--vocab_size", 300, cwd=work.folder)
        assert made.returncode == 0 and made.stdout.startswith(f"{folder}: prepared (bpe; "), made.stderr
        again = python(script, book.name, "--name", name, "--tokenizer", "bpe", "--vocab_size", 300, cwd=work.folder)
        assert "was prepared already" in again.stdout
        other = python(script, book.name, "--name", name, cwd=work.folder)
        assert other.returncode == 2 and "has another text or other tokens; --again replaces them" in other.stderr
        assert open_dataset(name).vocab_size == 300
        replaced = python(script, book.name, "--name", name, "--again", cwd=work.folder)
        assert replaced.returncode == 0 and open_dataset(name).characters
        ignored = subprocess.run(
            ["git", "check-ignore", "-q", str(folder / "ranks.tiktoken")], cwd=PROJECT, check=False
        )
        assert ignored.returncode == 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.txt"], "no dataset 'none.txt'"),
        (["book.txt", "--name", "digits"], "belongs to the project"),
        (["book.txt", "--name", "a/b"], "give a plain name"),
        (["pydoc_char", "--name", "x"], "is a dataset already"),
        (["book.txt", "--tokenizer", "gpt3"], "gpt2"),
        (["book.txt", "--vocab_size", "10"], "256"),
        (["book.txt", "--vocab_size", "many"], "many"),
    ],
)
def test_errors_on_the_command_line_are_one_sentence(work, words, message):
    work.write("book.txt", TEXT)
    done = python(PROJECT / "data" / "text.py", *words, cwd=work.folder)
    assert done.returncode == 2 and done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("error: ") and message in sentence
