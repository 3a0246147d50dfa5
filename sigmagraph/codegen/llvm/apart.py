"""Compiles modules in a process of its own: where LLVM has no code for something, it ends the process that asks for it.

The process (this module as a program, with a triple, a processor and its features as arguments) answers each line of
its input by a line: JSON, with object code as base64.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmagraph.codegen.llvm.compile import ObjectCode, Processor, compile_module, know_all_targets
from sigmagraph.codegen.llvm.linked import Group, compile_linked
from sigmagraph.errors import CompileError, SigmaError, TargetError

_ROOT = Path(__file__).resolve().parents[3]
_UNKNOWN = "is not a recognized"  # what LLVM says of processors and features, and then goes on without them


class Apart:
    """A process that compiles modules, one after the other; it begins with the first."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # see `close`
        self._process: subprocess.Popen[str] | None = None

    def compile(self, text: str, listing: bool = False) -> ObjectCode:
        """Object code of a module, as :func:`~sigmagraph.codegen.llvm.compile.compile_module` gives it.

        Raises:
            CompileError: LLVM refuses the module, or has no code for something in it.
            TargetError: LLVM does not know the target, its processor or a feature.
        """
        return self._ask({"text": text, "listing": listing})

    def compile_linked(self, groups: Sequence[Group], exports: Sequence[str]) -> bytes:
        """One object file, as :func:`~sigmagraph.codegen.llvm.linked.compile_linked` gives it; errors as above."""
        plain = [[list(group.texts), list(group.offers)] for group in groups]
        return self._ask({"groups": plain, "exports": list(exports)}).object

    def _ask(self, request: Mapping[str, Any]) -> ObjectCode:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        said = self._said()
        if not answer:
            raise CompileError("LLVM has no code for this target", expected=self._processor.triple, got=said)
        if _UNKNOWN in said:
            raise TargetError("LLVM does not know the processor", expected=self._processor.triple, got=said)
        return _decode(json.loads(answer))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    def _start(self) -> subprocess.Popen[str]:
        p = self._processor
        command = [sys.executable, "-m", "sigmagraph.codegen.llvm.apart", p.triple, p.cpu, p.features]
        pipe = subprocess.PIPE
        return subprocess.Popen(  # noqa: S603  # this module, without a shell
            command, cwd=_ROOT, stdin=pipe, stdout=pipe, stderr=self._errors, encoding="utf-8"
        )

    def _said(self) -> str:
        """The first line that the process complained in."""
        self._errors.seek(0)
        return self._errors.readline().strip()


def _decode(answer: Any) -> ObjectCode:
    if "error" in answer:
        raise (TargetError if answer["unknown"] else CompileError)(answer["error"])
    return ObjectCode(base64.b64decode(answer["object"]), answer["optimised"], answer["assembly"])


def _answer(request: Any, processor: Processor) -> dict[str, Any]:
    try:
        code = _code(request, processor)
    except SigmaError as error:
        return {"error": str(error), "unknown": isinstance(error, TargetError)}
    data = base64.b64encode(code.object).decode()
    return {"object": data, "optimised": code.optimised, "assembly": code.assembly}


def _code(request: Any, processor: Processor) -> ObjectCode:
    if "text" in request:
        return compile_module(request["text"], processor, request["listing"])
    groups = [Group(texts, offers) for texts, offers in request["groups"]]
    return ObjectCode(compile_linked(groups, request["exports"], processor), "", "")


def main() -> None:
    """Answer requests until there are no more."""
    know_all_targets()
    processor = Processor(*sys.argv[1:])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line), processor)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
