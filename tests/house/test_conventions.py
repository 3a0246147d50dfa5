"""Habits of the house that can be read off the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

MUTATING = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}
CONTAINERS = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}
BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "misc", "info"}
# Packages that users name in their programs; their __init__ offers the names of their modules and does nothing else.
PUBLIC_PACKAGES = {
    "sigmagraph",
    "sigmagraph.data",
    "sigmagraph.data.datasets",
    "sigmagraph.layers",
    "sigmagraph.optimisers",
    "sigmagraph.training.hooks",
    "sigmagraph.training.operators",
}


def test_every_module_says_its_job(sources: dict[str, ast.Module]) -> None:
    assert [name for name, tree in sources.items() if tree.body and not ast.get_docstring(tree)] == []


def test_inner_packages_are_empty(sources: dict[str, ast.Module]) -> None:
    packages = {name.rpartition(".")[0] for name in sources if "." in name} - PUBLIC_PACKAGES
    assert [name for name in sorted(packages) if sources[name].body] == []


def test_file_names_say_something(sources: dict[str, ast.Module]) -> None:
    words = {name: set(re.split(r"[._]", name)) for name in sources}
    assert [name for name, found in words.items() if found & BANNED_WORDS] == []


def test_files_and_functions_are_short(sources: dict[str, ast.Module]) -> None:
    long = []
    for name, tree in sources.items():
        if _end(tree) > 600:
            long.append(name)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        long += [f"{name}.{f.name}" for f in functions if _end(f) - f.lineno > 80]
    assert long == []


def _end(node: ast.Module | ast.FunctionDef) -> int:
    return max((n.end_lineno or 0 for n in node.body), default=0)


def test_only_options_reads_the_environment(sources: dict[str, ast.Module]) -> None:
    readers = [
        name
        for name, tree in sources.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and node.names[0].name in ("environ", "getenv"))
    ]
    assert set(readers) == {"sigmagraph.options"}


def test_nothing_is_unpickled_or_evaluated(sources: dict[str, ast.Module]) -> None:
    found = []
    for name, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(name)
            if isinstance(node, ast.Import) and any(a.name in ("pickle", "marshal", "shelve") for a in node.names):
                found.append(name)
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not _is_false(node.value):
                found.append(name)
    assert found == []


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_nobody_switches_on_the_name_of_an_op(sources: dict[str, ast.Module]) -> None:
    """An op is one record: whoever needs to know something about it asks the record (passes name ops in patterns)."""
    switches = [
        f"{name}:{node.lineno}"
        for name, tree in sources.items()
        if not name.startswith(("sigmagraph.ops", "sigmagraph.passes"))
        for node in ast.walk(tree)
        if _compares_op_name(node)
    ]
    assert switches == []


def _compares_op_name(node: ast.AST) -> bool:
    if isinstance(node, ast.Match):
        return _is_op_name(node.subject)
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    return any(map(_is_op_name, sides)) and any(map(_is_text, sides))


def _is_op_name(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Attribute) and node.attr == "name"):
        return False
    owner = node.value
    return (isinstance(owner, ast.Attribute) and owner.attr == "op") or (
        isinstance(owner, ast.Name) and owner.id == "op"
    )


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(map(_is_text, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_no_module_keeps_state(sources: dict[str, ast.Module]) -> None:
    """A container at module level is a table: it has a constant's name and nothing changes it."""
    broken = []
    for name, tree in sources.items():
        tables = set(_containers(tree))
        broken += [f"{name}.{t}" for t in sorted(tables) if not re.fullmatch(r"_?[A-Z][A-Z0-9_]*|__all__", t)]
        broken += [f"{name}.{t} is changed" for t in _changed(tree) if t in tables]
        broken += [f"{name}: global" for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert broken == []


def _containers(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        literal = isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp))
        if not literal and called not in CONTAINERS:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[union-attr]
        yield from (t.id for t in targets if isinstance(t, ast.Name))


def _changed(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        owner = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            owner = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATING:
            owner = node.func.value
        if isinstance(owner, ast.Name):
            yield owner.id


def test_nobody_iterates_over_a_set(sources: dict[str, ast.Module]) -> None:
    """The order of a set of strings changes from run to run, and with it whatever is made in that order."""
    loops = (ast.For, ast.comprehension)
    broken = [
        f"{name}:{node.iter.lineno}"
        for name, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, loops) and _is_set(node.iter)
    ]
    assert broken == []


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    return isinstance(node, (ast.Set, ast.SetComp))
