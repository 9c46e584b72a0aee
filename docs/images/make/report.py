"""Draw docs/images/report.png, the beginning of a real report: python docs/images/make/report.py (needs chromium)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from terminal import IMAGES, prepared

SIZE = "1000,1000"


def main() -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = prepared(Path(name))
        overnight = str(folder / "overnight")
        subprocess.run([overnight, "sweep", "sweep.yaml", "--max-workers", "2"], cwd=folder, check=False)  # two fail
        subprocess.run([overnight, "report", "-o", "report.html", "--anonymous"], cwd=folder, check=True)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
        shot = f"--screenshot={IMAGES / 'report.png'}"
        subprocess.run([browser, *options, shot, str(folder / "report.html")], check=True, capture_output=True)


if __name__ == "__main__":
    main()
