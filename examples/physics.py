"""A network that learns the motion of a damped spring from its equation alone, u'' + 2 d u' + k u = 0.

Nothing is measured: the cost is how far the network is from obeying the equation at points in time. It contains second
derivatives of the network by its input, and training differentiates those by the weights. That the spring starts at
rest, stretched by 1, is built into the form of the answer, 1 + (1 - exp(-2 t))**2 * net(t). In the end the network is
compared with the exact solution. (I. E. Lagaris et al., "Artificial neural networks for solving ordinary and partial
differential equations", 1998; M. Raissi et al., "Physics-informed neural networks", 2019.)
"""

from typing import Any

import numpy as np

import sigmagraph as sg
from sigmagraph import layers as L

DAMPING, STIFFNESS = 0.5, 20.0
SECONDS, EPOCHS, STEPS, POINTS = 3.0, 200, 20, 64


class MakeSmall(L.CostLayer):
    """The mean square of what it is given; there is no target."""

    def cost(self, x: sg.Tensor, site: L.Site) -> sg.Tensor:  # noqa: ARG002
        """The scalar that training makes small."""
        return sg.square(x).mean()


def spring() -> sg.Tensor:
    """The motion u(t), which is the network's output, and how far it is from obeying the equation."""
    t = L.Input(1, alias="t")()
    net = 2 * L.Dense(32, activation="tanh", name="hidden#") + L.Dense(1)
    u = L.Output(alias="u")(1 + sg.square(1 - sg.exp(-2 * t)) * net(2 * t / SECONDS - 1))
    velocity = sg.gradients(u.sum(), [t])[0]  # each u depends on its own t, so that the sum keeps them apart
    acceleration = sg.gradients(velocity.sum(), [t])[0]
    return MakeSmall(name="equation")((acceleration + 2 * DAMPING * velocity + STIFFNESS * u) / STIFFNESS)


def exact(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The solution with u(0) = 1 and u'(0) = 0."""
    frequency = np.sqrt(STIFFNESS - DAMPING**2)
    wave: np.ndarray[Any, Any] = np.cos(frequency * t) + DAMPING / frequency * np.sin(frequency * t)
    return wave * np.exp(-DAMPING * t)


network = sg.Network("spring", spring, seed=1)
network.initialise("hidden1.weights", sg.initialisers.Normal(4.0))  # so that the first layer's waves are short enough
network.initialise("hidden1.biases", sg.initialisers.Uniform(-4.0, 4.0))

times = np.linspace(0, SECONDS, STEPS * POINTS, dtype=np.float32)[:, None]
rate = sg.optimisers.schedules.Cosine(0.02, EPOCHS * STEPS)
trainer = sg.Trainer(
    network, sg.optimisers.Adam(learning_rate=rate), sg.data.Dataset(times, {}).batches(POINTS, seed=1)
)
history = trainer.run(EPOCHS, lines=False)
print("cost:", " -> ".join(f"{history.costs[number]:.1e}" for number in (0, 24, 49, 99, 149, 199)))
print(f"{trainer.steps} steps of {1e6 * history.step_seconds:.0f} us; compiled in {trainer.step.compile_seconds:.1f} s")

between = np.linspace(0, SECONDS, 1001, dtype=np.float32)[:, None]
learned = network.predict(between)
for number in range(0, 1001, 50):
    dots = [" "] * 61
    dots[round(30 + 30 * float(exact(between[number])[0]))] = "."
    dots[round(30 + 30 * float(learned[number, 0]))] = "o"
    print(f"t = {between[number, 0]:4.2f} {learned[number, 0]:+.4f}", "".join(dots).rstrip())
print(f"greatest distance from the exact solution: {np.abs(learned - exact(between)).max():.6f}")
