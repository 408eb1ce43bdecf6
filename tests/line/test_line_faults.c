/* test_line_faults.c - the line when files fail: at every call that changes something, in every manner (sim_disk.h).
 *
 * For every n the line is run with the fault at the n-th call, and then repeated undisturbed: OUT must be the bytes of
 * a run that was never disturbed. After a power cut that holds for each of several states that the disk may be in, and
 * what a line that ended well has said to be there, must be there. At the end come chains of faults at random, each
 * striking what the one before left; a seed repeats a chain. */
#include "../lib/sim_disk.h"
#include "line_lab.h"

#include "base/philox.h"

enum { N_STATES = 32, N_CHAINS = 300, CHAIN_LEN = 5, SLOWNESS = 5 };

/* A sanitizer's build tries fewer. */
static uint64_t n_tries(uint64_t n) { return getenv("LIZZIE_TEST_SANITIZED") ? n / SLOWNESS : n; }

static void assert_undisturbed(const char *what, long at, uint64_t seed)
{
    liz_buf got = lab_get("out"), want = lab_get("undisturbed");
    if (!liz_str_eq(liz_buf_str(&got), liz_buf_str(&want)))
        fail_msg("%s at call %ld, seed %lu: other bytes after resume:\n%s\n---\n%s", what, at, seed, got.data,
                 want.data);
    liz_buf_free(&got);
    liz_buf_free(&want);
}

/* Runs with the fault at call `at`; returns whether it struck. */
static bool run_faulty(const liz_line_opts *opts, sim_manner how, long at, int *outcome)
{
    liz_line_opts disturbed = *opts;
    liz_error err;
    disturbed.files = sim_disk_begin(how, at);
    *outcome = lab_run(&disturbed, NULL, &err);
    if (*outcome == -1 && (err.code == LIZ_OK || err.text[0] == '\0'))
        fail_msg("%s at %ld: failed without saying why", sim_manner_name(how), at);
    if (*outcome == -1 && !sim_disk_hit())
        fail_msg("%s at %ld did not strike, and yet: %s", sim_manner_name(how), at, err.text);
    return sim_disk_hit();
}

/* Goes on undisturbed. At least `n_whole` rows of OUT are kept. */
static void resume(const liz_line_opts *again, const char *what, long at, uint64_t seed, size_t n_whole)
{
    liz_error err;
    liz_line_report report;
    if (lab_run(again, &report, &err) == -1)
        fail_msg("%s at call %ld, seed %lu: resume was refused: %s", what, at, seed, err.text);
    if (report.progress.n_rows_before < n_whole)
        fail_msg("%s at call %ld: %zu rows were whole, %lu were kept", what, at, n_whole,
                 report.progress.n_rows_before);
    assert_undisturbed(what, at, seed);
}

/* Disturbs `opts` at every call in one manner, from the state that `prepare` makes, and resumes with `again`. */
static void disturb(const liz_line_opts *opts, const liz_line_opts *again, sim_manner how, void (*prepare)(void))
{
    const char *what = sim_manner_name(how);
    long at = 1, n_hit = 0;
    bool keeps = !again->restart && !again->retry_failed;
    /* How many calls there are depends on how rows bunch together, so it takes three misses to be past the last. */
    for (int n_missed = 0; n_missed < 3; at++) {
        int outcome;
        prepare();
        bool hit = run_faulty(opts, how, at, &outcome);
        n_hit += hit;
        n_missed = hit ? 0 : n_missed + 1;
        for (uint64_t seed = 0; how == SIM_POWER && seed < n_tries(N_STATES); seed++) {
            sim_disk_lose((uint64_t)at * N_STATES + seed);
            if (outcome >= 0)
                assert_undisturbed("a power cut after the end", at, seed);
            resume(again, what, at, seed, 0);
        }
        if (how != SIM_POWER)
            resume(again, what, at, 0, keeps ? lab_n_lines("out") : 0);
        sim_disk_end();
    }
    if (how != SIM_SHORT && n_hit < 3)
        fail_msg("%s: struck only %ld times", what, n_hit);
    fprintf(stderr, "# %s: %ld places\n", what, n_hit);
}

static void disturb_all(const liz_line_opts *opts, const liz_line_opts *again, void (*prepare)(void))
{
    for (sim_manner how = SIM_ENOSPC; how < SIM_MANNERS; how++)
        disturb(opts, again, how, prepare);
}

static void from_nothing(void) { lab_remove_out("out"); }

static void test_fresh(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 24, true);
    liz_line_opts opts = lab_opts("in.jsonl", "undisturbed");
    opts.engine.n_parallel = 3;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = "out";
    disturb_all(&opts, &opts, from_nothing);
}

/* A job half done, by --limit; the same line is then disturbed while it goes on. */
static void half_done(void)
{
    lab_remove_out("out");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.limit = 11;
    lab_run_ok(&opts, LIZ_LINE_LIMITED);
    FILE *out = fopen("out", "ae");
    fputs("{\"index\":11,\"te", out); /* and torn */
    fclose(out);
}

