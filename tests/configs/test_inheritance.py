"""`base:` in configs: what is merged, the place of each key, and the errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import configurator
from runner.configs import inheritance
from runner.configs.config_file import ConfigFile, read
from runner.core.errors import UserError
from tests.conftest import Workspace, wait_until
from tests.conftest import read as read_json

ROOT = "lr: 1\nood:\n  enabled: true\n  kinds: [a, b]\nlayers:\n  - 1\n  - 2\n"
MIDDLE = "base: ../root.yaml\nood:\n  noise: 0.5\nwidth: 8\n"
LEAF = '{"base": "middle.yaml",\n "ood": {"enabled": false},\n "layers": [3]}'


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("config/root.yaml", ROOT)
    write("config/IMAGE/middle.yaml", MIDDLE)
    write("config/IMAGE/leaf.json", LEAF)
    return tmp_path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def merged(name: str) -> ConfigFile:
    return inheritance.read(Path(name))


def refused(name: str) -> str:
    with pytest.raises(UserError) as raised:
        merged(name)
    return str(raised.value)


def test_mappings_are_merged_and_everything_else_is_replaced(tree: Path) -> None:
    assert merged("config/IMAGE/leaf.json").values == {
        "lr": 1, "ood": {"enabled": False, "kinds": ["a", "b"], "noise": 0.5}, "layers": [3], "width": 8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("lr", "config/root.yaml:1"), ("ood.kinds", "config/root.yaml:4"), ("ood.kinds[1]", "config/root.yaml:4"),
        ("ood.noise", "config/IMAGE/middle.yaml:3"), ("width", "config/IMAGE/middle.yaml:4"),
        ("ood", "config/IMAGE/leaf.json:2"), ("ood.enabled", "config/IMAGE/leaf.json:2"),
        ("layers", "config/IMAGE/leaf.json:3"), ("layers[0]", "config/IMAGE/leaf.json:3"),
        ("ood.unheard", "config/IMAGE/leaf.json:2"), ("nothing", "config/IMAGE/leaf.json"),
    ],
)  # fmt: skip
def test_every_key_has_the_place_where_it_was_set(tree: Path, key: str, place: str) -> None:
    assert merged("config/IMAGE/leaf.json").place(key) == place


def test_the_bases_are_known_with_their_content(tree: Path) -> None:
    found = merged("config/IMAGE/leaf.json")
    assert found.source == LEAF.encode()
    assert found.bases == {Path("config/IMAGE/middle.yaml"): MIDDLE.encode(), Path("config/root.yaml"): ROOT.encode()}


VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.lists(st.integers(0, 3), max_size=2),
    lambda inside: st.dictionaries(st.sampled_from("abc"), inside, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_merging_can_be_done_from_either_end_unless_a_mapping_is_replaced(a: Any, b: Any, c: Any) -> None:
    assert inheritance.deep({}, a) == inheritance.deep(a, {}) == inheritance.deep(a, a) == a
    merged = inheritance.deep(a, b)
    assert merged.keys() == a.keys() | b.keys()
    for key, value in b.items():
        if not isinstance(value, dict) or not isinstance(a.get(key), dict):
            assert merged[key] == value
        else:
            assert merged[key] == inheritance.deep(a[key], value)
    assert {key: merged[key] for key in a.keys() - b.keys()} == {key: a[key] for key in a.keys() - b.keys()}
    assert inheritance.deep(merged, c).keys() == merged.keys() | c.keys()


ERRORS = [
    ("a cycle", {"a.yaml": "base: b.yaml", "b.yaml": "x: 1\nbase: a.yaml"},
     "b.yaml:2: the bases form a circle: a.yaml -> b.yaml -> a.yaml"),
    ("itself", {"a.yaml": "base: ./a.yaml"}, "a.yaml:1: the bases form a circle: a.yaml -> a.yaml"),
    ("a file that is not there", {"a.yaml": "x: 1\nbase: nowhere.yaml"},
     "a.yaml:2: base: nowhere.yaml: no such file; check the name"),
    ("an error in the base", {"a.yaml": "base: b.yaml", "b.yaml": "x: 1\nx: 2"}, "b.yaml:2: 'x' is there twice"),
    ("no path", {"a.yaml": "base: 3"}, "a.yaml:1: base must be the path of one config, relative to this file, not 3"),
    ("several", {"a.yaml": "base: [b.yaml]"}, "base must be the path of one config, relative to this file, not ['b"),
    ("a folder", {"a.yaml": "base: ."}, "a.yaml:1: base: .: unknown kind of config ''"),
    ("abstract what", {"a.yaml": "abstract: maybe"}, "a.yaml:1: abstract must be true or false, not 'maybe'"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_an_error_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        write(name, text)
    sentence = refused("a.yaml")
    assert expected in sentence and "\n" not in sentence


def test_a_link_on_the_way_does_not_lead_astray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("real/deep/a.yaml", "base: ../root.yaml\n")
    write("real/root.yaml", "x: 1\n")
    write("root.yaml", "x: 2\n")
    Path("link").symlink_to("real/deep")
    assert merged("link/a.yaml").values == {"x": 1}


def test_abstract_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("below.yaml", "abstract: true\nx: 1\n")
    write("a.yaml", "base: below.yaml\n")
    assert merged("below.yaml").abstract and merged("below.yaml").values == {"x": 1}
    assert not merged("a.yaml").abstract and merged("a.yaml").values == {"x": 1}


def test_a_file_read_alone_keeps_the_key(tree: Path) -> None:
    assert read(Path("config/IMAGE/middle.yaml")).values["base"] == "../root.yaml"


# On the command line


def test_an_error_in_a_base_has_its_place_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("_base.yaml", "pipeline: classify\ndataset: digits\nshow: off\nwidth: wide\n")
    path = write("a.json", json.dumps({"base": "_base.yaml", "lr": 0.5}))
    with pytest.raises(UserError) as raised:
        configurator.resolve(inheritance.read(path), {})
    assert raised.value.problems == ("_base.yaml:4: width must be a whole number, not 'wide'",)
    write("_base.yaml", "pipeline: classify\ndataset: digits\nshow: off\n")
    settings = configurator.resolve(inheritance.read(path), {"seed": "3"}).model_dump()
    assert (settings["lr"], settings["show"], settings["seed"]) == (0.5, False, 3)


CHILD = "base: _base.yaml\nlr: 0.5\n"
BASE = "abstract: true\npipeline: classify\ndataset: digits\nwidth: 16\nepochs: 1\n"


@pytest.mark.parametrize("command", ["configs", "exp", "config-root"])
def test_every_command_follows_it(work: Workspace, command: str) -> None:
    work.write("c/set/_base.yaml", BASE)
    work.write("c/set/a.yaml", CHILD)
    work.write("s.yaml", "name: s\nmode: training\nbase_config: c/set/a.yaml\nsweep: {seed: [1, 2]}\n")
    words = {
        "configs": ("--configs", "c/set/*.yaml"),
        "exp": ("--exp", "s.yaml"),
        "config-root": ("--config-root", "c", "--subdir", "set"),
    }[command]
    planned = json.loads(work.run(*words, "--dry-run", "--json", code=0).stdout)
    assert {(job["config"]["width"], job["config"]["lr"]) for job in planned["jobs"]} == {(16, 0.5)}
    assert len(planned["jobs"]) == (2 if command == "exp" else 1)


def test_a_pattern_of_nothing_but_base_configs_is_an_error(work: Workspace) -> None:
    work.write("c/base.yaml", BASE)
    err = work.run("--configs", "c/*.yaml", "--dry-run", code=2).stderr
    assert "abstract: true" in err and "c/base.yaml" in err


def test_a_base_means_anything_to_another_script(work: Workspace) -> None:
    work.write("job.py", "import sys; print(open(sys.argv[1]).read())\n")
    work.write("c/a.yaml", "base: resnet50\nabstract: 3\n")
    work.run("--configs", "c/a.yaml", "--command", "python job.py {config}", code=0)
    assert "base: resnet50" in (work.batch / "a" / "stdout.log").read_text()


@pytest.mark.slow
def test_a_base_that_is_edited_while_the_batch_runs_does_not_reach_it(work: Workspace) -> None:
    work.write("c/_base.yaml", BASE)
    work.write("c/a.yaml", CHILD)
    work.write("c/b.yaml", CHILD)
    process = work.start("--configs", "c/*.yaml")
    log = work / "experiments/latest/a/stdout.log"
    wait_until(lambda: log.exists() and "hidden layers" in log.read_text(), "the first has read its config", 60)
    work.write("c/_base.yaml", BASE.replace("16", "24"))
    process.communicate(timeout=60)
    assert process.returncode == 0
    for name in ("a", "b"):
        result = work.result(name)
        metadata = read_json(work.batch / name / "experiment_metadata.json")
        assert metadata["config"]["width"] == 16
        assert "hidden layers of 16" in (work.batch / name / "stdout.log").read_text()
        stand_in = str(work.batch / name / "config_resolved.yaml")
        assert result["command"][2] == (stand_in if name == "b" else "c/a.yaml")
