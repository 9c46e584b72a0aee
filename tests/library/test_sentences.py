"""Errors in configs are one sentence each; secrets reach no record; a report names what is damaged."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.conftest import Workspace
from tests.library_script import computed, folder, meta, run, script

pytestmark = pytest.mark.slow

ONE = "[{'name': 'a', 'x': 1}]"


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ("None", "configs() returned nothing; return a list of configs"),
        ("{'name': 'a'}", "configs() returned a dict; return a list of configs"),
        ("7", "configs() returned a int; return a list of configs"),
        ("[{'name': 'a\\ud800'}]", "config 1: its name is 'a\\ud800', which holds half a character"),
        ("[{'name': 'a', 'm': {'net': Net()}}]", "config 1, m.net.width: this field of a dataclass has no value"),
    ],
)
def test_an_error_in_the_configs_is_one_sentence(work: Workspace, configs: str, message: str) -> None:
    path = script(work, "return 1", configs)
    net = "from dataclasses import dataclass, field\n@dataclass\nclass Net:\n    width: int = field(init=False)\n"
    path.write_text(net + path.read_text())
    done = run(work, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr and computed(work) == []


def test_a_list_in_the_place_of_the_function_is_one_sentence(work: Workspace) -> None:
    path = script(work, "return 1", ONE)
    path.write_text(path.read_text().replace("experiment.run()", "experiment.run(configs=[{'name': 'a'}])"))
    assert "configs= is a list; give a function that returns it: configs=" in run(work, code=2).stderr


def test_a_report_names_a_torn_result_as_torn(work: Workspace) -> None:
    script(work, "return 'x' * 100", ONE)
    run(work)
    path = folder(work, "a") / "result.pkl"
    path.write_bytes(path.read_bytes()[:-3])
    assert re.search(r"No result: a \(result.pkl .*checksum", run(work, "--report", code=1).stderr)
    path.unlink()
    assert "No result: a (result.pkl cannot be read" in run(work, "--report", code=1).stderr


SECRET = "abc123XYZqwe"
HOLDERS = {
    "keys that are no text": f"{{1: 'x', 'api_key': '{SECRET}'}}",
    "pairs": f"[('api_key', '{SECRET}'), ('lr', 'one')]",
    "lists of two": f"[['api_key', '{SECRET}']]",
    "a section of that name": f"{{'password': {{'v': '{SECRET}'}}}}",
    "a section of that name with other keys": f"{{'password': {{1: '{SECRET}'}}}}",
    "a dict in such a dict": f"{{1: {{'password': '{SECRET}'}}}}",
    "a dataclass": f"Login('{SECRET}')",
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_secrets_inside_of_other_values_reach_no_record(work: Workspace, holder: str) -> None:
    path = script(work, "return 1", f"[{{'name': 'a', 'x': 1, 'auth': {HOLDERS[holder]}}}]")
    login = "from dataclasses import dataclass\n@dataclass\nclass Login:\n    password: str\n"
    path.write_text(login + path.read_text())
    run(work)
    found = subprocess.run(["grep", "-r", SECRET, "out"], cwd=work.folder, capture_output=True, check=False)
    assert found.returncode == 1 and "***" in str(meta(folder(work, "a"))["config"])
    assert SECRET not in work.run("table", "out", "--columns", "*", code=0).stdout
    run(work)
    assert computed(work) == ["a"]
