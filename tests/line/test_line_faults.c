/* test_line_faults.c - the line when files fail: at every call that changes something, in every manner.
 *
 * A table of file functions stands between the line and the system and strikes at the n-th call that writes, syncs,
 * cuts, renames or creates. Manners: the call fails and later ones work (full disk, I/O error); a write is torn; all
 * writes are short; or the process dies there, so that nothing after it happens, with or without a power failure that
 * loses what was not synced, or leaves zeros of it. For every n the run is then repeated undisturbed, and OUT must be
 * the bytes of a run that was never disturbed. */
#include "line_lab.h"

#include <errno.h>

typedef enum manner {
    FAIL_ENOSPC,
    FAIL_EIO,
    TORN,       /* half a write, then EIO */
    SHORT,      /* every write is short */
    DEATH,      /* nothing happens from here on */
    TORN_DEATH, /* half a write, then nothing */
    POWER_LOST, /* nothing from here on, and OUT is cut to what was synced */
    POWER_ZEROS /* the same, but what was not synced reads as zeros */
} manner;

static const char *const manner_names[] = {"enospc", "eio",        "torn",       "short",
                                           "death",  "torn death", "power lost", "power zeros"};

static struct {
    manner how;
    long at, n;
    bool dead, hit;
    const char *out; /* the file whose unsynced bytes a power failure takes */
    off_t synced;
} fault;

static bool is_out(int fd)
{
    struct stat a, b;
    return fault.out != NULL && fstat(fd, &a) == 0 && stat(fault.out, &b) == 0 && a.st_ino == b.st_ino;
}

static void lose_power(void)
{
    struct stat st;
    int fd = fault.out ? open(fault.out, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) != 0)
        return;
    off_t synced = fault.synced < st.st_size ? fault.synced : st.st_size;
    off_t n = st.st_size - synced;
    char *unsynced = malloc((size_t)n + 1);
    assert_int_equal(pread(fd, unsynced, (size_t)n, synced), n);
    assert_int_equal(ftruncate(fd, synced), 0);
    if (fault.how == POWER_ZEROS) /* the later half came to the disk, the earlier did not */
        assert_int_equal(pwrite(fd, unsynced + n / 2, (size_t)(n - n / 2), synced + n / 2), n - n / 2);
    free(unsynced);
    close(fd);
}

/* Counts a call that changes something: 0 to let it pass, else a negative errno. */
static int strike(void)
{
    if (fault.dead)
        return -EIO;
    if (++fault.n != fault.at || fault.how == SHORT)
        return 0;
    fault.hit = true;
    if (fault.how == FAIL_ENOSPC)
        return -ENOSPC;
    fault.dead = fault.how >= DEATH;
    if (fault.how >= POWER_LOST)
        lose_power();
    return -EIO;
}

static int f_open(void *user, const char *path, int flags, mode_t mode)
{
    int code = flags & (O_CREAT | O_TRUNC) ? strike() : fault.dead ? -EIO : 0;
    return code ? code : liz_files_system()->open(user, path, flags, mode);
}

static int f_close(void *user, int fd) { return liz_files_system()->close(user, fd); }
static ssize_t f_read(void *user, int fd, void *data, size_t n) { return liz_files_system()->read(user, fd, data, n); }

static ssize_t f_write(void *user, int fd, const void *data, size_t n)
{
    int code = strike();
    if (code != 0 && (fault.how == TORN || fault.how == TORN_DEATH) && fault.n == fault.at && fault.hit && n > 1) {
        ssize_t got = liz_files_system()->write(user, fd, data, n / 2);
        fault.at = -1; /* the rest of this write fails, once */
        return fault.how == TORN ? got : code;
    }
    if (code == 0 && fault.how == TORN && fault.at == -1) {
        fault.at = -2;
        return -EIO;
    }
    if (code != 0)
        return code;
    return liz_files_system()->write(user, fd, data, fault.how == SHORT && n > 7 ? 7 : n);
}

static int f_fsync(void *user, int fd)
{
    int code = strike();
    struct stat st;
    if (code == 0 && is_out(fd) && fstat(fd, &st) == 0)
        fault.synced = st.st_size;
    return code ? code : liz_files_system()->fsync(user, fd);
}

static int f_ftruncate(void *user, int fd, off_t size)
{
    int code = strike();
    return code ? code : liz_files_system()->ftruncate(user, fd, size);
}

static int f_rename(void *user, const char *from, const char *to)
{
    int code = strike();
    return code ? code : liz_files_system()->rename(user, from, to);
}

