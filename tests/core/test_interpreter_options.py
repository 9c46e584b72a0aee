"""Which options of Python reach the processes that a program starts of itself."""

from __future__ import annotations

import pytest

from runner.core.interpreter_options import interpreter_options


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("python app.py -O", ""),
        ("python -O app.py -X dev", "-O"),
        ("python -OOu -m app -O", "-O -O"),
        ("python -W error -Xdev -uW ignore -X utf8=1 app.py", "-W error -X dev -W ignore -X utf8=1"),
        ("python -Om app -W x", "-O"),
        ("python -Omapp -W x", "-O"),
        ("python --check-hash-based-pycs always -I app.py", "-I"),
        ("python -u -B -i app.py", ""),
        ("python - -O", ""),
        ("python", ""),
        ("python -X", "-X "),
    ],
)
def test_those_before_the_program_are_taken(words: str, options: str) -> None:
    assert interpreter_options(words.split()) == tuple(options.split(" ") if options else ())
