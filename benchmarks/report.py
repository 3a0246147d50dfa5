"""Races as lines, as JSON and as a page of the documentation."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.costs import Costs
from benchmarks.floors import Floors
from benchmarks.machine import Machine
from benchmarks.peers.registry import OURS, PEERS
from benchmarks.race import Race, Result
from benchmarks.workloads import GROUPS, WORKLOADS, Workload

Json = Mapping[str, Any]
BUSY = 0.05  # share of the cores that others may use before a time is called disturbed

# ---- lines


def floors_line(limits: Floors) -> str:
    """The limits of the machine in a line."""
    return f"{limits.threads} thread(s): {limits.gflops:.0f} GFLOP/s in multiply-adds, {limits.copy:.1f} GB/s in copies"


def race_line(race: Race) -> str:
    """A race in a line, failures in lines of their own."""
    cells = [f"{r.name} {short(1000 * r.median)}{'' if r.agrees else ' (other results)'}" for r in race.results]
    fastest = race.fastest
    ratio = f"{race.ours.lead(fastest):5.2f}" if fastest else "    -"
    busy = max(statistics.median(r.others) for r in race.results)
    warning = [f"(others kept the cores {busy:.0%} busy)"] if busy > BUSY else []
    lines = [f"  {race.workload:28} {ratio}  {'  '.join([*cells, *warning])}", *(f"    {f}" for f in race.failures)]
    return "\n".join(lines)


def pair_line(race: Race) -> str:
    """A race of exact and fast mode in a line."""
    exact, fast = race.results
    other = "" if fast.agrees else " (other results)"
    times = f"exact {short(1000 * exact.median)}  fast {short(1000 * fast.median)}"
    return f"  {race.workload:28} {fast.lead(exact):5.2f}  {times}{other}"


def means_line(races: Sequence[Race]) -> str:
    """The geometric means of all groups in a line."""
    record = [race_json(race) for race in races]
    found = ((group, mean([r for r in record if r["group"] == group])) for group in GROUPS)
    return "geometric means: " + ", ".join(f"{group} {mean:.2f}" for group, mean in found if mean)


# ---- JSON


def record(
    machine: Machine,
    limits: Sequence[Floors],
    races: Sequence[Race],
    pairs: Sequence[Race],
    costs: Costs,
    date: str,
) -> dict[str, Any]:
    """Everything that is kept of a run."""
    return {
        "date": date,
        "machine": dataclasses.asdict(machine),
        "peers": {r.name: r.version for race in races for r in race.results},
        "floors": [dataclasses.asdict(f) for f in limits],
        "races": [race_json(race) for race in races],
        "fast": [_pair(race) for race in pairs],
        "costs": dataclasses.asdict(costs),
    }


def _pair(race: Race) -> dict[str, Any]:
    exact, fast = race.results
    return {
        "workload": race.workload,
        "threads": race.threads,
        "agrees": fast.agrees,
        "exact_ms": _milliseconds(exact.median),
        "fast_ms": _milliseconds(fast.median),
        "ratios": [round(lead, 3) for lead in fast.leads(exact)],
        "memory": [exact.memory, fast.memory],
    }


def race_json(race: Race, workloads: Mapping[str, Workload] = WORKLOADS) -> dict[str, Any]:
    """A race as it is kept."""
    workload = workloads[race.workload]
    return {
        "workload": race.workload,
        "group": workload.group,
        "threads": race.threads,
        "flops": workload.flops,
        "bytes": workload.bytes,
        "fastest": race.fastest.name if race.fastest else None,
        "results": {r.name: _result(race.ours, r) for r in race.results},
        "failures": list(race.failures),
    }


def _result(ours: Result, result: Result) -> dict[str, Any]:
    out = {
        "agrees": result.agrees,
        "note": result.note,
        "compile_seconds": round(result.compile_seconds, 3),
        "memory": result.memory,
        "steps": sum(map(len, result.rounds)),
        "median_ms": _milliseconds(result.median),
        "tenth_ms": _milliseconds(result.tenth),
        "turns_ms": [_milliseconds(t) for t in result.turns],
        "others": [round(share, 3) for share in result.others],
    }
    if result.kernels:
        out["kernels_ms"] = _milliseconds(statistics.median(result.kernels))
    if result is not ours:
        out["ratio"] = round(ours.lead(result), 3)
        out["ratios"] = [round(lead, 3) for lead in ours.leads(result)]
    return out


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 5)


# ---- the page

_HEAD = """# Benchmarks

