from __future__ import annotations

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.errors import InputError


def test_a_reshape_says_what_a_dim_must_be() -> None:
    x = sg.placeholder("x", (sg.Dim("n"), 3))
    rows = sg.constant(np.arange(8, dtype=np.float32).reshape(4, 2)).reshape(x.shape[0], 2)
    program = sg.compile([x], {"out": x.T @ rows})
    np.testing.assert_array_equal(program(np.ones((4, 3)))["out"], [[12, 16]] * 3)
    with pytest.raises(InputError, match="another size"):
        program(np.ones((5, 3)))