static void test_resumed(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 24, true);
    liz_line_opts opts = lab_opts("in.jsonl", "undisturbed");
    lab_remove_out("undisturbed");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = "out";
    disturb_all(&opts, &opts, half_done);
}

/* OUT of another job, overwritten by --restart. What was asked again without --restart must not mix the two. */
static void other_job(void)
{
    lab_remove_out("out");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = "Other: {{text}}";
    lab_run_ok(&opts, LIZ_LINE_DONE);
}

static void test_restart(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 24, true);
    liz_line_opts opts = lab_opts("in.jsonl", "undisturbed");
    lab_remove_out("undisturbed");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = "out";
    opts.restart = true;
    disturb_all(&opts, &opts, other_job);
    /* Without --restart: refused while the other job's side file stands, else the right bytes. */
    liz_line_opts again = opts;
    again.restart = false;
    bool hit = true;
    for (long at = 1; hit; at++) {
        other_job();
        int outcome;
        hit = run_faulty(&opts, SIM_DEATH, at, &outcome);
        liz_error err;
        if (lab_run(&again, NULL, &err) == -1)
            assert_int_equal(err.code, LIZ_E_STATE);
        else
            lab_assert_same("out", "undisturbed");
    }
}

static void finished(void)
{
    lab_remove_out("out");
    liz_line_opts opts = lab_opts("in.jsonl", "out");
    opts.prompt = "Say: {{text}}";
    lab_run_ok(&opts, LIZ_LINE_DONE);
}

/* Error rows become good ones: the fake engine's "!nan!" only fails with this prompt. A retry that was finished but for
 * its report is repeated as a second attempt, which has no error rows left to make: the bytes are the same. */
static void test_retry(void **state)
{
    (void)state;
    liz_buf in;
    liz_buf_init(&in, 1 << 16);
    for (int i = 0; i < 20; i++)
        liz_buf_printf(&in, "{\"text\":\"%s%d\",\"long\":\"%0*d\"}\n", i % 3 == 1 ? "!nan!" : "row ", i, 8, i);
    lab_put("in.jsonl", in.data, in.len);
    liz_buf_free(&in);
    liz_line_opts first = lab_opts("in.jsonl", "undisturbed"), retry = first;
    lab_remove_out("undisturbed");
    lab_run_ok(&first, LIZ_LINE_DONE);
    retry.retry_failed = true;
    retry.prompt = "Again: {{long}}";
    lab_run_ok(&retry, LIZ_LINE_DONE);
    liz_buf undisturbed = lab_get("undisturbed");
    assert_null(strstr(undisturbed.data, "\"error\""));
    liz_buf_free(&undisturbed);
    retry.out_path = "out";
    disturb_all(&retry, &retry, finished);
}

/* ---- Chains ------------------------------------------------------------------------------------- */

static uint32_t pick(uint64_t seed, uint32_t i, uint32_t n)
{
    return liz_philox4x32(seed, (liz_philox){{i, 0, 0, 0}}).v[0] % n;
}

/* Faults one after the other, each where the line goes on after the last; returns how many struck. */
static int chain(const liz_line_opts *opts, uint64_t seed)
{
    int n_hit = 0;
    for (uint32_t i = 0; i < CHAIN_LEN; i++) {
        sim_manner how = SIM_ENOSPC + pick(seed, 4 * i, SIM_MANNERS - SIM_ENOSPC);
        int outcome;
        n_hit += run_faulty(opts, how, 1 + pick(seed, 4 * i + 1, 20), &outcome);
        if (how == SIM_POWER)
            sim_disk_lose(seed * CHAIN_LEN + i);
        sim_disk_end();
    }
    return n_hit;
}

static void test_chains(void **state)
{
    (void)state;
    const char *asked = getenv("LIZZIE_TEST_SEED");
    uint64_t first = asked ? strtoull(asked, NULL, 0) : 1, n = asked ? 1 : n_tries(N_CHAINS);
    n *= getenv("LIZZIE_TEST_LONG") && !asked ? 100 : 1;
    lab_make_input("in.jsonl", 24, true);
    liz_line_opts opts = lab_opts("in.jsonl", "undisturbed");
    lab_remove_out("undisturbed");
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = "out";
    int n_hit = 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        lab_remove_out("out");
        n_hit += chain(&opts, seed);
        resume(&opts, "a chain of faults", 0, seed, 0);
    }
    assert_true(asked || n_hit > (int)n);
}

static int setup(void **state)
{
    int failed = lab_open(state);
    if (!failed)
        lab_puts("model", "ctx=256\n");
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fresh), cmocka_unit_test(test_resumed),
                                       cmocka_unit_test(test_restart), cmocka_unit_test(test_retry),
                                       cmocka_unit_test(test_chains)};
    return cmocka_run_group_tests(tests, setup, lab_close);
}
