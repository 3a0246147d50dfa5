"""What prepares rows for a product of a chain becomes a part of the product, if it is little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import sigmagraph as sg
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.prepared import prepared
from sigmagraph.driver import planned
from sigmagraph.ir.kernel.compute import Chain
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Role
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture

TARGET = Target("cuda", cpu="sm_80")
QUERIES: dict[str, tuple[Callable[[sg.Tensor], sg.Tensor], bool]] = {
    "scaled": (lambda q: 0.5 * q, True),
    "dear": (sg.tanh, False),
    "as they are": (lambda q: q, False),
}


def chain_of(prepare: Callable[[sg.Tensor], sg.Tensor]) -> Chain:
    """Attention of 64 heads whose queries are prepared; its scores are products that others wait for."""
    q, k, v = (sg.placeholder(name, (64, 1024, 64)) for name in "qkv")
    weights = sg.softmax(sg.matmul(prepare(q), sg.transpose(k, (0, 2, 1))))
    graph = capture([q, k, v], {"y": sg.matmul(weights, v)}, {})[0]
    made = planned(graph, CompileOptions(cache=False, target=TARGET), CudaBackend(TARGET))
    (chain,) = (work for work in made.parts.works if isinstance(work, Chain))
    return chain


@pytest.mark.parametrize("name", QUERIES)
def test_little_is_written_into_the_product(name: str) -> None:
    prepare, is_written = QUERIES[name]
    chain = chain_of(prepare)
    after = prepared(chain)
    assert (after == chain) == (not is_written)
    if is_written:
        assert len(after.members) == len(chain.members) - 1 == 3
        assert len(after.kept) == len(chain.kept) - 1
        first = after.members[0].reduction
        assert first is not None
        assert not isinstance(first.value, Load)


def test_what_is_made_of_other_members_stays() -> None:
    """It is made in registers, where these values are, and has no place in a factor that is brought from memory."""
    chain = chain_of(lambda q: 0.5 * q)
    (source,) = (b for b in chain.members[0].params if b.role is Role.IN)
    handed_on = replace(chain, kept=(*chain.kept, next(b for b in chain.params if b.name == source.name)))
    assert prepared(chain) != chain
    assert prepared(handed_on) == handed_on
