"""The help of a training explains every key."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel, create_model

from configurator import settings_class
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.shared.explanations import explained, groups
from tests.conftest import PROJECT


@pytest.mark.parametrize("name", ["diffusion", "classify", "llc", "robustness"])
def test_every_key_has_an_explanation(name):
    cls = settings_class(name)
    found = groups(cls)
    assert [key for group in found for key in group.keys] == list(cls.model_fields)
    silent = [key for group in found for key, comment in group.keys.items() if not (group.comment or comment)]
    assert silent == []


def test_a_key_has_its_default_its_choices_and_its_comment():
    lines = explained(DiffusionSettings, str).splitlines()
    assert "  --decay=cosine                     cosine, linear or wsd" in lines
    assert "  --eval_only=False                  evaluate once and end, without a checkpoint" in lines
    assert max(map(len, lines)) <= 100
    place = lines.index("  --max_minutes=0.0")
    assert any("Minutes of training" in line for line in lines[place - 6 : place])


def test_settings_without_a_source_are_listed():
    """Of a plugin, or inherited."""
    made = create_model("Made", __base__=BaseModel, width=(int, 3))
    assert explained(made, str).strip() == "--width=3"


def test_help_is_printed_by_the_command():
    done = subprocess.run(
        [sys.executable, str(PROJECT / "train_run.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "--ema_decay=0.0" in done.stdout and "a moving average of the weights" in done.stdout
