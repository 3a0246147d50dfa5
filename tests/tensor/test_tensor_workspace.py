from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tensor_value import run, value

from sigmagraph.dims import Dim
from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.runtime.state import place_together
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.functions import constant, parameter, placeholder
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import scope

N = Dim("n")


def test_tensors_that_never_meet_share_nothing() -> None:
    x, y = placeholder("x", (2,)), placeholder("y", (2,))
    assert x.workspace is not y.workspace
    total = x + y
    assert x.workspace is y.workspace is total.workspace


def test_handles_stay_good_while_workspaces_are_joined() -> None:
    """Trees of sums joined in many orders: every handle still means its own value."""
    rng = np.random.default_rng(3)
    inputs = {placeholder(f"x{i}", ()): np.float32(2**i) for i in range(12)}
    parts: list[tuple[Tensor, float]] = [(t, float(a)) for t, a in inputs.items()]
    kept = list(parts)
    while len(parts) > 1:
        i, j = sorted(rng.choice(len(parts), 2, replace=False))
        (a, va), (b, vb) = parts.pop(j), parts.pop(i)
        parts.append((a + b * 2, va + vb * 2))
        kept.append(parts[-1])
    assert len({id(t.workspace) for t, _ in kept}) == 1
    for tensor, expected in kept:
        assert value(tensor, inputs) == expected


def test_one_name_for_two_things_is_refused_with_both_lines() -> None:
    first = placeholder("x", (2,))
    second = parameter("x", [1.0, 2.0])
    with pytest.raises(GraphError, match="called 'x'") as caught:
        first + second
    assert str(caught.value).count('"test_tensor_workspace.py":') == 3
    np.testing.assert_array_equal(value(first * 2, {first: [1.0, 2.0]}), [2, 4])


def test_scopes_nest() -> None:
    with scope("network"), scope("1-dense"):
        x = placeholder("x", ())
    assert x.location.scope == "network/1-dense"
    assert (x + 1).location.scope == ""


# ---- capture


def test_a_program_has_just_what_it_needs() -> None:
    x, unused, w = placeholder("x", (N,)), placeholder("unused", (3,)), parameter("w", 2.0)
    y = x * w
    _ = y + parameter("other", 1.0)
    graph, variables = program = capture([unused, x], {"y": y}, {w: w + x.sum()}, "program")
    assert [graph.node(v).name for v in graph.inputs] == ["unused", "x"]
    assert variables == {"w": w.variable}
    assert [(o.name, o.updates) for o in graph.outputs] == [("y", None), ("w", "w")]
    assert graph.name == "program"
    out = run(program, {"unused": np.zeros(3), "x": [1.0, 2.0]})
    np.testing.assert_array_equal(out["y"], [2, 4])
    assert w.value == 5


def test_a_parameter_may_be_written_and_never_read() -> None:
    x, w = placeholder("x", (2,)), parameter("w", [0.0, 0.0])
    program = capture([x], {"w": x}, {w: x * 3})
    assert list(run(program, {"x": [1.0, 2.0]})) == ["w"]
    np.testing.assert_array_equal(w.value, [3, 6])


def test_the_graph_does_not_depend_on_what_else_was_built() -> None:
    def build(noise: bool) -> str:
        x = placeholder("x", (2,))
        if noise:
            _ = (x - 1).sum() + constant([1.0, 2.0])
        return str(capture([x], {"y": x * 2 + 1})[0])

    with_noise, without = ([line.split(" loc")[0] for line in build(noise).splitlines()] for noise in (True, False))
    assert with_noise == without


X, W = placeholder("x", (2,)), parameter("w", [1.0, 2.0])
Y = X + W


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: capture([], {"y": Y}), GraphError, "'x' is needed"),
        (lambda: capture([X, X], {"y": Y}), GraphError, "stands twice"),
        (lambda: capture([X, Y], {"y": Y}), GraphError, "not an input"),
        (lambda: capture([W], {"y": W}), GraphError, "not an input"),
        (lambda: capture([X], {"y": 1.0}), GraphError, "no tensor"),  # type: ignore[dict-item]
        (lambda: capture([X], {"y": Y}, {X: Y}), GraphError, "only parameters are updated"),
        (lambda: capture([X], {"y": Y}, {W: Y.sum()}), ShapeError, "another type"),
        (lambda: capture([X], {"y": Y}, {W: Y.astype("float64")}), DTypeError, "another type"),
        (lambda: capture([X], {}), GraphError, "computes nothing"),
    ],
)
def test_programs_are_checked(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make()
    assert '"test_tensor_workspace.py":' in str(caught.value)


def test_an_array_that_was_handed_out_stays_live() -> None:
    early, late = parameter("early", [1.0]), parameter("late", [2.0])
    array = early.value
    place_together([early.variable, late.variable])
    early.value = [3.0]
    assert array[0] == 3
    assert late.value[0] == 2


def test_a_variable_may_be_read_in_many_graphs() -> None:
    w = parameter("w", 1.0)
    again = Parameter(w.variable)
    run(capture([], {}, {again: again + 1}), {})
    assert w.value == 2
