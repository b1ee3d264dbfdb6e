"""Keeps what matters of a pytest-benchmark run as bench/record/<date>-<machine>.json.

python bench/record.py build/bench.json bench/record
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

SECONDS_TO_NS = 1e9


def machine_name(info: dict[str, Any]) -> str:
    """The processor, its cores and the interpreter, as part of a file name."""
    brand = str(info.get("cpu", {}).get("brand_raw") or info["machine"])
    brand = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", " ", brand, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", f"{brand} {info.get('cpu', {}).get('count', '')}core".lower()).strip("-")


def trimmed(run: dict[str, Any]) -> dict[str, Any]:
    """Date, machine and, for each benchmark, the figures in nanoseconds a call."""
    info = run["machine_info"]
    return {
        "date": run["datetime"][:10],
        "machine": info.get("cpu", {}).get("brand_raw", info["machine"]),
        "cores": info.get("cpu", {}).get("count"),
        "system": f"{info['system']} {info['release']}",
        "python": f"{info['python_implementation']} {info['python_version']}",
        "unit": "ns a call",
        "benchmarks": [
            {
                "name": one["name"],
                "group": one["group"],
                "median": round(one["stats"]["median"] * SECONDS_TO_NS, 1),
                "min": round(one["stats"]["min"] * SECONDS_TO_NS, 1),
                "iqr": round(one["stats"]["iqr"] * SECONDS_TO_NS, 1),
                "rounds": one["stats"]["rounds"],
                **({"extra": one["extra_info"]} if one["extra_info"] else {}),
            }
            for one in sorted(run["benchmarks"], key=lambda one: (one["group"] or "", one["name"]))
        ],
    }


def record(source: Path, directory: Path) -> Path:
    """Writes the trimmed run; a later run of the same day on the same machine replaces it."""
    run = json.loads(source.read_text(encoding="utf-8"))
    path = directory / f"{run['datetime'][:10]}-{machine_name(run['machine_info'])}.json"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(trimmed(run), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(record(Path(sys.argv[1]), Path(sys.argv[2])))
