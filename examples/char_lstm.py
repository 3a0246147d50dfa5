"""A character LSTM learns to write the names of Unicode's characters, such as GREEK SMALL LETTER OMEGA WITH TONOS.

The text is in Python itself: the 7,952 names of Unicode 3.2 below U+3000, the same in every version of Python. The
network sees windows of it and guesses each next character. The best that counting can do with the two characters before
is printed beside its verdict; whatever is better has been remembered for longer. In the end a network with the same
values and room for one sequence writes new names, one character a call, its state carried from call to call.
"""

from typing import Any
from unicodedata import ucd_3_2_0

import numpy as np

import sigmagraph as sg
from sigmagraph import layers as L

WINDOW, BATCH, EPOCHS = 64, 16, 2
Array = np.ndarray[Any, Any]


def text() -> str:
    """All names, each on a line of its own, in an order that tells nothing."""
    names = [ucd_3_2_0.name(chr(code), "") for code in range(0x3000)]
    known = [name for name in names if name]
    order = np.random.Generator(np.random.Philox(0)).permutation(len(known))
    return "".join(f"{known[number]}\n" for number in order)


ALPHABET = sorted(set(text()))


def windows(length: int) -> tuple[sg.data.Dataset, sg.data.Dataset]:
    """Windows of the text and the characters that follow each of theirs; the last tenth is held out."""
    codes = np.array([ALPHABET.index(character) for character in text()], np.int32)
    rows = codes[: (len(codes) - 1) // length * length].reshape(-1, length)
    following = codes[1 : rows.size + 1].reshape(-1, length)
    end = len(rows) * 9 // 10
    return sg.data.Dataset(rows[:end], following[:end], "names"), sg.data.Dataset(rows[end:], following[end:], "names")


def cost_of_counting(train: sg.data.Dataset, held_out: sg.data.Dataset) -> float:
    """Mean cost of a character by how often it came after the two before it, in nats."""
    counts = np.full((len(ALPHABET),) * 3, 0.02)
    seen, new = (np.stack([d.inputs[:, :-1], d.inputs[:, 1:], d.targets[:, 1:]]) for d in (train, held_out))
    np.add.at(counts, tuple(seen), 1)
    chances = counts / counts.sum(axis=2, keepdims=True)
    return float(-np.log(chances[tuple(new)]).mean())


def layers(carry: int | None = None) -> L.Chain:
    """From the numbers of characters to the chances of each next one, for any number of steps."""
    return (
        L.Input(sg.Dim("time"), dtype="int32")
        + L.Embedding(len(ALPHABET), 32, name="embedding")
        + L.LSTM(128, carry=carry, name="lstm")
        + L.Dense(len(ALPHABET), flatten=False, name="next")
        + L.SoftmaxCrossEntropy()
    )


def trainer(train: sg.data.Dataset, held_out: sg.data.Dataset) -> sg.Trainer:
    """The network with its optimiser and the order of its batches."""
    batches = train.batches(BATCH, seed=1, drop_last=True)
    rate = sg.optimisers.schedules.Cosine(0.01, EPOCHS * len(batches))
    optimiser = sg.optimisers.Adam(learning_rate=rate, clip=sg.optimisers.ClipByNorm(1.0))
    return sg.Trainer(sg.Network("char-lstm", layers(), seed=1), optimiser, batches, held_out)


def write(writer: sg.Network, rng: np.random.Generator) -> str:
    """A name, drawn character by character."""
    writer.forget("*")
    name = "\n"
    while len(name) == 1 or (name[-1] != "\n" and len(name) < 60):
        chances = writer.predict(np.array([[ALPHABET.index(name[-1])]]))[0, 0].astype(np.float64)
        name += ALPHABET[rng.choice(len(ALPHABET), p=chances / chances.sum())]
    return name.strip()


if __name__ == "__main__":
    train, held_out = windows(WINDOW)
    training = trainer(train, held_out)
    print(training.network.summary())
    history = training.run(EPOCHS)
    compiled = training.step.compile_seconds
    print(f"{training.steps} steps of {1e3 * history.step_seconds:.1f} ms; compiled in {compiled:.1f} s")

    writer = sg.Network("writer", layers(carry=1))
    for identifier, values in writer.parameters().items():
        values[...] = training.network.parameters()[identifier]
    rng = np.random.default_rng(2)
    for _ in range(8):
        print("   ", write(writer, rng))

    counting, cost = cost_of_counting(train, held_out), training.evaluate(held_out).cost
    print(f"a character that was never seen costs {cost:.3f} nats, by counting {counting:.3f}")