static int f_unlink(void *user, const char *path) { return fault.dead ? -EIO : liz_files_system()->unlink(user, path); }
static int f_lock(void *user, int fd) { return liz_files_system()->lock(user, fd); }

static const liz_files faulty = {NULL,    f_open,      f_close,  f_read,   f_write,
                                 f_fsync, f_ftruncate, f_rename, f_unlink, f_lock};

/* Runs with the fault at call `at`; returns whether it struck. */
static bool run_faulty(const liz_line_opts *opts, manner how, long at)
{
    liz_line_opts disturbed = *opts;
    liz_error err;
    disturbed.files = &faulty;
    fault.how = how;
    fault.at = at;
    fault.n = 0;
    fault.dead = fault.hit = false;
    struct stat st;
    fault.synced = fault.out && stat(fault.out, &st) == 0 ? st.st_size : 0;
    int outcome = lab_run(&disturbed, NULL, &err);
    if (fault.hit && outcome == -1 && (err.code == LIZ_OK || err.text[0] == '\0'))
        fail_msg("%s at %ld: failed without saying why", manner_names[how], at);
    return fault.hit;
}

/* Disturbs `opts` at every call in one manner, from the state that `prepare` makes, and resumes with `again`. */
static void disturb(const liz_line_opts *opts, const liz_line_opts *again, manner how, void (*prepare)(void))
{
    long at = 1, n_hit = 0;
    /* How many calls there are depends on how rows bunch together, so it takes three misses to be past the last. */
    for (int n_missed = 0; n_missed < 3; at++) {
        prepare();
        bool hit = run_faulty(opts, how, at);
        n_hit += hit;
        n_missed = hit ? 0 : n_missed + 1;
        liz_error err;
        liz_line_report report;
        size_t n_whole = again->restart || again->retry_failed || how >= POWER_LOST ? 0 : lab_n_lines("out");
        int outcome = lab_run(again, &report, &err);
        if (outcome == -1)
            fail_msg("%s at call %ld: resume was refused: %s", manner_names[how], at, err.text);
        if (report.progress.n_rows_before < n_whole)
            fail_msg("%s at call %ld: %zu rows were whole, %lu were kept", manner_names[how], at, n_whole,
                     report.progress.n_rows_before);
        liz_buf got = lab_get("out"), want = lab_get("undisturbed");
        if (!liz_str_eq(liz_buf_str(&got), liz_buf_str(&want)))
            fail_msg("%s at call %ld: other bytes after resume:\n%s\n---\n%s", manner_names[how], at, got.data,
                     want.data);
        liz_buf_free(&got);
        liz_buf_free(&want);
    }
    if (how != SHORT && n_hit < 5)
        fail_msg("%s: struck only %ld times", manner_names[how], n_hit);
    fprintf(stderr, "# %s: %ld places\n", manner_names[how], n_hit);
}

static void from_nothing(void) { lab_remove_out("out"); }

static void test_fresh(void **state)
{
    (void)state;
    lab_make_input("in.jsonl", 24, true);
    liz_line_opts opts = lab_opts("in.jsonl", "undisturbed");
    opts.engine.n_parallel = 3;
    lab_run_ok(&opts, LIZ_LINE_DONE);
    opts.out_path = fault.out = "out";
    for (manner how = FAIL_ENOSPC; how <= POWER_ZEROS; how++)
        disturb(&opts, &opts, how, from_nothing);
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
    opts.out_path = fault.out = "out";
    for (manner how = FAIL_ENOSPC; how <= POWER_ZEROS; how++)
        disturb(&opts, &opts, how, half_done);
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
    opts.out_path = fault.out = "out";
    opts.restart = true;
    for (manner how = FAIL_ENOSPC; how <= POWER_ZEROS; how++)
        disturb(&opts, &opts, how, other_job);
    /* Without --restart: refused while the other job's side file stands, else the right bytes. */
    liz_line_opts again = opts;
    again.restart = false;
    bool hit = true;
    for (long at = 1; hit; at++) {
        other_job();
        hit = run_faulty(&opts, DEATH, at);
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
    retry.out_path = fault.out = "out";
    for (manner how = FAIL_ENOSPC; how <= TORN_DEATH; how++)
        disturb(&retry, &retry, how, finished);
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
                                       cmocka_unit_test(test_restart), cmocka_unit_test(test_retry)};
    return cmocka_run_group_tests(tests, setup, lab_close);
}
