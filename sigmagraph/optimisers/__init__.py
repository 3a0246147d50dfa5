"""Optimisers: rules that make new values of parameters from their gradients."""

from sigmagraph.optimisers.adagrad import Adagrad
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.base import Optimiser, OptimiserGraph
from sigmagraph.optimisers.sgd import SGD, Momentum

__all__ = ["SGD", "Adagrad", "Adam", "Momentum", "Optimiser", "OptimiserGraph"]
