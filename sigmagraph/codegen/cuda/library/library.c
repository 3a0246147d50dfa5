#include "@.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef $_LINK_DRIVER
#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif
#endif

#ifdef _WIN32
#define SG_DRIVER_CALL __stdcall
#else
#define SG_DRIVER_CALL
#endif

/* What is used of the CUDA driver. Its handles are pointers, its addresses numbers of 64 bits, its results ints. */
#define SG_DRIVER(X) \
    X(cuInit, (unsigned flags)) \
    X(cuGetErrorString, (int code, const char **text)) \
    X(cuDeviceGetCount, (int *count)) \
    X(cuDeviceGet, (int *device, int number)) \
    X(cuDeviceGetName, (char *name, int size, int device)) \
    X(cuDeviceGetAttribute, (int *value, int attribute, int device)) \
    X(cuDevicePrimaryCtxRetain, (void **context, int device)) \
    X(cuDevicePrimaryCtxRelease_v2, (int device)) \
    X(cuCtxPushCurrent_v2, (void *context)) \
    X(cuCtxPopCurrent_v2, (void **context)) \
    X(cuStreamCreate, (void **stream, unsigned flags)) \
    X(cuStreamDestroy_v2, (void *stream)) \
    X(cuStreamSynchronize, (void *stream)) \
    X(cuStreamBeginCapture_v2, (void *stream, int mode)) \
    X(cuStreamEndCapture, (void *stream, void **graph)) \
    X(cuGraphInstantiateWithFlags, (void **ready, void *graph, unsigned long long flags)) \
    X(cuGraphLaunch, (void *ready, void *stream)) \
    X(cuGraphDestroy, (void *graph)) \
    X(cuGraphExecDestroy, (void *ready)) \
    X(cuMemAlloc_v2, (uint64_t *address, size_t size)) \
    X(cuMemFree_v2, (uint64_t address)) \
    X(cuMemGetInfo_v2, (size_t *free_bytes, size_t *all)) \
    X(cuMemcpyHtoDAsync_v2, (uint64_t target, const void *source, size_t size, void *stream)) \
    X(cuMemcpyDtoHAsync_v2, (void *target, uint64_t source, size_t size, void *stream)) \
    X(cuMemcpyDtoDAsync_v2, (uint64_t target, uint64_t source, size_t size, void *stream)) \
    X(cuMemsetD8Async, (uint64_t target, unsigned char byte, size_t size, void *stream)) \
    X(cuModuleLoadDataEx, (void **module, const void *image, unsigned count, int *options, void **values)) \
    X(cuModuleUnload, (void *module)) \
    X(cuModuleGetFunction, (void **function, void *module, const char *name)) \
    X(cuFuncSetAttribute, (void *function, int attribute, int value)) \
    X(cuLaunchKernel, (void *function, unsigned x, unsigned y, unsigned z, unsigned threads_x, unsigned threads_y, \
        unsigned threads_z, unsigned shared, void *stream, void **arguments, void **extra))

#define SG_FIELD(name, arguments) int(SG_DRIVER_CALL *name) arguments;
typedef struct sg_driver {
    SG_DRIVER(SG_FIELD)
} sg_driver;

enum {
    SG_OUT_OF_MEMORY = 2, /* of the driver's results */
    SG_MAJOR = 75, /* of the attributes of a device: the two numbers of its architecture */
    SG_MINOR = 76,
    SG_MOST_SHARED = 8, /* of the attributes of a function: bytes of shared memory */
    SG_USUAL_SHARED = 49152, /* that need not be asked for */
    SG_CAPTURED_BY_THREAD = 1,
    SG_APART = 256, /* what begins of inputs, outputs and constants are multiples of */
    SG_REMEMBERED = 4, /* combinations of dims, of each function */
    SG_LISTED = 12, /* kernels in a message */
    SG_MESSAGE = 4096 /* its bytes */
};
#define SG_UP(size) (((size) + (SG_APART - 1)) / SG_APART * SG_APART)
#define SG_AT(address, offset) ((address) + (uint64_t)(offset))
#define SG_WORDS(...) ((const uint64_t[]){__VA_ARGS__})
#define SG_TRY(action) \
    do { \
        const int32_t tried = (action); \
        if (tried) return tried; \
    } while (0)

struct sg_state;

/* A function of a module: what the driver calls it, what it is part of, a letter for each argument (P: an address, i: 32
 * bits, q: 64 bits), lines and layers whose nodes it computes, and how it is launched. */
typedef struct sg_kernel {
    const char *symbol, *name, *letters, *nodes;
    int module;
    unsigned threads, shared;
} sg_kernel;

/* What the driver loads: machine code, and assembly for newer devices. */
typedef struct sg_image {
    const char *name;
    const uint64_t *cubin, *ptx;
} sg_image;

typedef struct sg_port {
    const char *name;
    unsigned item; /* bytes of an element */
} sg_port;

