"""Times the compiled programs beside their peers: ``python -m benchmarks``; results go to ``results/`` and the docs."""

from __future__ import annotations

import argparse
import datetime as dt
import fnmatch
import json
from pathlib import Path

from benchmarks import report
from benchmarks.costs import costs
from benchmarks.floors import Floors, floors
from benchmarks.machine import describe, pinned
from benchmarks.peers.registry import FAST, OURS, available
from benchmarks.race import Race, race
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent
DOCUMENT = ROOT.parent / "docs" / "benchmarks.md"


def main() -> None:
    """Run what the arguments ask for."""
    arguments = _arguments()
    peers, missing = available(arguments.peers)
    print("\n".join(missing), end="\n" * bool(missing))
    names = [n for n in WORKLOADS if fnmatch.fnmatch(n, arguments.only)]
    races: list[Race] = []
    pairs: list[Race] = []
    limits = []
    for threads in arguments.threads:
        with pinned(threads):
            limits.append(floors(threads))
        print(report.floors_line(limits[-1]))
        print(f"  {'workload':28} ratio  ms; above 1 sigmagraph is ahead of the fastest peer")
        new = []
        for result in race(peers, names, threads, arguments.rounds, arguments.seconds):
            new.append(result)
            print(report.race_line(result), flush=True)
        print(report.means_line(new))
        races += new
        print("  fast mode: how many times as long exact mode takes")
        for result in race([OURS, FAST], names, threads, arguments.rounds, arguments.seconds):
            if len(result.results) > 1:
                pairs.append(result)
                print(report.pair_line(result), flush=True)
    if arguments.only == "*" and arguments.peers == ["*"]:
        _write(limits, races, pairs)


def _write(limits: list[Floors], races: list[Race], pairs: list[Race]) -> None:
    machine = describe()
    record = report.record(machine, limits, races, pairs, costs(), dt.datetime.now(dt.UTC).date().isoformat())
    path = ROOT / "results" / f"{machine.slug}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(report.document(record), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT.parent)} and {DOCUMENT.relative_to(ROOT.parent)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="*", help="pattern of the workloads to run; then nothing is written")
    parser.add_argument("--peers", nargs="+", default=["*"], help="patterns of the peers; then nothing is written")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=5, help="how often the peers take turns")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long each turn is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
