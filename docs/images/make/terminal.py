"""Draw the pictures of the terminal in docs/images/ from a real sweep: python docs/images/make/terminal.py

A sweep of docs/examples/spirals.py runs on a pseudo-terminal for a quarter of a minute. live.svg is the live table when
most of the jobs have ended, end.svg is what is on the screen at the end.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PROJECT = Path(__file__).resolve().parents[3]
IMAGES = PROJECT / "docs" / "images"
COLUMNS, ROWS = 100, 30
SPEC = """\
name: spirals
base_config: base.yaml
train_script: train.py
sweep:
  lr: [0.003, 3000, 0.03, 0.3]
  hidden: [4, 16]
"""
#: The picture without fonts from the network.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {project!r})
from runner.cli.main import main
sys.exit(main())
"""
UP = re.compile(r"(?:\r|\x1b\[2K|\x1b\[1A)+\x1b\[2K")  # how the table is drawn again
HIDDEN = re.compile(r"\x1b\[\?25[lh]|\x1b\]8;[^\x1b]*\x1b\\")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = prepared(Path(name))
        frames = screens(folder, ["overnight", "sweep", "sweep.yaml", "--max-workers", "2"])
    command = "overnight sweep sweep.yaml --max-workers 2"
    live = [frame for frame in frames if "5 of 8 jobs ended" in frame and not frame.startswith("[")][-1]
    save("live", command, live)
    save("end", command, frames[-1])


def prepared(folder: Path) -> Path:
    """The script, the spec and the command in one folder."""
    shutil.copy(PROJECT / "docs" / "examples" / "spirals.py", folder / "train.py")
    (folder / "base.yaml").write_text("epochs: 600\n")
    (folder / "sweep.yaml").write_text(SPEC)
    (folder / "overnight").write_text(PROGRAM.format(python=sys.executable, project=str(PROJECT)))
    (folder / "overnight").chmod(0o755)
    return folder


def screens(folder: Path, words: list[str]) -> list[str]:
    """Each drawing of the table; the last one is followed by all that was printed at the end."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        words, cwd=folder, env=environment,
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    written = b""
    while True:
        try:
            written += os.read(leader, 1 << 16)
        except OSError:  # the other side is closed
            break
    process.wait()
    os.close(leader)
    text = written.decode().replace("\r\n", "\n").replace(str(folder), "~").replace(sys.executable, "python")
    return [HIDDEN.sub("", part).strip("\n") for part in UP.split(text)]


def save(name: str, command: str, screen: str) -> None:
    """One picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(f"\x1b[1m$\x1b[0m {command}\n{screen}"), soft_wrap=False)
    console.save_svg(str(IMAGES / f"{name}.svg"), title="overnight", unique_id=name, code_format=FORMAT)
    print(IMAGES / f"{name}.svg")


if __name__ == "__main__":
    main()
