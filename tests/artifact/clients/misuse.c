/* misuse STATE CUT_STATE: wrong calls give their status and leave the state as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
            return 1; \
        } \
    } while (0)

enum { BATCH = 7, FEATURES = 4 * 3 };

int main(int argc, char **argv) {
    static float inputs[BATCH * FEATURES];
    static int32_t targets[BATCH];
    static const int64_t huge = INT64_MAX;
    const size_t file_size = net_state_file_size(), arena_size = net_train_step_arena_size(BATCH);
    unsigned char *before = (unsigned char *)malloc(file_size), *after = (unsigned char *)malloc(file_size);
    void *state = calloc(1, net_state_size()), *arena = malloc(arena_size);
    net_options options = {sizeof options, 0, 0, 0, 0};
    float cost = 0;
    if (argc != 3 || !before || !after || !state || !arena) return 2;

    CHECK(net_train_step(state, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_STATE);
    CHECK(net_state_init(state) == NET_ERROR_WEIGHTS);
    CHECK(net_state_load(state, argv[2]) == NET_ERROR_FILE);
    CHECK(net_train_step(state, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_STATE);
    CHECK(net_state_load(state, argv[1]) == NET_OK);
    CHECK(net_state_write(state, before, file_size) == NET_OK);

    CHECK(net_state_load(state, argv[2]) == NET_ERROR_FILE);
    CHECK(net_state_load(state, "/nowhere/at/all") == NET_ERROR_IO);
    CHECK(net_state_load(NULL, argv[1]) == NET_ERROR_NULL);
    CHECK(net_state_read(state, NULL, file_size) == NET_ERROR_NULL);
    CHECK(net_state_write(state, after, file_size - 1) == NET_ERROR_SIZE);

    CHECK(net_train_step(NULL, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_NULL);
    CHECK(net_train_step(state, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_NULL);
    CHECK(net_train_step(state, arena, BATCH, NULL, targets, 0.01f, &cost) == NET_ERROR_NULL);
    CHECK(net_train_step(state, arena, BATCH, inputs, targets, 0.01f, NULL) == NET_ERROR_NULL);
    CHECK(net_train_step(state, arena, -1, inputs, targets, 0.01f, &cost) == NET_ERROR_DIMS);
    CHECK(net_train_step(state, arena, huge, inputs, targets, 0.01f, &cost) == NET_ERROR_DIMS);
    CHECK(net_train_step_arena_size(-1) == 0 && net_train_step_arena_size(huge) == 0);

    options.arena_size = arena_size - 1;
    CHECK(net_train_step_with(&options, state, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_ARENA);
    options.arena_size = arena_size;
    options.size -= 1;
    CHECK(net_train_step_with(&options, state, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_OPTIONS);
    targets[BATCH - 1] = 3;
    CHECK(net_train_step(state, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_TRAIN_STEP_1);
    CHECK(strstr(net_error(NET_ERROR_TRAIN_STEP_1), "out of range") != NULL);
    CHECK(strcmp(net_error(-5), "unknown error") == 0);
    CHECK(net_state_write(state, after, file_size) == NET_OK);
    CHECK(memcmp(before, after, file_size) == 0);

    targets[BATCH - 1] = 2;
    options.size += 1;
    CHECK(net_train_step_with(&options, state, arena, BATCH, inputs, targets, 0.01f, &cost) == NET_OK);
    CHECK(net_state_write(state, after, file_size) == NET_OK);
    CHECK(memcmp(before, after, file_size) != 0);
    free(arena);
    free(state);
    free(after);
    free(before);
    return 0;
}
