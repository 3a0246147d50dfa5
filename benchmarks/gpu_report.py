"""Races on a GPU as lines, as JSON and as a page of the documentation."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu_machine import Gpu
from benchmarks.gpu_workloads import GROUPS, WORKLOADS
from benchmarks.machine import Machine
from benchmarks.peers.registry import GPU, GPU_PEERS
from benchmarks.race import Race
from benchmarks.report import mean, mean_of, race_json, short, time_cell
from benchmarks.tables import markdown
from benchmarks.training_race import Turns

Json = Mapping[str, Any]

# ---- lines


def gpu_line(gpu: Gpu) -> str:
    """What the GPU can do at best in a line."""
    return (
        f"{gpu.name} ({gpu.arch}): copies {gpu.copy:.0f} GB/s within, {gpu.upload:.1f} up, {gpu.download:.1f} down; "
        f"a call {1e6 * gpu.call:.1f} us, queued {1e6 * gpu.queued:.1f} us; {gpu.state}"
    )


def race_line(race: Race, gpu: Gpu) -> str:
    """A race in a line, failures in lines of their own."""
    cells = [f"{r.name} {short(1e3 * r.median)}{'' if r.agrees else ' (other results)'}" for r in race.results]
    kernels = f"kernels {short(1e3 * statistics.median(race.ours.kernels))}" if race.ours.kernels else ""
    rate, _ = reached(race_json(race, WORKLOADS), gpu.copy)
    fastest = race.fastest
    ratio = f"{race.ours.lead(fastest):5.2f}" if fastest else "    -"
    line = f"  {race.workload:36} {ratio}  {rate:>14}  {'  '.join([*cells, kernels])}"
    return "\n".join([line, *(f"    {failure}" for failure in race.failures)])


# ---- JSON


def record(
    machine: Machine,
    gpu: Gpu,
    races: Sequence[Race],
    broken: Mapping[str, str],
    epochs: Mapping[str, Turns],
    left_out: Sequence[str],
    date: str,
) -> dict[str, Any]:
    """Everything that is kept of a run.

    Args:
        machine: around the GPU.
        gpu: what it is.
        races: those that sigmagraph took part in.
        broken: by workload, why it did not.
        epochs: of the README's network, by way to train.
        left_out: lines about peers that are not there, and workloads for which there was no time.
        date: of the run.
    """
    return {
        "date": date,
        "machine": dataclasses.asdict(machine),
        "gpu": dataclasses.asdict(gpu),
        "peers": {r.name: r.version for race in races for r in race.results},
        "races": [race_json(race, WORKLOADS) for race in races],
        "broken": dict(broken),
        "epochs": {
            name: {
                "epochs": [round(seconds, 4) for seconds in turns.epochs],
                "epoch": round(turns.epoch, 4),
                "batches": sum(turns.batches),
                "accuracy": None if turns.accuracy != turns.accuracy else round(turns.accuracy, 4),
            }
            for name, turns in epochs.items()
        },
        "left_out": list(left_out),
    }


def joined(kept: Json, new: Json) -> Json:
    """What is known after a run that may have been about a part of the workloads."""
    if not kept:
        return new
    races = {race["workload"]: race for part in (kept, new) for race in part["races"]}
    broken = {name: why for name, why in kept["broken"].items() if name not in races} | new["broken"]
    return {
        **new,
        "peers": {**kept["peers"], **new["peers"]},
        "races": [races[name] for name in WORKLOADS if name in races and name not in broken],
        "broken": broken,
        "epochs": new["epochs"] or kept["epochs"],
    }


def reached(race: Json, copy: float) -> tuple[str, str]:
    """The rate of sigmagraph's kernels, and what part of the GPU's copies that is, where memory is the limit."""
    ours = race["results"][GPU.name]
    seconds = (ours.get("kernels_ms") or ours["median_ms"]) / 1e3
    if race["flops"]:
        return f"{race['flops'] / seconds / 1e12:.3g} TFLOP/s", ""
    rate = race["bytes"] / seconds / 1e9
    return f"{rate:.3g} GB/s", f"{rate / copy:.0%}"


# ---- the page

_HEAD = """# Benchmarks on a GPU

Written by `make bench-gpu`; do not edit. {date}, {name} ({arch}): {state}. {processor}, {cores} cores, {system},
Python {python}. {peers}.

Copies within the device take {copy:.0f} GB/s (bytes read and written, arrays of 256 MiB), from the host
{upload:.1f} GB/s, to the host {download:.1f} GB/s. A call of one element from array to array takes {call:.1f} us, one
of many that nobody waits for {queued:.1f} us.

