"""Writes how a library reads a call's options, and the threads that it starts, or that the host lends, for calls.

``options.open`` looks at the options of a call and writes what it found to five words of memory: 0 how to run a loop,
1 the host's own parallel loop, 2 its context, 3 whether the host named a worker that there is not, 4 the pool that
entry points take, or null. ``options.pool`` gives the last one, ``options.close`` says at the end what went wrong.

In the texts ``WORD`` is the integer of a pointer's size, ``NAME`` what symbols begin with, ``COUNT`` the number of
threads that the library is made for. Options have five words, see :mod:`sigmagraph.artifact.header`.
"""

from __future__ import annotations

from sigmagraph.codegen.llvm.pool import POOL_BYTES, has_futexes, pool_text

_OPEN = """
define internal i32 @options.open(ptr %options, i64 %needed, ptr %pool) #0 {
  %used.p = getelementptr ptr, ptr %pool, i64 4
  store ptr null, ptr %used.p
  %given = icmp ne ptr %options, null
  br i1 %given, label %look, label %good
good:
  ret i32 0
look:
  %arena.p = getelementptr WORD, ptr %options, i64 1
  %size = load WORD, ptr %options
  %known = icmp eq WORD %size, OPTIONS_SIZE
  br i1 %known, label %read, label %bad
bad:
  ret i32 OPTIONS
read:
  %told = load WORD, ptr %arena.p
  %arena = ARENA_BYTES
  %untold = icmp eq i64 %arena, 0
  %enough = icmp uge i64 %arena, %needed
  %fine = or i1 %untold, %enough
  br i1 %fine, label %threads, label %small
small:
  ret i32 ARENA
threads:
  %status = call i32 @options.threads(ptr %options, ptr %pool)
  ret i32 %status
}

define internal ptr @options.pool(ptr %pool) #0 {
  %used.p = getelementptr ptr, ptr %pool, i64 4
  %used = load ptr, ptr %used.p
  ret ptr %used
}
"""

_ALONE = """
define internal i32 @options.threads(ptr %options, ptr %pool) #0 {
  %threads.p = getelementptr WORD, ptr %options, i64 2
  %loop.p = getelementptr WORD, ptr %options, i64 3
  %threads = load WORD, ptr %threads.p
  %loop = load WORD, ptr %loop.p
  %either = or WORD %threads, %loop
  %alone = icmp eq WORD %either, 0
  %status = select i1 %alone, i32 0, i32 OPTIONS
  ret i32 %status
}

define internal i32 @options.close(ptr %pool) #0 {
  ret i32 0
}
"""

_SEVERAL = """
define internal i32 @options.threads(ptr %options, ptr %pool) #0 {
  %threads.p = getelementptr ptr, ptr %options, i64 2
  %loop.p = getelementptr ptr, ptr %options, i64 3
  %context.p = getelementptr ptr, ptr %options, i64 4
  %pool.loop = getelementptr ptr, ptr %pool, i64 1
  %pool.context = getelementptr ptr, ptr %pool, i64 2
  %lost.p = getelementptr ptr, ptr %pool, i64 3
  %used.p = getelementptr ptr, ptr %pool, i64 4
  store ptr null, ptr %lost.p
  %threads = load ptr, ptr %threads.p
  %loop = load ptr, ptr %loop.p
  %context = load ptr, ptr %context.p
  %no.threads = icmp eq ptr %threads, null
  %no.loop = icmp eq ptr %loop, null
  br i1 %no.loop, label %own, label %host
host:
  store ptr @host.run, ptr %pool
  store ptr %loop, ptr %pool.loop
  store ptr %context, ptr %pool.context
  store ptr %pool, ptr %used.p
  %host.status = select i1 %no.threads, i32 0, i32 OPTIONS
  ret i32 %host.status
own:
  br i1 %no.threads, label %none, label %look
none:
  ret i32 0
look:
  %status = call i32 @threads.known(ptr %threads)
  %begin = call ptr @aligned(ptr %threads, i64 64)
  store ptr %begin, ptr %used.p
  ret i32 %status
}

define internal i32 @options.close(ptr %pool) #0 {
  %used.p = getelementptr ptr, ptr %pool, i64 4
  %used = load ptr, ptr %used.p
  %host = icmp eq ptr %used, %pool
  br i1 %host, label %look, label %good
good:
  ret i32 0
look:
  %lost.p = getelementptr ptr, ptr %pool, i64 3
  %lost = load ptr, ptr %lost.p
  %none = icmp eq ptr %lost, null
  %status = select i1 %none, i32 0, i32 THREADS
  ret i32 %status
}

define internal void @host.run(ptr %pool, ptr %function, ptr %context, i64 %count, i64 %grain, ptr %scratch,
                               i64 %stride) #0 {
  %task = alloca [5 x i64], align 8
  %function.p = getelementptr i64, ptr %task, i64 0
  %context.p = getelementptr i64, ptr %task, i64 1
  %scratch.p = getelementptr i64, ptr %task, i64 2
  %stride.p = getelementptr i64, ptr %task, i64 3
  %pool.p = getelementptr i64, ptr %task, i64 4
  store ptr %function, ptr %function.p
  store ptr %context, ptr %context.p
  store ptr %scratch, ptr %scratch.p
  store i64 %stride, ptr %stride.p
  store ptr %pool, ptr %pool.p
  %loop.p = getelementptr ptr, ptr %pool, i64 1
  %own.p = getelementptr ptr, ptr %pool, i64 2
  %loop = load ptr, ptr %loop.p
  %own = load ptr, ptr %own.p
  call void %loop(ptr %own, i64 %count, ptr @host.task, ptr %task)
  ret void
}

define internal void @host.task(ptr %task, i64 %begin, i64 %end, i32 %worker) #0 {
  %known = icmp ult i32 %worker, COUNT
  br i1 %known, label %do, label %lost
lost:
  %pool.p = getelementptr i64, ptr %task, i64 4
  %pool = load ptr, ptr %pool.p
  %lost.p = getelementptr ptr, ptr %pool, i64 3
  store ptr %pool, ptr %lost.p
  ret void
do:
  %function.p = getelementptr i64, ptr %task, i64 0
  %context.p = getelementptr i64, ptr %task, i64 1
  %scratch.p = getelementptr i64, ptr %task, i64 2
  %stride.p = getelementptr i64, ptr %task, i64 3
  %function = load ptr, ptr %function.p
  %context = load ptr, ptr %context.p
  %scratch = load ptr, ptr %scratch.p
  %stride = load i64, ptr %stride.p
  %wide = zext i32 %worker to i64
  %offset = mul i64 %wide, %stride
  %own = getelementptr i8, ptr %scratch, i64 %offset
  call void %function(ptr %context, i64 %begin, i64 %end, ptr %own)
  ret void
}
"""

