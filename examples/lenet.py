"""LeNet on handwritten digits: convolutions, pooling and dense layers, trained and judged in seconds.

The network is that of Y. LeCun et al., "Gradient-based learning applied to document recognition" (1998), with the relu,
maximum pooling and dropout of today, for images of 8 x 8. The digits that it misses are drawn, with what it took them
for.
"""

import numpy as np

import sigmagraph as sg
from sigmagraph import layers as L

EPOCHS, BATCH = 20, 50


def network(dropout: float = 0.5) -> sg.Network:
    """From images [8, 8] to the chances of ten digits."""
    images = L.Input(8, 8) + L.Reshape(8, 8, 1)
    for filters in (20, 50):
        images += L.Conv2d(filters, 5, padding="same", activation="relu", name="conv#") + L.MaxPool(2)
    dense = L.Flatten() + L.Dense(200, activation="relu") + L.Dropout(dropout) + L.Dense(10)
    return sg.Network("lenet", images + dense + L.SoftmaxCrossEntropy(), seed=1)


def trainer(train: sg.data.Dataset, held_out: sg.data.Dataset, dropout: float = 0.5) -> sg.Trainer:
    """The network with its optimiser and the order of its batches."""
    batches = train.batches(BATCH, seed=1)
    rate = sg.optimisers.schedules.Cosine(0.004, EPOCHS * len(batches))
    return sg.Trainer(network(dropout), sg.optimisers.Adam(learning_rate=rate), batches, held_out)


def drawn(image: np.ndarray) -> str:
    """An image, darker characters for more ink."""
    levels = (image * 9.99).astype(int)
    return "\n".join("".join(2 * " .:-=+*#%@"[level] for level in row).rstrip() for row in levels)


if __name__ == "__main__":
    train, held_out = sg.data.datasets.digits().split(0.8, 0.2, seed=2)
    training = trainer(train, held_out)
    print(training.network.summary())
    history = training.run(EPOCHS)
    compiled = training.step.compile_seconds
    print(f"{training.steps} steps of {1e3 * history.step_seconds:.1f} ms; compiled in {compiled:.1f} s")

    guesses = training.network.predict(held_out.inputs).argmax(axis=1)
    for number in np.flatnonzero(guesses != held_out.targets):
        print(f"\na {held_out.targets[number]} that was taken for a {guesses[number]}:")
        print(drawn(held_out.inputs[number]))
