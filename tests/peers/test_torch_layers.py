"""Recurrence, attention, structure and losses beside PyTorch's: results and all gradients to 1e-5 in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from agreement import NDArray, Picture, compare, numbers
from torch.nn import functional as F

import sigmagraph as sg
from sigmagraph import layers as L

SIZE, FEATURES = 4, 6
LENGTHS = np.array([5, 2, 3], np.int32)


def row(name: str) -> Picture:
    return lambda p: p[name]


def turned(name: str) -> Picture:
    return lambda p: p[name].T


def linear(name: str, ours: str = "") -> dict[str, Picture]:
    """Pictures of a linear layer that PyTorch calls by a name."""
    stem = f"{ours}." if ours else ""
    return {f"{stem}weights": turned(f"{name}weight"), f"{stem}biases": row(f"{name}bias")}


def dense_stack(module: torch.nn.Module) -> dict[str, Any]:
    return {"module": module, "weights": linear("")}


# ---- recurrence


def of_recurrence(module: torch.nn.RNNBase) -> dict[str, Any]:
    """PyTorch has two biases where there is one here, which has the gradient of either."""
    weights: dict[str, Picture] = {}
    slopes: dict[str, Picture] = {}
    ways = ("forward", "backward") if module.bidirectional else ("",)
    for level in range(module.num_layers):
        for way in ways:
            label = ".".join(([str(level)] if module.num_layers > 1 else []) + ([way] if way else []))
            stem, suffix = (f"{label}." if label else ""), f"_l{level}" + "_reverse" * (way == "backward")
            weights[f"{stem}weights"] = turned(f"weight_ih{suffix}")
            weights[f"{stem}recurrent.weights"] = turned(f"weight_hh{suffix}")
            weights[f"{stem}biases"] = biases_of(module, suffix)
            slopes[f"{stem}biases"] = row(f"bias_ih{suffix}")
            weights[f"{stem}recurrent.biases"] = lambda p, s=suffix: p[f"bias_hh{s}"][-module.hidden_size :]
    return {"module": module, "weights": weights, "slopes": slopes}


def biases_of(module: torch.nn.RNNBase, suffix: str) -> Picture:
    def picture(p: Mapping[str, NDArray]) -> NDArray:
        own = p[f"bias_hh{suffix}"].copy()
        if isinstance(module, torch.nn.GRU):  # its last one stands inside the product with the reset gate
            own[-module.hidden_size :] = 0
        return p[f"bias_ih{suffix}"] + own

    return picture


def packed(module: torch.nn.RNNBase) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def run(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        rows = torch.nn.utils.rnn.pack_padded_sequence(x, lengths.long(), batch_first=True, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(module(rows)[0], batch_first=True)[0]

    return run


KINDS = {"Recurrent": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}


@pytest.mark.parametrize("kind", KINDS)
def test_recurrence(kind: str) -> None:
    torch.manual_seed(0)
    module = KINDS[kind](FEATURES, SIZE, batch_first=True)
    layer = getattr(L, kind)(SIZE)
    compare(layer, lambda x: module(x)[0], numbers(3, 5, FEATURES), **of_recurrence(module)).check(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrence_of_sequences_of_different_lengths_in_both_directions_stacked(kind: str) -> None:
    torch.manual_seed(1)
    module = KINDS[kind](FEATURES, SIZE, 2, batch_first=True, bidirectional=True)
    layer = getattr(L, kind)(SIZE, bidirectional=True, depth=2)
    given = compare(layer, packed(module), numbers(3, 5, FEATURES), LENGTHS, **of_recurrence(module))
    given.check(f"{kind} both ways, stacked, with lengths")


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_state_of_both_directions(kind: str) -> None:
    torch.manual_seed(2)
    module = KINDS[kind](FEATURES, SIZE, batch_first=True, bidirectional=True)

    def last(x: torch.Tensor) -> torch.Tensor:
        state = module(x)[1]
        state = state[0] if isinstance(state, tuple) else state
        return torch.cat([state[0], state[1]], 1)

    layer = L.Bidirectional(getattr(L, kind)(SIZE, sequences=False))
    compare(layer, last, numbers(3, 5, FEATURES), **of_recurrence(module)).check(f"{kind} last state")


def test_relu_recurrence() -> None:
    torch.manual_seed(3)
    module = torch.nn.RNN(FEATURES, SIZE, nonlinearity="relu", batch_first=True)
    layer = L.Recurrent(SIZE, activation="relu")
    compare(layer, lambda x: module(x)[0], numbers(3, 5, FEATURES), **of_recurrence(module)).check("Recurrent relu")


# ---- attention


def of_attention(stem: str = "", ours: str = "") -> dict[str, Picture]:
    """PyTorch keeps the weights of queries, keys and values as three blocks of rows."""
    out = linear(f"{stem}out_proj.", f"{ours}output")
    for number, part in enumerate(("query", "key", "value")):
        out[f"{ours}{part}.weights"] = lambda p, n=number: np.split(p[f"{stem}in_proj_weight"], 3)[n].T
        out[f"{ours}{part}.biases"] = lambda p, n=number: np.split(p[f"{stem}in_proj_bias"], 3)[n]
    return out


# They add the same to all scores of a query, so their gradient is 0 but for rounding.
VANISHING = "key.biases"


def attention_module(**options: Any) -> torch.nn.MultiheadAttention:
    torch.manual_seed(4)
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True, **options)
    torch.nn.init.normal_(module.in_proj_bias)
    return module


def test_attention_to_oneself() -> None:
    module = attention_module()
    given = compare(
        L.MultiHeadAttention(2),
        lambda x: module(x, x, x)[0],
        numbers(3, 5, 8),
        module=module,
        weights=of_attention(),
        vanishing=VANISHING,
    )
    given.check("MultiHeadAttention")


def test_attention_to_what_was_before() -> None:
    module = attention_module()
    later = torch.ones(5, 5).triu(1).bool()
    given = compare(
        L.MultiHeadAttention(2, causal=True),
        lambda x: module(x, x, x, attn_mask=later, need_weights=False)[0],
        numbers(3, 5, 8),
        module=module,
        weights=of_attention(),
        vanishing=VANISHING,
    )
    given.check("MultiHeadAttention causal")


def test_attention_to_others_with_a_mask() -> None:
    module = attention_module()
    mask = np.random.default_rng(0).random((3, 4, 5)) < 0.7
    mask[:, :, 0] = True
    given = compare(
        lambda x, y, m: L.MultiHeadAttention(2)(x, context=y, mask=m),
        lambda x, y, m: module(x, y, y, attn_mask=~m.repeat_interleave(2, 0))[0],
        numbers(3, 4, 8),
        numbers(3, 5, 8),
        mask,
        module=module,
        weights=of_attention(),
        vanishing=VANISHING,
    )
    given.check("MultiHeadAttention to a context, masked")


class Grouped(torch.nn.Module):
    """Grouped queries by PyTorch's own function: four heads of queries, two of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.query, self.output = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
        self.key, self.value = torch.nn.Linear(8, 4, bias=False), torch.nn.Linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(2, (-1, 2)).transpose(1, 2) for part in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.output(y.transpose(1, 2).flatten(2))


