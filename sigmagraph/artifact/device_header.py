"""What the C header of an artifact for devices says in place of that for processors; see :mod:`.header`."""

from __future__ import annotations

USE = "cc main.c @.c -o main, with -ldl where the C library is older than glibc 2.34"

RULES = """\
A state is opened on a device and closed in the end; all that it needs is allocated there by the library. Inputs and
outputs are the caller's memory. Functions return a status, 0 where all went well; @_state_message says more about one
that did not. Arrays lie in memory row by row, each element at a multiple of its size; f16 and bf16 are handed over as
the bits of a uint16_t, and a bool as a uint8_t that is 0 or 1. Outputs do not overlap with anything else. A state is
for one call at a time; there may be any number of states.
"""

TYPES = """\
#define $_DEVICE 1 /* programs run on a CUDA device */

#ifdef __cplusplus
extern "C" {
#endif
"""

LIBRARY = """\
/* The number that $_ABI_VERSION has in the library's own header. */
$_API uint32_t @_abi_version(void);

/* What the library offers: one line of JSON. */
$_API const char *@_info_json(void);

/* What a status means, in words. */
$_API const char *@_error(int32_t status);

/* Open a state on a device, 0 for the first one: load the code, and allocate what the state needs. Where that fails,
 * too, there is a state at *state, unless that is null: its message says why, and it has to be closed. */
$_API int32_t @_state_open(void **state, int32_t device);

/* Give everything back. */
$_API int32_t @_state_close(void *state);

/* What went wrong in the last call with this state that did not give $_OK: what was asked for, the kernel and the lines
 * and layers of the model that it computes, what the driver said. The text stays until the next call. */
$_API const char *@_state_message(const void *state);

/* Bytes of a state on the device. */
$_API size_t @_state_size(void);

/* Begin with the values that were exported{embedded}. */
$_API int32_t @_state_init(void *state);

/* Bytes of a state as a safetensors file. */
$_API size_t @_state_file_size(void);

/* Take a state from the bytes of a safetensors file. Where that fails the state stays as it was. */
$_API int32_t @_state_read(void *state, const void *bytes, size_t size);

/* Write a state as the bytes of a safetensors file; size is that of the memory at bytes. */
$_API int32_t @_state_write(const void *state, void *bytes, size_t size);

/* Do ahead, once for many calls, what depends on the state alone. The first call that needs it does it otherwise. */
$_API int32_t @_state_prepare(void *state);

/* Compute on the state's device what was computed at export, and compare. Its values are as before afterwards. */
$_API int32_t @_selftest_run(void *state);
"""

SELFTEST = """\
/* Compute on the first device what was computed at export, and compare. */
static inline int32_t @_selftest(void) {
    void *state;
    int32_t status = @_state_open(&state, 0);
    if (!status) status = @_selftest_run(state);
    @_state_close(state);
    return status;
}
"""
