/* net: made by sigmagraph 0.1.0 for x86_64-unknown-linux-gnu (x86-64).
 *
 * Needs nothing but the library: cc main.c -I. -L. -lnet -o main
 *
 *     void *state = malloc(net_state_size());
 *     int32_t status = net_state_load(state, "net.safetensors");
 *     void *arena = malloc(net_predict_arena_size(batch));
 *     if (!status) status = net_predict(state, arena, batch, inputs, prediction);
 *     if (status) puts(net_error(status));
 *
 * All memory is the caller's: the state, and an arena that no two calls use at the same time. Functions return a
 * status, 0 where all went well. Arrays lie in memory row by row, each element at a multiple of its size; f16
 * and bf16 are handed over as the bits of a uint16_t, and a bool as a uint8_t that is 0 or 1. Outputs do not
 * overlap with anything else. A state may be read by several threads at the same time, or be written by one. */

#ifndef NET_H
#define NET_H

#include <stddef.h>
#include <stdint.h>

/* Define NET_SHARED before the inclusion if a program for Windows uses the DLL. */
#ifndef NET_API
#if defined(_WIN32) && defined(NET_SHARED)
#define NET_API __declspec(dllimport)
#else
#define NET_API
#endif
#endif

#define NET_ABI_VERSION 1u
#define NET_THREADS 1 /* that may take part in a call */

/* What functions return. */
enum {
    NET_OK = 0, /* no error */
    NET_ERROR_NULL = 1, /* a pointer is null */
    NET_ERROR_DIMS = 2, /* a dim is negative, or so large that the memory for it cannot be addressed */
    NET_ERROR_ARENA = 3, /* the arena is smaller than the function needs for these dims */
    NET_ERROR_STATE = 4, /* the state was not initialised, or is that of another model */
    NET_ERROR_FILE = 5, /* these are not the bytes of a whole safetensors file */
    NET_ERROR_MODEL = 6, /* the file holds the state of another model */
    NET_ERROR_OPTIONS = 7, /* the options have a size or a field that this library does not know */
    NET_ERROR_ALIGNMENT = 8, /* a pointer is not aligned to the size of an element, or a state to 8 bytes */
    NET_ERROR_WEIGHTS = 9, /* no weights are embedded: read a state from a file */
    NET_ERROR_SELFTEST = 10, /* the library computes something else on this machine than it should */
    NET_ERROR_SIZE = 11, /* the memory is too small for the result */
    NET_ERROR_THREADS = 12, /* threads cannot be started */
    NET_ERROR_IO = 13, /* the file cannot be read or written */
    NET_ERROR_MEMORY = 14, /* there is not enough memory */
    NET_ERROR_PROCESSOR = 15, /* the processor lacks instructions that the library is made of */
    NET_ERROR_EVALUATE_1 = 100, /* an index is out of range, 0 .. 2 (at "make.py":23 "net/3-softmaxcrossentropy") */
    NET_ERROR_TRAIN_STEP_1 = 101 /* an index is out of range, 0 .. 2 (at "make.py":23 "net/3-softmaxcrossentropy") */
};

#ifdef __cplusplus
extern "C" {
#endif

/* Work that is cut into pieces: a call does the pieces from begin up to, and without, end. */
typedef void (*net_task)(void *task, int64_t begin, int64_t end, int32_t worker);

/* A host's own way to spread work. It calls run(task, begin, end, worker) so that all of 0 .. count - 1 is done once,
 * and returns when it is done. A worker is one of 0 .. NET_THREADS - 1; no two calls with one worker run at once. */
typedef void (*net_parallel_for)(void *context, int64_t count, net_task run, void *task);

/* How a function is called; what is 0 or null is as if it were not told. */
typedef struct net_options {
    size_t size; /* sizeof(net_options) */
    size_t arena_size; /* bytes at arena, to be compared with what the call needs */
    void *threads; /* memory of threads that have been started */
    net_parallel_for parallel_for; /* instead of threads: the host's own */
    void *context; /* handed over to parallel_for */
} net_options;

/* The number that NET_ABI_VERSION has in the library's own header. */
NET_API uint32_t net_abi_version(void);

/* What the library offers: one line of JSON. */
NET_API const char *net_info_json(void);

/* What a status means, in words. */
NET_API const char *net_error(int32_t status);

/* Bytes of a state. The memory is the caller's, at any address that is a multiple of 8; it may be copied to another. */
NET_API size_t net_state_size(void);

/* Begin with the values that were exported: they are not in this library, read a file instead. */
NET_API int32_t net_state_init(void *state);

/* Bytes of a state as a safetensors file. */
NET_API size_t net_state_file_size(void);

/* Take a state from the bytes of a safetensors file. Where that fails the state stays as it was. */
NET_API int32_t net_state_read(void *state, const void *bytes, size_t size);

/* Write a state as the bytes of a safetensors file; size is that of the memory at bytes. */
NET_API int32_t net_state_write(const void *state, void *bytes, size_t size);

/* Do ahead, once for many calls, what depends on the state alone: calls of functions that only read are faster then.
 * Functions that write the state undo it. */
NET_API int32_t net_state_prepare(void *state);

/* Bytes that a self-test needs. */
NET_API size_t net_selftest_size(void);

/* Compute what was computed at export, in the memory given, and compare. */
NET_API int32_t net_selftest_run(void *memory, size_t size);

/* Bytes of scratch memory that a call needs; 0 where the dims are wrong. */
NET_API size_t net_predict_arena_size(int64_t batch);

/* predict: only reads the state.
 *     dim     batch
 *     input   inputs: f32[batch, 6]
 *     output  prediction: f32[batch, 3] */
NET_API int32_t net_predict(const void *state, void *arena, int64_t batch, const float *inputs,
    float *prediction);
NET_API int32_t net_predict_with(const net_options *options, const void *state, void *arena, int64_t batch,
    const float *inputs, float *prediction);

/* Bytes of scratch memory that a call needs; 0 where the dims are wrong. */
NET_API size_t net_evaluate_arena_size(int64_t batch);

/* evaluate: only reads the state.
 *     dim     batch
 *     input   inputs: f32[batch, 6]
 *     input   targets: i32[batch]
 *     output  cost: f32
 *     error   100: an index is out of range, 0 .. 2 (at "make.py":23 "net/3-softmaxcrossentropy") */
NET_API int32_t net_evaluate(const void *state, void *arena, int64_t batch, const float *inputs,
    const int32_t *targets, float *cost);
NET_API int32_t net_evaluate_with(const net_options *options, const void *state, void *arena, int64_t batch,
    const float *inputs, const int32_t *targets, float *cost);

/* Bytes of scratch memory that a call needs; 0 where the dims are wrong. */
NET_API size_t net_train_step_arena_size(int64_t batch);

/* train_step: changes the state.
 *     dim     batch
 *     input   inputs: f32[batch, 6]
 *     input   targets: i32[batch]
 *     input   optimiser_learning_rate: f32 (there called optimiser.learning_rate)
 *     output  cost: f32
 *     error   101: an index is out of range, 0 .. 2 (at "make.py":23 "net/3-softmaxcrossentropy") */
NET_API int32_t net_train_step(void *state, void *arena, int64_t batch, const float *inputs,
    const int32_t *targets, float optimiser_learning_rate, float *cost);
NET_API int32_t net_train_step_with(const net_options *options, void *state, void *arena, int64_t batch,
    const float *inputs, const int32_t *targets, float optimiser_learning_rate, float *cost);

#ifdef __cplusplus
}
#endif