def test_attention_with_grouped_queries() -> None:
    module = Grouped()
    weights = {f"{part}.weights": turned(f"{part}.weight") for part in ("query", "key", "value", "output")}
    layer = L.MultiHeadAttention(4, kv_heads=2, causal=True, bias=False)
    compare(layer, module, numbers(3, 5, 8), module=module, weights=weights).check("MultiHeadAttention grouped")


def of_block(*attentions: tuple[str, str], dense: tuple[str, str] = ("linear1", "linear2"), norms: str = "12") -> Any:
    out: dict[str, Picture] = linear(f"{dense[0]}.", "expand") | linear(f"{dense[1]}.", "contract")
    for theirs, ours in attentions:
        out |= of_attention(f"{theirs}.", f"{ours}.")
    for place, number in enumerate(norms, 1):
        out |= {f"norm{number}.scale": row(f"norm{place}.weight"), f"norm{number}.biases": row(f"norm{place}.bias")}
    return out


@pytest.mark.parametrize(("first", "activation"), [(True, "gelu"), (False, "relu")])
def test_a_transformers_encoder(first: bool, activation: str) -> None:
    torch.manual_seed(6)
    module = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation, batch_first=True, norm_first=first)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    layer = L.TransformerBlock(2, hidden=16, activation=activation, norm_first=first)
    given = compare(
        layer,
        module,
        numbers(3, 5, 8),
        module=module,
        weights=of_block(("self_attn", "attention")),
        vanishing=VANISHING,
    )
    given.check(f"TransformerBlock {'pre' if first else 'post'}-norm {activation}")


