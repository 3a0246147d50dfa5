"""Eager PyTorch trains Sigma.Core's README network on the same records in the same order, without a DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.networks import readme
from benchmarks.peers.torch_modules import Net
from benchmarks.peers.torch_programs import optimiser_for, version
from benchmarks.ways import CHECKED, RATE, SEED, Subject, Way

__all__ = ["WAYS", "version"]

_JUDGED = 1000  # records at a time


class Eager(Way):
    """Records lie in memory, or on the device, as tensors, a batch is gathered by one indexing."""

    def __init__(self, subject: Subject) -> None:
        torch.set_num_threads(subject.threads)
        self._subject = subject
        train, held_out = subject.images.train, subject.images.held_out
        self._x, self._y = _tensors(train.inputs, train.targets, subject.device)
        self._held_out = _tensors(held_out.inputs, held_out.targets, subject.device)
        self._epoch = 0
        self._order = self._shuffled()
        self._begin()

    def _begin(self) -> None:
        """A network with the first values that ours has."""
        self._model = Net(readme(), torch.contiguous_format).to(self._subject.device)
        values = self._subject.network().parameters().values()
        with torch.no_grad():
            for parameter, value in zip(self._model.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(value.T if value.ndim == 2 else value))
        self._optimiser = optimiser_for("adagrad", self._model.parameters(), RATE, self._subject.device)

    def _shuffled(self) -> Any:
        train = self._subject.images.train
        return torch.from_numpy(np.concatenate(list(train.order(SEED, self._epoch, 0)))).to(self._subject.device)

    def _step(self, number: int) -> Any:
        size = self._subject.batch
        records = self._order[number * size : (number + 1) * size]
        self._optimiser.zero_grad(set_to_none=True)
        cost: Any = functional.cross_entropy(self._model(self._x[records]), self._y[records])
        cost.backward()
        self._optimiser.step()
        return cost.detach()

    def go(self, part: int, parts: int) -> int:
        count = self._subject.count
        start, end = count * part // parts, count * (part + 1) // parts
        for number in range(start, end):
            cost = self._step(number)
            if self._subject.device == "cpu" or number + 1 == end:  # who asks for every cost waits for every step
                float(cost)
        if end == count:
            self._epoch += 1
            self._order = self._shuffled()
        return end - start

    def costs(self) -> list[float]:
        self._model.eval()
        costs = [float(self._step(number)) for number in range(CHECKED)]
        self._begin()
        return costs

    def accuracy(self) -> float:
        self._model.eval()
        with torch.inference_mode():
            right = sum(
                int((self._model(x).argmax(1) == y).sum())
                for x, y in zip(*(tensor.split(_JUDGED) for tensor in self._held_out), strict=True)
            )
        self._model.train()
        return right / len(self._held_out[0])


def _tensors(images: Any, labels: Any, device: str) -> tuple[Any, Any]:
    return torch.from_numpy(images.reshape(len(images), -1)).to(device), torch.from_numpy(labels).long().to(device)


WAYS: Mapping[str, Callable[[Subject], Way]] = MappingProxyType({"shuffled": Eager})
