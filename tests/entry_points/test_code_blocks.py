"""Every code block of the documents is run by a test, or says why not."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from tests.entry_points.code_blocks import ALL, OURS, Block, follow

LANGUAGES = {"bash", "console", "python", "yaml", "toml", "json", "text"}
MARK = re.compile(r"file: \S+|run(: exit code \d+)?|output|not run: \S.*|tested by \S+|(example|commands|sample): .+")
TESTS = {path: path.read_text() for path in (PROJECT / "tests").rglob("*.py")}
#: What begins so is tested elsewhere: by test_documents.py, test_package.py and test_install.py, test_demo.py.
ELSEWHERE = (*OURS, "python train_run.py ", "pip install ", "make demo", "make test")
#: The pages whose blocks are run one after another.
FOLLOWED = sorted({block.page for block in ALL if block.is_run})


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language in LANGUAGES, "what was printed is text"
    assert not block.mark or MARK.fullmatch(block.mark), f"unknown mark: {block.mark}"
    if block.mark.partition(": ")[0] in ("example", "commands"):
        assert any(f"<!-- {block.mark} -->" in text for text in TESTS.values()), "no test reads it"
    elif block.mark.startswith("tested by "):
        path = PROJECT / block.mark.removeprefix("tested by ")
        assert block.page.name in TESTS[path], "the test does not read this page"
    elif not block.mark:
        assert block.language != "python", "mark it: run, or not run and why"
        others = [line for line in block.commands if not line.startswith(ELSEWHERE)]
        assert others == [], "no test runs these; mark it: run, or not run and why"


@pytest.mark.parametrize("block", [one for one in ALL if one.language in ("yaml", "toml", "json")], ids=str)
def test_data_is_well_formed(block: Block) -> None:
    if block.language == "yaml":
        assert isinstance(yaml.safe_load(block.text), dict)
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:  # a part of a file
        json.loads("{" + block.text.strip().rstrip(",") + "}")


@pytest.mark.parametrize("block", [one for one in ALL if one.mark.startswith("sample: ")], ids=str)
def test_a_sample_can_be_imported(block: Block) -> None:
    names: dict[str, object] = {"__name__": "sample"}
    exec(compile(block.text, str(block), "exec"), names)
    assert len(names) > 2


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_a_page_is_followed(page: Path, tmp_path: Path) -> None:
    follow(page, tmp_path)
