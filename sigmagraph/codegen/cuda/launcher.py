"""Writes the functions that the launches of a plan call, each once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from sigmagraph.codegen.cuda.alike import Shape, shape_of
from sigmagraph.codegen.cuda.bundle import emit_bundle
from sigmagraph.codegen.cuda.copies import copy_kernel
from sigmagraph.codegen.cuda.emit import emit_nest
from sigmagraph.codegen.cuda.index import are_multiples
from sigmagraph.codegen.cuda.nests import Nest, nests_of
from sigmagraph.codegen.cuda.together import Group, Unit, together
from sigmagraph.dims import nominal
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.kernel import Kernel, Role
from sigmagraph.ir.launch import Grid
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Place, Plan, Step, flat_steps

_VECTOR = 16  # what the addresses that vectors are loaded from are multiples of

Add = Callable[[str, str, Sequence[Kernel]], None]


class Launcher:
    """Writes what a plan launches.

    Args:
        plan: the plan.
        kernels: its kernels.
        add: takes the name of a function, its text, and the kernels that it does the work of.

    Attributes:
        launches: those of the plan as it was.
        controlled: whether functions look at the flow of control before they do anything.
        grids: the function of each launch, by the name that it has in the plan as it becomes.

    Raises:
        CompileError: two functions would have the same name.
    """

    def __init__(self, plan: Plan, kernels: Sequence[Kernel], add: Add) -> None:
        steps = tuple(flat_steps(plan.steps))
        self.launches = [step for step in steps if isinstance(step, Launch)]
        self.controlled = any(isinstance(step, (Check, Branch)) for step in steps)
        self.grids: dict[str, tuple[Grid, ...]] = {}
        self._plan = plan
        self._add = add
        self._nests: dict[str, Sequence[tuple[Nest, Shape]]] = {}
        self._about: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._pointers: dict[str, tuple[int, ...]] = {}
        self._bundles: dict[Hashable, str] = {}
        self._keys: dict[Hashable, int] = {}
        owners: dict[str, str] = {}
        for kernel in kernels:
            own = [step for step in self.launches if step.kernel == kernel.name]
            unaligned = frozenset(_unaligned(kernel, own))
            self._about[kernel.name] = alone(kernel, own), unaligned
            self._nests[kernel.name] = [(nest, self._shape(nest, unaligned)) for nest in nests_of(kernel)]
            for nest, _ in self._nests[kernel.name]:
                if owners.setdefault(nest.symbol, kernel.name) != kernel.name:
                    found = f"@{owners[nest.symbol]}, @{kernel.name}"
                    raise CompileError(f"two functions are called '{nest.symbol}'", got=found)

    def write(self) -> tuple[Step, ...]:
        """Write everything; what comes out is the steps of the plan as it becomes: a launch is one function."""
        return together(self._plan.steps, self._units, self._launch)

    def _shape(self, nest: Nest, unaligned: frozenset[str]) -> Shape:
        """The shape of a nest, with a number as key, which is compared at once."""
        shape = shape_of(nest, unaligned)
        return replace(shape, key=self._keys.setdefault(shape.key, len(self._keys)))

    def _units(self, step: Launch | Copy) -> Sequence[Unit]:
        if isinstance(step, Copy):
            return self._copy(step)
        return [Unit(nest, shape, step) for nest, shape in self._nests[step.kernel]]

    def _copy(self, step: Copy) -> Sequence[Unit]:
        """A small copy as something that a launch may do beside other work."""
        kernel = copy_kernel(step)
        if kernel is None:
            return ()
        self._about[kernel.name] = frozenset(p.name for p in kernel.params), frozenset()
        launch = Launch(kernel.name, (step.source, step.target), kernel.dims)
        (nest,) = nests_of(kernel)
        unit = Unit(nest, self._shape(nest, frozenset()), launch, step)
        return (unit,) if unit.small else ()

    def _launch(self, group: Group) -> Step:
        families = sorted(group.families.values(), key=_blocks)  # what few blocks do may take long, and begins first
        first = families[0][0]
        if len(families) > 1 or len(families[0]) > 1:
            return self._bundle(families)
        return first.copy or self._single(first)

    def _single(self, unit: Unit) -> Launch:
        """A launch of a function for one nest."""
        nest, kernel = unit.nest, unit.nest.kernel
        if nest.symbol not in self.grids:
            restrict, unaligned = self._about[kernel.name]
            made = emit_nest(nest, restrict, self.controlled, unaligned)
            self._pointers[nest.symbol] = made.pointers
            self.grids[nest.symbol] = (replace(made.grid(nest), buffers=tuple(range(len(made.pointers)))),)
            self._add(nest.symbol, made.text, [kernel])
        places = tuple(unit.launch.places[n] for n in self._pointers[nest.symbol])
        return Launch(nest.symbol, places, unit.launch.dims)

    def _bundle(self, families: Sequence[Sequence[Unit]]) -> Launch:
        """A launch of a function for several nests; launches of the same that share places in the same way share it."""
        units = [unit for family in families for unit in family]
        numbers: dict[Place, int] = {}
        pattern = tuple(
            numbers.setdefault(unit.launch.places[n], len(numbers)) for unit in units for n in unit.nest.used
        )
        what = tuple(tuple((unit.nest.symbol, unit.shape.numbers) for unit in family) for family in families)
        named = [unit for unit in units if unit.copy is None] or units
        key, stem = (what, pattern), f"{named[-1].nest.symbol}_and_{len(units) - 1}"
        symbol = self._bundles.setdefault(key, stem if stem not in self.grids else f"{stem}_{len(self.grids)}")
        made = emit_bundle(symbol, families, lambda unit: self._about[unit.nest.kernel.name], self.controlled)
        if symbol not in self.grids:
            self.grids[symbol] = (made.grid,)
            self._add(symbol, made.text, list({u.nest.kernel.name: u.nest.kernel for u in named}.values()))
        return made.launch


def _blocks(family: Sequence[Unit]) -> int:
    """How many blocks there are, for dims of usual size."""
    return sum(nominal(unit.nest.blocks) for unit in family)


def alone(kernel: Kernel, launches: Sequence[Launch]) -> frozenset[str]:
    """The parameters that share memory, in no launch, with another one of which either is written."""
    shared: dict[str, None] = {}
    for launch in launches:
        for a, at in zip(kernel.params, launch.places, strict=True):
            for b, there in zip(kernel.params, launch.places, strict=True):
                written = a.role is not Role.IN or b.role is not Role.IN
                if a is not b and written and (at.space, at.index) == (there.space, there.index):
                    shared[a.name] = None
    return frozenset(p.name for p in kernel.params if p.name not in shared)


def _unaligned(kernel: Kernel, launches: Sequence[Launch]) -> list[str]:
    """The parameters that may begin in the midst of a vector."""
    places: list[tuple[str, Place]] = [
        (p.name, place) for step in launches for p, place in zip(kernel.params, step.places, strict=True)
    ]
    return [name for name, place in places if not are_multiples(place.offset, _VECTOR)]