def test_a_transformers_decoder() -> None:
    torch.manual_seed(7)
    module = torch.nn.TransformerDecoderLayer(8, 2, 16, 0.0, "relu", batch_first=True)
    later = torch.ones(5, 5).triu(1).bool()
    given = compare(
        lambda x, y: L.TransformerBlock(2, hidden=16, activation="relu", norm_first=False, causal=True, cross=True)(
            x, context=y
        ),
        lambda x, y: module(x, y, tgt_mask=later),
        numbers(3, 5, 8),
        numbers(3, 4, 8),
        module=module,
        weights=of_block(("self_attn", "attention"), ("multihead_attn", "cross"), norms="132"),
        vanishing=VANISHING,
    )
    given.check("TransformerBlock with a context")


# ---- structure


def test_dense_layers_and_ways_around_them() -> None:
    torch.manual_seed(8)
    module = torch.nn.Linear(6, 6)

    def blocks(x: sg.Tensor) -> sg.Tensor:
        dense = L.Shared(L.Dense(6, flatten=False))
        return L.Residual(dense)(L.Multiply()(dense(x), x))

    def theirs(x: torch.Tensor) -> torch.Tensor:
        y = module(x) * x
        return y + module(y)

    compare(blocks, theirs, numbers(3, 5, 6), **dense_stack(module)).check("Dense shared, Residual")


def test_the_same_dense_layer_at_every_step() -> None:
    torch.manual_seed(9)
    module = torch.nn.Linear(6, 4)
    layer = L.TimeDistributed(L.Dense(4, "sigmoid"))
    given = compare(layer, lambda x: torch.sigmoid(module(x)), numbers(3, 5, 6), **dense_stack(module))
    given.check("TimeDistributed(Dense)")


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus, "softsign": F.softsign,
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish, "elu": F.elu,
    "selu": F.selu, "celu": F.celu, "leaky_relu": F.leaky_relu, "log_sigmoid": F.logsigmoid, "relu6": F.relu6,
    "hard_tanh": F.hardtanh, "hard_sigmoid": F.hardsigmoid, "hard_swish": F.hardswish,
    "softmax": lambda x: F.softmax(x, -1), "log_softmax": lambda x: F.log_softmax(x, -1),
}  # fmt: skip


def test_activations() -> None:
    def ours(x: sg.Tensor) -> sg.Tensor:
        return sg.stack([L.Activation(name)(x) for name in ACTIVATIONS], axis=1)

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([function(x) for function in ACTIVATIONS.values()], 1)

    compare(ours, theirs, numbers(40, 7) * 3).check("Activation")


# ---- losses

LABELS = np.array([[0, 3, 1], [2, 2, 0]])
WEIGHTS = [0.5, 1.0, 2.0, 0.25]


def targets(*shape: int) -> NDArray:
    return np.random.default_rng(9).random(shape).astype(np.float32)


def signs(*shape: int) -> NDArray:
    return np.sign(numbers(*shape, seed=2))


