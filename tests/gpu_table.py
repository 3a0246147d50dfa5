"""What tests on a GPU have found, as a table at the end of a run: for each op how many samples passed, and how near."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAME = "gpu"  # of the property that a test records


def noted(subject: str, tolerance: str) -> tuple[str, list[str]]:
    """The arguments of ``record_property``: what a test is about, and how near it has to come."""
    return NAME, [subject, tolerance]


def lines(outcomes: Iterable[tuple[str, Sequence[tuple[str, Any]]]]) -> list[str]:
    """The table; nothing where no test has noted anything.

    Args:
        outcomes: of each test what became of it (``passed``, ``failed`` ...), and its properties.
    """
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    tolerances: dict[str, dict[str, None]] = {}
    for outcome, properties in outcomes:
        for subject, tolerance in (value for name, value in properties if name == NAME):
            total[subject] += 1
            passed[subject] += outcome == "passed"
            tolerances.setdefault(subject, {})[tolerance] = None
    if not total:
        return []
    rows = [("what", "passed", "tolerance")]
    rows += [(name, f"{passed[name]}/{total[name]}", _joined(tolerances[name])) for name in sorted(total)]
    rows.append(("all", f"{passed.total()}/{total.total()}", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"{a:{widths[0]}}  {b:>{widths[1]}}  {c}".rstrip() for a, b, c in rows]


def _joined(tolerances: Mapping[str, None]) -> str:
    return ", ".join(sorted(tolerances))
