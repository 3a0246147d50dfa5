"""Shows a registry as text: the tree with its types, without reading live values."""

from __future__ import annotations

import numpy as np

from sigmagraph.training.registry.entries import Leaf, Level


def tree_text(level: Level) -> str:
    """A line for each entry, indented by its depth; the caller holds the lock."""
    lines = [level.name + _tag_text(level.tags)]
    for identifier, entry in level.below():
        pad, name = "  " * (identifier.count(".") + 1), identifier.rpartition(".")[2]
        lines.append(pad + name + (_tag_text(entry.tags) if isinstance(entry, Level) else _leaf_text(entry)))
    return "\n".join(lines)


def _tag_text(tags: tuple[str, ...]) -> str:
    return f" <{', '.join(tags)}>" if tags else ""


def _leaf_text(leaf: Leaf) -> str:
    kind = "" if leaf.type is None else leaf.type.__name__ if isinstance(leaf.type, type) else str(leaf.type)
    if leaf.get is not None:
        return f": {kind or 'any'} (live{'' if leaf.settable else ', read-only'})"
    value = leaf.value
    if isinstance(value, np.ndarray):
        return f": {kind or 'array'} {value.dtype}{list(value.shape)}"
    kind = kind or type(value).__name__
    plain = value is None or isinstance(value, (bool, int, float, complex, str))
    return f": {kind} = {value!r:.60}" if plain else f": {kind}"