/* A function that the host calls: its ports are inputs, then outputs. */
typedef struct sg_program {
    const char *name;
    int dims, inputs, outputs;
    const char *const *dim_names;
    const sg_port *ports;
    int32_t (*check)(struct sg_state *s, const int64_t *dims);
    int64_t (*place)(const int64_t *dims, int64_t *at, int64_t *bytes); /* of all ports; how much memory in all */
    int64_t (*slots)(const int64_t *dims, int64_t *bytes); /* of the pieces of the arena; how much that is in all */
    const int *users; /* of each of these pieces the first kernel, or -1 */
    int slot_count;
    int32_t (*run)(struct sg_state *s, const int64_t *dims, uint64_t base, const int64_t *at);
    int32_t (*ahead)(struct sg_state *s); /* what depends on the state alone; may be null */
    int checked, updates, outdates;
    int64_t flow; /* where its flow of control lies among the constants */
    int32_t first_check; /* the status of its first check */
} sg_program;

/* A function with dims that it was called with: what it does, captured. */
typedef struct sg_bound {
    int64_t dims[SG_DIMS];
    int used, runs;
    void *graph;
} sg_bound;

typedef struct sg_state {
    uint64_t model;
    sg_driver driver;
    void *library, *context, *stream;
    int device, ready, begun, waits;
    int64_t launched;
    void *modules[SG_PROGRAMS];
    void *functions[SG_KERNELS];
    uint64_t values, constants, block; /* addresses of memory on the device */
    int64_t block_size;
    int64_t count; /* of updates */
    int fresh[SG_PROGRAMS]; /* whether what was done ahead is up to date */
    int next[SG_PROGRAMS];
    sg_bound bound[SG_PROGRAMS][SG_REMEMBERED];
    int unwaited; /* the number, from 1, of a program that began since the device was waited for last */
    int blamed; /* the number, from 1, of a kernel that is known to have failed */
    char message[SG_MESSAGE];
} sg_state;

/* One call of the self-test. */
typedef struct sg_trial {
    int program;
    const int64_t *dims, *places; /* of the ports in the memory of the test */
    size_t bytes;
    const uint64_t *inputs, *outputs, *updates, *wanted;
    int64_t input_count, output_count, update_count;
} sg_trial;

typedef struct sg_error {
    int32_t status;
    const char *text;
} sg_error;

/* ---- tables */

SG_TABLES

/* ---- whole numbers */

