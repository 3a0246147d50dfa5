"""The thread pool that CPU programs run their parallel loops on, as LLVM IR.

A job is announced in one 64-bit word: generation, an open bit, and how many workers have joined. A worker joins by
compare-and-swap, so that nobody waits for a worker that is still asleep; the caller works too, closes the job when no
iterations are left, and waits for those who joined. Workers spin for some microseconds before they sleep, on Linux by
its futexes and elsewhere by POSIX conditions: those are bound to old versions where a library was linked without the C
library, which allocate memory. A pool that
is busy (another Python thread runs a program) is not waited for: the caller does all the work, with the same result.
"""

from __future__ import annotations

from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor
from sigmagraph.options import Target

SYMBOLS = ("sg_pool_init", "sg_pool_worker", "sg_pool_stop")
SPINS = 4000
POOL_BYTES = 1024

# Fields of the pool: 0 run, 8 word, 16 next, 24 count, 32 grain, 40 function, 48 context, 56 scratch, 64 stride,
# 128 finished, 192 sleepers, 200 stop, 208 busy, 256 mutex, 384 condition. Fields that are written by different threads
# at the same time stand on different cache lines.
_TEXT = """
declare i32 @sched_yield()

define internal void @pause() {
  PAUSE
  ret void
}

define void @sg_pool_init(ptr %pool) {
  store ptr @sg_pool_run, ptr %pool
  call void @sleep.init(ptr %pool)
  ret void
}

define internal void @work(ptr %pool, i64 %id) {
entry:
  %next = getelementptr i8, ptr %pool, i64 16
  %count.p = getelementptr i8, ptr %pool, i64 24
  %grain.p = getelementptr i8, ptr %pool, i64 32
  %function.p = getelementptr i8, ptr %pool, i64 40
  %context.p = getelementptr i8, ptr %pool, i64 48
  %scratch.p = getelementptr i8, ptr %pool, i64 56
  %stride.p = getelementptr i8, ptr %pool, i64 64
  %count = load i64, ptr %count.p
  %grain = load i64, ptr %grain.p
  %function = load ptr, ptr %function.p
  %context = load ptr, ptr %context.p
  %base = load ptr, ptr %scratch.p
  %stride = load i64, ptr %stride.p
  %offset = mul i64 %id, %stride
  %scratch = getelementptr i8, ptr %base, i64 %offset
  br label %take
take:
  %low = atomicrmw add ptr %next, i64 %grain monotonic
  %more = icmp slt i64 %low, %count
  br i1 %more, label %do, label %end
do:
  %sum = add i64 %low, %grain
  %high = call i64 @llvm.smin.i64(i64 %sum, i64 %count)
  call void %function(ptr %context, i64 %low, i64 %high, ptr %scratch)
  br label %take
end:
  ret void
}

declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)

define void @sg_pool_run(ptr %pool, ptr %function, ptr %context, i64 %count, i64 %grain, ptr %scratch, i64 %stride) {
entry:
  %busy = getelementptr i8, ptr %pool, i64 208
  %taken = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %free = extractvalue { i64, i1 } %taken, 1
  br i1 %free, label %announce, label %alone
alone:
  call void %function(ptr %context, i64 0, i64 %count, ptr %scratch)
  ret void
announce:
  %word.p = getelementptr i8, ptr %pool, i64 8
  %next = getelementptr i8, ptr %pool, i64 16
  %count.p = getelementptr i8, ptr %pool, i64 24
  %grain.p = getelementptr i8, ptr %pool, i64 32
  %function.p = getelementptr i8, ptr %pool, i64 40
  %context.p = getelementptr i8, ptr %pool, i64 48
  %scratch.p = getelementptr i8, ptr %pool, i64 56
  %stride.p = getelementptr i8, ptr %pool, i64 64
  %finished = getelementptr i8, ptr %pool, i64 128
  %sleepers.p = getelementptr i8, ptr %pool, i64 192
  store i64 0, ptr %next
  store i64 %count, ptr %count.p
  %share = sdiv i64 %count, 16
  %coarse = call i64 @llvm.smax.i64(i64 %share, i64 %grain)
  store i64 %coarse, ptr %grain.p
  store ptr %function, ptr %function.p
  store ptr %context, ptr %context.p
  store ptr %scratch, ptr %scratch.p
  store i64 %stride, ptr %stride.p
  store atomic i64 0, ptr %finished monotonic, align 8
  %old = load atomic i64, ptr %word.p monotonic, align 8
  %generation = lshr i64 %old, 17
  %following = add i64 %generation, 1
  %shifted = shl i64 %following, 17
  %opened = or i64 %shifted, 65536
  store atomic i64 %opened, ptr %word.p seq_cst, align 8
  %sleepers = load atomic i64, ptr %sleepers.p seq_cst, align 8
  %asleep = icmp sgt i64 %sleepers, 0
  br i1 %asleep, label %wake, label %help
wake:
  call void @sleep.wake(ptr %pool)
  br label %help
help:
  call void @work(ptr %pool, i64 0)
  %closed = atomicrmw and ptr %word.p, i64 -65537 acq_rel
  %joined = and i64 %closed, 65535
  br label %wait
wait:
  %turn = phi i64 [ 0, %help ], [ %again, %turned ]
  %done = load atomic i64, ptr %finished acquire, align 8
  %all = icmp eq i64 %done, %joined
  br i1 %all, label %release, label %spin
spin:
  %again = add i64 %turn, 1
  %long = icmp sgt i64 %turn, SPINS
  br i1 %long, label %yield, label %short
short:
  call void @pause()
  br label %turned
yield:
  call i32 @sched_yield()
  br label %turned
turned:
  br label %wait
release:
  store atomic i64 0, ptr %busy release, align 8
  ret void
}

define void @sg_pool_worker(ptr %pool) {
entry:
  %word.p = getelementptr i8, ptr %pool, i64 8
  %finished = getelementptr i8, ptr %pool, i64 128
  %sleepers.p = getelementptr i8, ptr %pool, i64 192
  %stop.p = getelementptr i8, ptr %pool, i64 200
  br label %look
look:
  %seen = phi i64 [ 0, %entry ], [ %seen, %idle ], [ %generation, %finish ], [ %seen, %awake ]
  %turn = phi i64 [ 0, %entry ], [ %again, %idle ], [ 0, %finish ], [ 0, %awake ]
  %word = load atomic i64, ptr %word.p acquire, align 8
  %generation = lshr i64 %word, 17
  %new = icmp ne i64 %generation, %seen
  %bit = and i64 %word, 65536
  %open = icmp ne i64 %bit, 0
  %join = and i1 %new, %open
  br i1 %join, label %try, label %rest
try:
  %wanted = add i64 %word, 1
  %swap = cmpxchg ptr %word.p, i64 %word, i64 %wanted acq_rel monotonic
  %won = extractvalue { i64, i1 } %swap, 1
  br i1 %won, label %help, label %rest
help:
  %id = and i64 %wanted, 65535
  call void @work(ptr %pool, i64 %id)
  br label %finish
finish:
  atomicrmw add ptr %finished, i64 1 release
  br label %look
rest:
  %stop = load atomic i64, ptr %stop.p monotonic, align 8
  %stopped = icmp ne i64 %stop, 0
  br i1 %stopped, label %end, label %count
count:
  %again = add i64 %turn, 1
  %long = icmp sgt i64 %turn, SPINS
  br i1 %long, label %sleep, label %idle
idle:
  call void @pause()
  br label %look
sleep:
  call void @sleep.begin(ptr %pool)
  atomicrmw add ptr %sleepers.p, i64 1 seq_cst
  br label %check
check:
  %now = load atomic i64, ptr %word.p seq_cst, align 8
  %now.generation = lshr i64 %now, 17
  %now.new = icmp ne i64 %now.generation, %seen
  %now.bit = and i64 %now, 65536
  %now.open = icmp ne i64 %now.bit, 0
  %now.join = and i1 %now.new, %now.open
  %now.stop = load atomic i64, ptr %stop.p seq_cst, align 8
  %now.stopped = icmp ne i64 %now.stop, 0
  %now.up = or i1 %now.join, %now.stopped
  br i1 %now.up, label %awake, label %doze
doze:
  call void @sleep.wait(ptr %pool, i64 %now)
  br label %check
awake:
  atomicrmw sub ptr %sleepers.p, i64 1 seq_cst
  call void @sleep.end(ptr %pool)
  br label %look
end:
  ret void
}

define void @sg_pool_stop(ptr %pool) {
  %stop.p = getelementptr i8, ptr %pool, i64 200
  %word.p = getelementptr i8, ptr %pool, i64 8
  store atomic i64 1, ptr %stop.p seq_cst, align 8
  ; Another generation, at which nobody falls asleep who has not seen that it is over.
  atomicrmw add ptr %word.p, i64 131072 seq_cst
  call void @sleep.wake(ptr %pool)
  ret void
}
"""

