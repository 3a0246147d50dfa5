"""Newton's method: fit a polynomial with its matrix of second derivatives, and watch the errors square at every step.

The log-odds that an image shows a zero are a polynomial of the third degree in two numbers: how much ink is in the
middle, and how far it spreads sideways. The cost is convex, but no parabola. Each step solves a linear system for the
next coefficients, and the last few steps double the number of right digits.
"""

from typing import Any

import numpy as np

import sigmagraph as sg

DEGREE = 3
Array = np.ndarray[Any, Any]


def ink(images: Array) -> Array:
    """Ink in the middle and spread of the ink, f64[records, 2], both about 0."""
    images = images.astype(np.float64)
    middle = images[:, 2:6, 3:5].mean(axis=(1, 2))
    columns = np.arange(8) - 3.5
    spread = np.sqrt((images * columns**2).sum(axis=(1, 2)) / images.sum(axis=(1, 2)))
    return np.stack([4 * middle - 2.4, 4 * spread - 5.6], axis=1)


train, held_out = sg.data.datasets.digits().split(0.8, 0.2, seed=3)

records = sg.Dim("records")
x = sg.placeholder("x", (records, 2), "float64")
is_zero = sg.placeholder("is_zero", (records,), "float64")
powers = [(power, total - power) for total in range(DEGREE + 1) for power in range(total + 1)]
coefficients = sg.parameter("coefficients", np.zeros(len(powers)))

terms = sg.stack([x[:, 0] ** i * x[:, 1] ** k for i, k in powers], axis=1)
log_odds = terms @ coefficients
loss = sg.losses.binary_cross_entropy_with_logits(log_odds, is_zero, "mean") + 1e-4 * sg.square(coefficients).sum()

slope = sg.gradients(loss, [coefficients])[0]
step_towards = sg.linalg.solve(sg.hessian(loss, coefficients), slope)
newton = sg.compile(
    [x, is_zero], {"loss": loss, "slope": sg.norm(slope)}, updates={coefficients: coefficients - step_towards}
)
probability = sg.compile([x], {"zero": sg.sigmoid(log_odds)})

path = [coefficients.value.copy()]
for number in range(30):
    out = newton(ink(train.inputs), train.targets == 0)
    path.append(coefficients.value.copy())
    print(f"step {number:2}: cost {out['loss']:.12f}, length of its gradient {out['slope']:.1e}")
    if out["slope"] < 1e-14:
        break

errors = [float(np.linalg.norm(point - path[-1])) for point in path[:-2]]
print("distance from the solution:", " ".join(f"{error:.1e}" for error in errors))
orders = np.log(errors[-2:]) / np.log(errors[-3:-1])
print("the last logarithms over those before:", " ".join(f"{order:.2f}" for order in orders))

right = (probability(ink(held_out.inputs))["zero"] > 0.5) == (held_out.targets == 0)
print(
    f"gradient at the solution {out['slope']:.1e}, accuracy on {len(right)} held-out digits {100 * right.mean():.1f} %"
)
