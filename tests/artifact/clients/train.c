/* train STATE BATCHES NEW_STATE: one step with each batch of a file; prints the bits of every cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

enum { LARGEST = 64, FEATURES = 4 * 3 };

static int failed(void *state, const char *what, int32_t status) {
    const char *more = "";
#ifdef NET_DEVICE
    more = net_state_message(state);
#else
    (void)state;
#endif
    fprintf(stderr, "%s: %s (%s)\n", what, net_error(status), more);
    return 1;
}

int main(int argc, char **argv) {
    static float inputs[LARGEST * FEATURES];
    static int32_t targets[LARGEST];
    void *state, *arena;
    FILE *batches;
    int64_t batch;
    int32_t status;
    if (argc != 4 || net_abi_version() != NET_ABI_VERSION) return 2;
#ifdef NET_DEVICE
    if ((status = net_state_open(&state, 0)) != NET_OK) return failed(state, "open", status);
    if ((status = net_selftest_run(state)) != NET_OK) return failed(state, "selftest", status);
    arena = NULL;
#else
    state = malloc(net_state_size());
    arena = malloc(net_train_step_arena_size(LARGEST));
    if (!state || !arena) return 3;
    if ((status = net_selftest()) != NET_OK) return failed(state, "selftest", status);
#endif
    batches = fopen(argv[2], "rb");
    if (!batches) return 3;
    if ((status = net_state_load(state, argv[1])) != NET_OK) return failed(state, "load", status);
    while (fread(&batch, sizeof batch, 1, batches) == 1) {
        float cost = 0;
        uint32_t bits;
        const size_t count = (size_t)batch;
        if (batch < 1 || batch > LARGEST) return 4;
        if (fread(inputs, FEATURES * sizeof *inputs, count, batches) != count) return 5;
        if (fread(targets, sizeof *targets, count, batches) != count) return 6;
        status = net_train_step(state, arena, batch, inputs, targets, 0.01f, &cost);
        if (status != NET_OK) return failed(state, "train_step", status);
        memcpy(&bits, &cost, sizeof bits);
        printf("%08x\n", (unsigned)bits);
    }
    fclose(batches);
    if ((status = net_state_save(state, argv[3])) != NET_OK) return failed(state, "save", status);
#ifdef NET_DEVICE
    return net_state_close(state);
#else
    free(arena);
    free(state);
    return 0;
#endif
}
