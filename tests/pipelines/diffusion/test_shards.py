"""Corpora in shards, prepared piece by piece, and the parts of text8."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import random
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from configurator import from_command_line
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import stream, tokenization
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.text.shards import Shards, shard_name
from pipelines.diffusion.text.windows import frequencies, paragraphs
from pipelines.diffusion.train import run
from pipelines.shared.errors import InputError
from runner.core.errors import UserError
from tests.conftest import PROJECT

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rain", "fell"]


def texts(count: int) -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=30)) + " é." for _ in range(count)]


def corpus(folder: Path, tokenizer: str = "characters", **changes) -> tuple[Path, list[str]]:
    """Forty documents in two files, one of them packed."""
    folder.mkdir(parents=True, exist_ok=True)
    written = texts(40)
    lines = [json.dumps({"text": text, "id": number}) + "\n" for number, text in enumerate(written)]
    (folder / "a.jsonl").write_text("".join(lines[:25]))
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.write("\n".join(lines[25:]))
    request = {"shard_tokens": 1000, "val_every": 10, "bpe_vocab_size": 300, **changes}
    stream.write(folder, stream.Request([folder / "a.jsonl", folder / "b.jsonl.gz"], tokenizer, **request))
    return folder, [text + "\n\n" for text in written]


def test_shards_are_read_as_one_array(tmp_path):
    whole = np.random.default_rng(0).integers(50_000, size=1000).astype(np.uint16)
    lengths = [300, 1, 400, 299]
    for number, part in enumerate(np.split(whole, np.cumsum(lengths)[:-1])):
        (tmp_path / shard_name(number)).write_bytes(part.tobytes())
    shards = Shards.of(tmp_path, lengths, np.uint16)
    places = np.random.default_rng(1).integers(1000, size=(20, 30))
    assert len(shards) == 1000 and shards.dtype == np.uint16
    assert (shards[places] == whole[places]).all()
    for some in (slice(None), slice(290, 310), slice(0, 0), slice(-5, None), slice(301, 700, 7), slice(999, 5000)):
        assert (shards[some] == whole[some]).all()
    with pytest.raises(ValueError, match=r"train_00001.bin does not have 2 tokens"):
        Shards.of(tmp_path, [300, 2, 400, 299], np.uint16)


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_a_streamed_corpus_has_every_document_once_and_each_tenth_for_validation(tmp_path, tokenizer):
    folder, written = corpus(tmp_path, tokenizer)
    data = open_dataset(str(folder))
    train = "".join(text for number, text in enumerate(written, 1) if number % 10)
    val = "".join(text for number, text in enumerate(written, 1) if number % 10 == 0)
    assert data.vocabulary.decode(data.train[:].tolist()) == train
    assert data.vocabulary.decode(data.val.tolist()) == val and data.val_characters == len(val)
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["shards"][:-1] == [1000] * (len(meta["shards"]) - 1) and sum(meta["shards"]) == meta["train_tokens"]
    assert len(meta["shards"]) >= 2
    fractions = np.bincount(data.val) / len(data.val)
    fractions = fractions[fractions > 0]
    assert data.val_unigram_entropy == pytest.approx(-(fractions * np.log(fractions)).sum())


def test_windows_of_shards_are_those_of_the_whole(tmp_path):
    data = open_dataset(str(corpus(tmp_path)[0]))
    whole, starts = data.train[:], np.array([0, 990, 1995, len(data.train) - 3])
    on_cpu = torch.device("cpu")
    assert torch.equal(Corpus(data.train, data.vocab_size, on_cpu).windows(starts, 20),
                       Corpus(whole, data.vocab_size, on_cpu).windows(starts, 20))  # fmt: skip
    assert (frequencies(data.train, data.vocab_size) == np.bincount(whole, minlength=data.vocab_size)).all()


def test_a_training_reads_shards(tmp_path, capsys):
    folder, _ = corpus(tmp_path / "data")
    settings = {
        "dataset": str(folder), "training_type": "elbo", "eval_interval": 5, "eval_iters": 1, "batch_size": 4,
        "block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 16, "max_iters": 5, "warmup_iters": 1, "device": "cpu",
    }  # fmt: skip
    assert run(DiffusionSettings(**settings, out_dir=str(tmp_path / "out"))) == 0
    assert "final: val loss" in capsys.readouterr().out


def test_what_shards_cannot_do_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenization, "PREPARED", tmp_path / "prepared")
    folder, _ = corpus(tmp_path)
    with pytest.raises(InputError, match="prepare it with other tokens"):
        open_dataset(str(folder), "bpe", 300)
    with pytest.raises(InputError, match="corpus in shards; set it to false"):
        paragraphs(open_dataset(str(folder)), 16)
    with pytest.raises(InputError, match="lower --val_every"):
        corpus(tmp_path / "few", val_every=100)
    (folder / "a.jsonl").write_text('{"body": 1}\n')
    with pytest.raises(InputError, match=r'a\.jsonl does not have a JSON object with a field "text" in each line'):
        stream.write(folder, stream.Request([folder / "a.jsonl"], "characters", val_every=2))
    (folder / shard_name(1)).unlink()
    with pytest.raises(InputError, match="is incomplete"):
        open_dataset(str(folder))


def test_pieces_of_a_text_file_are_cut_between_words(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "PIECE", 100)
    text = "\n".join(texts(20)) + "x" * 350
    (tmp_path / "text.txt").write_text(text)
    pieces = list(stream.pieces_of(tmp_path / "text.txt"))
    assert "".join(pieces) == text and all(piece[-1].isspace() for piece in pieces[:5])
    assert max(map(len, pieces)) < 250


def test_the_command_prepares_a_corpus_once_and_leaves_the_datasets_of_the_project(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("\n".join(texts(400)))
    module = script("corpus.py")
    monkeypatch.setattr(module, "DATA", tmp_path)
    monkeypatch.setattr(stream, "PIECE", 2000)

    def prepare(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["corpus.py", str(tmp_path / "a.txt"), "--val_every=9", *options])
        return module.main()

    assert "prepared (characters; " in prepare("--name=mine", "--tokenizer=characters", "--shard_tokens=30000")
    assert len(open_dataset(str(tmp_path / "mine")).train) > 30_000
    with pytest.raises(InputError, match="--again replaces it"):
        prepare("--name=mine")
    with pytest.raises(UserError, match="bpe_vocab_size"):
        prepare("--name=other", "--tokenizer=bpe", "--vocab_size=3")
    monkeypatch.setattr(module, "DATA", PROJECT / "data")
    with pytest.raises(InputError, match="that no dataset of the project has"):
        prepare("--name=text8")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, PROJECT / "data" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text8() -> ModuleType:
    return script("text8/prepare.py")


def test_text8_has_the_parts_of_the_papers(tmp_path):
    module = text8()
    text = (module.BEGINNING + " ".join(texts(40))).replace("é", "e").replace(".", "")[:4000]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("text8", text)
    (tmp_path / "text8.zip").write_bytes(packed.getvalue())
    folder = tmp_path / "text8"
    assert module.prepare(file=tmp_path / "text8.zip", folder=folder, size=4000) is True
    assert module.prepare(file=tmp_path / "text8.zip", folder=folder, size=4000) is False
    data, test = open_dataset(str(folder)), open_dataset(str(folder / "test"))
    assert data.vocab_size == test.vocab_size == 27 and data.characters == test.characters
    decoded = [data.vocabulary.decode(part.tolist()) for part in (data.train, data.val, test.train, test.val)]
    assert decoded == [text[:3600], text[3600:3800], text[3600:3800], text[3800:]]


@pytest.mark.parametrize(
    "change", [lambda text: text + "a", lambda text: "the" + text[3:], lambda text: text[:-1] + "\n"]
)
def test_another_text_than_text8_is_refused(tmp_path, change):
    module = text8()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "text8").write_text(change((module.BEGINNING + " word" * 100)[:400]))
    with pytest.raises(InputError, match="is not text8"):
        module.prepare(folder=tmp_path, size=400)


def test_the_documented_commands_of_text8_are_understood(tmp_path, monkeypatch):
    """Those of docs/diffusion.md, in a folder that has the parts of text8."""
    page = (PROJECT / "docs" / "diffusion.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("python train_run.py config/recipes/text8.py")]
    corpus(tmp_path / "data" / "text8" / "test")
    monkeypatch.chdir(tmp_path)
    first, second = (from_command_line([str(PROJECT / line.split()[2]), *line.split()[3:]])[1] for line in lines)
    assert first.dataset == "text8" and second.dataset == "data/text8/test" and second.eval_only
