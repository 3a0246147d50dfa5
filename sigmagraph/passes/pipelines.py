"""All passes and the pipelines made of them, as literal lists."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.passes.base import Pass, Pipeline, Repeat
from sigmagraph.passes.block import Block
from sigmagraph.passes.canonicalize import Canonicalize
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.defer import Defer
from sigmagraph.passes.fold import Fold
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.guard import Guard
from sigmagraph.passes.merge import Merge
from sigmagraph.passes.prune import Prune
from sigmagraph.passes.remat import Remat
from sigmagraph.passes.simplify import Simplify
from sigmagraph.passes.sink import Sink
from sigmagraph.passes.windows import Windows
from sigmagraph.passes.winograd import Winograd

PASSES: Mapping[str, type[Pass]] = MappingProxyType(
    {
        p.name: p
        for p in (
            Guard,
            Winograd,
            Decompose,
            Canonicalize,
            Simplify,
            Fold,
            Cse,
            Dce,
            Merge,
            Prune,
            Defer,
            Block,
            Sink,
            Windows,
            Remat,
            Fuse,
        )
    }
)

CLEAN: Pipeline = (
    Decompose(),
    Canonicalize(),
    Repeat((Simplify(), Fold(), Cse(), Dce(), Merge(), Prune(), Defer(), Block())),
)
FUSED: Pipeline = (Sink(), Windows(), Fuse())
SINGLE: Pipeline = (Fuse(merge=False),)
STANDARD: Pipeline = (*CLEAN, *FUSED)
UNFUSED: Pipeline = (*CLEAN, *SINGLE)
FAST: tuple[Pass, ...] = (Winograd(),)  # what fast mode does before everything else

PIPELINES: Mapping[str, Pipeline] = MappingProxyType({"clean": CLEAN, "standard": STANDARD, "unfused": UNFUSED})
