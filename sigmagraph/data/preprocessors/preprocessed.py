"""Records after preprocessors, which are applied whenever some are read."""

from __future__ import annotations

from sigmagraph.data.digests import digest
from sigmagraph.data.preprocessors.base import Preprocessor, same_length
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError


class Preprocessed(Records):
    """What preprocessors make of records, one after the other.

    Raises:
        AttributeValueError: one has yet to learn something, or must see all records at once.
    """

    def __init__(self, records: Records, preprocessors: tuple[Preprocessor, ...]) -> None:
        for preprocessor in preprocessors:
            preprocessor.check_ready()
            if preprocessor.whole:
                raise AttributeValueError(
                    f"{type(preprocessor).__name__} must see all records at once, and '{records.name}' is streamed",
                    hint="batches of streamed records are shuffled in each epoch; records in memory take it",
                )
        self.name = records.name
        self._records = records
        self._preprocessors = preprocessors

    @property
    def sections(self) -> tuple[str, ...]:
        return self._records.sections

    def __len__(self) -> int:
        return len(self._records)

    def read(self, start: int, stop: int) -> Block:
        block = self._records.read(start, stop)
        for preprocessor in self._preprocessors:
            block = preprocessor.apply(block)
        for section, array in block.items():
            same_length(array, stop - start, f"preprocessing '{section}'")
        return block

    def fingerprint(self) -> str:
        return digest("preprocessed", self._records.fingerprint(), *[p.fingerprint() for p in self._preprocessors])
