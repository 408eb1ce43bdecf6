/* test_memory_peak_slow.c - the peak of resident memory: while opening at most 1.15 times the file, and while working
 * that plus the attention cache the engine says it has; on a model of ordinary size with random weights. */
#include "../lib/temp_dir.h"
#include "lizzie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct peaks {
    unsigned long long open, work, cache; /* bytes; 0: it failed */
} peaks;

static unsigned long long peak_bytes(void)
{
    char line[256];
    unsigned long long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && kb == 0 && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "VmHWM: %llu", &kb);
    if (file != NULL)
        fclose(file);
    return kb * 1024;
}

/* Opens the model, works through a prompt, and tells; in a process of its own, whose peak is its life's. */
static void measure(const char *path, int out)
{
    peaks p = {0};
    liz_engine *engine = NULL;
    liz_engine_opts opts = {.n_ctx = 512};
    if (liz_engine_open(&engine, path, &opts, NULL) != LIZ_OK)
        _exit(1);
    p.open = peak_bytes();
    liz_engine_info info;
    liz_engine_info_get(engine, &info);
    p.cache = info.cache_bytes;
    int32_t tokens[400];
    for (int i = 0; i < 400; i++)
        tokens[i] = i * 7;
    liz_seq *seq;
    liz_request request = {.tokens = tokens, .n_tokens = 400, .n_predict_max = 8};
    if (liz_submit(engine, &request, &seq, NULL) != LIZ_OK)
        _exit(1);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    p.work = peak_bytes();
    _exit(write(out, &p, sizeof p) == sizeof p ? 0 : 1);
}

static void test_peak(void **state)
{
    (void)state;
    if (getenv("LIZZIE_TEST_SANITIZED") != NULL) {
        fprintf(stderr, "# SKIPPED: a sanitizer takes memory of its own\n");
        skip();
    }
    const char *build = getenv("BUILD"), *path = temp_path("model.gguf");
    char command[1024];
    snprintf(command, sizeof command, "%s/bench/write_model llama-3.2-1b Q4_K %s >%s 2>&1",
             build != NULL ? build : "build", path, temp_path("log"));
    assert_int_equal(system(command), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 500 << 20);

    int pipe_fd[2], status;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t child = fork();
    if (child == 0)
        measure(path, pipe_fd[1]);
    peaks p = {0};
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(pipe_fd[0], &p, sizeof p), sizeof p);
    double size = (double)st.st_size;
    printf("# file %.0f MiB, peak while opening %.0f (%.3f of it), in the end %.0f, of which cache up to %.0f\n",
           size / 1048576, (double)p.open / 1048576, (double)p.open / size, (double)p.work / 1048576,
           (double)p.cache / 1048576);
    assert_true((double)p.open <= 1.15 * size);
    assert_true((double)p.work <= 1.15 * size + (double)p.cache);
    assert_true((double)p.open > 0.5 * size); /* the weights were loaded, and counted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_peak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
