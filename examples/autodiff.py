"""Derivatives: of any order, forwards and backwards, by vectors, by an input, and compared with differences."""

import numpy as np

import sigmagraph as sg

x = sg.placeholder("x", (3,), dtype="float64")
y = sg.sin(x[0] * x[1]) + sg.exp(x[2] / 2) * x[0] ** 2  # a function of three numbers
at = np.array([0.7, -1.2, 0.4])

(gradient,) = sg.gradients(y, [x])
hessian = sg.hessian(y, x)
v = sg.placeholder("v", (3,), dtype="float64")
(product,) = sg.hessian_vector_product(y, [x], [v])  # without the matrix
program = sg.compile([x, v], {"y": y, "gradient": gradient, "hessian": hessian, "product": product})
direction = np.array([1.0, 2.0, -1.0])
out = program(at, direction)
print("value   ", out["y"])
print("gradient", out["gradient"])
print("Hessian\n", out["hessian"])
print("symmetric:", np.allclose(out["hessian"], out["hessian"].T))
print("times a vector, with and without the matrix:", np.allclose(out["hessian"] @ direction, out["product"]))


def value(point: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    """The function by NumPy."""
    return float(np.sin(point[0] * point[1]) + np.exp(point[2] / 2) * point[0] ** 2)


steps = 1e-6 * np.eye(3)
differences = np.array([(value(at + step) - value(at - step)) / 2e-6 for step in steps])
print(f"greatest distance of the gradient from differences: {np.abs(differences - out['gradient']).max():.1e}")

# One number, differentiated again and again: each derivative is a graph like any other.
t = sg.placeholder("t", (), dtype="float64")
chain = [sg.tanh(t)]
for _ in range(5):
    chain.append(sg.gradients(chain[-1], [t])[0])
values = sg.compile([t], {f"order {order}": f for order, f in enumerate(chain)})(0.5)
print("tanh and its derivatives at 0.5:", ", ".join(f"{float(number):.4f}" for number in values.values()))

# Forwards: how the output moves when the input moves along v.
moved = sg.compile([x, v], {"moved": sg.jvp(y, {x: v})})(at, direction)["moved"]
print("along a vector, forwards and backwards:", np.allclose(moved, out["gradient"] @ direction))

# By an input of a network whose parameters stay as they are: where it is most sensitive.
layers = sg.layers.Input(8, 8) + sg.layers.Dense(20, activation="tanh") + sg.layers.Dense(10)
network = sg.Network("any", layers, seed=1)
forward = network.forward(training=False)
image, scores = forward.inputs[0], forward.predictions["prediction"]
(slope,) = sg.gradients(scores[:, 3].sum(), [image])
sensitive = sg.compile([image], {"slope": slope})(np.zeros((1, 8, 8), np.float32))["slope"]
row, column = divmod(int(np.abs(sensitive[0]).argmax()), 8)
print(f"the output for 3 moves most with the pixel in row {row} and column {column}")
