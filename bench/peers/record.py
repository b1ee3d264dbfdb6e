"""Keeps a run as bench/record/<date>.json."""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .figures import Row
from .installed import versions

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "bench" / "record"


def made(rows: Iterable[Row], seconds: float) -> dict[str, Any]:
    """A run as plain values: date, machine, versions, figures."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "machine": processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[1], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(),
        "seconds": round(seconds),
        "rows": [row.as_json() for row in rows],
    }


def write(run: dict[str, Any], directory: Path = DIRECTORY) -> Path:
    """Writes a run; a later one of the same day replaces it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{run['date']}.json"
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str:
    """The commit that was measured, with a + if the checkout differs from it; empty outside git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
