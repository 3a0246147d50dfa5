"""The C header of an artifact: what its library exports, and small functions that read and write files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from sigmagraph.artifact import device_header
from sigmagraph.artifact.identifiers import argument_names, c_names, check_names
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.codegen.library.c_types import C_TYPES
from sigmagraph.ir.interface import ABI, OWN_ERRORS, STATUS_TEXTS, Function, Interface, Status
from sigmagraph.ir.plan import Port

_WIDTH = 110
_USES = {
    "elf": "cc main.c -I. -L. -l@ -o main",
    "macho": "cc main.c -I. -L. -l@ -o main",
    "pe": "cl main.c @.lib, or gcc main.c @.dll -o main",
    "wasm": "instantiate @.wasm with an empty import object; pointers are places in its memory, from __heap_base on",
    "bare": "add lib@.a, or @.o, to what is linked.",
}

# In the texts @ stands for the artifact's name, and $ for the same in capitals.
_BEGIN = """\
#ifndef $_H
#define $_H

#include <stddef.h>
#include <stdint.h>

/* Define $_SHARED before the inclusion if a program for Windows uses the DLL. */
#ifndef $_API
#if defined(_WIN32) && defined($_SHARED)
#define $_API __declspec(dllimport)
#else
#define $_API
#endif
#endif
"""

_RULES = """\
All memory is the caller's: the state, and an arena that no two calls use at the same time. Functions return a status, 0
where all went well. Arrays lie in memory row by row, each element at a multiple of its size; f16 and bf16 are handed
over as the bits of a uint16_t, and a bool as a uint8_t that is 0 or 1. Outputs do not overlap with anything else. A
state may be read by several threads at the same time, or be written by one.
"""

_TYPES = """\
#ifdef __cplusplus
extern "C" {
#endif

/* Work that is cut into pieces: a call does the pieces from begin up to, and without, end. */
typedef void (*@_task)(void *task, int64_t begin, int64_t end, int32_t worker);

/* A host's own way to spread work. It calls run(task, begin, end, worker) so that all of 0 .. count - 1 is done once,
 * and returns when it is done. A worker is one of 0 .. $_THREADS - 1; no two calls with one worker run at once. */
typedef void (*@_parallel_for)(void *context, int64_t count, @_task run, void *task);

/* How a function is called; what is 0 or null is as if it were not told. */
typedef struct @_options {
    size_t size; /* sizeof(@_options) */
    size_t arena_size; /* bytes at arena, to be compared with what the call needs */
    void *threads; /* memory of threads that have been started */
    @_parallel_for parallel_for; /* instead of threads: the host's own */
    void *context; /* handed over to parallel_for */
} @_options;
"""

_LIBRARY = """\
/* The number that $_ABI_VERSION has in the library's own header. */
$_API uint32_t @_abi_version(void);

/* What the library offers: one line of JSON. */
$_API const char *@_info_json(void);

/* What a status means, in words. */
$_API const char *@_error(int32_t status);

/* Bytes of a state. The memory is the caller's, at any address that is a multiple of 8; it may be copied to another. */
$_API size_t @_state_size(void);

/* Begin with the values that were exported{embedded}. */
$_API int32_t @_state_init(void *state);

/* Bytes of a state as a safetensors file. */
$_API size_t @_state_file_size(void);

/* Take a state from the bytes of a safetensors file. Where that fails the state stays as it was. */
$_API int32_t @_state_read(void *state, const void *bytes, size_t size);

/* Write a state as the bytes of a safetensors file; size is that of the memory at bytes. */
$_API int32_t @_state_write(const void *state, void *bytes, size_t size);

/* Do ahead, once for many calls, what depends on the state alone: calls of functions that only read are faster then.
 * Functions that write the state undo it. */
$_API int32_t @_state_prepare(void *state);

/* Bytes that a self-test needs. */
$_API size_t @_selftest_size(void);

/* Compute what was computed at export, in the memory given, and compare. */
$_API int32_t @_selftest_run(void *memory, size_t size);
"""

_THREADS = """\
/* Bytes for threads, at any address that is a multiple of 8. */
$_API size_t @_threads_size(void);

/* Start threads, for calls one after the other; count is how many take part in a call, this one among them, and at
 * most $_THREADS do. 0: as many as there are processors for this process. */
$_API int32_t @_threads_start(void *memory, size_t size, int32_t count);

/* End them. No call may be using them. */
$_API int32_t @_threads_stop(void *memory);
"""

_END = """\
#ifdef __cplusplus
}
#endif

