"""Make docs/images/report.png and its head, and docs/examples/report.html: the report on a batch of short jobs of which
one fails and one diverges.

python docs/images/make/report.py     (needs Chromium and Pillow)
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
PICTURE = ROOT / "docs/images/report.png"
HEAD = ROOT / "docs/images/report-head.png"
REPORT = ROOT / "docs/examples/report.html"
WIDTH, HEIGHT = 1100, 1500
HEAD_HEIGHT = 480  # as far as the first page shows it
JOB = """\
import json, math, os, random, sys
lr, width, seed = 0.001, 64, 0
exec(open(sys.argv[1]).read())
random.seed(seed * 100 + width)
best = 1.35 + 0.6 / math.log2(width) + abs(math.log10(lr) + 2.5) * 0.22
print("reading shakespeare", flush=True)
if width == 512:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB.")
with open(os.environ["OUT"] + "/metrics.jsonl", "w") as file:
    for step in range(0, 3001, 20):
        loss = best + (4.2 - best) * math.exp(-step * (0.3 + lr * 40) / 400) + random.gauss(0, 0.02)
        if lr == 0.1 and step > 900:
            loss = float("nan")
        row = {"iter": step, "max_iters": 3000, "train/loss": loss}
        if step % 100 == 0:
            row["val/loss"] = loss + 0.05 + step / 60000
            print(f"step {step}: train loss {loss:.4f}", flush=True)
        file.write(json.dumps(row) + "\\n")
        if loss != loss and step > 1200:
            sys.exit("the loss is nan")
"""


def write_jobs(folder: Path) -> None:
    (folder / "train.py").write_text(JOB)
    (folder / "config").mkdir()
    settings = [(lr, width, 0) for lr in (0.001, 0.003) for width in (64, 256)] + [(0.1, 64, 0), (0.003, 512, 0)]
    for lr, width, seed in settings:
        text = f"lr = {lr}\nwidth = {width}\nseed = {seed}\n"
        (folder / f"config/lr{lr}_w{width}.py").write_text(text)


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jobs(folder)
        command = f"env OUT={{out_dir}} {sys.executable} train.py {{config}}"
        words = ["--configs", "config/*.py", "--name", "night", "--command", command]
        subprocess.run([sys.executable, ROOT / "run_experiments.py", *words], cwd=folder, check=False)
        report = [sys.executable, ROOT / "run_experiments.py", "report", "-o"]
        subprocess.run([*report, "r.html"], cwd=folder, check=True)
        subprocess.run([*report, REPORT, "--anonymous"], cwd=folder, check=True)
        page = (folder / "r.html").read_text().replace("<details open>", "<details>")  # the picture shows more sections
        (folder / "r.html").write_text(page)
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
        view = [f"--user-data-dir={folder}/browser", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={folder}/r.png"]
        subprocess.run([chromium, *quiet, *view, f"file://{folder}/r.html"], check=True, capture_output=True)
        with Image.open(folder / "r.png") as picture:
            save(picture, PICTURE)
            save(picture.crop((0, 0, WIDTH, HEAD_HEIGHT)), HEAD)


def save(picture: Image.Image, path: Path) -> None:
    written = io.BytesIO()
    picture.convert("RGB").quantize(64).save(written, "png", optimize=True)
    path.write_bytes(written.getvalue())
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
