"""All ops, as one explicit list."""

from __future__ import annotations

from sigmagraph.ir.graph.opdef import OpRegistry
from sigmagraph.ops import (
    composite,
    contraction,
    dense,
    elementwise,
    indexing,
    movement,
    random,
    reduction,
    slicing,
    softmax,
    source,
)

OPS = OpRegistry(
    [
        *source.OPS,
        *elementwise.OPS,
        *movement.OPS,
        *slicing.OPS,
        *reduction.OPS,
        *contraction.OPS,
        *indexing.OPS,
        *random.OPS,
        *composite.OPS,
        *dense.OPS,
        *softmax.OPS,
    ]
)
