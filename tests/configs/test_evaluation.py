"""Python configs that have to be executed: in children, together, twice, and never as the main program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.configs.config_file import ConfigFile
from runner.configs.reading import read_all
from runner.configs.training_script import Checked, TrainingScript
from runner.core.errors import UserError
from tests.conftest import PROJECT, alive, wait_until


class Ours(TrainingScript):
    """A script whose configs are executed."""

    def check(self, config: ConfigFile, overrides: object) -> Checked:
        return Checked(config.values, {}, {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(*texts: str, time_limit: float = 30) -> list[ConfigFile | UserError]:
    paths = [Path(f"c{number}.py") for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return read_all(Ours(), paths, time_limit)


def one(text: str) -> ConfigFile:
    (found,) = read(text)
    assert isinstance(found, ConfigFile), found
    return found


OTHERS = [
    "import random\nx = random.random()", "import random\nx = random.choice(range(10**9))",
    "from time import time\nx = 'ft-' + str(int(time()))", "import time\nx = time.strftime('%Y-%m-%d')",
    "import time\nx = time.strftime('%Hh%M')", "import time\nx = time.ctime()[:16]",
    "import time\nx = time.strftime('%m', time.gmtime())", "import time\nx = time.time_ns() // 10**12",
    "from datetime import datetime\nx = datetime.now().strftime('%Y%m%d_%H')",
    "import datetime as dt\nx = str(dt.date.today())", "import datetime\nx = datetime.datetime.utcnow().minute",
    "import datetime\nx = datetime.datetime.now(datetime.timezone.utc).isoformat()",
    "import uuid\nx = str(uuid.uuid4())", "import uuid\nx = uuid.uuid1().hex", "import os\nx = os.getpid()",
    "import secrets\nx = secrets.token_hex(4)", "x = list({f'layer{i}' for i in range(40)})", "x = id(object())",
    "import tempfile\nx = tempfile.mkdtemp()", "from beside import x", "import numpy\nx = numpy.random.rand()",
    "import random\nif random.getrandbits(200) % 2**100: x = random.random()",
]  # fmt: skip


@pytest.mark.parametrize("text", OTHERS)
def test_a_value_that_is_another_one_each_time_is_known_as_such(folder: Path, text: str) -> None:
    (folder / "beside.py").write_text("import random\nx = random.random()\n")
    config = one(f"{text}\nfixed = len('abc')\n")
    assert config.volatile == ("x",) and config.evaluated and config.values["fixed"] == 3


SAME = [
    "import random\nrandom.seed(3)\nx = random.random()", "import math\nx = math.sqrt(2)",
    "import datetime\nx = repr(datetime.datetime(2020, 1, 2)) + str(datetime.date(2020, 1, 2))",
    "import datetime\nx = isinstance(datetime.datetime(2020, 1, 2), datetime.date)",
    "import time\nx = time.strftime('%Y', time.gmtime(0))", "import os\nx = sorted(os.listdir())",
    "import numpy\nx = numpy.random.default_rng(1).random()", "x = float('nan')\nimport math",
    "import sys\nx = sys.argv",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_a_value_that_is_the_same_each_time_counts(folder: Path, text: str) -> None:
    assert one(text).volatile == ()


def test_what_is_read_from_the_text_is_not_executed(folder: Path) -> None:
    config = one("x = [1, 2]\ny = x[0] + 3\n")
    assert (config.values, config.evaluated, config.volatile) == ({"x": [1, 2], "y": 4}, False, ())


def test_a_second_evaluation_that_fails_changes_nothing(folder: Path) -> None:
    assert one("import os\nx = 3\nos.mkdir(f'made-{x}')\n").values == {"x": 3}


def test_configs_are_evaluated_at_the_same_time(folder: Path) -> None:
    meets = (
        "import os, time\nopen('{me}' + os.environ.get('ROUND', ''), 'w').close()\n"
        "while not os.path.exists('{other}'): time.sleep(0.01)\nx = 1\n"
    )
    both = read(meets.format(me="a", other="b"), meets.format(me="b", other="a"))
    assert [config.values for config in both if isinstance(config, ConfigFile)] == [{"x": 1}] * 2


def test_one_config_does_not_take_the_answers_of_the_others(folder: Path) -> None:
    good = "import math\nx = {}\n"
    bad = ["while True: pass", "import os\nos.kill(os.getpid(), 9)", "import os\nos._exit(3)", "x = 1 / int('0')"]
    found = read(good.format(1), *bad, good.format(2), time_limit=3)
    assert [str(it) if isinstance(it, UserError) else it.values["x"] for it in found] == [
        1,
        "c1.py: did not finish within 3 s; let it only assign values, or give the batch a longer --config_timeout",
        "c2.py: RuntimeError: its evaluation died (SIGKILL); correct this line",
        "c3.py: RuntimeError: its evaluation died (exit code 3); correct this line",
        "c4.py:1: ZeroDivisionError: division by zero; correct this line",
        2,
    ]


def test_no_config_changes_what_another_one_finds(folder: Path) -> None:
    (folder / "beside.py").write_text("count = 0\n")
    text = "import beside, os, json\nbeside.count += 1\nx = beside.count\njson.dumps = None\nos.environ['SET'] = 'x'\n"
    other = "import beside, os, json\nx = beside.count\ny = os.environ.get('SET')\nz = json.dumps(1)\n"
    found = read(text, other, text)
    assert [config.values["x"] for config in found if isinstance(config, ConfigFile)] == [1, 0, 1]


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """A module as an installed package."""
    package = folder / "lib" / "site-packages"
    package.mkdir(parents=True, exist_ok=True)
    (package / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(package))


def test_a_package_that_several_configs_import_is_imported_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(folder, monkeypatch, "heavy", f"open({str(folder / 'imports')!r}, 'a').write('x')\nwidth = 8\n")
    found = read(*[f"import heavy\nx = heavy.width * {number}\n" for number in range(4)])
    assert [config.values["x"] for config in found if isinstance(config, ConfigFile)] == [0, 8, 16, 24]
    assert (folder / "imports").read_text() == "xx"  # each of the two evaluations is a process of its own


@pytest.mark.parametrize("text", ["import os\nos._exit(3)\n", "raise SystemExit\n", "import time\ntime.sleep(600)\n"])
def test_a_package_that_cannot_be_imported_is_the_error_of_those_that_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    installed(folder, monkeypatch, "broken", text)
    found = read("import broken\nx = 1\n", "import broken\nx = 1\n", "import math\nx = 3\n", time_limit=2)
    assert [isinstance(config, UserError) for config in found] == [True, True, False]


def test_a_package_that_does_not_work_in_a_fork_is_imported_by_each_config(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import os\nhome = os.getpid()\ndef work():\n    while os.getpid() != home: pass\n    return 5\n"
    installed(folder, monkeypatch, "heavy", text)
    found = read(*["import heavy\nx = heavy.work()\n"] * 2, time_limit=3)
    assert [config.values["x"] for config in found if isinstance(config, ConfigFile)] == [5, 5]


def test_random_numbers_of_a_shared_package_are_not_shared(folder: Path) -> None:
    found = read(*["import numpy\nx = numpy.random.rand()\n"] * 2)
    assert len({config.values["x"] for config in found if isinstance(config, ConfigFile)}) == 2


@pytest.mark.parametrize("name", ["json.py", "types.py", "os.py", "time.py", "traceback.py", "numpy.py"])
def test_a_file_that_is_called_like_a_module_of_python_does_not_disturb(folder: Path, name: str) -> None:
    (folder / name).write_text("raise RuntimeError('not that one')\n")
    assert one("import math\nx = math.floor(2.5)\n").values == {"x": 2}


def test_a_file_beside_is_preferred_to_an_installed_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(folder, monkeypatch, "heavy", "width = 8\n")
    (folder / "heavy.py").write_text("width = 1\n")
    found = read("from heavy import width\n", "from heavy import width\nx = 2\n")
    assert [config.values["width"] for config in found if isinstance(config, ConfigFile)] == [1, 1]


def test_a_config_is_never_the_main_program(folder: Path) -> None:
    config = one("import os\nx = 1\nif __name__ == '__main__':\n    open('ran', 'w')\n    x = 2\nname = __name__\n")
    assert config.values == {"x": 1, "name": "__config__"} and not (folder / "ran").exists()


def test_a_config_may_define_dataclasses(folder: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, asdict\nfrom typing import ClassVar\n"
        "@dataclass\nclass Optimizer:\n    kind: ClassVar[str] = 'adam'\n    lr: float = 0.1\n"
        "optimizer = asdict(Optimizer())\n"
    )
    assert one(text).values == {"optimizer": {"lr": 0.1}}


def test_nothing_is_left_when_the_runner_is_killed(folder: Path) -> None:
    (folder / "x.py").write_text(
        "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
        "open(f'pid-{os.getpid()}', 'w').write(f'{os.getpid()} {child.pid}')\nwhile True: pass\n"
    )
    program = "from runner.configs.config_file import read; from pathlib import Path; read(Path('x.py'))"
    runner = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(PROJECT)})
    wait_until(lambda: [path for path in folder.glob("pid-*") if path.read_text()], "it is evaluated")
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    pids = [int(pid) for path in folder.glob("pid-*") for pid in path.read_text().split()]
    wait_until(lambda: not any(map(alive, pids)), "all of them are gone")


def test_ctrl_c_ends_an_evaluation_at_once(folder: Path) -> None:
    (folder / "x.py").write_text("import os\nopen('began', 'w').close()\nwhile True: pass\n")
    program = "from runner.configs.config_file import read; from pathlib import Path; read(Path('x.py'))"
    began = time.monotonic()
    runner = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(PROJECT)}, stderr=subprocess.DEVNULL
    )
    wait_until((folder / "began").exists, "it is evaluated")
    runner.send_signal(signal.SIGINT)
    assert runner.wait(timeout=8) != 0 and time.monotonic() - began < 10
