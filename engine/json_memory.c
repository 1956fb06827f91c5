#include "engine/json_memory.h"

#include <stdlib.h>
#include <unistd.h>

/* Nothing here may need memory itself. */
static void *insist(void *memory)
{
    static const char text[] = "holdfast: out of memory; start again\n";
    if (!memory) {
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
            /* then it is not said */
        }
        _exit(EXIT_NO_MEMORY);
    }
    return memory;
}

static void *get(void *context, size_t len)
{
    (void)context;
    return insist(malloc(len));
}

static void *resize(void *context, void *memory, size_t len)
{
    (void)context;
    return insist(realloc(memory, len));
}

static void give_back(void *context, void *memory)
{
    (void)context;
    free(memory);
}

yajl_alloc_funcs *json_memory(void)
{
    static yajl_alloc_funcs functions = {get, resize, give_back, NULL};
    return &functions;
}
