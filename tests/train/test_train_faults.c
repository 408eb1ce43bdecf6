/* test_train_faults.c - training on a disk that fails at every write in turn: it ends in an error, and the same command
 * afterwards makes the bytes of a training left in peace. Also checkpoints that hold what they must not. */
#include "../lib/sim_disk.h"
#include "../lib/temp_dir.h"
#include "base/hash.h"
#include "train/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CALLS_MAX = 1000 };

static char data_name[] = "data.txt", *data[] = {data_name};

/* A vocabulary longer than a part's tokens and than every width; a checkpoint after every step. */
static liz_train_opts options(int n_threads)
{
    liz_train_opts o = {.out = "out.gguf",
                        .data = {data, 1},
                        .shape = {.n_layer = 1, .n_embd = 16, .n_ff = 32, .n_head = 1, .n_embd_head = 16},
                        .n_part = 8};
    o.shape.n_vocab = 700;
    o.shape.n_ctx = 8;
    liz_course_opts_init(&o.common);
    o.common.batch = 2;
    o.common.tokens = 16 * 6;
    o.common.checkpoint_minutes = 1e-9;
    o.common.n_threads = n_threads;
    o.common.log_path = "log.jsonl";
    o.common.plot_path = "curve.svg";
    return o;
}

static liz_status run(const liz_files *files, int n_threads, liz_error *err)
{
    liz_train_opts o = options(n_threads);
    return liz_train(&o, files, NULL, NULL, err);
}

static liz_hash out_hash(void)
{
    liz_buf bytes;
    liz_error err;
    liz_buf_init(&bytes, 1 << 24);
    assert_int_equal(liz_file_read_whole(liz_files_system(), "out.gguf", &bytes, &err), LIZ_OK);
    liz_hash h = liz_hash_bytes(bytes.data, bytes.len);
    liz_buf_free(&bytes);
    return h;
}

static void clear(void)
{
    static const char *const names[] = {"out.gguf",
                                        "out.gguf.lizzie",
                                        "out.gguf.lizzie.tmp",
                                        "out.gguf.start",
                                        "out.gguf.checkpoint",
                                        "out.gguf.checkpoint.tmp",
                                        "log.jsonl",
                                        "curve.svg",
                                        "out.gguf.part",
                                        "out.gguf.start.new",
                                        "out.gguf.start.new.part"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(names[i]);
}

static liz_hash in_peace(void)
{
    liz_error err;
    clear();
    if (run(liz_files_system(), 1, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return out_hash();
}

static void test_threads(void **state)
{
    (void)state;
    liz_hash one = in_peace();
    liz_error err;
    clear();
    assert_int_equal(run(liz_files_system(), 3, &err), LIZ_OK);
    assert_true(liz_hash_eq(out_hash(), one));
}

static void test_disk(void **state)
{
    (void)state;
    static const sim_manner manners[] = {SIM_ENOSPC, SIM_FULL, SIM_TORN, SIM_DEATH, SIM_POWER};
    liz_hash peace = in_peace();
    for (size_t m = 0; m < sizeof manners / sizeof *manners; m++) {
        int n_hits = 0, n_steps_saved = 0;
        bool hit = true;
        for (long at = 1; at < CALLS_MAX; at += getenv("LIZZIE_TEST_LONG") != NULL ? 1 : 7) {
            liz_error err;
            clear();
            liz_status status = run(sim_disk_begin(manners[m], at), 1, &err);
            hit = sim_disk_hit();
            if (manners[m] == SIM_POWER)
                sim_disk_lose((uint64_t)at);
            sim_disk_end();
            if (!hit) {
                assert_int_equal(status, LIZ_OK);
                assert_true(liz_hash_eq(out_hash(), peace));
                break;
            }
            n_hits++;
            n_steps_saved += access("out.gguf.checkpoint", F_OK) == 0;
            if (status != LIZ_OK)
                assert_true(strlen(err.text) > 0);
            if (run(liz_files_system(), 1, &err) != LIZ_OK)
                fail_msg("%s at call %ld, then: %s", sim_manner_name(manners[m]), at, err.text);
            assert_true(liz_hash_eq(out_hash(), peace));
        }
        printf("# %s: %d places, in %d of them a checkpoint was there\n", sim_manner_name(manners[m]), n_hits,
               n_steps_saved);
        assert_true(n_hits >= 5 && n_steps_saved >= 2 && !hit);
    }
}

static atomic_int stop;

static void stop_after_a_step(void *user, liz_train_event event, const liz_train_progress *progress)
{
    (void)user;
    (void)progress;
    if (event == LIZ_TRAIN_STEPPED)
        stop = 1;
}

/* A number in a checkpoint becomes NaN, its hash put right: refused by the parameter's name. */
static void test_nan(void **state)
{
    (void)state;
    liz_error err;
    liz_train_opts o = options(1);
    liz_buf bytes;
    clear();
    const liz_files *files = liz_files_system();
    o.common.stop = &stop;
    assert_int_equal(liz_train(&o, files, stop_after_a_step, NULL, &err), LIZ_E_CANCELLED);
    liz_buf_init(&bytes, 1 << 24);
    assert_int_equal(liz_file_read_whole(files, "out.gguf.checkpoint", &bytes, &err), LIZ_OK);
    size_t n = bytes.len - sizeof(liz_hash);
    float nan = __builtin_nanf("");
    memcpy(bytes.data + n - sizeof nan, &nan, sizeof nan);
    liz_hash h = liz_hash_bytes(bytes.data, n);
    memcpy(bytes.data + n, &h, sizeof h);
    FILE *f = fopen("out.gguf.checkpoint", "wb");
    assert_true(f != NULL && fwrite(bytes.data, 1, bytes.len, f) == bytes.len && fclose(f) == 0);
    liz_buf_free(&bytes);
    assert_int_equal(run(files, 1, &err), LIZ_E_FORMAT);
    assert_non_null(strstr(err.text, "output_norm.weight holds what is not a number"));
}

static int write_data(void **state)
{
    (void)state;
    char folder[1024], text[20000];
    size_t n = 0;
    snprintf(folder, sizeof folder, "%s", temp_path("."));
    if (chdir(folder) != 0)
        return -1;
    for (unsigned i = 0; n + 64 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "word%u is %u%s\n", i * i % 61, i * 7 % 97,
                              i % 5 == 4 ? "\n<|endoftext|>" : "");
    FILE *f = fopen("data.txt", "w");
    return f != NULL && fwrite(text, 1, n, f) == n && fclose(f) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads), cmocka_unit_test(test_disk),
                                       cmocka_unit_test(test_nan)};
    return cmocka_run_group_tests(tests, write_data, NULL);
}
