"""The public names of sigmagraph, each loaded when it is first used (PEP 562); ``__init__.pyi`` has their types."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Which module offers which names.
_OFFERS = {
    "sigmagraph.dims": ("Dim",),
    "sigmagraph.driver": ("compile", "parse"),
    "sigmagraph.options": ("CompileOptions", "Target"),
    "sigmagraph.program": ("CompiledFunction",),
    "sigmagraph.tensor.functions": (
        "abs",
        "argmax",
        "broadcast_to",
        "concatenate",
        "constant",
        "dense",
        "dropout",
        "equal",
        "exp",
        "gradients",
        "log",
        "log_softmax",
        "matmul",
        "max",
        "maximum",
        "mean",
        "min",
        "minimum",
        "not_equal",
        "one_hot",
        "parameter",
        "placeholder",
        "random_uniform",
        "relu",
        "sigmoid",
        "softmax",
        "sqrt",
        "stack",
        "sum",
        "take",
        "tanh",
        "where",
    ),
    "sigmagraph.tensor.tensor": ("Parameter", "Tensor"),
    "sigmagraph.training.network": ("Network",),
    "sigmagraph.training.trainer": ("Trainer",),
}
_HOME = {name: module for module, names in _OFFERS.items() for name in names}
_MODULES = ("data", "errors", "initialisers", "layers", "losses", "optimisers")

__all__ = ["__version__", *sorted((*_HOME, *_MODULES))]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"sigmagraph.{name}")
    raise AttributeError(f"module 'sigmagraph' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
