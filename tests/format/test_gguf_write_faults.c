/* test_gguf_write_faults.c - writing a model file on a disk that fails, or loses its power, at every call in turn: the
 * file's name holds what it held before or the whole of the new file, and the new one once that was said. */
#include "../lib/sim_disk.h"
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CALLS_MAX = 400, SMALL = 100, LARGE = 400000, STATES = 24 };

#define OUT "out.gguf"

/* Two tensors: one in pieces that are gathered, one in a piece of its own. */
static liz_status write_model(const liz_files *files, liz_error *err)
{
    static float large[LARGE];
    liz_gguf_writer *w;
    LIZ_TRY(liz_gguf_writer_open(&w, files, OUT, err));
    liz_gguf_put_str(w, "key", liz_str_of("value"));
    liz_gguf_declare_tensor(w, liz_str_of("small"), LIZ_DTYPE_F32, 1, (uint64_t[]){SMALL});
    liz_gguf_declare_tensor(w, liz_str_of("large"), LIZ_DTYPE_F32, 1, (uint64_t[]){LARGE});
    liz_status status = liz_gguf_writer_begin(w, err);
    for (int i = 0; i < SMALL && status == LIZ_OK; i++)
        status = liz_gguf_writer_data(w, &(float){(float)i}, sizeof(float), err);
    for (int i = 0; i < LARGE; i++)
        large[i] = (float)i;
    status = status ?: liz_gguf_writer_data(w, large, sizeof large, err);
    status = status ?: liz_gguf_writer_finish(w, err);
    liz_gguf_writer_close(w);
    return status;
}

typedef enum held { HOLDS_OLD, HOLDS_NEW, HOLDS_NEITHER } held;

static char *new_bytes;
static size_t n_new;

static held out_holds(void)
{
    size_t n;
    char *bytes = file_read(OUT, &n);
    held holds = HOLDS_NEITHER;
    if (bytes != NULL && n == n_new && memcmp(bytes, new_bytes, n) == 0)
        holds = HOLDS_NEW;
    else if (bytes != NULL && n == 3 && memcmp(bytes, "old", 3) == 0)
        holds = HOLDS_OLD;
    free(bytes);
    return holds;
}

/* Some of the states that a power cut after call `at` may leave. */
static void check_states(long at, liz_status status)
{
    for (uint64_t seed = 0; seed < STATES; seed++) {
        sim_disk_lose((uint64_t)at * STATES + seed);
        held holds = out_holds();
        if (holds == HOLDS_NEITHER || (status == LIZ_OK && holds != HOLDS_NEW))
            fail_msg("a power cut at call %ld, state %d, leaves %s", at, (int)seed,
                     holds == HOLDS_OLD ? "the old file, when the new one was said to be there" : "neither file");
    }
}

static void check_after(sim_manner how, long at, liz_status status, const liz_error *err)
{
    if (status != LIZ_OK)
        assert_true(status == LIZ_E_IO && strstr(err->text, OUT) != NULL);
    if (how == SIM_POWER)
        check_states(at, status);
    assert_int_not_equal(out_holds(), HOLDS_NEITHER);
    if (status == LIZ_OK)
        assert_int_equal(out_holds(), HOLDS_NEW);
    if (how < SIM_DEATH) /* whoever lives cleans up */
        assert_int_not_equal(access(OUT ".part", F_OK), 0);
}

static void test_disk(void **state)
{
    (void)state;
    static const sim_manner manners[] = {SIM_ENOSPC, SIM_EIO, SIM_FULL, SIM_TORN, SIM_DEATH, SIM_TORN_DEATH, SIM_POWER};
    for (size_t m = 0; m < sizeof manners / sizeof *manners; m++) {
        bool hit = true;
        long at = 0;
        while (hit && at < CALLS_MAX) {
            liz_error err = {0};
            unlink(OUT ".part");
            temp_write(OUT, "old", 3);
            liz_status status = write_model(sim_disk_begin(manners[m], ++at), &err);
            hit = sim_disk_hit();
            assert_true(hit || status == LIZ_OK);
            check_after(manners[m], at, status, &err);
            sim_disk_end();
        }
        printf("# %s: %ld places\n", sim_manner_name(manners[m]), at - 1);
        assert_true(at > 3 && at < CALLS_MAX);
    }
}

static int enter_folder(void **state)
{
    (void)state;
    if (chdir(temp_path(".")) != 0 || write_model(NULL, NULL) != LIZ_OK)
        return -1;
    new_bytes = file_read(OUT, &n_new);
    return new_bytes != NULL ? 0 : -1;
}

static int free_bytes(void **state)
{
    (void)state;
    free(new_bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_disk)};
    return cmocka_run_group_tests_name("gguf write faults", tests, enter_folder, free_bytes);
}
