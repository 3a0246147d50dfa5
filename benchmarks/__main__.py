"""Times the compiled programs beside their peers: ``python -m benchmarks``; results go to ``results/`` and the docs."""

from __future__ import annotations

import argparse
import datetime as dt
import fnmatch
import importlib.util
import json
from pathlib import Path

from benchmarks import report
from benchmarks.floors import floors
from benchmarks.machine import describe
from benchmarks.race import Race, race
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent
DOCUMENT = ROOT.parent / "docs" / "benchmarks.md"


def main() -> None:
    """Run what the arguments ask for."""
    arguments = _arguments()
    peers = ["sigma"] + ["torch"] * (importlib.util.find_spec("torch") is not None)
    if len(peers) == 1:
        print("PyTorch is not installed: sigmagraph runs alone")
    names = [n for n in WORKLOADS if fnmatch.fnmatch(n, arguments.only)]
    races: list[Race] = []
    limits = []
    for threads in arguments.threads:
        limits.append(floors(threads))
        print(report.floors_line(limits[-1]))
        for result in race(peers, names, threads, arguments.rounds, arguments.seconds):
            races.append(result)
            print(report.race_line(result))
    machine = describe()
    record = report.record(machine, limits, races, dt.datetime.now(dt.UTC).date().isoformat())
    if arguments.only == "*":
        path = ROOT / "results" / f"{machine.slug}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        DOCUMENT.write_text(report.document(record), encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT.parent)} and {DOCUMENT.relative_to(ROOT.parent)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="*", help="pattern of the workloads to run; then nothing is written")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=7, help="how often the peers take turns")
    parser.add_argument("--seconds", type=float, default=0.4, help="how long each turn is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