# Where there is no way to start threads, only the host's own can take part.
_NO_THREADS = """
define internal i32 @threads.known(ptr %threads) #0 {
  ret i32 OPTIONS
}

define WORD @NAME_threads_size() #0 {
  ret WORD 0
}

define signext i32 @NAME_threads_start(ptr %memory, WORD %size, i32 signext %count) #0 {
  ret i32 THREADS
}

define signext i32 @NAME_threads_stop(ptr %memory) #0 {
  ret i32 THREADS
}
"""

# Behind the pool lie the number of workers and their handles.
_THREADS = """
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @open(ptr, i32, ...)
declare i64 @read(i32, ptr, i64)
declare i32 @close(i32)
declare void @sg_pool_init(ptr)
declare void @sg_pool_worker(ptr)
declare void @sg_pool_stop(ptr)
declare void @sg_pool_run(ptr, ptr, ptr, i64, i64, ptr, i64)

@threads.quota = internal constant [23 x i8] c"/sys/fs/cgroup/cpu.max\\00"

define internal i32 @threads.known(ptr %threads) #0 {
  %begin = call ptr @aligned(ptr %threads, i64 64)
  %run = load ptr, ptr %begin
  %known = icmp eq ptr %run, @sg_pool_run
  %status = select i1 %known, i32 0, i32 OPTIONS
  ret i32 %status
}

define WORD @NAME_threads_size() #0 {
  ret WORD THREADS_SIZE
}

define internal ptr @threads.worker(ptr %pool) #0 {
  call void @sg_pool_worker(ptr %pool)
  ret ptr null
}

define internal i64 @threads.available() #0 {
entry:
  %mask = alloca [128 x i64], align 8
  call void @zero(ptr %mask, i64 1024)
  %got = call i32 @sched_getaffinity(i32 0, i64 1024, ptr %mask)
  %asked = icmp sge i32 %got, 0
  br i1 %asked, label %head, label %unknown
unknown:
  ret i64 1
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %sum = phi i64 [ 0, %entry ], [ %more, %head ]
  %p = getelementptr i64, ptr %mask, i64 %i
  %word = load i64, ptr %p
  %bits = call i64 @llvm.ctpop.i64(i64 %word)
  %more = add i64 %sum, %bits
  %next = add i64 %i, 1
  %again = icmp ult i64 %next, 128
  br i1 %again, label %head, label %quota
quota:
  %file = call i32 (ptr, i32, ...) @open(ptr @threads.quota, i32 0)
  %there = icmp sge i32 %file, 0
  br i1 %there, label %look, label %all
all:
  ret i64 %more
look:
  %length = call i64 @read(i32 %file, ptr %mask, i64 63)
  %closed = call i32 @close(i32 %file)
  %some = call i64 @llvm.smax.i64(i64 %length, i64 0)
  %allowed = call i64 @quota(ptr %mask, i64 %some)
  %limited = icmp sgt i64 %allowed, 0
  %least = call i64 @llvm.smin.i64(i64 %allowed, i64 %more)
  %count = select i1 %limited, i64 %least, i64 %more
  ret i64 %count
}

define signext i32 @NAME_threads_start(ptr %memory, WORD %size, i32 signext %count) #0 {
entry:
  %here = icmp ne ptr %memory, null
  br i1 %here, label %room, label %missing
missing:
  ret i32 NULL
room:
  %enough = icmp uge WORD %size, THREADS_SIZE
  br i1 %enough, label %number, label %small
small:
  ret i32 SIZE
number:
  %negative = icmp slt i32 %count, 0
  br i1 %negative, label %bad, label %start
bad:
  ret i32 THREADS
start:
  %pool = call ptr @aligned(ptr %memory, i64 64)
  %wide = zext i32 %count to i64
  %any = icmp eq i32 %count, 0
  %wanted = select i1 %any, i64 COUNT, i64 %wide
  %available = call i64 @threads.available()
  %fewer = call i64 @llvm.smin.i64(i64 %wanted, i64 %available)
  %most = call i64 @llvm.smin.i64(i64 %fewer, i64 COUNT)
  call void @zero(ptr %pool, i64 POOL_MEMORY)
  call void @sg_pool_init(ptr %pool)
  %workers.p = getelementptr i8, ptr %pool, i64 POOL_BYTES
  %handles = getelementptr i8, ptr %workers.p, i64 8
  br label %head
head:
  %n = phi i64 [ 1, %start ], [ %next, %created ]
  %done = sub i64 %n, 1
  store i64 %done, ptr %workers.p
  %more = icmp slt i64 %n, %most
  br i1 %more, label %create, label %good
create:
  %handle = getelementptr i64, ptr %handles, i64 %done
  %failed = call i32 @pthread_create(ptr %handle, ptr null, ptr @threads.worker, ptr %pool)
  %next = add i64 %n, 1
  %worked = icmp eq i32 %failed, 0
  br i1 %worked, label %created, label %undo
created:
  br label %head
undo:
  %stopped = call i32 @NAME_threads_stop(ptr %memory)
  ret i32 THREADS
good:
  ret i32 0
}

define signext i32 @NAME_threads_stop(ptr %memory) #0 {
entry:
  %here = icmp ne ptr %memory, null
  br i1 %here, label %look, label %missing
missing:
  ret i32 NULL
look:
  %status = call i32 @threads.known(ptr %memory)
  %known = icmp eq i32 %status, 0
  br i1 %known, label %stop, label %bad
bad:
  ret i32 %status
stop:
  %pool = call ptr @aligned(ptr %memory, i64 64)
  %workers.p = getelementptr i8, ptr %pool, i64 POOL_BYTES
  %handles = getelementptr i8, ptr %workers.p, i64 8
  %workers = load i64, ptr %workers.p
  call void @sg_pool_stop(ptr %pool)
  br label %head
head:
  %n = phi i64 [ 0, %stop ], [ %next, %join ]
  %more = icmp slt i64 %n, %workers
  br i1 %more, label %join, label %end
join:
  %handle.p = getelementptr i64, ptr %handles, i64 %n
  %handle = load i64, ptr %handle.p
  %joined = call i32 @pthread_join(i64 %handle, ptr null)
  %next = add i64 %n, 1
  br label %head
end:
  store ptr null, ptr %pool
  ret i32 0
}
"""


def options_text(triple: str, threads: int, declarations: dict[str, str]) -> str:
    """How options are read, and what there is of threads, for a number of them.

    Args:
        triple: of the system.
        threads: how many may take part in a call.
        declarations: takes up what the functions call, by name.
    """
    if threads == 1:
        return _OPEN + _ALONE
    if not has_futexes(triple):
        return _OPEN + _SEVERAL + _NO_THREADS
    for name, arguments in (("smin", "i64, i64"), ("smax", "i64, i64"), ("ctpop", "i64")):
        declarations[f"llvm.{name}.i64"] = f"declare i64 @llvm.{name}.i64({arguments})"
    return _OPEN + _SEVERAL + _THREADS


def more_texts(triple: str, threads: int) -> tuple[str, ...]:
    """The other modules that a library needs for its threads."""
    return (pool_text(triple),) if threads > 1 and has_futexes(triple) else ()


def thread_memory(threads: int) -> int:
    """Bytes for the pool, the handles of its threads, and a place where both begin at a multiple of 64."""
    return POOL_BYTES + 8 + 8 * threads + 64
