"""Names in C: what an artifact exports, and what a header calls the arguments of its functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from sigmagraph.errors import GraphError
from sigmagraph.ir.interface import Function, Interface

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

# Words that a program in C or C++ cannot use for an argument: keywords of both (up to C23 and C++20) and names of
# operators, types that headers use after the argument, and macros of the usual headers, compilers and systems.
_WORDS = (
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t "
    "char32_t class co_await co_return co_yield compl concept const const_cast consteval constexpr "
    "constinit continue decltype default delete do double dynamic_cast else enum explicit export extern "
    "false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr "
    "operator or or_eq private protected public register reinterpret_cast requires restrict return short "
    "signed sizeof static static_assert static_cast struct switch template this thread_local throw true "
    "try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t "
    "while xor xor_eq int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t size_t BUFSIZ EOF "
    "FILE I NULL RAND_MAX assert complex errno imaginary linux noreturn offsetof stderr stdin stdout unix "
    "i386 sun vax hpux arm mips sparc CONST DELETE ERROR FALSE IN OPTIONAL OUT TRUE far interface max min "
    "near small"
)
ARGUMENTS = ("options", "state", "arena")  # what every function has before its dims

# What only the header has, without the artifact's name before it.
_IN_HEADER = ("options", "task", "parallel_for", "state_load", "state_save", "state_put", "selftest")
_MACROS = ("API", "ABI_VERSION", "CAST", "H", "H_FILES", "NO_STDLIB", "OK", "SHARED", "THREADS")


@cache
def _words() -> frozenset[str]:
    return frozenset(_WORDS.split())


def c_names(names: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Identifiers for C and C++, one for each name, each another one.

    What is neither a letter nor a digit becomes ``_``; a word that means something else gets one behind it; and of
    names that would be equal the later ones get a number.

    Args:
        names: in order.
        taken: identifiers that are used already.
    """
    used = set(taken)
    found = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "value"
        stem = f"v{stem}" if stem[0].isdigit() else stem
        stem += "_" if stem in _words() else ""
        known, number = stem, 1
        while known in used:
            number += 1
            known = f"{stem.rstrip('_')}_{number}"
        used.add(known)
        found.append(known)
    return tuple(found)


def argument_names(interface: Interface, function: Function) -> tuple[str, ...]:
    """What the header calls a function's dims, inputs and outputs, in this order."""
    macros = (f"{interface.name.upper()}_{word}" for word in _MACROS)
    ports = (port.name for port in (*function.inputs, *function.outputs))
    return c_names((*function.dims, *ports), (*ARGUMENTS, *macros))


def check_names(interface: Interface) -> None:
    """See to it that a header can call everything as the interface does.

    Raises:
        GraphError: the artifact or a function has a name that C does not allow or that means something else.
    """
    name = interface.name
    if not _IDENTIFIER.fullmatch(name) or name in _words():
        raise GraphError("an artifact cannot be called so", expected="a letter, then letters, digits and _", got=name)
    for function in interface.functions:
        if not re.fullmatch(r"[A-Za-z0-9_]+", function.name):
            raise GraphError("a function cannot be called so", expected="letters, digits and _", got=function.name)
    words = [symbol.removeprefix(f"{name}_") for symbol in interface.symbols]
    _all_different(interface, (*words, *_IN_HEADER))


def _all_different(interface: Interface, words: Iterable[str]) -> None:
    macros = _MACROS if interface.name.isupper() else ()
    known: set[str] = set()
    for word in (*words, *macros):
        if word in known:
            raise GraphError(
                "two things of an artifact have one name",
                got=f"{interface.name}_{word}",
                hint="call the function something else",
            )
        known.add(word)
