/* replay.c - the main of a fuzz target outside libFuzzer: gives it the files named, and those in the folders named.
 *
 * Each input is copied to memory of its very size, so that a sanitizer sees the first byte too many. A file named *.asm
 * is a GGUF file in readable form (tests/lib/gguf_asm.h), assembled first. `--expand DIR` writes the inputs as they are
 * given to the target to DIR instead: what libFuzzer begins with. */
#include "../tests/lib/gguf_asm.h"
#include "../tests/lib/temp_dir.h"
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

static const char *expand_dir;
static int n_inputs;

static void give(const char *path, const char *data, size_t n)
{
    n_inputs++;
    if (expand_dir != NULL) {
        const char *slash = strrchr(path, '/');
        char *to = NULL;
        FUZZ_CHECK(asprintf(&to, "%s/%s", expand_dir, slash != NULL ? slash + 1 : path) > 0);
        FILE *file = fopen(to, "we");
        FUZZ_CHECK(file != NULL && fwrite(data, 1, n, file) == n && fclose(file) == 0);
        free(to);
        return;
    }
    fprintf(stderr, "# %s\n", path); /* the last of these lines is the one that failed */
    uint8_t *copy = malloc(n ? n : 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void give_file(const char *path)
{
    size_t n;
    char *data = file_read(path, &n);
    if (data == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    size_t n_path = strlen(path);
    if (n_path > 4 && strcmp(path + n_path - 4, ".asm") == 0) {
        gguf_asm assembled;
        gguf_assemble(&assembled, data);
        give(path, assembled.files[0].bytes.data, assembled.files[0].bytes.len);
        gguf_asm_free(&assembled);
    } else {
        give(path, data, n);
    }
    free(data);
}

static void give_path(const char *path)
{
    struct dirent **items;
    int n_items = scandir(path, &items, NULL, alphasort);
    if (n_items < 0) {
        give_file(path);
        return;
    }
    for (int i = 0; i < n_items; i++) {
        char *item = NULL;
        FUZZ_CHECK(asprintf(&item, "%s/%s", path, items[i]->d_name) > 0);
        if (items[i]->d_name[0] != '.')
            give_path(item);
        free(item);
        free(items[i]);
    }
    free(items);
}

int main(int argc, char **argv)
{
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--expand") == 0) {
        expand_dir = argv[2];
        first = 3;
    }
    for (int i = first; i < argc; i++)
        give_path(argv[i]);
    printf("%d inputs\n", n_inputs);
    return n_inputs > 0 ? 0 : 1;
}