#endif /* $_H */
"""

_FILES = """\
#if !defined($_NO_STDLIB) && !defined($_H_FILES)
#define $_H_FILES

#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
#define $_CAST(type, value) static_cast<type>(value)
#else
#define $_CAST(type, value) ((type)(value))
#endif

#ifdef _MSC_VER
#pragma warning(push)
#pragma warning(disable : 4996) /* fopen is standard C */
#endif

/* Read a state from a safetensors file. Where that fails the state stays as it was. */
static inline int32_t @_state_load(void *state, const char *path) {
    int32_t status = $_OK;
    size_t capacity = @_state_file_size() + 1, size = 0;
    unsigned char *bytes, *more;
    FILE *file;
    if (!state || !path) return $_ERROR_NULL;
    file = fopen(path, "rb");
    if (!file) return $_ERROR_IO;
    bytes = $_CAST(unsigned char *, malloc(capacity));
    if (!bytes) status = $_ERROR_MEMORY;
    while (!status) {
        size += fread(bytes + size, 1, capacity - size, file);
        if (ferror(file)) status = $_ERROR_IO;
        if (status || size < capacity) break;
        /* The file holds more than the state: other arrays, or something else altogether. */
        more = capacity > SIZE_MAX / 2 ? $_CAST(unsigned char *, 0)
                                       : $_CAST(unsigned char *, realloc(bytes, 2 * capacity));
        if (more) {
            bytes = more;
            capacity *= 2;
        } else {
            status = $_ERROR_MEMORY;
        }
    }
    fclose(file);
    if (!status) status = @_state_read(state, bytes, size);
    free(bytes);
    return status;
}

/* Write bytes to a file called part, which then takes the place of the file called path. */
static inline int32_t @_state_put(const void *bytes, size_t size, const char *part, const char *path) {
    int failed;
    FILE *file = fopen(part, "wb");
    if (!file) return $_ERROR_IO;
    failed = fwrite(bytes, 1, size, file) != size;
    failed |= fflush(file) != 0;
    failed |= fclose(file) != 0;
    if (!failed) {
        failed = rename(part, path) != 0;
#ifdef _WIN32
        /* Files are not replaced there. */
        if (failed) failed = remove(path) != 0 || rename(part, path) != 0;
#endif
    }
    if (failed) remove(part);
    return failed ? $_ERROR_IO : $_OK;
}

/* Write a state to a safetensors file: first to one with .part behind its name, so that the old one stays whole where
 * that fails. */
static inline int32_t @_state_save(const void *state, const char *path) {
    int32_t status;
    size_t size = @_state_file_size(), length = 0, at;
    unsigned char *bytes;
    char *part;
    if (!state || !path) return $_ERROR_NULL;
    while (path[length]) ++length;
    bytes = $_CAST(unsigned char *, malloc(size));
    part = $_CAST(char *, malloc(length + sizeof ".part"));
    if (bytes && part) {
        for (at = 0; at < length; ++at) part[at] = path[at];
        for (at = 0; at < sizeof ".part"; ++at) part[length + at] = ".part"[at];
        status = @_state_write(state, bytes, size);
        if (!status) status = @_state_put(bytes, size, part, path);
    } else {
        status = $_ERROR_MEMORY;
    }
    free(part);
    free(bytes);
    return status;
}
"""

_SELFTEST = """\
/* Compute what was computed at export, and compare. */
static inline int32_t @_selftest(void) {
    int32_t status;
    size_t size = @_selftest_size();
    void *memory = malloc(size ? size : 1);
    if (!memory) return $_ERROR_MEMORY;
    status = @_selftest_run(memory, size);
    free(memory);
    return status;
}
"""

_FILES_END = """\
#ifdef _MSC_VER
#pragma warning(pop)
#endif

