"""Optimisers: rules that make new values of parameters from their gradients; what they are combined with; schedules."""

from sigmagraph.optimisers import schedules
from sigmagraph.optimisers.adadelta import Adadelta
from sigmagraph.optimisers.adagrad import Adagrad, SigmaAdagrad
from sigmagraph.optimisers.adam import Adam, AdamW
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.clipping import ClipByNorm, ClipByValue, Clipping
from sigmagraph.optimisers.lion import Lion
from sigmagraph.optimisers.modifiers import Clamp, MaxNorm, Modifier, Scale
from sigmagraph.optimisers.rmsprop import RMSprop
from sigmagraph.optimisers.sgd import SGD, Momentum, Nesterov
from sigmagraph.optimisers.step import OptimiserGraph

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Clamp",
    "ClipByNorm",
    "ClipByValue",
    "Clipping",
    "Lion",
    "MaxNorm",
    "Modifier",
    "Momentum",
    "Nesterov",
    "Optimiser",
    "OptimiserGraph",
    "RMSprop",
    "Scale",
    "SigmaAdagrad",
    "schedules",
]
