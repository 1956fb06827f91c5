/* tests/fuzz/inputs.c: runs a target over files, and over those in directories: what
 * libFuzzer does with such arguments, for builds without it. */
#include "tests/fuzz/kit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

extern int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { INPUT_MAX = 16 << 20, PATH_MAX_HERE = 1024 };

static unsigned run_file(const char *path)
{
    FILE *file = fopen(path, "re");
    uint8_t *bytes = malloc(INPUT_MAX);
    if (!file || !bytes) {
        perror(path);
        exit(1);
    }
    size_t len = fread(bytes, 1, INPUT_MAX, file);
    (void)fclose(file); /* it was only read */
    (void)printf("%s\n", path);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(bytes, len);
    free(bytes);
    return 1;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static unsigned run_directory(const char *path)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, is_visible, alphasort);
    unsigned run = 0;
    for (int i = 0; i < count; i++) {
        char input[PATH_MAX_HERE];
        (void)snprintf(input, sizeof input, "%s/%s", path, names[i]->d_name);
        run += run_file(input);
        free(names[i]);
    }
    free(names);
    return run;
}

int main(int argc, char **argv)
{
    unsigned run = 0;
    if (LLVMFuzzerInitialize) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0) {
            run += S_ISDIR(st.st_mode) ? run_directory(argv[i]) : run_file(argv[i]);
        }
    }
    (void)printf("%u inputs\n", run);
    return run > 0 ? 0 : 1;
}