**The ratio is the time of the fastest peer over sigmagraph's: above 1 sigmagraph is ahead.** It is the median over the
turns, with the least and the greatest turn behind it; the last row of a table has geometric means.

All peers get the same arrays, which lie on the device, as results do. Before anything is timed each runs three steps
without dropout; who disagrees with most others is marked with * and not ranked. Then they take turns, each in a process
of its own. What is timed is, on the host's clock, a loop of steps and one wait for the device at its end, at least 5 ms
long; times are medians in ms. *Kernels* are what a step of sigmagraph launches, replayed alone as a CUDA graph: without
the copies of inputs and results that a call makes, and without Python. The *rate* is that of the kernels, in useful
operations of products where they are the limit, and otherwise in the bytes that must be read and written; *of copy* is
what part of the copies' rate that is.

Products of float32 may be those of tf32 for all peers, except in *f32*. PyTorch takes the better of its two layouts
of images: ᶠ is channels first, ˡ channels last; torch.compile makes CUDA graphs (`mode="reduce-overhead"`) where it
can.
"""


def document(record: Json) -> str:
    """A run as a page in Markdown."""
    gpu = record["gpu"]
    peers = "; ".join(f"{name} {version}" for name, version in record["peers"].items())
    values = {**record["machine"], **gpu, "call": 1e6 * gpu["call"], "queued": 1e6 * gpu["queued"]}
    parts = [_HEAD.format(**values, date=record["date"], peers=peers)]
    for group in GROUPS:
        races = [race for race in record["races"] if race["group"] == group]
        if races:
            parts.append(f"\n## {group.capitalize()}\n\n{_table(group, races, gpu['copy'])}")
    parts.append(_epochs(record["epochs"]))
    ends = [f"{name}: {why}" for name, why in record["broken"].items()]
    ends += [f"{race['workload']}: {failure}" for race in record["races"] for failure in race["failures"]]
    ends += record["left_out"]
    if ends:
        parts.append("\n## What is missing\n\n" + "".join(f"- {line}\n" for line in ends))
    return "".join(parts)


def _table(group: str, races: Sequence[Json], copy: float) -> str:
    peers = [p.name for p in GPU_PEERS if any(p.name in race["results"] for race in races)]
    head = [group, GPU.name, "kernels", "rate", "of copy", "fastest peer", "ratio", *peers, "compile, s"]
    average = mean(races)
    means = [f"**{average:.2f}**" if average else "-", *(mean_of(races, peer) for peer in peers)]
    rows = [_row(race, peers, copy) for race in races]
    return markdown([head, *rows, ["geometric mean", "", "", "", "", "", *means, ""]])


def _row(race: Json, peers: Sequence[str], copy: float) -> list[str]:
    ours, fastest = race["results"][GPU.name], race["results"].get(race["fastest"])
    ratio = "-"
    if fastest:
        ratio = f"**{fastest['ratio']:.2f}** ({min(fastest['ratios']):.2f} - {max(fastest['ratios']):.2f})"
    kernels = short(ours["kernels_ms"]) if ours.get("kernels_ms") else ""
    others = (race["results"].get(name) for name in peers)
    return [
        *(race["workload"], time_cell(ours), kernels, *reached(race, copy), race["fastest"] or "-", ratio),
        *("" if r is None else time_cell(r) for r in others),
        f"{ours['compile_seconds']:.2f}",
    ]


_EPOCHS = """
## An epoch

The network of Sigma.Core's README (784 inputs, dropout 0.2, 1000 relu, dropout 0.4, 800 relu, dropout 0.4, 10
classes) with Adagrad at 0.02 learns from 60,000 records in batches of 100. *Resident* is the compiled step on batches
that lie on the device; the *trainer* gathers them on the host, in another order each time, and brings them there, and
reads every cost. PyTorch gathers on the device and reads no cost. Medians over rounds of tenths of an epoch, with the
least and the greatest epoch behind them.

"""
_NAMES: Mapping[str, str] = {"resident": "resident", "shuffled": "trainer", "PyTorch": "PyTorch"}


def _epochs(found: Json) -> str:
    if not found:
        return ""
    rows = [["way", "s an epoch", "ms a batch", "accuracy after one"]]
    for name, turns in found.items():
        least, most = min(turns["epochs"]), max(turns["epochs"])
        accuracy = "" if turns["accuracy"] is None else f"{turns['accuracy']:.1%}"
        each = 1e3 * turns["epoch"] / turns["batches"]
        rows.append(
            [_NAMES.get(name, name), f"{turns['epoch']:.3f} ({least:.3f} - {most:.3f})", f"{each:.3f}", accuracy]
        )
    return _EPOCHS + markdown(rows)
