/* Goes on training what export.py exported, on real digits: train FOLDER [EPOCHS]; saves the state as trained.safetensors. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "digits.h"

enum { PIXELS = 8 * 8, CLASSES = 10, BATCH = 64 };
static const float RATE = 0.005f;

/* Digits in memory: pixels from 0 to 1, and what they show. */
typedef struct {
    int64_t count;
    float *pixels;
    int32_t *labels;
} samples;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Ends the program with what a status means, unless all went well. */
static void check(const char *what, int32_t status) {
    if (status != DIGITS_OK) fail(what, digits_error(status));
}

static void *reserve(size_t bytes) {
    void *memory = malloc(bytes);
    if (!memory) fail("memory", "there is not enough");
    return memory;
}

static const char *in_folder(const char *folder, const char *name) {
    char *path = reserve(strlen(folder) + strlen(name) + 2);
    sprintf(path, "%s/%s", folder, name);
    return path;
}

static int64_t read_count(FILE *file) {
    unsigned char bytes[4] = {0};
    if (fread(bytes, 1, 4, file) != 4) fail("digits.bin", "it is damaged");
    return bytes[0] | (int64_t)bytes[1] << 8 | (int64_t)bytes[2] << 16 | (int64_t)bytes[3] << 24;
}

/* digits.bin: two counts, then pixels from 0 to 16, then labels, a byte each. The held-out digits are the last ones. */
static void read_samples(const char *path, samples *training, samples *held) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path, "it cannot be read");
    training->count = read_count(file);
    held->count = read_count(file);
    size_t count = (size_t)(training->count + held->count);
    unsigned char *bytes = reserve(count * (PIXELS + 1));
    if (fread(bytes, PIXELS + 1, count, file) != count) fail(path, "it is damaged");
    fclose(file);
    training->pixels = reserve(count * PIXELS * sizeof(float));
    training->labels = reserve(count * sizeof(int32_t));
    for (size_t at = 0; at < count * PIXELS; ++at) training->pixels[at] = (float)bytes[at] / 16;
    for (size_t at = 0; at < count; ++at) training->labels[at] = bytes[count * PIXELS + at];
    held->pixels = training->pixels + training->count * PIXELS;
    held->labels = training->labels + training->count;
    free(bytes);
}

/* Another order of the digits; rand is good enough for that. */
static void shuffle(samples *digits) {
    for (int64_t last = digits->count - 1; last > 0; --last) {
        int64_t other = rand() % (last + 1);
        float pixels[PIXELS];
        float *from = digits->pixels + last * PIXELS, *to = digits->pixels + other * PIXELS;
        memcpy(pixels, from, sizeof pixels);
        memmove(from, to, sizeof pixels);
        memcpy(to, pixels, sizeof pixels);
        int32_t label = digits->labels[last];
        digits->labels[last] = digits->labels[other];
        digits->labels[other] = label;
    }
}

/* Every digit once; the mean cost. The last batch has what is left over. */
static double train(void *state, void *arena, const samples *digits) {
    double sum = 0;
    for (int64_t from = 0; from < digits->count; from += BATCH) {
        int64_t batch = digits->count - from < BATCH ? digits->count - from : BATCH;
        const float *images = digits->pixels + from * PIXELS;
        float cost;
        check("training", digits_train_step(state, arena, batch, images, digits->labels + from, RATE, &cost));
        sum += (double)cost * (double)batch;
    }
    return sum / (double)digits->count;
}

/* The fraction of digits that are taken for what they are. */
static double accuracy(const void *state, void *arena, const samples *digits, float *scores) {
    int64_t right = 0;
    check("prediction", digits_predict(state, arena, digits->count, digits->pixels, scores));
    for (int64_t digit = 0; digit < digits->count; ++digit) {
        const float *row = scores + digit * CLASSES;
        int best = 0;
        for (int other = 1; other < CLASSES; ++other)
            if (row[other] > row[best]) best = other;
        right += best == digits->labels[digit];
    }
    return (double)right / (double)digits->count;
}

int main(int count, char **arguments) {
    if (count < 2) fail("usage", "train FOLDER [EPOCHS]");
    const char *folder = arguments[1];
    int epochs = count > 2 ? atoi(arguments[2]) : 5;
    if (digits_abi_version() != DIGITS_ABI_VERSION) fail("library", "its header is that of another version");
    check("self-test", digits_selftest()); /* what was computed at export is computed here too */

    samples training, held;
    read_samples(in_folder(folder, "digits.bin"), &training, &held);
    void *state = reserve(digits_state_size()); /* parameters, the optimiser's moments, the counter of random numbers */
    check("state", digits_state_load(state, in_folder(folder, "digits.safetensors")));
    /* How much scratch memory a function needs is a formula of the batch: known here, once. */
    void *step = reserve(digits_train_step_arena_size(BATCH));
    void *predict = reserve(digits_predict_arena_size(held.count));
    float *scores = reserve((size_t)held.count * CLASSES * sizeof(float));

    printf("as exported: accuracy %.3f on %lld held-out digits\n", accuracy(state, predict, &held, scores),
           (long long)held.count);
    for (int epoch = 1; epoch <= epochs; ++epoch) {
        shuffle(&training);
        double loss = train(state, step, &training);
        printf("epoch %d: loss %.4f, accuracy %.3f\n", epoch, loss, accuracy(state, predict, &held, scores));
    }
    /* A trainer in Python takes it from here: its parameters and moments are in the file, bit for bit. */
    check("saving", digits_state_save(state, in_folder(folder, "trained.safetensors")));
    return 0;
}
