"""Draw the pictures of the terminal in docs/images/ from a real sweep: python docs/images/make/terminal.py

A sweep of docs/examples/spirals.py runs on a pseudo-terminal for half a minute. live.svg shows drawings of the live
table one after another, in less time than they took, and then the first lines of what is on the screen at the end;
where nothing may move, it is the table when most of the jobs have ended.
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
COLUMNS, ROWS = 80, 30
DRAWINGS, EACH, LAST = 14, 0.6, 6.0  # of the moving picture: how many, and the seconds that each and the last is shown
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
    live = [frame for frame in frames[:-1] if "jobs ended" in frame and not frame.startswith("[")]
    still = [place for place, frame in enumerate(live) if "5 of 8 jobs ended" in frame][-1]
    chosen = sorted({still, *(round(at * (len(live) - 1) / (DRAWINGS - 1)) for at in range(DRAWINGS))})
    save("live", command, [*(live[place] for place in chosen), frames[-1]], chosen.index(still))


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


def save(name: str, command: str, screens: list[str], still: int) -> None:
    """The screens one after another, in one picture; where nothing may move, the one that is given."""
    lines = max(len(screen.splitlines()) for screen in screens[:-1])
    drawings = [drawing(f"{name}{place}", command, cut(screen, lines)) for place, screen in enumerate(screens)]
    seconds = EACH * (len(screens) - 1) + LAST
    rules = [f".{name} {{ visibility: hidden }} #{name}{still} {{ visibility: visible }}"]
    moving = [f".{name} {{ animation: {seconds:g}s step-end infinite }}"]
    for place in range(len(screens)):
        begin, end = (100 * EACH * at / seconds for at in (place, place + 1))
        after = "" if place == len(screens) - 1 else f"{end:.2f}% {{ visibility: hidden }}"
        shown = f"0% {{ visibility: hidden }} {begin:.2f}% {{ visibility: visible }} {after}"
        rules.append(f"@keyframes {name}{place} {{ {shown} }}")
        moving.append(f"#{name}{place} {{ animation-name: {name}{place} }}")
    rules.append(f"@media (prefers-reduced-motion: no-preference) {{ {' '.join(moving)} }}")
    begin, _, _ = max(drawings, key=len).partition(">")
    groups = [
        f'<g class="{name}" id="{name}{place}">{one.partition(">")[2].removesuffix("</svg>")}</g>'
        for place, one in enumerate(drawings)
    ]
    write(name, "\n".join([f"{begin}><style>", *rules, "</style>", *groups, "</svg>"]))


def cut(screen: str, lines: int) -> str:
    """The first lines of a screen, always as many."""
    return "\n".join([*screen.splitlines(), *[" "] * lines][:lines])


def drawing(name: str, command: str, screen: str) -> str:
    """A screen as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(f"\x1b[1m$\x1b[0m {command}\n{screen}"), no_wrap=True, overflow="ellipsis")
    return console.export_svg(title="overnight", unique_id=name, code_format=FORMAT).strip()


def write(name: str, text: str) -> None:
    path = IMAGES / f"{name}.svg"
    path.write_text("\n".join(line for line in map(str.strip, text.splitlines()) if line) + "\n")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
