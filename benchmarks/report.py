"""Races as lines, as JSON and as a page of the documentation."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.floors import Floors
from benchmarks.machine import Machine
from benchmarks.race import Race, Result
from benchmarks.workloads import WORKLOADS

Json = Mapping[str, Any]
BUSY = 0.05  # share of the machine that others may use before a time is called disturbed


def floors_line(limits: Floors) -> str:
    """The limits of the machine in a line."""
    return f"{limits.threads} thread(s): {limits.gflops:.0f} GFLOP/s in multiply-adds, {limits.copy:.1f} GB/s in copies"


def race_line(race: Race) -> str:
    """A race in a line."""
    cells = [f"{r.name} {1000 * r.median:.3f} ms{'' if r.agrees else ' (other results)'}" for r in race.results]
    ratios = [f"ratio {ratio(race.results[0], r):.2f}" for r in race.results[1:]]
    busy = max(statistics.median(r.others) for r in race.results)
    warning = [f"(the rest of the machine was {busy:.0%} busy)"] if busy > BUSY else []
    return f"  {race.workload:24} {'  '.join([*cells, *ratios, *warning])}"


def ratio(ours: Result, other: Result) -> float:
    """How many times longer ours takes: the median over rounds, so that a busy spell of the machine cancels."""
    return statistics.median(a / b for a, b in zip(ours.turns, other.turns, strict=True))


def record(machine: Machine, limits: Sequence[Floors], races: Sequence[Race], date: str) -> dict[str, Any]:
    """Everything that is kept of a run."""
    return {
        "date": date,
        "machine": dataclasses.asdict(machine),
        "peers": {r.name: r.version for race in races for r in race.results},
        "floors": [dataclasses.asdict(f) for f in limits],
        "races": [
            {
                "workload": race.workload,
                "threads": race.threads,
                "flops": WORKLOADS[race.workload].flops,
                "results": {r.name: _result(race.results[0], r) for r in race.results},
            }
            for race in races
        ],
    }


def _result(ours: Result, result: Result) -> dict[str, Any]:
    out = {
        "agrees": result.agrees,
        "compile_seconds": round(result.compile_seconds, 3),
        "steps": sum(map(len, result.rounds)),
        "median_ms": _milliseconds(result.median),
        "tenth_ms": _milliseconds(result.tenth),
        "turns_ms": [_milliseconds(t) for t in result.turns],
        "others": [round(share, 3) for share in result.others],
    }
    if result is not ours:
        out["ratio"] = round(ratio(ours, result), 3)
        out["ratios"] = [round(a / b, 3) for a, b in zip(ours.turns, result.turns, strict=True)]
    return out


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 5)


_HEAD = """# Benchmarks

Written by `make bench`; do not edit. {date}, {processor}, {cores} cores, {system}, Python {python}, NumPy {numpy}.
{peers}.

All peers get the same float32 arrays. Before anything is timed they run three steps without dropout, and what they
compute is compared; a time beside other results is marked with *. Then they take turns, each in a process of its own,
{rounds} turns in one run; a time marked with ~ was taken while other work kept more than 5 % of the machine busy.
Times are medians over all steps, in ms. *Ratio* is sigmagraph's time over the peer's: the median over the turns, with
the least and the greatest turn behind it. *Floor* is what the matrix products alone would take at the machine's best
rate of multiply-adds.

A training step is forward, softmax cross entropy, backward and optimiser (Adagrad for the demo, Adam for the mlp), from
arrays to updated parameters; PyTorch uses its fused optimisers. The demo is Sigma.Core's README network with dropout
and batches of 100; the mlp has batches of 128.
"""


def document(record: Json) -> str:
    """A run as a page in Markdown."""
    rounds = max(len(r["turns_ms"]) for race in record["races"] for r in race["results"].values())
    peers = "; ".join(f"{name} {version}" for name, version in record["peers"].items())
    parts = [_HEAD.format(**record["machine"], date=record["date"], peers=peers, rounds=rounds)]
    for limits in record["floors"]:
        threads = limits["threads"]
        parts.append(
            f"\n## {threads} {'thread' if threads == 1 else 'threads'}\n\nThe machine: {limits['gflops']:.0f} GFLOP/s "
            f"in multiply-adds on registers, {limits['copy']:.1f} GB/s in copies (bytes read and written).\n\n"
        )
        parts.append(_table([r for r in record["races"] if r["threads"] == threads], limits["gflops"]))
    return "".join(parts)


def _table(races: Sequence[Json], gflops: float) -> str:
    ours, *others = races[0]["results"]
    head = ["workload", ours, "GFLOP/s", *(c for name in others for c in (name, "ratio")), "floor", "compile, s"]
    rows = [_row(race, ours, others, gflops) for race in races]
    return (
        "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows))
        + "\n"
    )


def _row(race: Json, ours: str, others: Sequence[str], gflops: float) -> list[str]:
    mine = race["results"][ours]
    cells = [race["workload"], _time(mine), f"{race['flops'] / mine['median_ms'] / 1e6:.0f}"]
    for other in (race["results"][name] for name in others):
        spread = f"{min(other['ratios']):.2f} - {max(other['ratios']):.2f}"
        cells += [_time(other), f"**{other['ratio']:.2f}** ({spread})"]
    return [*cells, f"{race['flops'] / gflops / 1e6:.3g}", f"{mine['compile_seconds']:.2f}"]


def _time(result: Json) -> str:
    mark = ("" if result["agrees"] else "*") + ("~" if statistics.median(result["others"]) > BUSY else "")
    return f"{result['median_ms']:.3g}{mark}"
