"""Brings back preprocessors that were stored as JSON."""

from __future__ import annotations

import json
from functools import cache

from sigmagraph.data.preprocessors.base import Preprocessor, decode
from sigmagraph.data.preprocessors.fill_missing import FillMissing
from sigmagraph.data.preprocessors.normalise import Normalise, PerIndexNormalise
from sigmagraph.data.preprocessors.one_hot import OneHot
from sigmagraph.data.preprocessors.permute import Permute
from sigmagraph.data.preprocessors.shuffle import Shuffle
from sigmagraph.data.preprocessors.standardise import Standardise
from sigmagraph.errors import FileFormatError, SigmaError


@cache
def _kinds() -> dict[str, type[Preprocessor]]:
    kinds = (FillMissing, Normalise, OneHot, PerIndexNormalise, Permute, Shuffle, Standardise)
    return {kind.__name__: kind for kind in kinds}


def preprocessor_from_json(text: str) -> Preprocessor:
    """The preprocessor that ``preprocessor.to_json()`` described.

    Raises:
        FileFormatError: the text is not of a preprocessor that can be stored.
    """
    try:
        state = json.loads(text)
        kind = _kinds()[state.pop("preprocessor")]
        return kind(**{name: decode(value) for name, value in state.items()})
    except (ValueError, TypeError, KeyError, AttributeError, SigmaError) as error:
        raise FileFormatError(
            "this is no stored preprocessor", expected=f"one of {sorted(_kinds())}, by to_json()", got=error
        ) from error
