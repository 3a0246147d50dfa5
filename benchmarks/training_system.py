"""Times the training system: epochs beside PyTorch, what a trainer adds to its steps, workers, batches, checkpoints.

``python -m benchmarks.training_system`` trains the network of Sigma.Core's README and writes
``docs/training-system.md``; ``--data FOLDER`` has it learn from MNIST's files or those of a relative, of which
``--records`` takes the first ones only, and then nothing is written.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
from pathlib import Path

from benchmarks.machine import Machine, describe
from benchmarks.tables import markdown
from benchmarks.training_race import WORKERS, Found, Turns, measure

PAGE = Path(__file__).resolve().parent.parent / "docs" / "training-system.md"
RECORDS, HELD_OUT = 60_000, 10_000
SIZES = range(50, 501, 50)
_LEAST = 479 / 573  # of the operations, if nobody asks for the gradients of images
_BUSY = 0.05  # of the cores, by others
_TOO_BUSY = 0.2  # to compare programs of several threads

_HEAD = """# The training system in numbers

Written by `make bench` (`python -m benchmarks.training_system`); do not edit. {date}, {processor}, {cores}
cores, {system}, Python {python}, NumPy {numpy}{torch}. The machine's load average was {before:.1f} at the
beginning of the run and {after:.1f} at its end, the run itself included.

The network of Sigma.Core's README (784 inputs, dropout 0.2, 1000 relu, dropout 0.4, 800 relu, dropout 0.4, 10
classes) with Adagrad at 0.02, from Gaussian first values (0.1 and 0.05), learns from {records:,} records of
*{data}* in batches of 100. All take turns at tenths of an epoch, in an order that is drawn for each; a time is
the median over {rounds} rounds. On one thread a process that was interrupted counts with the time for which it
had the core. What ends in ~ was measured while others kept more than 5 % of the same cores busy.

"""

_EPOCH = """## An epoch

{gflop:.0f} GFLOP an epoch, as three passes over all weights; {least:.0f} without the gradients of the images,
which nobody needs and sigmagraph does not compute. The *floor* is the time of the {gflop:.0f} at the machine's
best in multiply-adds on registers, measured in the same run. *With hooks* are `Report` of the cost every 100
iterations, and `Accuracy` on {held_out:,} held-out records and `Checkpoint` every epoch
(the run folder is opened anew for each tenth, some 6 ms). PyTorch is eager, has
the same first values, records, order of records and threads, its fused optimiser, and gathers a batch by one
indexing of tensors in memory; the first costs of all agree where nothing is dropped. Accuracy is that on the
held-out records after one epoch. Sigma.Core's README gives about 4 s and 94.7 % for an epoch of MNIST on a GTX
1080.

"""

_ADDED = """## What the trainer adds

*Bare* is the compiled step called in a loop on batches that lie ready. The trainer is timed on the same
batches, which are views, without hooks; then on shuffled ones that it gathers from memory, and on those that it
reads from .npy files in blocks, two batches ahead in a thread. *Gathering* is the time to deal the same batches
without learning from them, as a share of the bare step. The percentages over the bare step are medians of the
turns' ratios.

"""

_MICRO = """
Where the step takes next to nothing (a network of 4 inputs and 3 classes) the trainer adds {none:.0f} us to an
iteration without hooks, which is {none_share:.2f} % of the fastest bare step above, and {two:.0f} us with two
hooks that are not due ({two_share:.2f} %).
"""

_WORKERS = """
## Workers

Seconds of an epoch on two cores: one worker on one thread, and two workers on one thread each.

"""

_SIZES = """
## Batches

ms of an iteration by the records of a batch, on {threads} threads, with gathering; medians of {turns} turns of
about twenty iterations each.

"""

_CHECKPOINT = """
## Checkpoints