# Linux: who sleeps waits for the lower half of the word to be another one. 128 is for threads of one process.
_FUTEX = """
declare i64 @syscall(i64, ...)

define internal void @sleep.init(ptr %pool) {
  ret void
}

define internal void @sleep.begin(ptr %pool) {
  ret void
}

define internal void @sleep.end(ptr %pool) {
  ret void
}

define internal void @sleep.wait(ptr %pool, i64 %seen) {
  %word = getelementptr i8, ptr %pool, i64 8
  %low = trunc i64 %seen to i32
  call i64 (i64, ...) @syscall(i64 NUMBER, ptr %word, i32 128, i32 %low, ptr null, ptr null, i32 0)
  ret void
}

define internal void @sleep.wake(ptr %pool) {
  %word = getelementptr i8, ptr %pool, i64 8
  call i64 (i64, ...) @syscall(i64 NUMBER, ptr %word, i32 129, i32 2147483647, ptr null, ptr null, i32 0)
  ret void
}
"""
_FUTEX_NUMBERS = (("x86_64", "202"), ("aarch64", "98"), ("riscv64", "98"))

_CONDITION = """
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)

define internal void @sleep.init(ptr %pool) {
  %mutex = getelementptr i8, ptr %pool, i64 256
  %condition = getelementptr i8, ptr %pool, i64 384
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}

define internal void @sleep.begin(ptr %pool) {
  %mutex = getelementptr i8, ptr %pool, i64 256
  call i32 @pthread_mutex_lock(ptr %mutex)
  ret void
}

define internal void @sleep.end(ptr %pool) {
  %mutex = getelementptr i8, ptr %pool, i64 256
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

define internal void @sleep.wait(ptr %pool, i64 %seen) {
  %mutex = getelementptr i8, ptr %pool, i64 256
  %condition = getelementptr i8, ptr %pool, i64 384
  call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  ret void
}

define internal void @sleep.wake(ptr %pool) {
  call void @sleep.begin(ptr %pool)
  %condition = getelementptr i8, ptr %pool, i64 384
  call i32 @pthread_cond_broadcast(ptr %condition)
  call void @sleep.end(ptr %pool)
  ret void
}
"""
_PAUSES = (
    (("x86_64", "i386", "i686"), "llvm.x86.sse2.pause", "", ""),
    (("aarch64", "arm64"), "llvm.aarch64.hint", "i32", "i32 1"),
)


