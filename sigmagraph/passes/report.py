"""What passes did to a graph, as a table: time, nodes, rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.passes.manager import Step


@dataclass(frozen=True, slots=True)
class PassReport:
    """The passes that a graph went through; as text it is a table with a line for each.

    Attributes:
        steps: the passes in the order in which they ran.
    """

    steps: tuple[Step, ...]

    @property
    def seconds(self) -> float:
        """What all passes took."""
        return sum(step.seconds for step in self.steps)

    @property
    def rules(self) -> Mapping[str, int]:
        """How often each rule was applied in all, by ``pass.rule``, the most frequent first."""
        out: dict[str, int] = {}
        for step in self.steps:
            for rule, count in step.hits.items():
                name = f"{step.name}.{rule}"
                out[name] = out.get(name, 0) + count
        return dict(sorted(out.items(), key=lambda item: (-item[1], item[0])))

    def __str__(self) -> str:
        lines = [f"{'pass':<16} {'ms':>9} {'before':>7} {'nodes':>7}  rules"]
        for step in self.steps:
            rules = ", ".join(f"{rule} {count}" for rule, count in step.hits.items())
            numbers = f"{1000 * step.seconds:9.2f} {step.before:7} {step.nodes:7}"
            lines.append(f"{step.name:<16} {numbers}  {rules}".rstrip())
        return "\n".join([*lines, f"{'total':<16} {1000 * self.seconds:9.2f}"])
