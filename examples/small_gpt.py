"""A small GPT learns to write the names of Unicode's characters, the text of char_lstm.py.

Two transformer blocks with causal attention, trained by AdamW with a warm-up, a cosine and clipped gradients. The
length of sequences is a symbolic size: the network learns from windows of 48 characters, and goes on with beginnings
of any length.
"""

import numpy as np
from char_lstm import ALPHABET, cost_of_counting, windows

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.optimisers.schedules import Cosine, Warmup

WINDOW, BATCH, EPOCHS, WARM_UP = 48, 16, 2, 50


def layers() -> L.Chain:
    """From the numbers of characters to the chances of each next one."""
    return (
        L.Input(sg.Dim("time"), dtype="int32")
        + L.Embedding(len(ALPHABET), 64, name="embedding")
        + L.PositionalEncoding()
        + 2 * L.TransformerBlock(heads=4, causal=True, name="block#")
        + L.LayerNorm(name="norm")
        + L.Dense(len(ALPHABET), flatten=False, name="next")
        + L.SoftmaxCrossEntropy()
    )


def trainer(train: sg.data.Dataset, held_out: sg.data.Dataset) -> sg.Trainer:
    """The network with its optimiser and the order of its batches."""
    batches = train.batches(BATCH, seed=1, drop_last=True)
    optimiser = sg.optimisers.AdamW(
        learning_rate=Warmup(WARM_UP, Cosine(0.005, EPOCHS * len(batches) - WARM_UP)),
        weight_decay=0.01,
        undecayed=["*.biases"],
        clip=sg.optimisers.ClipByNorm(1.0),
    )
    return sg.Trainer(sg.Network("small-gpt", layers(), seed=1), optimiser, batches, held_out)


def go_on(network: sg.Network, beginning: str, rng: np.random.Generator) -> str:
    """A name that begins like this, drawn character by character."""
    codes = [ALPHABET.index(character) for character in f"\n{beginning}"]
    while len(codes) < WINDOW and (codes[-1] != ALPHABET.index("\n") or len(codes) == 1):
        chances = network.predict(np.array([codes]))[0, -1].astype(np.float64)
        codes.append(rng.choice(len(ALPHABET), p=chances / chances.sum()))
    return "".join(ALPHABET[code] for code in codes).strip()


if __name__ == "__main__":
    train, held_out = windows(WINDOW)
    training = trainer(train, held_out)
    print(training.network.summary())
    history = training.run(EPOCHS)
    compiled = training.step.compile_seconds
    print(f"{training.steps} steps of {1e3 * history.step_seconds:.1f} ms; compiled in {compiled:.1f} s")

    rng = np.random.default_rng(2)
    for beginning in ("", "", "", "LATIN SMALL LETTER ", "GREEK ", "CJK ", "DOUBLE "):
        print("   ", go_on(training.network, beginning, rng))

    counting, cost = cost_of_counting(train, held_out), training.evaluate(held_out).cost
    print(f"a character that was never seen costs {cost:.3f} nats, by counting {counting:.3f}")
