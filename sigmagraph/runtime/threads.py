"""The worker threads of a pool: started when a program first needs them, stopped before the interpreter goes."""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from typing import Protocol

from sigmagraph.runtime.state import address_of, aligned_bytes


class PoolCode(Protocol):
    """Native code of a pool; see :mod:`sigmagraph.codegen.llvm.pool` for what the functions do."""

    @property
    def memory(self) -> int:
        """Bytes of a pool's memory."""
        ...

    def address(self, symbol: str) -> int:
        """The address of ``sg_pool_init``, ``sg_pool_worker`` or ``sg_pool_stop``."""
        ...


class Pool:
    """Worker threads that share the iterations of a parallel loop with the thread that calls the program.

    Attributes:
        threads: workers and the calling thread.
        address: what the entry point takes; 0 (no pool) once the workers are stopped, and in a child process.
    """

    def __init__(self, code: PoolCode, threads: int) -> None:
        self.threads = threads
        self._code = code
        self._memory = aligned_bytes(code.memory)
        self.address = 0
        self._call("sg_pool_init")
        self._workers = [
            threading.Thread(target=self._call, args=("sg_pool_worker",), name=f"sigmagraph-{n}", daemon=True)
            for n in range(1, threads)
        ]
        for worker in self._workers:
            worker.start()
        self.address = address_of(self._memory)
        atexit.register(self.stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def stop(self) -> None:
        """End the workers and wait for them."""
        if self._workers:
            self._call("sg_pool_stop")
            for worker in self._workers:
                worker.join()
            self._forget()

    def _call(self, symbol: str) -> None:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._code.address(symbol))(address_of(self._memory))

    def _forget(self) -> None:
        self._workers = []
        self.address = 0
