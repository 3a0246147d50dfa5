"""All passes and the pipelines made of them, as literal lists."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.passes.base import Pass, Pipeline, Repeat
from sigmagraph.passes.canonicalize import Canonicalize
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.fold import Fold
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.simplify import Simplify

PASSES: Mapping[str, type[Pass]] = MappingProxyType(
    {p.name: p for p in (Decompose, Canonicalize, Simplify, Fold, Cse, Dce, Fuse)}
)

CLEAN: Pipeline = (Decompose(), Canonicalize(), Repeat((Simplify(), Fold(), Cse(), Dce())))
STANDARD: Pipeline = (*CLEAN, Fuse())
UNFUSED: Pipeline = (*CLEAN, Fuse(merge=False))

PIPELINES: Mapping[str, Pipeline] = MappingProxyType({"clean": CLEAN, "standard": STANDARD, "unfused": UNFUSED})
