"""Layers, and how they are composed: ``from sigmagraph import layers as L``."""

from sigmagraph.layers.activation import Activation
from sigmagraph.layers.attention import MultiHeadAttention, TransformerBlock
from sigmagraph.layers.base import Chain, Function, Lambda, Layer, Shared, Site
from sigmagraph.layers.convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from sigmagraph.layers.cost import (
    CTC,
    AbsoluteDifference,
    BinaryCrossEntropy,
    CostLayer,
    Hinge,
    Huber,
    KLDivergence,
    SigmaCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredDifference,
)
from sigmagraph.layers.dense import Dense
from sigmagraph.layers.dropout import Dropout
from sigmagraph.layers.elementwise import Elementwise
from sigmagraph.layers.embedding import Embedding
from sigmagraph.layers.flatten import Flatten
from sigmagraph.layers.normalisation import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from sigmagraph.layers.pooling import (
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
)
from sigmagraph.layers.ports import Input, Output
from sigmagraph.layers.position import PositionalEncoding
from sigmagraph.layers.prelu import PReLU
from sigmagraph.layers.recurrent import GRU, LSTM, Bidirectional, Recurrent
from sigmagraph.layers.resize import Pad, Upsample
from sigmagraph.layers.structure import Add, Concat, Multiply, Parallel, Permute, Reshape, Residual, TimeDistributed

__all__ = [
    "CTC",
    "GRU",
    "LSTM",
    "AbsoluteDifference",
    "Activation",
    "AdaptiveAveragePool",
    "AdaptiveMaxPool",
    "Add",
    "AveragePool",
    "BatchNorm",
    "Bidirectional",
    "BinaryCrossEntropy",
    "Chain",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CostLayer",
    "Dense",
    "Dropout",
    "Elementwise",
    "Embedding",
    "Flatten",
    "Function",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNorm",
    "Hinge",
    "Huber",
    "Input",
    "InstanceNorm",
    "KLDivergence",
    "Lambda",
    "Layer",
    "LayerNorm",
    "MaxPool",
    "MultiHeadAttention",
    "Multiply",
    "Output",
    "PReLU",
    "Pad",
    "Parallel",
    "Permute",
    "PositionalEncoding",
    "RMSNorm",
    "Recurrent",
    "Reshape",
    "Residual",
    "Shared",
    "SigmaCrossEntropy",
    "Site",
    "SoftmaxCrossEntropy",
    "SquaredDifference",
    "TimeDistributed",
    "TransformerBlock",
    "Upsample",
]
