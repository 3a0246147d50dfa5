"""Which records are asked for: the check that all readers make."""

from __future__ import annotations

from sigmagraph.data.records import Records
from sigmagraph.errors import InputError


def check_range(records: Records, start: int, stop: int) -> None:
    """Refuse a range that does not lie within the records.

    Raises:
        InputError: it does not.
    """
    if not 0 <= start <= stop <= len(records):
        raise InputError(
            f"{records.name} has no such records", expected=f"a range within 0 to {len(records)}", got=(start, stop)
        )
