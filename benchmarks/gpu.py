"""Times programs on a GPU beside their peers: ``python -m benchmarks.gpu``; results go to ``results/`` and the docs."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import fnmatch
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_report
from benchmarks.gpu_machine import Gpu, measure
from benchmarks.gpu_workloads import WORKLOADS, tolerance
from benchmarks.machine import cores, describe
from benchmarks.peers.registry import GPU, GPU_PEERS, Peer, available
from benchmarks.processes import Process
from benchmarks.race import Race, Runner, among
from benchmarks.training_race import BATCH, PARTS, Entry, Turns, race
from sigmagraph.runtime.devices import missing

ROOT = Path(__file__).resolve().parent
DOCUMENT = ROOT.parent / "docs" / "benchmarks-gpu.md"
RECORDS, HELD_OUT = 60_000, 10_000
_EPOCH_SECONDS = 60  # that are kept for epochs


class _Process(Process):
    """A worker process of a peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        super().__init__("benchmarks.gpu_worker", peer.key, cores(), device=True)


class Field:
    """Those who take turns, each in a process; who breaks gets a new one, as a device does not get over some errors.

    Args:
        peers: the first is sigmagraph.
    """

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = list(peers)
        self._runners: dict[Peer, _Process] = {}
        self.left_out: list[str] = []

    def runners(self) -> list[Runner]:
        """All processes, those that are missing made anew; a peer that cannot begin is left out from there on."""
        for peer in list(self._peers):
            if peer not in self._runners:
                try:
                    self._runners[peer] = _Process(peer)
                except RuntimeError as error:
                    if peer is GPU:
                        raise
                    self._peers.remove(peer)
                    self.left_out.append(f"{peer.name} is left out: {error}")
        return [self._runners[peer] for peer in self._peers]

    def end(self) -> None:
        """Have all processes end."""
        for runner in self._runners.values():
            with contextlib.suppress(OSError):
                runner.__exit__()
        self._runners.clear()


def races(
    field: Field, names: Sequence[str], rounds: int, seconds: float, broken: dict[str, str], until: float
) -> Iterator[Race]:
    """The races of workloads, as long as there is time; ``broken`` is told why sigmagraph could not take part."""
    for number, name in enumerate(names):
        if time.monotonic() > until:
            field.left_out.append(f"no time was left for {', '.join(names[number:])}")
            return
        try:
            (found,) = among(field.runners(), [name], cores(), rounds, seconds, tolerance)
        except RuntimeError as error:
            broken[name] = str(error)
            field.end()
            continue
        if found.failures:
            field.end()
        yield found


def epochs(records: int, held_out: int, rounds: int, peers: Sequence[Peer], left_out: list[str]) -> dict[str, Turns]:
    """Let ways to train Sigma.Core's README network take turns at tenths of an epoch."""
    with contextlib.ExitStack() as stack:
        entries: dict[str, Entry] = {}

        def begin(key: str, ways: Mapping[str, str]) -> None:
            try:
                process = stack.enter_context(Process("benchmarks.gpu_epochs", key, cores(), device=True))
                process.ask(do="load", folder=None, records=records, held_out=held_out)
                for name, way in ways.items():
                    entry = Entry(process, name)
                    entry.ask("begin", way=way, batch=BATCH)
                    entries[name] = entry
            except RuntimeError as error:
                left_out.append(f"an epoch by {key}: {error}")

        begin("sigmagraph", {"resident": "resident"})
        begin("sigmagraph", {"shuffled": "shuffled"})  # in a process of its own: one may break
        if any(peer.key == "torch_cuda" for peer in peers):
            begin("torch_epochs", {"PyTorch": "shuffled"})
        return race(entries, min(PARTS, -(-records // BATCH)), rounds, judge=True)


def main() -> None:
    """Run what the arguments ask for."""
    arguments = _arguments()
    lacks = missing()
    if lacks:
        sys.exit(f"there is no CUDA device to measure on: {'; '.join(lacks)}")
    until = time.monotonic() + arguments.limit
    peers, lines = available(arguments.peers, GPU, GPU_PEERS)
    for line in lines:
        print(line)
    gpu = measure()
    print(gpu_report.gpu_line(gpu), flush=True)
    names = fnmatch.filter(WORKLOADS, arguments.only)
    everything = arguments.only == "*" and arguments.peers == ["*"]
    kept = _kept(gpu) if arguments.add else {}
    field, broken = Field(peers), dict[str, str]()
    found: list[Race] = []

    def write(found: Sequence[Race], trained: Mapping[str, Turns]) -> None:
        if everything or arguments.add:
            date = dt.datetime.now(dt.UTC).date().isoformat()
            new = gpu_report.record(describe(), gpu, found, broken, trained, [*lines, *field.left_out], date)
            _write(gpu_report.joined(kept, new), _path(gpu))

    try:
        for result in races(field, names, arguments.rounds, arguments.seconds, broken, until - _EPOCH_SECONDS):
            found.append(result)
            print(gpu_report.race_line(result, gpu), flush=True)
    finally:
        field.end()
    for name, why in broken.items():
        print(f"  {name}: {why}")
    write(found, {})
    trained = epochs(RECORDS, HELD_OUT, arguments.rounds, peers, field.left_out) if everything else {}
    for line in (*(f"  epoch, {name}: {turns.epoch:.3f} s" for name, turns in trained.items()), *field.left_out):
        print(line)
    write(found, trained)


def _path(gpu: Gpu) -> Path:
    return ROOT / "results" / f"{gpu.slug}.json"


def _kept(gpu: Gpu) -> dict[str, Any]:
    """What is known of a GPU already."""
    path = _path(gpu)
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return kept


def _write(record: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(gpu_report.document(record), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT.parent)} and {DOCUMENT.relative_to(ROOT.parent)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", default="*", help="pattern of the workloads to run; then nothing is written")
    parser.add_argument("--peers", nargs="+", default=["*"], help="patterns of the peers; then nothing is written")
    parser.add_argument("--rounds", type=int, default=3, help="how often the peers take turns")
    parser.add_argument("--seconds", type=float, default=0.15, help="how long each turn is")
    parser.add_argument("--add", action="store_true", help="add to what is known of this GPU, and write that")
    parser.add_argument("--limit", type=float, default=540, help="seconds after which no further workload is begun")
    return parser.parse_args()


if __name__ == "__main__":
    main()