#undef $_CAST
#endif
"""


def header_text(interface: Interface) -> str:
    """The header, for C from C99 on and C++ from C++11 on, in ASCII; equal interfaces give equal texts.

    Raises:
        GraphError: the artifact or a function has a name that C does not allow or that means something else.
        TargetError: there are no artifacts for its system.
    """
    check_names(interface)
    embedded = "" if interface.embedded else ": they are not in this library, read a file instead"
    device = interface.on_device
    macros = f"#define $_ABI_VERSION {ABI}u\n"
    macros += "" if device else f"#define $_THREADS {interface.threads} /* that may take part in a call */\n"
    library = device_header.LIBRARY if device else _LIBRARY
    parts = [
        _comment(_head(interface)),
        _BEGIN,
        macros,
        _statuses(interface),
        device_header.TYPES if device else _TYPES,
        library.replace("{embedded}", embedded),
        *([_THREADS] if interface.threads > 1 else []),
        *(_function(interface, f) for f in interface.functions),
        _END,
        _FILES,
        device_header.SELFTEST if device else _SELFTEST,
        _FILES_END,
    ]
    return "\n".join(_fill(part, interface.name) for part in parts)


def _fill(text: str, name: str) -> str:
    """The text with the artifact's name, and with what came from the user (see :func:`_plain`)."""
    return text.replace("@", name).replace("$", name.upper()).replace("\1", "@").replace("\2", "$")


def _plain(text: str) -> str:
    """A text of the user's for a comment: in ASCII, and nothing in it ends or begins one."""
    plain = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    plain = plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?").rstrip("\\")
    plain = "".join(c for c in plain if c.isprintable())
    return plain.replace("@", "\1").replace("$", "\2")  # until the artifact's name is filled in


def _comment(lines: Sequence[str]) -> str:
    return "/* " + "\n".join(f" * {line}".rstrip() for line in lines)[3:] + " */\n"


def _head(interface: Interface) -> list[str]:
    levels = _plain(", ".join(interface.levels))
    use = device_header.USE if interface.on_device else _USES[artifact_target(interface.triple).kind]
    return [
        f"@: made by sigmagraph {_plain(interface.version)} for {_plain(interface.triple)} ({levels}).",
        "",
        f"Needs nothing but the library: {use}",
        "",
        *(f"    {line}" for line in _example(interface)),
        "",
        *textwrap.wrap(device_header.RULES if interface.on_device else _RULES, _WIDTH),
    ]


def _example(interface: Interface) -> Iterator[str]:
    """The statements of a small program."""
    begin = "@_state_init(state)" if interface.embedded else '@_state_load(state, "@.safetensors")'
    if interface.on_device:
        yield "void *state;"
        yield "int32_t status = @_state_open(&state, 0);"
        yield f"if (!status) status = {begin};"
    else:
        yield "void *state = malloc(@_state_size());"
        yield f"int32_t status = {begin};"
    if not interface.functions:
        return
    function = interface.functions[0]
    names = argument_names(interface, function)
    sizes = ", ".join(names[: len(function.dims)])
    arena = "NULL" if interface.on_device else "arena"
    call = f"@_{function.name}({', '.join(['state', arena, *names])})"
    if not interface.on_device:
        yield f"void *arena = malloc(@_{function.name}_arena_size({sizes}));"
    yield from textwrap.wrap(f"if (!status) status = {call};", _WIDTH - 10, subsequent_indent="    ")
    yield f"if (status) puts({'@_state_message(state)' if interface.on_device else '@_error(status)'});"


