"""What says how training is carried out: on which device, by how many workers, and how they are brought together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sigmagraph.errors import AttributeValueError, TargetError
from sigmagraph.options import Target, as_target, from_environment
from sigmagraph.runtime.devices import default_threads
from sigmagraph.training.operators.crew import Crew, Task
from sigmagraph.training.operators.local import Local
from sigmagraph.training.operators.mergers import Average, Mergers, Rules
from sigmagraph.training.operators.remote import Remote
from sigmagraph.training.operators.solo import Solo
from sigmagraph.training.operators.synchronous import Synchronous

_FORMS = "cpu, cpu:WORKERS such as cpu:2, cuda, or cuda:NUMBER of a device"
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """How training is carried out.

    Args:
        workers: how many there are, each with a thread of its own. One of them trains with all threads of the target;
            several share the cores evenly.
        merge: how several are brought together. ``"gradients"``: they share each batch, and one update is made of
            their gradients, as if one had done it. A number: each has other batches, and its own parameters, which are
            merged every so many iterations. ``"epoch"``: the same, when an epoch ends.
        mergers: how values become one: a :class:`Merger`, or several by pattern.
        threads: of each worker; 0 shares the cores.
        device: ``cpu``, ``cuda`` or ``cuda:1``. A GPU has one worker, whose values stay there between iterations.

    Raises:
        AttributeValueError: one of these makes no sense, there or at all.
    """

    workers: int = 1
    merge: Literal["gradients", "epoch"] | int = "gradients"
    mergers: Mergers = field(default_factory=Average)
    threads: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("threads", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise AttributeValueError(
                    f"the operator's '{name}' makes no sense", expected=f"an int of {least} or more", got=repr(value)
                )
        is_number = isinstance(self.merge, int) and not isinstance(self.merge, bool) and self.merge >= 1
        if self.merge not in ("gradients", "epoch") and not is_number:
            raise AttributeValueError(
                "the operator's 'merge' makes no sense",
                expected="gradients, epoch or a number of iterations",
                got=repr(self.merge),
            )
        Rules(self.mergers)
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise AttributeValueError(
                "the operator's 'device' makes no sense", expected="cpu, cuda or cuda:1", got=repr(self.device)
            )
        if self.device != "cpu":
            self._check_alone()

    def _check_alone(self) -> None:
        """See that nothing is asked of a GPU that only processors have."""
        for name, usual, why in _ONLY_CPU:
            value = getattr(self, name)
            if value != usual:
                raise AttributeValueError(
                    f"the operator's '{name}' makes no sense on a GPU: {why}",
                    expected=f"{name}={usual!r}, or device='cpu'",
                    got=f"{name}={value!r}, device={self.device!r}",
                )

    def __str__(self) -> str:
        if self.device != "cpu":
            return self.device
        how = {"gradients": "merged gradients", "epoch": "merged every epoch"}
        merge = how.get(str(self.merge), f"merged every {self.merge} iterations")
        return "cpu" if self.workers == 1 else f"cpu:{self.workers}, {merge}"

    def crew(self, task: Task) -> Crew:
        """The workers for a task.

        Raises:
            SigmaError: the network cannot be trained, or the step cannot be compiled.
        """
        if self.device != "cpu":
            return Remote(task)
        if self.workers == 1:
            return Solo(_with_threads(task, self.threads) if self.threads else task)
        cores = default_threads(from_environment().threads)
        task = replace(_with_threads(task, self.threads or max(1, cores // self.workers)), rules=Rules(self.mergers))
        if self.merge == "gradients":
            return Synchronous(task, self.workers, "cpu")
        return Local(task, self.workers, None if self.merge == "epoch" else int(self.merge))

    def target(self, given: Target | str | None) -> Target:
        """What code is made for.

        Args:
            given: what a user asks for; None for the device as it is.

        Raises:
            OptionError: that is no target.
            TargetError: it is on another device than the operator.
        """
        own = as_target(self.device)
        target = own if given is None else as_target(given)
        if (target.kind, target.device) != (own.kind, own.device):
            raise TargetError(
                "operator and target are not the same device",
                expected=f"target='{own}', or none",
                got=f"operator='{self}', target='{target}'",
            )
        return target


# What a GPU, which works on one batch with all its threads, has no use for: the name, what it is then, and why.
_ONLY_CPU = (
    ("workers", 1, "it works on one batch with all it has"),
    ("threads", 0, "its threads are chosen for each kernel"),
    ("merge", "gradients", "there is one worker"),
    ("mergers", Average(), "there is one worker"),
)


def placed(operator: Operator | str | None, target: Target | str | None) -> tuple[Operator, Target]:
    """An operator and what code is made for, where either may be left to the other; the processor if both are.

    Raises:
        AttributeValueError: the operator's text has another form.
        OptionError: that is no target.
        TargetError: they are on different devices.
    """
    if operator is not None:
        chosen = as_operator(operator)
        return chosen, chosen.target(target)
    wanted = as_target("cpu" if target is None else target)
    number = f":{wanted.device}" if wanted.device else ""
    return Operator(device=f"{wanted.kind}{number}") if wanted.kind == "cuda" else Operator(), wanted


def _with_threads(task: Task, threads: int) -> Task:
    target = as_target(task.target)
    return replace(task, target=replace(target, threads=threads))


def as_operator(value: Operator | str) -> Operator:
    """An operator from its text form.

    ``cpu`` (one worker, all threads), ``cpu:4`` (four workers, merged gradients), ``cuda`` (the first GPU), ``cuda:1``.

    Raises:
        AttributeValueError: the text has another form.
        TargetError: there is no such kind of device.
    """
    if isinstance(value, Operator):
        return value
    form = re.fullmatch(r"([a-z]+)(?::(0|[1-9]\d*))?", value) if isinstance(value, str) else None
    if form is None or value == "cpu:0":
        raise AttributeValueError("this is no operator", expected=_FORMS, got=repr(value))
    if form[1] == "cuda":
        return Operator(device=value)
    if form[1] != "cpu":
        raise TargetError(f"there is no operator for '{form[1]}'", expected=_FORMS, got=value)
    return Operator(workers=int(form[2] or 1))


def describe(operator: Operator) -> Mapping[str, object]:
    """An operator in plain values, for people and files."""
    mergers = operator.mergers
    rules = repr(mergers) if not isinstance(mergers, Mapping) else {k: repr(v) for k, v in mergers.items()}
    return {
        "workers": operator.workers,
        "merge": operator.merge,
        "mergers": rules,
        "threads": operator.threads,
        "device": operator.device,
    }