#endif /* NET_H */

#if !defined(NET_NO_STDLIB) && !defined(NET_H_FILES)
#define NET_H_FILES

#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
#define NET_CAST(type, value) static_cast<type>(value)
#else
#define NET_CAST(type, value) ((type)(value))
#endif

#ifdef _MSC_VER
#pragma warning(push)
#pragma warning(disable : 4996) /* fopen is standard C */
#endif

/* Read a state from a safetensors file. Where that fails the state stays as it was. */
static inline int32_t net_state_load(void *state, const char *path) {
    int32_t status = NET_OK;
    size_t capacity = net_state_file_size() + 1, size = 0;
    unsigned char *bytes, *more;
    FILE *file;
    if (!state || !path) return NET_ERROR_NULL;
    file = fopen(path, "rb");
    if (!file) return NET_ERROR_IO;
    bytes = NET_CAST(unsigned char *, malloc(capacity));
    if (!bytes) status = NET_ERROR_MEMORY;
    while (!status) {
        size += fread(bytes + size, 1, capacity - size, file);
        if (ferror(file)) status = NET_ERROR_IO;
        if (status || size < capacity) break;
        /* The file holds more than the state: other arrays, or something else altogether. */
        more = capacity > SIZE_MAX / 2 ? NET_CAST(unsigned char *, 0)
                                       : NET_CAST(unsigned char *, realloc(bytes, 2 * capacity));
        if (more) {
            bytes = more;
            capacity *= 2;
        } else {
            status = NET_ERROR_MEMORY;
        }
    }
    fclose(file);
    if (!status) status = net_state_read(state, bytes, size);
    free(bytes);
    return status;
}

/* Write bytes to a file called part, which then takes the place of the file called path. */
static inline int32_t net_state_put(const void *bytes, size_t size, const char *part, const char *path) {
    int failed;
    FILE *file = fopen(part, "wb");
    if (!file) return NET_ERROR_IO;
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
    return failed ? NET_ERROR_IO : NET_OK;
}

/* Write a state to a safetensors file: first to one with .part behind its name, so that the old one stays whole where
 * that fails. */
static inline int32_t net_state_save(const void *state, const char *path) {
    int32_t status;
    size_t size = net_state_file_size(), length = 0, at;
    unsigned char *bytes;
    char *part;
    if (!state || !path) return NET_ERROR_NULL;
    while (path[length]) ++length;
    bytes = NET_CAST(unsigned char *, malloc(size));
    part = NET_CAST(char *, malloc(length + sizeof ".part"));
    if (bytes && part) {
        for (at = 0; at < length; ++at) part[at] = path[at];
        for (at = 0; at < sizeof ".part"; ++at) part[length + at] = ".part"[at];
        status = net_state_write(state, bytes, size);
        if (!status) status = net_state_put(bytes, size, part, path);
    } else {
        status = NET_ERROR_MEMORY;
    }
    free(part);
    free(bytes);
    return status;
}

/* Compute what was computed at export, and compare. */
static inline int32_t net_selftest(void) {
    int32_t status;
    size_t size = net_selftest_size();
    void *memory = malloc(size ? size : 1);
    if (!memory) return NET_ERROR_MEMORY;
    status = net_selftest_run(memory, size);
    free(memory);
    return status;
}

#ifdef _MSC_VER
#pragma warning(pop)
#endif

#undef NET_CAST
#endif
