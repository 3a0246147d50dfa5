/* Opens the library of its first argument at run time, and has it test itself. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    size_t (*size)(void);
    int32_t (*test)(void *, size_t), status;
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL, *memory;
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 2; }
    *(void **)&size = dlsym(library, "net_selftest_size");
    *(void **)&test = dlsym(library, "net_selftest_run");
    memory = malloc(size());
    status = test(memory, size());
    free(memory);
    return status;
}