BY_ELEMENT: dict[str, tuple[Callable[..., sg.Tensor], Callable[..., torch.Tensor], NDArray]] = {
    "binary_cross_entropy_with_logits": (
        sg.losses.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits, targets(4, 5)
    ),
    "squared_difference": (sg.losses.squared_difference, F.mse_loss, numbers(4, 5, seed=3)),
    "absolute_difference": (sg.losses.absolute_difference, F.l1_loss, numbers(4, 5, seed=3)),
    "huber": (lambda *a: sg.losses.huber(*a, delta=0.7), lambda *a, **k: F.huber_loss(*a, delta=0.7, **k), numbers(4, 5, seed=3)),
    "smooth_l1": (lambda *a: sg.losses.smooth_l1(*a, beta=0.7), lambda *a, **k: F.smooth_l1_loss(*a, beta=0.7, **k), numbers(4, 5, seed=3)),
    "kl_divergence": (sg.losses.kl_divergence, F.kl_div, targets(4, 5)),
    "poisson_nll": (sg.losses.poisson_nll, F.poisson_nll_loss, targets(4, 5)),
    "hinge": (
        sg.losses.hinge,
        lambda x, t, reduction: getattr(F.relu(1 - t * x), reduction)() if reduction != "none" else F.relu(1 - t * x),
        signs(4, 5),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("name", BY_ELEMENT)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_by_element(name: str, reduction: str) -> None:
    ours, theirs, target = BY_ELEMENT[name]
    given = compare(
        lambda x, t: ours(x, t, reduction), lambda x, t: theirs(x, t, reduction=reduction), numbers(4, 5), target
    )
    given.check(f"{name} {reduction}")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.1},
        {"class_weights": WEIGHTS},
        {"ignore_index": 2},
        {"label_smoothing": 0.2, "class_weights": WEIGHTS, "ignore_index": 0},
    ],
    ids=str,
)
def test_softmax_cross_entropy(options: dict[str, Any]) -> None:
    theirs = {"weight": torch.tensor(options["class_weights"])} if "class_weights" in options else {}
    theirs |= {key: value for key, value in options.items() if key != "class_weights"}
    given = compare(
        lambda x, t: sg.losses.softmax_cross_entropy(x, t, "mean", **options),
        lambda x, t: F.cross_entropy(x.transpose(1, 2), t, **theirs),
        numbers(2, 3, 4),
        LABELS,
    )
    given.check(f"softmax_cross_entropy {options}")


def test_softmax_cross_entropy_on_probabilities() -> None:
    p = targets(5, 4)
    p /= p.sum(1, keepdims=True)
    given = compare(
        lambda x, t: sg.losses.distribution_cross_entropy(x, t, "mean", class_weights=WEIGHTS, label_smoothing=0.1),
        lambda x, t: F.cross_entropy(x, t, weight=torch.tensor(WEIGHTS), label_smoothing=0.1),
        numbers(5, 4),
        p,
    )
    given.check("distribution_cross_entropy")


def test_negative_log_likelihood() -> None:
    given = compare(
        lambda x, t: sg.losses.negative_log_likelihood(x, t, "mean", class_weights=WEIGHTS, ignore_index=2),
        lambda x, t: F.nll_loss(x.transpose(1, 2), t, weight=torch.tensor(WEIGHTS), ignore_index=2),
        numbers(2, 3, 4),
        LABELS,
    )
    given.check("negative_log_likelihood")


def test_binary_cross_entropy_of_probabilities() -> None:
    given = compare(
        lambda x, t: sg.losses.binary_cross_entropy(x, t, "sum"),
        lambda x, t: F.binary_cross_entropy(x, t, reduction="sum"),
        targets(4, 5) * 0.9 + 0.05,
        targets(4, 5)[::-1].copy(),
    )
    given.check("binary_cross_entropy")


def test_losses_of_vectors() -> None:
    a, b, c = (numbers(6, 5, seed=seed) for seed in range(3))
    sides = np.array([1, -1, 1, -1, -1, 1], np.int32)
    given = compare(
        lambda a, b, t: sg.losses.cosine_embedding(a, b, t, "mean", 0.1),
        lambda a, b, t: F.cosine_embedding_loss(a, b, t, 0.1),
        a,
        b,
        sides,
    )
    given.check("cosine_embedding")
    given = compare(lambda *rows: sg.losses.triplet_margin(*rows, "mean"), F.triplet_margin_loss, a, b, c)
    given.check("triplet_margin")


def test_losses_of_normal_distributions() -> None:
    given = compare(
        lambda m, t, v: sg.losses.gaussian_nll(m, t, v, "mean", complete=True),
        lambda m, t, v: F.gaussian_nll_loss(m, t, v, full=True),
        numbers(6, 5),
        numbers(6, 5, seed=1),
        targets(6, 5) + 0.1,
    )
    given.check("gaussian_nll")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ctc(reduction: str) -> None:
    labels = np.array([[1, 2, 2, 4], [3, 3, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0]], np.int64)
    lengths, counts = np.array([7, 9, 4, 5], np.int64), np.array([4, 3, 1, 0], np.int64)
    given = compare(
        lambda x, *rest: sg.losses.ctc(x, *rest, reduction),
        lambda x, y, n, m: F.ctc_loss(x.log_softmax(-1).transpose(0, 1), y, n, m, reduction=reduction),
        numbers(4, 9, 5),
        labels,
        lengths,
        counts,
    )
    given.check(f"ctc {reduction}")