static inline int64_t sg_floor(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static inline int64_t sg_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t sg_most(int64_t a, int64_t b) { return a < b ? b : a; }

/* ---- errors */

/* Put words behind those of the message. If there is no room for all of them it ends with dots, and not within a letter. */
static void sg_add(sg_state *s, const char *format, va_list arguments) {
    const size_t length = strlen(s->message), room = sizeof s->message - length;
    size_t end = sizeof s->message - sizeof "...";
    const int added = vsnprintf(s->message + length, room, format, arguments);
    if (added >= 0 && (size_t)added < room) return;
    while (end && (s->message[end] & 0xc0) == 0x80) --end; /* not the first byte of a letter */
    memcpy(s->message + end, "...", sizeof "...");
}

static void sg_say(sg_state *s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    sg_add(s, format, arguments);
    va_end(arguments);
}

/* Take note of what went wrong, and give the status. The state may be null. */
static int32_t sg_refused(sg_state *s, int32_t status, const char *format, ...) {
    va_list arguments;
    if (!s) return status;
    s->message[0] = 0;
    va_start(arguments, format);
    sg_add(s, format, arguments);
    va_end(arguments);
    return status;
}

/* A kernel, and where what it computes comes from. */
static void sg_say_kernel(sg_state *s, int number) {
    const sg_kernel *kernel = &sg_kernels[number];
    const char *open = *kernel->nodes ? " (" : "", *close = *kernel->nodes ? ")" : "";
    sg_say(s, "'%s' of '%s'%s%s%s", kernel->name, sg_images[kernel->module].name, open, kernel->nodes, close);
}

/* What a result of the driver may come from besides: drivers tell of kernels that failed when they are asked for something. */
static void sg_say_suspects(sg_state *s) {
    int n, end, first = 0;
    if (s->blamed) {
        sg_say(s, "; before that failed ");
        sg_say_kernel(s, s->blamed - 1);
        return;
    }
    while (first < SG_KERNELS && sg_kernels[first].module != s->unwaited - 1) ++first;
    for (end = first; end < SG_KERNELS && sg_kernels[end].module == s->unwaited - 1;) ++end; /* a program's are together */
    if (first == end || !*sg_kernels[first].symbol) return;
    sg_say(s, "; it may be one of %d kernels that were not waited for: ", end - first);
    for (n = first; n < end && n < first + SG_LISTED; ++n) {
        if (n > first) sg_say(s, ", ");
        sg_say_kernel(s, n);
    }
    if (n < end) sg_say(s, ", and %d more", end - n);
}

/* Put the driver's words for a result behind what was said; the status. */
static int32_t sg_told(sg_state *s, int code) {
    const char *text = "";
    if (s->driver.cuGetErrorString(code, &text) || !text) text = "";
    sg_say(s, ": %s (result %d of the driver)", text, code);
    if (code == SG_OUT_OF_MEMORY) return $_ERROR_MEMORY;
    return s->ready ? $_ERROR_LAUNCH : $_ERROR_DEVICE;
}

/* Take note of what the driver did not do. */
static int32_t sg_failed(sg_state *s, int code, const char *format, ...) {
    va_list arguments;
    int32_t status;
    s->message[0] = 0;
    va_start(arguments, format);
    sg_add(s, format, arguments);
    va_end(arguments);
    status = sg_told(s, code);
    if (status != $_ERROR_MEMORY) sg_say_suspects(s);
    return status;
}

/* The same of a kernel, and how much of something it was to have. */
static int32_t sg_failed_kernel(sg_state *s, int code, int number, const char *what, int64_t count, const char *unit) {
    const sg_kernel *kernel = &sg_kernels[number];
    int32_t status;
    s->message[0] = 0;
    sg_say(s, "the device %s the kernel '%s' of '%s' (%s, %lld %s)", what, kernel->name, sg_images[kernel->module].name,
        kernel->symbol, (long long)count, unit);
    status = sg_told(s, code);
    if (*kernel->nodes) sg_say(s, ", at %s", kernel->nodes);
    sg_say_suspects(s);
    return status;
}

static int32_t sg_too_large(sg_state *s, const char *what, int64_t size) {
    return sg_refused(s, $_ERROR_DIMS, "%s: less than %lld are expected, here are %lld", what, (long long)SG_LIMIT, (long long)size);
}

/* ---- work for the device, in the order in which it is asked for */

static int32_t sg_wait(sg_state *s, const char *what) {
    const int code = s->driver.cuStreamSynchronize(s->stream);
    if (code) return sg_failed(s, code, "the device failed in %s", what);
    s->unwaited = s->blamed = 0;
    return $_OK;
}

static int32_t sg_move(sg_state *s, uint64_t target, uint64_t source, int64_t size) {
    int code;
    if (!size) return $_OK;
    ++s->launched;
    code = s->driver.cuMemcpyDtoDAsync_v2(target, source, (size_t)size, s->stream);
    if (code) return sg_failed(s, code, "the device refuses a copy of %lld bytes", (long long)size);
    return s->waits ? sg_wait(s, "a copy") : $_OK;
}

static int32_t sg_upload(sg_state *s, uint64_t target, const void *source, int64_t size, const char *what) {
    const int code = size ? s->driver.cuMemcpyHtoDAsync_v2(target, source, (size_t)size, s->stream) : 0;
    return code ? sg_failed(s, code, "'%s', %lld bytes, cannot be copied to the device", what, (long long)size) : $_OK;
}

static int32_t sg_download(sg_state *s, void *target, uint64_t source, int64_t size, const char *what) {
    const int code = size ? s->driver.cuMemcpyDtoHAsync_v2(target, source, (size_t)size, s->stream) : 0;
    return code ? sg_failed(s, code, "'%s', %lld bytes, cannot be copied from the device", what, (long long)size) : $_OK;
}

/* Launch a kernel with a word for each of its arguments; none where there are no blocks. */
static int32_t sg_launch(sg_state *s, int number, int64_t blocks, const uint64_t *words) {
    const sg_kernel *kernel = &sg_kernels[number];
    const char *letter;
    unsigned char buffer[SG_ARGUMENTS];
    size_t size = 0;
    void *extra[5];
    int32_t status;
    int code;
    if (blocks <= 0) return $_OK;
    if (blocks >= SG_LIMIT) return sg_too_large(s, kernel->name, blocks);
    for (letter = kernel->letters; *letter; ++letter, ++words) {
        const uint32_t narrow = (uint32_t)*words;
        if (*letter == 'i') {
            memcpy(buffer + size, &narrow, sizeof narrow);
            size += sizeof narrow;
        } else {
            size = (size + 7) / 8 * 8;
            memcpy(buffer + size, words, sizeof *words);
            size += sizeof *words;
        }
    }
    extra[0] = (void *)1; /* where the arguments are */
    extra[1] = buffer;
    extra[2] = (void *)2; /* and how many bytes they have */
    extra[3] = &size;
    extra[4] = NULL;
    ++s->launched;
    code = s->driver.cuLaunchKernel(s->functions[number], (unsigned)blocks, 1, 1, kernel->threads, 1, 1, kernel->shared,
        s->stream, NULL, extra);
    if (code) return sg_failed_kernel(s, code, number, "refuses", blocks, "blocks");
    if (!s->waits) return $_OK;
    code = s->driver.cuStreamSynchronize(s->stream);
    if (!code) return $_OK;
    status = sg_failed_kernel(s, code, number, "failed in", blocks, "blocks");
    s->blamed = number + 1;
    return status;
}

/* ---- native routines */

SG_ROUTINES

/* ---- programs */

SG_PLANS

/* ---- the device */

#ifdef $_LINK_DRIVER

#define SG_DECLARE(name, arguments) extern int SG_DRIVER_CALL name arguments;
SG_DRIVER(SG_DECLARE)

static int32_t sg_find_driver(sg_state *s) {
#define SG_TAKE(name, arguments) s->driver.name = name;
    SG_DRIVER(SG_TAKE)
    return $_OK;
}

static void sg_leave_driver(sg_state *s) { (void)s; }

#else

static int32_t sg_find_driver(sg_state *s) {
    void *symbol;
#ifdef _WIN32
    s->library = (void *)LoadLibraryA("nvcuda.dll");
    if (!s->library)
        return sg_refused(s, $_ERROR_DEVICE, "there is no CUDA driver: nvcuda.dll cannot be loaded (error %lu)", (unsigned long)GetLastError());
#define SG_SYMBOL(name) (void *)GetProcAddress((HMODULE)s->library, name)
#else
    s->library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!s->library) return sg_refused(s, $_ERROR_DEVICE, "there is no CUDA driver: %s", dlerror());
#define SG_SYMBOL(name) dlsym(s->library, name)
#endif
#define SG_FIND(name, arguments) \
    symbol = SG_SYMBOL(#name); \
    if (!symbol) return sg_refused(s, $_ERROR_DEVICE, "the CUDA driver is too old: it has no " #name); \
    memcpy(&s->driver.name, &symbol, sizeof symbol);
    SG_DRIVER(SG_FIND)
    return $_OK;
}

static void sg_leave_driver(sg_state *s) {
#ifdef _WIN32
    if (s->library) FreeLibrary((HMODULE)s->library);
#else
    if (s->library) dlclose(s->library);
#endif
}

#endif

static int32_t sg_allocate(sg_state *s, uint64_t *address, int64_t size, const char *what) {
    size_t left = 0, all = 0;
    const int code = s->driver.cuMemAlloc_v2(address, size ? (size_t)size : 1);
    if (!code) return $_OK;
    *address = 0;
    if (code != SG_OUT_OF_MEMORY) return sg_failed(s, code, "%lld bytes for %s cannot be had", (long long)size, what);
    s->driver.cuMemGetInfo_v2(&left, &all);
    return sg_failed(s, code, "the device has no %lld bytes for %s; %llu of %llu are free", (long long)size, what,
        (unsigned long long)left, (unsigned long long)all);
}

/* Whether machine code (1) or assembly (2) is for a device; 0 if neither is. */
static int sg_kind(int major, int minor) {
    const int newer = major > SG_ARCH_MAJOR || (major == SG_ARCH_MAJOR && minor >= SG_ARCH_MINOR);
    if (major == SG_ARCH_MAJOR && (SG_ARCH_ALONE ? minor == SG_ARCH_MINOR : minor >= SG_ARCH_MINOR)) return 1;
    return newer && !SG_ARCH_ALONE ? 2 : 0;
}

static int32_t sg_load(sg_state *s, int module, int kind) {
    char log[512] = "";
    int options[2] = {5, 6}; /* where the assembler writes errors, and how many bytes there are */
    void *values[2];
    const sg_image *image = &sg_images[module];
    int code;
    values[0] = log;
    values[1] = (void *)(uintptr_t)sizeof log;
    code = s->driver.cuModuleLoadDataEx(&s->modules[module], kind == 1 ? image->cubin : image->ptx, 2, options, values);
    if (!code) return $_OK;
    s->modules[module] = NULL;
    log[sizeof log - 1] = 0;
    return sg_failed(s, code, "the device does not take the %s of '%s' for " SG_ARCH "%s%s", kind == 1 ? "code" : "assembly", image->name,
        *log ? ": " : "", log);
}

static int32_t sg_get_functions(sg_state *s) {
    int n, code;
    for (n = 0; n < SG_KERNELS && *sg_kernels[n].symbol; ++n) {
        const sg_kernel *kernel = &sg_kernels[n];
        code = s->driver.cuModuleGetFunction(&s->functions[n], s->modules[kernel->module], kernel->symbol);
        if (!code && kernel->shared > SG_USUAL_SHARED)
            code = s->driver.cuFuncSetAttribute(s->functions[n], SG_MOST_SHARED, (int)kernel->shared);
        if (code) return sg_failed_kernel(s, code, n, "does not have", kernel->shared, "bytes of shared memory");
    }
    return $_OK;
}

/* What is done once with the device at hand. */
static int32_t sg_set_up(sg_state *s, int kind) {
    int32_t status;
    int n;
    int code = s->driver.cuStreamCreate(&s->stream, 1); /* which does not wait for the usual stream */
    if (code) return sg_failed(s, code, "a stream cannot be had");
    for (n = 0; n < SG_PROGRAMS && sg_images[n].cubin; ++n) SG_TRY(sg_load(s, n, kind));
    SG_TRY(sg_get_functions(s));
    status = sg_allocate(s, &s->values, SG_VALUES, "the state of '@'");
    if (status == $_ERROR_MEMORY) sg_say(s, "%s", sg_largest_stored);
    if (status) return status;
    SG_TRY(sg_allocate(s, &s->constants, SG_CONSTANTS, "the constants of '@'"));
    code = s->driver.cuMemsetD8Async(s->values, 0, SG_VALUES, s->stream);
    if (code) return sg_failed(s, code, "the state cannot be cleared");
    SG_TRY(sg_upload(s, s->constants, sg_constants, SG_CONSTANTS, "the constants"));
    return sg_wait(s, "the copy of the constants");
}

static int32_t sg_enter(sg_state *s) {
    const int code = s->driver.cuCtxPushCurrent_v2(s->context);
    return code ? sg_failed(s, code, "the device cannot be had in this thread") : $_OK;
}

static void sg_leave(sg_state *s) {
    void *context;
    s->driver.cuCtxPopCurrent_v2(&context);
}

static int32_t sg_open_device(sg_state *s, int32_t number) {
    char name[128] = "";
    int count = 0, major = 0, minor = 0, code, kind;
    int32_t status;
    SG_TRY(sg_find_driver(s));
    code = s->driver.cuInit(0);
    if (!code) code = s->driver.cuDeviceGetCount(&count);
    if (code) return sg_failed(s, code, "the CUDA driver finds no device");
    if (number < 0 || number >= count) return sg_refused(s, $_ERROR_DEVICE, "there is no device %d; the driver knows of %d", (int)number, count);
    code = s->driver.cuDeviceGet(&s->device, number);
    if (!code) code = s->driver.cuDeviceGetName(name, (int)sizeof name, s->device);
    if (!code) code = s->driver.cuDeviceGetAttribute(&major, SG_MAJOR, s->device);
    if (!code) code = s->driver.cuDeviceGetAttribute(&minor, SG_MINOR, s->device);
    if (code) return sg_failed(s, code, "the device %d does not say what it is", (int)number);
    kind = sg_kind(major, minor);
    if (!kind)
        return sg_refused(s, $_ERROR_DEVICE, "the device %d, %s, is sm_%d%d; the library has code for " SG_ARCH "%s", (int)number, name,
            major, minor, SG_ARCH_ALONE ? " alone" : " and newer ones");
    code = s->driver.cuDevicePrimaryCtxRetain(&s->context, s->device);
    if (code) {
        s->context = NULL;
        return sg_failed(s, code, "the device %d, %s, cannot be had", (int)number, name);
    }
    SG_TRY(sg_enter(s));
    status = sg_set_up(s, kind);
    sg_leave(s);
    s->ready = !status;
    return status;
}

/* ---- calls */

static void sg_forget(sg_state *s, sg_bound *bound) {
    if (bound->graph) s->driver.cuGraphExecDestroy(bound->graph);
    memset(bound, 0, sizeof *bound);
}

/* What is remembered of a function with these dims. */
static sg_bound *sg_remembered(sg_state *s, int p, const int64_t *dims) {
    const size_t size = (size_t)sg_programs[p].dims * sizeof *dims;
    sg_bound *bound;
    int n;
    for (n = 0; n < SG_REMEMBERED; ++n) {
        bound = &s->bound[p][n];
        if (bound->used && !memcmp(bound->dims, dims, size)) return bound;
    }
    bound = &s->bound[p][s->next[p]];
    s->next[p] = (s->next[p] + 1) % SG_REMEMBERED;
    sg_forget(s, bound);
    memcpy(bound->dims, dims, size);
    bound->used = 1;
    return bound;
}

/* What a call needs for which there is no memory: the arena, the largest of all, and the least that any call does. */
static void sg_say_needs(sg_state *s, int p, const int64_t *dims) {
    const sg_program *program = &sg_programs[p];
    int64_t at[SG_PORTS], bytes[SG_PORTS], slots[SG_SLOTS], ones[SG_DIMS], largest = 0;
    const int64_t arena = program->slots(dims, slots);
    int n, slot = -1, port = -1;
    for (n = 0; n < SG_DIMS; ++n) ones[n] = 1;
    sg_say(s, "; the arena alone has %lld bytes; %sthe smallest plan is %lld bytes, beside %lld for parameters and constants; "
        "CompileOptions(remat=True) makes arenas smaller", (long long)arena, program->dims ? "with every dim at 1 " : "",
        (long long)program->place(ones, at, bytes), (long long)SG_VALUES + SG_CONSTANTS);
    program->place(dims, at, bytes);
    for (n = 0; n < program->slot_count; ++n)
        if (slots[n] > largest) largest = slots[slot = n];
    for (n = 0; n < program->inputs + program->outputs; ++n)
        if (bytes[n] > largest) largest = bytes[port = n];
    sg_say(s, "; the largest buffer is ");
    if (port >= 0) {
        sg_say(s, "the %s '%s'", port < program->inputs ? "input" : "output", program->ports[port].name);
    } else {
        sg_say(s, "a value of ");
        if (slot >= 0 && program->users[slot] >= 0) sg_say_kernel(s, program->users[slot]);
        else sg_say(s, "'%s'", program->name);
    }
    sg_say(s, ": %lld bytes", (long long)largest);
}

/* Have a block of memory for the arena, inputs and outputs of a call; the one that there was is given up first. */
static int32_t sg_make_room(sg_state *s, int p, const int64_t *dims, int64_t size) {
    const sg_program *program = &sg_programs[p];
    char what[512];
    size_t length;
    int32_t status;
    int n, k;
    if (size <= s->block_size) return $_OK;
    for (n = 0; n < SG_PROGRAMS; ++n)
        for (k = 0; k < SG_REMEMBERED; ++k) sg_forget(s, &s->bound[n][k]);
    if (s->block) s->driver.cuMemFree_v2(s->block);
    s->block = 0;
    s->block_size = 0;
    snprintf(what, sizeof what, "the arena, inputs and outputs of '%s'", program->name);
    for (n = 0; n < program->dims; ++n) {
        length = strlen(what);
        snprintf(what + length, sizeof what - length, "%s%s = %lld", n ? ", " : " with ", program->dim_names[n], (long long)dims[n]);
    }
    status = sg_allocate(s, &s->block, size, what);
    if (status == $_ERROR_MEMORY) sg_say_needs(s, p, dims);
    if (status) return status;
    s->block_size = size;
    return $_OK;
}

/* Run a program: for the first time kernel by kernel, each of which is waited for, so that one that fails is known; then
 * it is captured, and done again as a whole. */
static int32_t sg_execute(sg_state *s, int p, const int64_t *dims, const int64_t *at) {
    const sg_program *program = &sg_programs[p];
    sg_bound *bound = sg_remembered(s, p, dims);
    void *graph = NULL;
    int32_t status;
    int code, ended;
    if (!bound->runs) {
        SG_TRY(sg_wait(s, "what was asked for before"));
        s->launched = 0;
        s->waits = 1;
        status = program->run(s, dims, s->block, at);
        s->waits = 0;
        bound->runs = !status && s->launched;
        return status;
    }
    if (!bound->graph) {
        code = s->driver.cuStreamBeginCapture_v2(s->stream, SG_CAPTURED_BY_THREAD);
        if (code) return sg_failed(s, code, "'%s' cannot be captured", program->name);
        status = program->run(s, dims, s->block, at);
        ended = s->driver.cuStreamEndCapture(s->stream, &graph);
        if (graph && (status || ended)) s->driver.cuGraphDestroy(graph);
        if (status) return status;
        if (ended) return sg_failed(s, ended, "'%s' cannot be captured", program->name);
        code = s->driver.cuGraphInstantiateWithFlags(&bound->graph, graph, 0);
        s->driver.cuGraphDestroy(graph);
        if (code) {
            bound->graph = NULL;
            return sg_failed(s, code, "what was captured of '%s' cannot be used", program->name);
        }
    }
    code = s->driver.cuGraphLaunch(bound->graph, s->stream);
    s->unwaited = p + 1;
    return code ? sg_failed(s, code, "the device failed when '%s' began", program->name) : $_OK;
}

static int32_t sg_do_ahead(sg_state *s, int p) {
    if (!sg_programs[p].ahead || s->fresh[p]) return $_OK;
    if (!s->waits) s->unwaited = p + 1;
    SG_TRY(sg_programs[p].ahead(s));
    s->fresh[p] = 1;
    return $_OK;
}

/* A call with the device at hand. */
static int32_t sg_run(sg_state *s, int p, const int64_t *dims, const void *const *in, void *const *out, const int64_t *at, const int64_t *bytes) {
    const sg_program *program = &sg_programs[p];
    const sg_port *ports = program->ports;
    int32_t check = 0;
    int n;
    SG_TRY(sg_do_ahead(s, p));
    for (n = 0; n < program->inputs; ++n) SG_TRY(sg_upload(s, SG_AT(s->block, at[n]), in[n], bytes[n], ports[n].name));
    SG_TRY(sg_execute(s, p, dims, at));
    for (n = 0; n < program->outputs; ++n) {
        const int k = program->inputs + n;
        SG_TRY(sg_download(s, out[n], SG_AT(s->block, at[k]), bytes[k], ports[k].name));
    }
    if (program->checked) SG_TRY(sg_download(s, &check, SG_AT(s->constants, program->flow), (int64_t)sizeof check, "the status"));
    SG_TRY(sg_wait(s, program->name));
    if (check) {
        check += program->first_check - 1;
        return sg_refused(s, check, "%s; the state is as it was", @_error(check));
    }
    if (program->updates) ++s->count;
    if (program->outdates) memset(s->fresh, 0, sizeof s->fresh);
    return $_OK;
}

/* Whether a state can be used, and is not in the midst of a message of old. */
static int32_t sg_known(sg_state *s) {
    if (!s) return $_ERROR_NULL;
    if ((uintptr_t)s % 8 || s->model != SG_MODEL) return $_ERROR_STATE;
    if (!s->ready) return $_ERROR_STATE; /* its message says why it was not opened */
    s->message[0] = 0;
    return $_OK;
}

static int32_t sg_call(sg_state *s, int p, const int64_t *dims, const void *const *in, void *const *out) {
    const sg_program *program = &sg_programs[p];
    int64_t at[SG_PORTS], bytes[SG_PORTS], size;
    int32_t status;
    int n;
    SG_TRY(sg_known(s));
    if (!s->begun) return sg_refused(s, $_ERROR_STATE, "the state has no values yet: read a file");
    SG_TRY(program->check(s, dims));
    size = program->place(dims, at, bytes);
    for (n = 0; n < program->inputs + program->outputs; ++n) {
        const uintptr_t place = (uintptr_t)(n < program->inputs ? in[n] : out[n - program->inputs]);
        if (bytes[n] && !place) return sg_refused(s, $_ERROR_NULL, "'%s' is null", program->ports[n].name);
        if (place % program->ports[n].item) return sg_refused(s, $_ERROR_ALIGNMENT, "'%s' is at an odd address", program->ports[n].name);
    }
    SG_TRY(sg_enter(s));
    status = sg_make_room(s, p, dims, size);
    if (!status) status = sg_run(s, p, dims, in, out, at, bytes);
    sg_leave(s);
    return status;
}

static size_t sg_size(int p, const int64_t *dims) {
    int64_t at[SG_PORTS], bytes[SG_PORTS];
    (void)sg_floor; /* some libraries do without these */
    (void)sg_least;
    (void)sg_move;
    return sg_programs[p].check(NULL, dims) ? 0 : (size_t)sg_programs[p].place(dims, at, bytes);
}

/* ---- states */

/* Take over values that lie as they do on the device. */
static int32_t sg_put_values(sg_state *s, const unsigned char *values) {
    int32_t status;
    SG_TRY(sg_enter(s));
    status = sg_upload(s, s->values, values, SG_STORED, "the state");
    if (!status) status = sg_wait(s, "the copy of the state");
    sg_leave(s);
    if (status) return status;
    if (SG_COUNTER >= 0) memcpy(&s->count, values + sg_most(SG_COUNTER, 0), sizeof s->count);
    memset(s->fresh, 0, sizeof s->fresh);
    s->begun = 1;
    return $_OK;
}

static int32_t sg_get_values(sg_state *s, unsigned char *values) {
    int32_t status;
    SG_TRY(sg_enter(s));
    status = sg_download(s, values, s->values, SG_STORED, "the state");
    if (!status) status = sg_wait(s, "the copy of the state");
    sg_leave(s);
    if (!status && SG_COUNTER >= 0) memcpy(values + sg_most(SG_COUNTER, 0), &s->count, sizeof s->count);
    return status;
}

static int32_t sg_no_memory(sg_state *s, size_t size, const char *what) {
    return sg_refused(s, $_ERROR_MEMORY, "the host has no %llu bytes for %s", (unsigned long long)size, what);
}

uint32_t @_abi_version(void) { return $_ABI_VERSION; }

const char *@_info_json(void) { return (const char *)sg_info; }

const char *@_error(int32_t status) {
    size_t n;
    for (n = 0; n < sizeof sg_errors / sizeof *sg_errors; ++n)
        if (sg_errors[n].status == status) return sg_errors[n].text;
    return "unknown error";
}

int32_t @_state_open(void **state, int32_t device) {
    sg_state *s;
    if (!state) return $_ERROR_NULL;
    *state = s = (sg_state *)calloc(1, sizeof *s);
    if (!s) return $_ERROR_MEMORY;
    s->model = SG_MODEL;
    return sg_open_device(s, device);
}

int32_t @_state_close(void *state) {
    sg_state *s = (sg_state *)state;
    int n, k;
    if (!s) return $_OK;
    if (s->model != SG_MODEL) return $_ERROR_STATE;
    if (s->context && !s->driver.cuCtxPushCurrent_v2(s->context)) {
        if (s->stream) s->driver.cuStreamSynchronize(s->stream);
        for (n = 0; n < SG_PROGRAMS; ++n) {
            for (k = 0; k < SG_REMEMBERED; ++k) sg_forget(s, &s->bound[n][k]);
            if (s->modules[n]) s->driver.cuModuleUnload(s->modules[n]);
        }
        if (s->block) s->driver.cuMemFree_v2(s->block);
        if (s->constants) s->driver.cuMemFree_v2(s->constants);
        if (s->values) s->driver.cuMemFree_v2(s->values);
        if (s->stream) s->driver.cuStreamDestroy_v2(s->stream);
        sg_leave(s);
    }
    if (s->context) s->driver.cuDevicePrimaryCtxRelease_v2(s->device);
    sg_leave_driver(s);
    memset(s, 0, sizeof *s);
    free(s);
    return $_OK;
}

const char *@_state_message(const void *state) {
    const sg_state *s = (const sg_state *)state;
    return s && s->model == SG_MODEL ? s->message : "";
}

size_t @_state_size(void) { return SG_VALUES; }

size_t @_state_file_size(void) { return SG_FILE; }

int32_t @_state_init(void *state) {
    sg_state *s = (sg_state *)state;
    SG_TRY(sg_known(s));
    return SG_EMBEDDED ? sg_put_values(s, (const unsigned char *)sg_weights) : $_ERROR_WEIGHTS;
}

int32_t @_state_read(void *state, const void *bytes, size_t size) {
    sg_state *s = (sg_state *)state;
    unsigned char *values;
    int32_t status;
    SG_TRY(sg_known(s));
    if (!bytes) return $_ERROR_NULL;
    if (size > INT64_MAX / 2) return $_ERROR_FILE;
    values = (unsigned char *)calloc(1, SG_STORED);
    if (!values) return sg_no_memory(s, SG_STORED, "the state");
    status = rt_state_read((unsigned char *)bytes, (int64_t)size, (unsigned char *)sg_state_table, (unsigned char *)sg_state_text, values);
    if (status) status = sg_refused(s, status, "%s", @_error(status));
    else status = sg_put_values(s, values);
    free(values);
    return status ? status : @_state_prepare(state);
}

int32_t @_state_write(const void *state, void *bytes, size_t size) {
    sg_state *s = (sg_state *)state;
    unsigned char *values;
    int32_t status;
    SG_TRY(sg_known(s));
    if (!bytes) return $_ERROR_NULL;
    if (size < SG_FILE) return $_ERROR_SIZE;
    if (!s->begun) return sg_refused(s, $_ERROR_STATE, "the state has no values yet: read a file");
    values = (unsigned char *)malloc(SG_STORED);
    if (!values) return sg_no_memory(s, SG_STORED, "the state");
    status = sg_get_values(s, values);
    if (!status)
        status = rt_state_write((unsigned char *)sg_state_table, (unsigned char *)sg_state_text, values, (unsigned char *)bytes, SG_FILE);
    free(values);
    return status;
}

int32_t @_state_prepare(void *state) {
    sg_state *s = (sg_state *)state;
    int32_t status;
    int p;
    SG_TRY(sg_known(s));
    if (!s->begun) return sg_refused(s, $_ERROR_STATE, "the state has no values yet: read a file");
    SG_TRY(sg_enter(s));
    status = sg_wait(s, "what was asked for before");
    s->waits = 1;
    for (p = 0; !status && p < SG_PROGRAMS && sg_programs[p].name; ++p) status = sg_do_ahead(s, p);
    s->waits = 0;
    sg_leave(s);
    return status;
}

/* ---- the self-test */

/* One call with numbers made up; values has room for the state before it and after it. */
static int32_t sg_try(sg_state *s, const sg_trial *trial, unsigned char *values, unsigned char *memory) {
    const sg_program *program = &sg_programs[trial->program];
    unsigned char *wanted = (unsigned char *)trial->wanted, *later = values + SG_STORED;
    const void *in[SG_PORTS];
    void *out[SG_PORTS];
    int n;
    memset(values, 0, SG_STORED);
    rt_fill_values(values, (unsigned char *)sg_made, SG_STORED_COUNT);
    SG_TRY(sg_put_values(s, values));
    rt_fill_values(memory, (unsigned char *)trial->inputs, trial->input_count);
    for (n = 0; n < program->inputs; ++n) in[n] = memory + trial->places[n];
    for (n = 0; n < program->outputs; ++n) out[n] = memory + trial->places[program->inputs + n];
    SG_TRY(sg_call(s, trial->program, trial->dims, in, out));
    SG_TRY(sg_get_values(s, later));
    if (rt_all_equal(memory, (unsigned char *)trial->outputs, trial->output_count, wanted) ||
        rt_all_moved(values, later, (unsigned char *)trial->updates, trial->update_count, wanted))
        return sg_refused(s, $_ERROR_SELFTEST, "'%s' computes something else on this device", program->name);
    return $_OK;
}

int32_t @_selftest_run(void *state) {
    sg_state *s = (sg_state *)state;
    unsigned char *values;
    int32_t status, after;
    int64_t count;
    int n, begun;
    SG_TRY(sg_known(s));
    begun = s->begun;
    count = s->count;
    values = (unsigned char *)calloc(3, SG_STORED);
    if (!values) return sg_no_memory(s, 3 * (size_t)SG_STORED, "the self-test");
    status = begun ? sg_get_values(s, values + 2 * (size_t)SG_STORED) : $_OK;
    for (n = 0; !status && n < SG_TRIALS; ++n) {
        unsigned char *memory = (unsigned char *)calloc(1, sg_trials[n].bytes);
        status = memory ? sg_try(s, &sg_trials[n], values, memory) : sg_no_memory(s, sg_trials[n].bytes, "the self-test");
        free(memory);
    }
    after = sg_put_values(s, values + 2 * (size_t)SG_STORED);
    s->begun = begun;
    s->count = count;
    free(values);
    return status ? status : after;
}

/* ---- functions */

SG_FUNCTIONS
