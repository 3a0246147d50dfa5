"""Sizes that dims usually have: code is made for them, and serves all others."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_programs import ShimBackend, run_on_shim

import sigmagraph as sg
from sigmagraph.codegen.targets import backend_for
from sigmagraph.dims import NOMINAL, Dim, hinted, nominal
from sigmagraph.driver import planned
from sigmagraph.errors import DimError, OptionError
from sigmagraph.loader import cache_key
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture

FRESH = CompileOptions(cache=False)
BATCH = sg.Dim("batch")


def _product(depth: int = 2048, columns: int = 512) -> tuple[sg.Tensor, sg.Tensor, sg.Tensor]:
    """Of 256 rows a record, as in a layer of a transformer."""
    x, w = sg.placeholder("x", (BATCH, 256, depth)), sg.placeholder("w", (depth, columns))
    return x, w, x @ w


def _blocks(hints: dict[str, int], batch: int) -> int:
    """How many blocks of threads the launch of the product has on a GPU."""
    x, w, y = _product()
    options = CompileOptions(target=Target("cuda", cpu="sm_90a"), hints=tuple(hints.items()))
    graph = capture([x, w], {"y": y}, {})[0]
    backend = ShimBackend(options.target, "")
    with hinted(hints), backend.generation(listing=False) as generation:
        made = planned(graph, options, backend)
        generation.enter(made.plan, made.legal, [])
        (launches,) = generation._plans.values()
    return max(_number(grid.blocks, batch) for found in launches.grids.values() for grid in found)


def _number(size: sg.Size, batch: int) -> int:
    return sg.dims.evaluate(size, {"batch": batch})


def test_a_dim_stands_for_its_usual_size_while_a_program_is_compiled() -> None:
    size = 3 * Dim("batch") + Dim("time")
    assert nominal(size) == 4 * NOMINAL
    with hinted({"batch": 8}):
        assert nominal(size) == 24 + NOMINAL
        assert nominal(size, 1000) == 1024
        with hinted({"batch": 1, "time": 2}):
            assert nominal(size) == 5
        assert nominal(size) == 24 + NOMINAL
    assert nominal(size) == 4 * NOMINAL


def test_products_are_cut_so_that_the_usual_size_has_work_for_all_processors() -> None:
    assert _blocks({}, 8) == 32  # of 132: tiles are those of 64 records
    assert _blocks({"batch": 8}, 8) == 128
    assert _blocks({}, 1) == 4
    assert _blocks({"batch": 1}, 1) >= 128


@pytest.mark.parametrize("hint", [1, 8, 500])
def test_a_program_serves_all_sizes_whatever_is_usual(hint: int) -> None:
    x, w, y = _product(40, 24)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((40, 24)).astype(np.float32)
    function = sg.compile([x, w], {"y": y}, hints={"batch": hint}, options=FRESH)
    graph = capture([x, w], {"y": y}, {})[0]
    for batch in (1, 3):
        records = rng.standard_normal((batch, 256, 40)).astype(np.float32)
        np.testing.assert_allclose(function(records, weights)["y"], records @ weights, rtol=1e-4, atol=1e-4)
        options = CompileOptions(hints=(("batch", hint),), precision="highest")
        found = run_on_shim(graph, {"x": records, "w": weights}, options)["y"]
        np.testing.assert_allclose(found, records @ weights, rtol=1e-4, atol=1e-4)


def test_programs_made_for_other_sizes_are_others_in_the_cache() -> None:
    x, w, y = _product(4, 4)
    graph, backend = capture([x, w], {"y": y}, {})[0], backend_for(Target(), "")
    keys = {cache_key(graph, CompileOptions(hints=hints), backend) for hints in ((), (("batch", 8),), (("batch", 9),))}
    assert len(keys) == 3


def test_a_name_or_a_size_that_makes_no_sense_is_refused() -> None:
    x, w, y = _product(4, 4)
    with pytest.raises(DimError, match="no dim 'rows'"):
        sg.compile([x, w], {"y": y}, hints={"rows": 4}, options=FRESH)
    for size in (0, -1, 2.5, True):
        with pytest.raises(OptionError, match="'batch' cannot usually have this size"):
            sg.compile([x, w], {"y": y}, hints={"batch": size}, options=FRESH)  # type: ignore[dict-item]


def test_hints_of_options_and_of_the_call_are_joined() -> None:
    x, w, y = _product(4, 4)
    options = CompileOptions(cache=False, hints=(("batch", 2), ("elsewhere", 3)))
    assert sg.compile([x, w], {"y": y}, options=options).source.options.hints == options.hints
    function = sg.compile([x, w], {"y": y}, hints={"batch": 4}, options=options)
    assert function.source.options.hints == (("batch", 4), ("elsewhere", 3))
