"""Fit a polynomial to noisy points by gradient descent with momentum, on nothing but tensors."""

import numpy as np

import sigmagraph as sg

DEGREE = 5

points = sg.Dim("points")
x = sg.placeholder("x", (points,))
y = sg.placeholder("y", (points,))
coefficients = sg.parameter("coefficients", np.zeros(DEGREE + 1, np.float32))

value = 0 * x + coefficients[DEGREE]
for power in reversed(range(DEGREE)):  # Horner's rule
    value = value * x + coefficients[power]
loss = sg.losses.squared_difference(value, y, "mean")

momentum = sg.optimisers.Momentum(learning_rate=0.1, momentum=0.9)
slopes = sg.gradients(loss, [coefficients])
rule = momentum.updates({"coefficients": coefficients}, {"coefficients": slopes[0]})
scalars = {name: known.default for name, (known, _) in rule.hyperparameters.items()}
step = sg.compile([x, y, *(tensor for _, tensor in rule.hyperparameters.values())], {"loss": loss}, rule.updates)
curve = sg.compile([x], {"value": value})

rng = np.random.default_rng(0)
wave = np.linspace(-1, 1, 200, dtype=np.float32)
noisy = np.sin(3 * wave) + rng.normal(0, 0.05, wave.shape).astype(np.float32)
for number in range(2001):
    out = step(x=wave, y=noisy, **scalars)
    if number % 500 == 0:
        print(f"step {number:4}: mean squared error {out['loss']:.5f}")

error = np.abs(curve(x=wave)["value"] - np.sin(3 * wave)).max()
print("coefficients:", coefficients.value.round(3))
print(f"greatest distance from sin(3 x): {error:.3f}")
