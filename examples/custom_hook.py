"""Hooks of one's own: a class that watches gradients, a function that runs beside training, a criterion, a command."""

from dataclasses import dataclass

import numpy as np

import sigmagraph as sg
from sigmagraph import data, hooks, optimisers
from sigmagraph import layers as L


@dataclass(frozen=True)
class Balance(hooks.Hook):
    """Says how much smaller the gradients of the first layer are than those of the last one.

    What a hook reads is what the training step hands out, at the iterations at which it fires, and at no others.
    """

    first: str = "fc2"
    last: str = "5-dense"

    def reads(self) -> tuple[str, ...]:
        return tuple(f"optimiser.gradients.{layer}.weights" for layer in (self.first, self.last))

    def provides(self) -> tuple[str, ...]:
        return ("shared.balance",)

    def initial(self) -> dict[str, float]:
        return {"least": 1e9}  # what it remembers is part of checkpoints

    def invoke(self, now: hooks.Moment, /) -> None:
        first, last = (float(np.linalg.norm(now[name])) for name in self.reads())
        now.state["least"] = min(now.state["least"], first / last)
        now.share("shared.balance", first / last)
        now.say(f"epoch {now.epoch}: gradients of the first layer over the last {first / last:.3f}")


@hooks.hook("1 epoch", reads=["network.layers.*.weights"], provides=["shared.dead"], background=True)
def dead_units(now: hooks.Moment) -> None:
    """Counts units whose weights are all small, in a thread beside training, on copies of what it reads."""
    small = sum(int((np.abs(array).max(0) < 0.05).sum()) for array in now.find("network.layers.*.weights").values())
    now.share("shared.dead", small)


@hooks.hook("1 epoch", reads=["validation.cost"], on=hooks.Threshold("validation.cost", "<", 0.2, once=True))
def slower(now: hooks.Moment) -> None:
    """Halves the learning rate when the held-out cost falls below 0.2; nothing is compiled again."""
    rate = now.trainer.registry["optimiser.learning_rate"]
    now.set("optimiser.learning_rate", rate / 2)
    cost = now["validation.cost"]
    now.say(f"epoch {now.epoch}: a held-out cost of {cost:.3f}; from now on learning rate {rate / 2:g}")


train, held_out = data.datasets.digits().split(0.8, 0.2, seed=2)
network = sg.Network(
    "digits",
    L.Input(8, 8)
    + L.Flatten()
    + 3 * L.Dense(48, activation="tanh", name="fc#")
    + L.Dense(10)
    + L.SoftmaxCrossEntropy(),
    seed=1,
)
trainer = sg.Trainer(network, optimisers.Adam(0.004), train.batches(50), held_out)
for hook in (Balance(every="2 epochs"), dead_units, slower):
    trainer.add(hook)
trainer.run(6, lines=False)
print("shared:", {name: round(value, 3) for name, value in trainer.registry.resolve("shared.*").items()})
print(f"accuracy on held-out digits: {trainer.evaluate(held_out).accuracy:.1%}")
