"""The layers in which the steps of sequences look at one another: attention, and the transformer's block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.layers.activation import check_activation
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, check_floats, check_number, known, making
from sigmagraph.layers.dense import Dense
from sigmagraph.layers.dropout import Dropout
from sigmagraph.layers.normalisation import LayerNorm, RMSNorm
from sigmagraph.tensor.neural import attention, rotary_embedding
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Steps as means of the steps that they look at: [batch, t, features] -> [batch, t, features].

    Every head makes queries [t, d] of x, and keys and values [s, d] of the context, or of x itself if there is none;
    d is features / heads. The heads' ``softmax(queries @ keys.T / sqrt(d) + mask) @ values`` stand side by side and go
    through one more product. Source: A. Vaswani et al., "Attention is all you need" (2017). No gradient needs the
    [t, s] matrix to be kept.

    Operands besides x: ``context`` [batch, s, any features]; ``mask``, [t, s], [batch, t, s] or [batch, heads, t, s],
    where an axis may be 1: bools, true where a step is looked at, or floats that are added.

    Parameters, of x's dtype: ``query.weights`` [features, heads * d], ``key.weights`` and ``value.weights`` [features,
    kv_heads * d], ``output.weights`` [heads * d, features], and the ``biases`` of each.

    Args:
        heads: divides the features.
        kv_heads: number of heads of keys and values, each for several heads of queries; divides ``heads``, which it is
            if left out (J. Ainslie et al., "GQA", 2023).
        causal: whether step i looks at steps 0 .. i only.
        rotary: whether queries and keys are turned by their positions (J. Su et al., "RoFormer", 2021).
        bias: whether the products have biases.

    Raises:
        AttributeValueError: there are no heads, or they do not come out even.
    """

    heads: int
    _: KW_ONLY
    kv_heads: int | None = None
    causal: bool = False
    rotary: bool = False
    bias: bool = True
    name: str = "#-multiheadattention"

    def __post_init__(self) -> None:
        with making(self.name):
            check_count(self.heads, "heads")
            if self.kv_heads is not None:
                check_count(self.kv_heads, "kv_heads")
                if self.heads % self.kv_heads:
                    raise AttributeValueError(
                        "'kv_heads' does not divide the heads", expected=f"a divisor of {self.heads}", got=self.kv_heads
                    )

    def forward(self, x: Tensor, site: Site, /, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        for operand in (x, context):
            check_sequence(operand)
        features = known(x.shape[2], "the number of features")
        if features % self.heads:
            raise ShapeError("the features do not come out even", expected=f"a multiple of {self.heads}", got=features)
        size, shared = features // self.heads, self.kv_heads or self.heads
        q = self._heads("query", x, site, self.heads, size)
        k = self._heads("key", context, site, shared, size)
        v = self._heads("value", context, site, shared, size)
        if self.rotary:
            q, k = rotary_embedding(q), rotary_embedding(k)
        mixed = attention(q, k, v, _beside_heads(mask), causal=self.causal)
        rows = mixed.transpose(0, 2, 1, 3).reshape(*x.shape[:2], features)
        return site.inner("output", Dense(features, bias=self.bias, flatten=False), rows)

    def _heads(self, part: str, x: Tensor, site: Site, heads: int, size: int) -> Tensor:
        """[batch, t, features] -> [batch, heads, t, size]."""
        y = site.inner(part, Dense(heads * size, bias=self.bias, flatten=False), x)
        return y.reshape(*x.shape[:2], heads, size).transpose(0, 2, 1, 3)


@dataclass(frozen=True)
class TransformerBlock(Layer):
    """Attention and two dense layers, each beside a way around it: [batch, t, features] -> the same shape.

    ``a = x + attention(norm(x))``, ``y = a + contract(activation(expand(norm(a))))``; with ``norm_first=False``
    ``a = norm(x + attention(x))`` and so on, as first published. Source: A. Vaswani et al., "Attention is all you need"
    (2017); R. Xiong et al., "On layer normalization in the transformer architecture" (2020).

    Operands besides x, which go to the attention: ``mask``, and ``context`` for a block with ``cross``, whose steps
    look at themselves (by the mask) and then at the context (at all of it).

    Parameters: those of ``attention``, ``expand``, ``contract``, ``norm1``, ``norm2``, and if there is a context of
    ``cross`` and ``norm3``; ``expand.weights`` and so on.

    Args:
        heads: divides the features.
        hidden: number of features between the two dense layers; four times those of x if left out.
        activation: between them.
        norm_first: whether what goes into a part is normalised, or what comes out of the sum.
        norm: ``layer`` or ``rms``.
        dropout: rate of dropout behind each part and the activation.
        cross: whether the steps look at a context besides.
        causal, rotary, kv_heads, bias: those of :class:`MultiHeadAttention`; the bias is that of all products.
        epsilon: of the normalisation.

    Raises:
        AttributeValueError: a number or a name makes no sense.
    """

    heads: int
    _: KW_ONLY
    hidden: int | None = None
    activation: str = "gelu"
    norm_first: bool = True
    norm: str = "layer"
    dropout: float = 0.0
    cross: bool = False
    causal: bool = False
    rotary: bool = False
    kv_heads: int | None = None
    bias: bool = True
    epsilon: float = 1e-5
    name: str = "#-transformerblock"

    def __post_init__(self) -> None:
        check_activation(self.activation, self.name)
        self._attention()
        with making(self.name):
            if self.hidden is not None:
                check_count(self.hidden, "hidden")
            check_number(self.epsilon, "epsilon")
            Dropout(self.dropout)
            if self.norm not in ("layer", "rms"):
                raise AttributeValueError("there is no such norm", expected="layer or rms", got=repr(self.norm))

    def _attention(self) -> MultiHeadAttention:
        return MultiHeadAttention(
            self.heads, kv_heads=self.kv_heads, causal=self.causal, rotary=self.rotary, bias=self.bias, name=self.name
        )

    def forward(self, x: Tensor, site: Site, /, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        check_sequence(x)
        if (context is not None) != self.cross:
            raise ShapeError(
                "the context does not fit",
                expected="one" if self.cross else "none without cross=True",
                got="the opposite",
            )
        masks = {} if mask is None else {"mask": mask}
        x = self._around(x, site, 1, lambda y: site.inner("attention", self._attention(), y, **masks))
        if context is not None:
            known_context = context
            cross = MultiHeadAttention(self.heads, kv_heads=self.kv_heads, bias=self.bias)
            x = self._around(x, site, 3, lambda y: site.inner("cross", cross, y, context=known_context))
        return self._around(x, site, 2, lambda y: self._dense(y, site))

    def _around(self, x: Tensor, site: Site, number: int, part: Callable[[Tensor], Tensor]) -> Tensor:
        """A part of the block beside the way around it."""

        def norm(y: Tensor) -> Tensor:
            layer = LayerNorm(epsilon=self.epsilon) if self.norm == "layer" else RMSNorm(epsilon=self.epsilon)
            return site.inner(f"norm{number}", layer, y)

        if self.norm_first:
            return x + self._thinned(part(norm(x)), site, f"dropout{number}")
        return norm(x + self._thinned(part(x), site, f"dropout{number}"))

    def _dense(self, x: Tensor, site: Site) -> Tensor:
        features = known(x.shape[2], "the number of features")
        expand = Dense(self.hidden or 4 * features, self.activation, bias=self.bias, flatten=False)
        wide = self._thinned(site.inner("expand", expand, x), site, "dropout")
        return site.inner("contract", Dense(features, bias=self.bias, flatten=False), wide)

    def _thinned(self, x: Tensor, site: Site, part: str) -> Tensor:
        return site.inner(part, Dropout(self.dropout), x) if self.dropout else x


def check_sequence(x: Tensor) -> None:
    """Raise ShapeError or DTypeError unless a tensor holds sequences of vectors of floats."""
    check_floats(x)
    if x.ndim != 3:
        raise ShapeError("it takes sequences", expected="[batch, time, features]", got=x.type)


def _beside_heads(mask: Tensor | None) -> Tensor | None:
    """A mask for each record as one for each record and all heads."""
    return mask[:, None] if mask is not None and mask.ndim == 3 else mask
