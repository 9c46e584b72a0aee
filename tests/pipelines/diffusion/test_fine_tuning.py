"""A training that starts from the weights of another one, on another text."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from configurator import from_command_line
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import open as opening
from pipelines.diffusion.text import tokenization
from pipelines.shared.errors import InputError
from tests.conftest import PROJECT
from tests.pipelines.diffusion.test_training import text, train_here

__all__ = ["text"]  # a fixture
ELBO = {"training_type": "elbo", "dropout": 0.0}


@pytest.fixture(scope="module")
def base(text, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    assert train_here(text, folder, max_iters=60, ema_decay=0.5, **ELBO) == 0
    return folder


@pytest.fixture
def new_text(tmp_path, monkeypatch) -> Path:
    """With fewer characters than the base's, so that its own alphabet has other ids."""
    monkeypatch.setattr(opening, "PREPARED", tmp_path / "prepared")
    monkeypatch.setattr(tokenization, "PREPARED", tmp_path / "prepared")
    path = tmp_path / "new.txt"
    path.write_text("the cat sat on the mat and the cat saw the rat on the mat " * 60)
    return path


def test_weights_are_taken_over_and_the_text_gets_the_tokens_of_the_base(base, new_text, tmp_path, capsys):
    out = tmp_path / "out"
    changes = {**ELBO, "init_from": str(base), "max_iters": 20, "learning_rate": 1e-9, "min_lr": 0.0}
    assert train_here(new_text, out, **changes) == 0
    assert f"starting from the weights of {base / 'ckpt_elbo_60.pt'}" in capsys.readouterr().out
    there, here = (torch.load(path, weights_only=True) for path in (base / "ckpt_elbo_60.pt", out / "ckpt_elbo_20.pt"))
    assert here["vocabulary"] == there["vocabulary"] and here["state"]["base"] == str(base / "ckpt_elbo_60.pt")
    assert all(torch.allclose(here["model"][key], there["ema"][key], atol=1e-5) for key in there["ema"])
    # Twice, as the settings of the second checkpoint no longer name the base.
    for iterations in (25, 30):
        assert train_here(new_text, out, **changes | {"init_from": "resume", "max_iters": iterations}) == 0
    assert (out / "ckpt_elbo_30.pt").is_file()


def test_another_objective_may_start_from_the_same_weights(base, new_text, tmp_path):
    changes = {"training_type": "ar", "dropout": 0.0, "init_from": str(base / "ckpt_elbo_60.pt"), "block_size": 16}
    assert train_here(new_text, tmp_path / "out", max_iters=5, **changes) == 0


def test_what_does_not_fit_is_one_sentence(base, new_text, tmp_path):
    with pytest.raises(InputError, match=r"n_layer 1 there, 2 here"):
        train_here(new_text, tmp_path / "out", init_from=str(base), n_layer=2, **ELBO)
    new_text.write_text("UPPER case " * 100)
    with pytest.raises(InputError, match="'U' is not among the"):
        train_here(new_text, tmp_path / "out", init_from=str(base), **ELBO)
    with pytest.raises(InputError, match="has no checkpoint"):
        train_here(new_text, tmp_path / "out", init_from=str(tmp_path), **ELBO)
    with pytest.raises(ValidationError, match="neither scratch nor resume"):
        DiffusionSettings(init_from="nothing_there")


def test_the_documented_command_is_understood(tmp_path, monkeypatch):
    """That of docs/diffusion.md, in a folder that has what it names."""
    page = (PROJECT / "docs" / "diffusion.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("python train_run.py")]
    line = next(line for line in lines if "--init_from=experiments" in line)
    _, _, config, *options = shlex.split(line)
    (tmp_path / "experiments" / "latest").mkdir(parents=True)
    (tmp_path / "new.txt").write_text("a text " * 50)
    monkeypatch.chdir(tmp_path)
    _, settings = from_command_line([str(PROJECT / config), *options])
    assert settings.base == Path("experiments/latest") and settings.out_dir == "tuned"