A checkpoint of this network (parameters, optimiser's memory, random key, position) has {bytes:,.0f} bytes. It
takes {write:.0f} ms to write,
until it is safe on disk, and {resume:.0f} ms to read and take over (medians of seven).
"""


def document(found: Found, machine: Machine, date: str, rounds: int) -> str:
    """Everything as a page in Markdown."""
    torch = f", PyTorch {found.versions['PyTorch']}" if "PyTorch" in found.versions else ""
    gflop = found.flops / 1e9
    bare = min(added["bare"].step for added in found.added.values())
    micro = {"none": found.microseconds["none"], "two": found.microseconds["two"]}
    shares = {f"{name}_share": us / bare / 1e4 for name, us in micro.items()}
    seconds = {name: 1e3 * found.checkpoint[name] for name in ("write", "resume")}
    text = _HEAD.format(
        date=date,
        processor=machine.processor,
        cores=machine.cores,
        system=machine.system,
        python=machine.python,
        numpy=machine.numpy,
        torch=torch,
        before=found.load[0],
        after=found.load[-1],
        records=found.records,
        data=found.data,
        rounds=rounds,
    )
    text += _EPOCH.format(gflop=gflop, least=gflop * _LEAST, held_out=found.held_out) + markdown(_epochs(found))
    text += "\n" + _ADDED + markdown(_added(found)) + _MICRO.format(**micro, **shares)
    if found.workers:
        text += _WORKERS + markdown(_workers(found))
    if found.sizes:
        turns = len(next(iter(next(iter(found.sizes.values())).values())).others)
        text += _SIZES.format(threads=max(found.epochs), turns=turns) + markdown(_sizes(found))
    return text + _CHECKPOINT.format(bytes=found.checkpoint["bytes"], **seconds)


def _epochs(found: Found) -> list[list[str]]:
    rows = [
        [
            *("threads", "floor, s", "trainer, s", "GFLOP/s", "with hooks, s", "hooks add", "PyTorch, s"),
            *("PyTorch / trainer", "accuracy", "PyTorch's"),
        ]
    ]
    for threads, turns in found.epochs.items():
        ours, hooks, theirs = turns["shuffled"], turns["hooks"], turns.get("PyTorch")
        floor = found.flops / 1e9 / found.floors[threads].gflops
        rows.append(
            [
                *(str(threads), f"{floor:.2f}", _ranged(ours), f"{found.flops / 1e9 / ours.epoch:.0f}", _ranged(hooks)),
                f"{100 * (hooks.epoch / ours.epoch - 1):+.1f} %",
                *((_ranged(theirs), _lead(ours, theirs, threads)) if theirs else ("", "")),
                f"{100 * ours.accuracy:.1f} %",
                f"{100 * theirs.accuracy:.1f} %" if theirs else "",
            ]
        )
    return rows


def _added(found: Found) -> list[list[str]]:
    names = {"in order": "trainer", "shuffled": "... that gathers", "streamed": "... that streams"}
    rows = [["threads", "bare, ms", *names.values(), "gathering", "gathering from files"]]
    for threads, turns in found.added.items():
        bare = turns["bare"]
        over = (f"{100 * (turns[name].over(bare) - 1):+.1f} %{_mark(turns[name])}" for name in names)
        dealt = (f"{100 * turns[name].step / bare.step:.1f} %" for name in ("dealt", "dealt, streamed"))
        rows.append([str(threads), f"{1e3 * bare.step:.2f}{_mark(bare)}", *over, *dealt])
    return rows


def _workers(found: Found) -> list[list[str]]:
    names = {
        "one worker": "one worker",
        "gradients": "two, merged gradients",
        "every 10": "two, merged every 10 iterations",
        "epoch": "two, merged every epoch",
    }
    one = found.workers["one worker"]
    rows = [["workers", "s an epoch", "times as fast"]]
    for name in WORKERS:
        turns = found.workers[name]
        rows.append([names[name], _ranged(turns), f"{one.epoch / turns.epoch:.2f}"])
    return rows


def _sizes(found: Found) -> list[list[str]]:
    rows = [["records", "trainer, ms", "us a record", "PyTorch, ms", "PyTorch / trainer"]]
    for size, turns in found.sizes.items():
        ours, theirs = turns["shuffled"], turns.get("PyTorch")
        rows.append(
            [
                *(str(size), f"{1e3 * ours.step:.2f}{_mark(ours)}", f"{1e6 * ours.step / size:.1f}"),
                *(
                    (f"{1e3 * theirs.step:.2f}{_mark(theirs)}", _lead(ours, theirs, max(found.epochs)))
                    if theirs
                    else ("", "")
                ),
            ]
        )
    return rows


def _ranged(turns: Turns) -> str:
    """Seconds of an epoch, with the fastest and the slowest one."""
    return f"{turns.epoch:.2f}{_mark(turns)} ({min(turns.epochs):.2f} - {max(turns.epochs):.2f})"


def _lead(ours: Turns, theirs: Turns, threads: int) -> str:
    """How many times as long PyTorch takes; nothing where that would judge the machine's other work.

    Threads of OpenMP wait for each other busily: where something else has one's core, all of them stand still.
    """
    disturbed = threads > 1 and max(statistics.fmean(turns.others) for turns in (ours, theirs)) > _TOO_BUSY
    return "disturbed" if disturbed else f"**{theirs.over(ours):.2f}**"


def _mark(turns: Turns) -> str:
    return "~" * (statistics.fmean(turns.others) > _BUSY)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.training_system", description=__doc__)
    parser.add_argument("--data", help="folder with MNIST's four files, or those of a relative")
    parser.add_argument("--records", type=int, help="learn from so many only; then nothing is written")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=2, help="how many epochs")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="records of a batch")
    arguments = parser.parse_args()
    records = arguments.records or RECORDS
    held_out = HELD_OUT if arguments.records is None else min(HELD_OUT, records)
    found = measure(arguments.data, records, held_out, arguments.threads, arguments.rounds, arguments.sizes)
    page = document(found, describe(), dt.datetime.now(dt.UTC).date().isoformat(), arguments.rounds)
    if arguments.records is None:
        PAGE.write_text(page, encoding="utf-8")
        print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")
    else:
        print(page)


if __name__ == "__main__":
    main()
