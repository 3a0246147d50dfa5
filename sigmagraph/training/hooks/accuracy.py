"""Hooks that judge how often a network is right on a named dataset, and say so."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.evaluation import Evaluation
from sigmagraph.training.hooking.hook import Moment
from sigmagraph.training.hooks.sharing import EARLY, SharingHook, check_name, position

# The dataset whose accuracies stand under the keys of the contract too.
VALIDATION = "validation"


@dataclass(frozen=True)
class JudgingHook(SharingHook):
    """A hook that looks at the verdict on a named dataset.

    The verdict is found once for each state of the network, however many hooks look at it.

    Args:
        dataset: its name; ``"validation"`` is what the trainer was given as such.

    Raises:
        AttributeValueError: the name is none; it is to run in the background, where the network changes meanwhile; or
            as for :class:`Hook`.
    """

    dataset: str = VALIDATION
    _: KW_ONLY
    priority: int = EARLY

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(type(self).__name__, self.dataset)
        if self.background:
            raise AttributeValueError(
                f"{type(self).__name__} judges the network as it is", expected="background=False", got="True"
            )

    def reads(self) -> tuple[str, ...]:
        # What tells before training starts that there is no such dataset.
        return (f"{self.dataset}.cost",)

    def judged(self, now: Moment) -> Evaluation:
        """The verdict.

        Raises:
            InputError: its targets are no classes.
        """
        verdict = now.trainer.judge(self.dataset)
        if not len(verdict.labels):
            raise InputError(
                f"{type(self).__name__} needs classes", expected=f"classes as targets of '{self.dataset}'", got="none"
            )
        return verdict


@dataclass(frozen=True)
class _Scorer(JudgingHook):
    """A hook that shares shares of right answers, and says them unless it is to be quiet."""

    _: KW_ONLY
    quiet: bool = False

    @abstractmethod
    def keys(self) -> Mapping[str, str]:
        """What it finds out, by the last part of the dataset's identifiers; and the keys of the contract for it."""

    @abstractmethod
    def score(self, verdict: Evaluation) -> Mapping[str, float]:
        """What it finds out, by the last part of the dataset's identifiers."""

    def named(self, key: str) -> str:
        """What a result is called where it is said."""
        return key.replace("_", " ")

    def _identifiers(self, key: str) -> tuple[str, ...]:
        """The identifiers of a result. The contract has one key for all datasets, which is that of validation."""
        own = f"{self.dataset}.{key}"
        return (own, f"shared.{self.keys()[key]}") if self.dataset == VALIDATION else (own,)

    def provides(self) -> tuple[str, ...]:
        return tuple(identifier for key in self.keys() for identifier in self._identifiers(key))

    def invoke(self, now: Moment, /) -> None:
        found = self.score(self.judged(now))
        for key, value in found.items():
            for identifier in self._identifiers(key):
                now.share(identifier, value)
        if not self.quiet:
            parts = [f"{self.named(key)} {100 * value:.2f} %" for key, value in found.items()]
            now.say(f"{position(now)}: {self.dataset} {', '.join(parts)}")


@dataclass(frozen=True)
class Accuracy(_Scorer):
    """Share and say how often the right class is among the most likely ones: ``Accuracy("validation", top=(1, 3))``.

    Shares ``<dataset>.accuracy_top<k>``, and for ``validation`` ``shared.classification_accuracy_top<k>``, from 0 to 1.

    Args:
        dataset: its name.
        top: among how many of the most likely classes; one number, or several.
        quiet: whether it is only shared.

    Raises:
        AttributeValueError: a number is none of 1, 2, 3, ...; or as for :class:`JudgingHook`.
    """

    top: int | tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        super().__post_init__()
        top = (self.top,) if isinstance(self.top, int) else tuple(self.top)
        if not top or any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in top):
            raise AttributeValueError("Accuracy: 'top' makes no sense", expected="1, 2, 3, ...", got=repr(self.top))
        object.__setattr__(self, "top", tuple(dict.fromkeys(top)))

    def keys(self) -> Mapping[str, str]:
        return {key: f"classification_{key}" for key in self._tops()}

    def named(self, key: str) -> str:
        k = self._tops()[key]
        return "accuracy" if k == 1 else f"top-{k} accuracy"

    def _tops(self) -> dict[str, int]:
        top = (self.top,) if isinstance(self.top, int) else self.top
        return {f"accuracy_top{k}": k for k in top}

    def score(self, verdict: Evaluation) -> Mapping[str, float]:
        return {key: float(np.mean(verdict.ranks < k)) for key, k in self._tops().items()}


@dataclass(frozen=True)
class BinaryAccuracy(_Scorer):
    """Share and say how often a network that says yes or no is right.

    It says yes where the probability is above the threshold. Of two thresholds, what is above the upper one is a yes,
    what is not above the lower one a no, and what lies between is wrong, whatever is right. Shares
    ``<dataset>.binary_accuracy``, and for ``validation`` ``shared.classification_accuracy``, from 0 to 1.

    Args:
        dataset: its name.
        threshold: a probability, or a lower and an upper one.
        quiet: whether it is only shared.

    Raises:
        AttributeValueError: a threshold is no number, or the lower one is above the upper one; or as for
            :class:`JudgingHook`.
    """

    threshold: float | tuple[float, float] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            low, high = self._bounds()
            sound = low <= high
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise AttributeValueError(
                "BinaryAccuracy: 'threshold' makes no sense",
                expected="a probability, or a lower and an upper one",
                got=repr(self.threshold),
            )
        object.__setattr__(self, "threshold", (low, high))

    def _bounds(self) -> tuple[float, float]:
        low, high = self.threshold if isinstance(self.threshold, (tuple, list)) else (self.threshold,) * 2
        return float(low), float(high)

    def keys(self) -> Mapping[str, str]:
        return {"binary_accuracy": "classification_accuracy"}

    def score(self, verdict: Evaluation) -> Mapping[str, float]:
        if len(verdict.probability) != len(verdict.labels):
            raise InputError(
                "BinaryAccuracy needs a network that says yes or no",
                expected="one output between 0 and 1, or two classes",
                got="more classes",
                hint="hooks.Accuracy is for any number of classes",
            )
        low, high = self._bounds()
        yes = verdict.labels == 1
        right = (yes & (verdict.probability > high)) | (~yes & (verdict.probability <= low))
        return {"binary_accuracy": float(np.mean(right))}