def _statuses(interface: Interface) -> str:
    """All codes; what is wrong in words behind each."""
    common = [("$_OK" if s is Status.OK else f"$_ERROR_{s.name}", int(s), STATUS_TEXTS[s]) for s in Status]
    own = [
        (f"ERROR_{function.name.upper()}_{number}", text)
        for function in interface.functions
        for number, text in enumerate(function.errors, 1)
    ]
    names = c_names((name for name, _ in own), (f"ERROR_{s.name}" for s in Status))
    texts = enumerate((text for _, text in own), OWN_ERRORS)
    codes = [*common, *((f"$_{name}", *coded) for name, coded in zip(names, texts, strict=True))]
    last = codes[-1][0]
    lines = [f"    {name} = {code}{'' if name == last else ','} /* {_plain(text)} */" for name, code, text in codes]
    return "/* What functions return. */\nenum {\n" + "\n".join(lines) + "\n};\n"


def _function(interface: Interface, function: Function) -> str:
    """The declarations that belong to a program."""
    names = argument_names(interface, function)
    dims = names[: len(function.dims)]
    sizes = [f"int64_t {name}" for name in dims]
    device = interface.on_device
    state = "void *state" if function.updates or device else "const void *state"
    ports = names[len(dims) :]
    count = len(function.inputs)
    inputs = [_input(port, name) for port, name in zip(function.inputs, ports[:count], strict=True)]
    outputs = [f"{C_TYPES[port.dtype]} *{name}" for port, name in zip(function.outputs, ports[count:], strict=True)]
    arguments = [state, "void *arena", *sizes, *inputs, *outputs]
    name = f"@_{function.name}"
    memory = "on the device" if device else "of scratch memory"
    return "\n".join(
        [
            f"/* Bytes {memory} that a call needs; 0 where the dims are wrong. */",
            _declaration(f"$_API size_t {name}_arena_size", sizes or ["void"]),
            "",
            _comment(_about(function, names, device)).rstrip(),
            _declaration(f"$_API int32_t {name}", arguments),
            *([] if device else [_declaration(f"$_API int32_t {name}_with", ["const @_options *options", *arguments])]),
            "",
        ]
    )


def _input(port: Port, name: str) -> str:
    kind = C_TYPES[port.dtype]
    return f"const {kind} *{name}" if port.shape else f"{kind} {name}"


def _declaration(start: str, arguments: Sequence[str]) -> str:
    whole = [argument.replace(" ", "\0") for argument in arguments]  # an argument stays on its line
    text = f"{start}({', '.join(whole)});"
    lines = textwrap.wrap(text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def _about(function: Function, names: Sequence[str], device: bool) -> list[str]:
    """What a function takes and gives, for a comment."""
    dims, ports = len(function.dims), (*function.inputs, *function.outputs)
    kinds = ["input "] * len(function.inputs) + ["output"] * len(function.outputs)
    return [
        f"{function.name}: {'changes' if function.updates else 'only reads'} the state.",
        *(["    arena: may be null, it is on the device"] if device else []),
        *(f"    dim     {name}{_called(dim, name)}" for dim, name in zip(function.dims, names[:dims], strict=True)),
        *(
            f"    {kind}  {name}: {_type(port)}{_called(port.name, name)}"
            for kind, port, name in zip(kinds, ports, names[dims:], strict=True)
        ),
        *(f"    error   {k}: {_plain(text)}" for k, text in enumerate(function.errors, function.first_error)),
    ]


def _type(port: Port) -> str:
    """An element type and a shape: f32[batch, 8, 8]."""
    shape = f"[{', '.join(map(str, port.shape))}]" if port.shape else ""
    return _plain(f"{port.dtype}{shape}")


def _called(name: str, known: str) -> str:
    return "" if name == known else f" (there called {_plain(name)})"
