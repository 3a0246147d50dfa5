/* device WHAT STATE CUT_STATE: wrong calls of a library for devices give their status and a message, and leave the state as
 * it was. Or, for another WHAT, a call that has to fail, and what is said of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, net_state_message(state)); \
            return 1; \
        } \
    } while (0)
#define SAYS(text) CHECK(strstr(net_state_message(state), text) != NULL)

enum { BATCH = 7, FEATURES = 4 * 3, CLASSES = 3 };

static float inputs[BATCH * FEATURES], predictions[BATCH * CLASSES], others[BATCH * CLASSES];
static int32_t targets[BATCH];

static int misuse(void *state, const char *whole, const char *cut) {
    static const int64_t huge = INT64_MAX, large = INT64_C(1) << 30;
    const size_t size = net_state_file_size();
    unsigned char *before = (unsigned char *)malloc(size), *after = (unsigned char *)malloc(size);
    void *other = NULL;
    float cost = 0;
    CHECK(before && after);
    CHECK(net_train_step(state, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_STATE);
    SAYS("no values yet");
    CHECK(net_state_init(state) == NET_ERROR_WEIGHTS);
    CHECK(net_state_write(state, after, size) == NET_ERROR_STATE);
    CHECK(net_state_load(state, cut) == NET_ERROR_FILE);
    CHECK(net_predict(state, NULL, BATCH, inputs, predictions) == NET_ERROR_STATE);
    CHECK(net_state_load(state, whole) == NET_OK);
    CHECK(net_state_message(state)[0] == 0);
    CHECK(net_state_write(state, before, size) == NET_OK);

    CHECK(net_state_load(state, cut) == NET_ERROR_FILE);
    SAYS("whole safetensors file");
    CHECK(net_state_load(state, "/nowhere/at/all") == NET_ERROR_IO);
    CHECK(net_state_read(state, NULL, size) == NET_ERROR_NULL);
    CHECK(net_state_write(state, after, size - 1) == NET_ERROR_SIZE);

    CHECK(net_train_step(NULL, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_NULL);
    CHECK(net_train_step(before, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_STATE);
    CHECK(net_train_step(state, NULL, BATCH, NULL, targets, 0.01f, &cost) == NET_ERROR_NULL);
    SAYS("'inputs' is null");
    CHECK(net_train_step(state, NULL, BATCH, inputs, targets, 0.01f, NULL) == NET_ERROR_NULL);
    CHECK(net_train_step(state, NULL, BATCH, (float *)((char *)inputs + 1), targets, 0.01f, &cost) == NET_ERROR_ALIGNMENT);
    CHECK(net_train_step(state, NULL, -1, inputs, targets, 0.01f, &cost) == NET_ERROR_DIMS);
    SAYS("the dim 'batch' is negative or too large");
    CHECK(net_train_step(state, NULL, huge, inputs, targets, 0.01f, &cost) == NET_ERROR_DIMS);
    CHECK(net_train_step(state, NULL, large, inputs, targets, 0.01f, &cost) == NET_ERROR_DIMS);
    SAYS("the input 'inputs' has too many elements: less than 2147418112 are expected, here are 12884901888");
    CHECK(net_predict_arena_size(-1) == 0 && net_predict_arena_size(huge) == 0 && net_predict_arena_size(large) == 0);
    CHECK(net_predict_arena_size(2 * BATCH) >= 2 * BATCH * FEATURES * sizeof *inputs);
    targets[BATCH - 1] = CLASSES;
    CHECK(net_train_step(state, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_TRAIN_STEP_1);
    SAYS("out of range");
    SAYS("the state is as it was");
    CHECK(net_train_step(state, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_ERROR_TRAIN_STEP_1);
    CHECK(net_selftest_run(state) == NET_OK);
    CHECK(net_state_write(state, after, size) == NET_OK && memcmp(before, after, size) == 0);

    targets[BATCH - 1] = CLASSES - 1;
    CHECK(net_train_step(state, NULL, BATCH, inputs, targets, 0.01f, &cost) == NET_OK);
    CHECK(net_state_write(state, after, size) == NET_OK && memcmp(before, after, size) != 0);
    CHECK(net_state_open(&other, 0) == NET_OK && net_state_read(other, after, size) == NET_OK);
    CHECK(net_predict(state, NULL, BATCH, inputs, predictions) == NET_OK);
    CHECK(net_predict(other, NULL, BATCH, inputs, others) == NET_OK);
    CHECK(memcmp(predictions, others, sizeof others) == 0 && predictions[0] > 0);
    CHECK(net_state_close(other) == NET_OK);
    CHECK(net_state_open(NULL, 0) == NET_ERROR_NULL);
    CHECK(net_state_open(&other, 1) == NET_ERROR_DEVICE);
    CHECK(strstr(net_state_message(other), "there is no device 1; the driver knows of 1") != NULL);
    CHECK(net_state_close(other) == NET_OK && net_state_close(NULL) == NET_OK);
    CHECK(strcmp(net_error(-5), "unknown error") == 0 && strstr(net_info_json(), "\"triple\":\"cuda\"") != NULL);
    free(after);
    free(before);
    return 0;
}

int main(int argc, char **argv) {
    void *state;
    int32_t status, closed;
    if (argc != 4) return 2;
    status = net_state_open(&state, 0);
    if (!status && !strcmp(argv[1], "misuse")) {
        status = misuse(state, argv[2], argv[3]);
    } else {
        if (!status) status = net_state_load(state, argv[2]);
        if (!status) status = net_predict(state, NULL, BATCH, inputs, predictions);
        if (status) printf("%d: %s: %s\n", (int)status, net_error(status), net_state_message(state));
        status = status == NET_OK;
    }
    closed = net_state_close(state);
    return status ? (int)status : (int)closed;
}
