"""Layers, and how they are composed: ``from sigmagraph import layers as L``."""

from sigmagraph.layers.activation import Activation
from sigmagraph.layers.base import Chain, Function, Layer, Site
from sigmagraph.layers.cost import SoftmaxCrossEntropy, SquaredDifference
from sigmagraph.layers.dense import Dense
from sigmagraph.layers.dropout import Dropout
from sigmagraph.layers.flatten import Flatten
from sigmagraph.layers.ports import Input, Output

__all__ = [
    "Activation",
    "Chain",
    "Dense",
    "Dropout",
    "Flatten",
    "Function",
    "Input",
    "Layer",
    "Output",
    "Site",
    "SoftmaxCrossEntropy",
    "SquaredDifference",
]