Written by `make bench`; do not edit. {date}, {processor}, {cores} cores, {system}, Python {python}, NumPy {numpy}.
{peers}.

**The ratio is the time of the fastest peer over sigmagraph's: above 1 sigmagraph is ahead.** It is the median over the
turns, with the least and the greatest turn behind it. The last row of a table has geometric means: of these ratios, and
for each peer of its own times over sigmagraph's.

All peers get the same float32 arrays as weights and inputs. Before anything is timed each runs three steps without
dropout. The cost of each step, or all results, are compared; whoever disagrees with most others is marked with * and
never ranked. Then they take turns in an order that is drawn for each of {rounds} rounds, each in a process of its own,
bound to one core for each thread. Times are medians over all steps in ms; short steps are timed several at once, and
steps that were interrupted by other processes are left out. A time marked with ~ was taken while others kept more than
5 % of these cores busy; if all its steps were interrupted it is, on one thread, that of the process alone.

A training step is forward, softmax cross entropy, backward and optimiser (Adagrad for Sigma's README network, Adam for
the others), from arrays to updated parameters. PyTorch uses its fused optimisers, and for images the better of its two
layouts: ᶠ is channels first, ˡ channels last. JAX donates its state. torch.compile takes part in training only, without
LSTMs, which it hands to eager PyTorch. ONNX Runtime and OpenVINO run models that hold the same arrays. tinygrad has
clang compile its kernels, without a search for better ones, and takes part where that does not take minutes. All that
takes the same inputs every time may be laid out beforehand.

The *rate* counts useful operations of products where they are the limit, and otherwise the bytes that must be read and
written. *Limit* is what part of the machine's best that is, measured in the same run. *Memory* is what sigmagraph's
program needs, parameters included.
"""
_MARKS = {"channels first": "ᶠ", "channels last": "ˡ", "no graphs": " (no graphs)"}


def document(record: Json) -> str:
    """A run as a page in Markdown."""
    rounds = max(len(r["turns_ms"]) for race in record["races"] for r in race["results"].values())
    peers = "; ".join(f"{name} {version}" for name, version in record["peers"].items())
    parts = [_HEAD.format(**record["machine"], date=record["date"], peers=peers, rounds=rounds)]
    for limits in record["floors"]:
        threads = limits["threads"]
        parts.append(
            f"\n## {threads} {'thread' if threads == 1 else 'threads'}\n\nThe machine: {limits['gflops']:.0f} GFLOP/s "
            f"in multiply-adds on registers, {limits['copy']:.1f} GB/s in copies (bytes read and written).\n"
        )
        races = [race for race in record["races"] if race["threads"] == threads]
        parts += [f"\n{_table(group, races, limits)}" for group in GROUPS]
    parts.append(_fast(record["fast"]))
    parts.append("\n## Besides speed\n\n" + _costs(record["costs"]))
    return "".join(parts)


def _table(group: str, races: Sequence[Json], limits: Json) -> str:
    races = [race for race in races if race["group"] == group]
    peers = [p.name for p in PEERS if any(p.name in race["results"] for race in races)]
    head = [group, OURS.name, "rate", "limit", "fastest peer", "ratio", *peers, "compile, s", "memory, MB"]
    rows = [_row(race, peers, limits) for race in races]
    rows.append(["geometric mean", "", "", "", "", _bold(mean(races)), *(mean_of(races, p) for p in peers), "", ""])
    return "".join(_lines([head, ["---", *["---:"] * (len(head) - 1)], *rows]))


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    return ("| " + " | ".join(cells) + " |\n" for cells in rows)


def _row(race: Json, peers: Sequence[str], limits: Json) -> list[str]:
    ours, fastest = race["results"][OURS.name], race["results"].get(race["fastest"])
    rate, unit, limit = (
        (race["flops"], "GFLOP/s", limits["gflops"]) if race["flops"] else (race["bytes"], "GB/s", limits["copy"])
    )
    reached = rate / ours["median_ms"] / 1e6
    ratio = "-"
    if fastest:
        ratio = f"**{fastest['ratio']:.2f}** ({min(fastest['ratios']):.2f} - {max(fastest['ratios']):.2f})"
    cells = [
        race["workload"],
        time_cell(ours),
        f"{reached:.3g} {unit}",
        f"{reached / limit:.0%}",
        race["fastest"] or "-",
    ]
    others = (race["results"].get(name) for name in peers)
    ends = [f"{ours['compile_seconds']:.2f}", f"{ours['memory'] / 1e6:.3g}"]
    return [*cells, ratio, *("" if r is None else time_cell(r) for r in others), *ends]


def time_cell(result: Json) -> str:
    """A time in ms with its marks."""
    busy = statistics.median(result["others"]) > BUSY
    marks = _MARKS.get(result["note"], "") + ("" if result["agrees"] else "*") + "~" * busy
    return f"{short(result['median_ms'])}{marks}"


def short(number: float) -> str:
    """Three digits."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def mean(races: Sequence[Json]) -> float | None:
    """The geometric mean of the ratios."""
    ratios = [race["results"][race["fastest"]]["ratio"] for race in races if race["fastest"]]
    return statistics.geometric_mean(ratios) if ratios else None