class PoolLibrary:
    """The loaded code of pools on the machine at hand (see :class:`sigmagraph.runtime.threads.PoolCode`)."""

    memory = POOL_BYTES

    def __init__(self, code: bytes) -> None:
        self._code = Loaded(code, SYMBOLS, processor(Target()), "pool")

    def address(self, symbol: str) -> int:
        """The address of one of SYMBOLS."""
        return self._code.address(symbol)


def compile_pool() -> bytes:
    """Object code of pools for the machine at hand."""
    here = processor(Target())
    return pack([compile_module(pool_text(here.triple), here).object])


def pool_text(triple: str) -> str:
    """The module of the pool for a system."""
    text = _TEXT.replace("SPINS", str(SPINS)) + _sleep_text(triple)
    for architectures, name, type, argument in _PAUSES:
        if triple.startswith(architectures):
            return text.replace("PAUSE", f"call void @{name}({argument})") + f"declare void @{name}({type})\n"
    return text.replace("PAUSE", "")


def has_futexes(triple: str) -> bool:
    """Whether a system has Linux's futexes, on a processor on which their number is known here."""
    return "-linux-" in triple and any(triple.startswith(name) for name, _ in _FUTEX_NUMBERS)


def _sleep_text(triple: str) -> str:
    """How workers sleep and are woken on a system."""
    if not has_futexes(triple):
        return _CONDITION
    return _FUTEX.replace("NUMBER", next(number for name, number in _FUTEX_NUMBERS if triple.startswith(name)))
