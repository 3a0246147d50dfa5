"""Modules that LLVM compiles one after the other, in a thread of its own, while its user writes the next ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.compile import ObjectCode, Processor, compile_module

if TYPE_CHECKING:
    from concurrent.futures import Future

# Seconds after which Python lets another thread have a turn. LLVM's thread asks for one at every call of llvmlite, many
# times a module, and would wait longer for them than the calls take with what is usual.
_TURN = 0.0005


class Units:
    """The modules of a program. Their code is the same however far the thread is behind.

    One thread is enough: llvmlite lets only one into LLVM at a time.

    Args:
        processor: what code is made for.
        listing: whether code comes with its optimised text and its assembly.
    """

    def __init__(self, processor: Processor, listing: bool) -> None:
        from concurrent.futures import ThreadPoolExecutor  # not needed where programs come from the cache

        self._processor = processor
        self._apart = Apart(processor) if processor.foreign else None
        self._listing = listing
        self._usual_turn = sys.getswitchinterval()
        sys.setswitchinterval(min(self._usual_turn, _TURN))
        self._thread = ThreadPoolExecutor(1, "sigmagraph-llvm")
        self._codes: list[Future[ObjectCode]] = []

    def add(self, text: str) -> None:
        """Have a module compiled."""
        if self._apart is not None:
            self._codes.append(self._thread.submit(self._apart.compile, text, self._listing))
        else:
            self._codes.append(self._thread.submit(compile_module, text, self._processor, self._listing))

    def codes(self) -> list[ObjectCode]:
        """The code of all modules, in the order in which they were added.

        Raises:
            CompileError: LLVM refuses one.
            TargetError: LLVM does not know the target.
        """
        return [code.result() for code in self._codes]

    def close(self) -> None:
        """End the thread; what it has not begun is given up."""
        self._thread.shutdown(cancel_futures=True)
        if self._apart is not None:
            self._apart.close()
        # The longer one: others may have shortened turns before this, and lengthened them again since.
        sys.setswitchinterval(max(self._usual_turn, sys.getswitchinterval()))