def mean_of(races: Sequence[Json], peer: str) -> str:
    """The geometric mean of one peer's times over sigmagraph's, where both are right."""
    right = [race["results"][peer] for race in races if race["fastest"] and peer in race["results"]]
    ratios = [result["ratio"] for result in right if result["agrees"]]
    return f"{statistics.geometric_mean(ratios):.2f}" if ratios else ""


_FAST = """
## Fast mode

`CompileOptions(fast=True)` beside exact mode, where it makes another program; no table above has it. Both take turns.
The ratio is exact mode's time over fast mode's, with the least and the greatest turn behind it. A time marked with *
belongs to a program that gives other results.

"""


def _fast(pairs: Sequence[Json]) -> str:
    if not pairs:
        return ""
    head = [["workload", "threads", "exact, ms", "fast, ms", "ratio", "exact, MB", "fast, MB"], ["---", *["---:"] * 6]]
    rows = [
        [
            pair["workload"],
            str(pair["threads"]),
            short(pair["exact_ms"]),
            short(pair["fast_ms"]) + "*" * (not pair["agrees"]),
            f"**{statistics.median(pair['ratios']):.2f}** ({min(pair['ratios']):.2f} - {max(pair['ratios']):.2f})",
            *(f"{memory / 1e6:.3g}" for memory in pair["memory"]),
        ]
        for pair in pairs
    ]
    return _FAST + "".join(_lines([*head, *rows]))


def _bold(number: float | None) -> str:
    return "-" if number is None else f"**{number:.2f}**"


def _costs(costs: Json) -> str:
    rows = [
        ["", "", "goal"],
        ["---", "---:", "---:"],
        ["installed, with all dependencies", f"{costs['installed_mb']:.0f} MB", "300 MB"],
        ["`import sigmagraph`", f"{costs['import_seconds']:.2f} s", "0.35 s"],
        ["the same with the compiler", f"{costs['import_compiler_seconds']:.2f} s", ""],
        ["the demo's training step, compiled", f"{costs['cold_seconds']:.2f} s", ""],
        ["the same from the cache", f"{1000 * costs['cached_seconds']:.0f} ms", ""],
        ["a call of one element", f"{costs['call_microseconds']:.2f} us", ""],
        ["of it native", f"{costs['native_microseconds']:.2f} us", ""],
    ]
    return "".join(_lines(rows)) + _memory(costs["memory"])


def _memory(rows: Sequence[Json]) -> str:
    if not rows:
        return ""
    names = [
        "memory of a training step",
        "state, MB",
        "sigmagraph, MB",
        "PyTorch, MB",
        "ratio",
        "with remat, MB",
        "ratio",
    ]
    head = [names, ["---", *["---:"] * 6]]
    table = [
        [
            row["workload"],
            f"{row['state'] / 1e6:.1f}",
            f"{row['ours'] / 1e6:.1f}",
            f"{row['theirs'] / 1e6:.1f}",
            f"{row['theirs'] / row['ours']:.2f}",
            f"{row['remat'] / 1e6:.1f}",
            f"{row['theirs'] / row['remat']:.2f}",
        ]
        for row in rows
    ]
    return _MEMORY + "".join(_lines([*head, *table]))


_MEMORY = """
Sigmagraph's memory is what its plan says: the state (parameters, optimiser), arena, outputs; with remat some values are
computed again instead of kept (`CompileOptions(remat=True)`). PyTorch's is the bytes of parameters and optimiser, and
what its allocator reports to its profiler at most during a step of eager training, gradients included. The inputs are
left out. The ratio is PyTorch's over sigmagraph's.

"""
