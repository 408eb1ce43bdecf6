/* test_files.c - the file operations of the line, locks between processes, the clock, and energy from a made-up
 * powercap tree. */
#include "sys/clock.h"
#include "sys/files.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int enter_folder(void **state)
{
    (void)state;
    static char folder[] = "/tmp/lizzie-files-XXXXXX";
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    char *folder = getcwd(NULL, 0), command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    free(folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_holds(const char *path, const char *text)
{
    liz_buf buf;
    liz_buf_init(&buf, 1 << 20);
    assert_int_equal(liz_file_read_whole(liz_files_system(), path, &buf, NULL), LIZ_OK);
    liz_buf_puts(&buf, "");
    assert_string_equal(buf.data, text);
    liz_buf_free(&buf);
}

/* ---- What reaches the system ---- */

static int n_fsync, n_fdatasync;

int __real_fsync(int fd), __real_fdatasync(int fd);
int __wrap_fsync(int fd), __wrap_fdatasync(int fd);

int __wrap_fsync(int fd)
{
    n_fsync++;
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    n_fdatasync++;
    return __real_fdatasync(fd);
}

/* A file's bytes and a folder's names are synced by the system, each by the call that it needs. */
static void test_sync(void **state)
{
    (void)state;
    const liz_files *files = liz_files_system();
    int fd = -1;
    put("synced", "a");
    n_fsync = n_fdatasync = 0;
    assert_int_equal(liz_file_open(files, "synced", O_RDWR, &fd, NULL), LIZ_OK);
    assert_int_equal(liz_file_sync(files, fd, "synced", NULL), LIZ_OK);
    assert_true(n_fdatasync == 1 && n_fsync == 0);
    assert_int_equal(liz_file_rename(files, "synced", "renamed", NULL), LIZ_OK);
    assert_true(n_fdatasync == 1 && n_fsync == 1);
    liz_file_close(files, &fd);
}

/* Each call is interrupted once before it does its work. */
static bool interrupted;
#define INTERRUPT                                                                                                      \
    if ((interrupted = !interrupted))                                                                                  \
        return -EINTR;

static int slow_open(void *user, const char *path, int flags, mode_t mode)
{
    INTERRUPT
    return liz_files_system()->open(user, path, flags, mode);
}

static ssize_t slow_read(void *user, int fd, void *data, size_t n)
{
    INTERRUPT
    return liz_files_system()->read(user, fd, data, n);
}

static int slow_fsync(void *user, int fd)
{
    INTERRUPT
    return liz_files_system()->fsync(user, fd);
}

static int slow_ftruncate(void *user, int fd, off_t size)
{
    INTERRUPT
    return liz_files_system()->ftruncate(user, fd, size);
}

static int slow_lock(void *user, int fd)
{
    INTERRUPT
    return liz_files_system()->lock(user, fd);
}

static void test_interrupted(void **state)
{
    (void)state;
    liz_files files = *liz_files_system();
    liz_buf text;
    int fd = -1;
    files.open = slow_open, files.read = slow_read, files.fsync = slow_fsync;
    files.ftruncate = slow_ftruncate, files.lock = slow_lock;
    put("slow", "abc");
    liz_buf_init(&text, 100);
    interrupted = false;
    assert_int_equal(liz_file_open_locked(&files, "slow", &fd, NULL), LIZ_OK);
    assert_int_equal(liz_file_truncate(&files, fd, "slow", 2, NULL), LIZ_OK);
    assert_int_equal(liz_file_sync(&files, fd, "slow", NULL), LIZ_OK);
    assert_int_equal(liz_file_read_rest(&files, fd, "slow", &text, NULL), LIZ_OK);
    assert_string_equal(text.data, "ab");
    assert_false(interrupted);
    liz_buf_free(&text);
    liz_file_close(&files, &fd);
}

static int calls;
static ssize_t write_grudgingly(void *user, int fd, const void *data, size_t n)
{
    if (calls++ % 2 == 0)
        return -EINTR;
    return liz_files_system()->write(user, fd, data, n > 3 ? 3 : n);
}

static ssize_t write_nothing(void *user, int fd, const void *data, size_t n)
{
    (void)user, (void)fd, (void)data, (void)n;
    return 0;
}

static void test_write_all(void **state)
{
    (void)state;
    liz_files files = *liz_files_system();
    liz_error err;
    int fd = -1;
    files.write = write_grudgingly;
    assert_int_equal(liz_file_open(&files, "a", O_WRONLY | O_CREAT | O_TRUNC, &fd, NULL), LIZ_OK);
    assert_int_equal(liz_file_write(&files, fd, "a", "hello, world", 12, NULL), LIZ_OK);
    assert_holds("a", "hello, world");
    files.write = write_nothing; /* a device that takes nothing is no endless loop */
    assert_int_equal(liz_file_write(&files, fd, "a", "x", 1, &err), LIZ_E_IO);
    liz_file_close(&files, &fd);
    assert_int_equal(fd, -1);
    liz_file_close(&files, &fd);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(liz_file_open(liz_files_system(), "/dev/full", O_WRONLY, &fd, NULL), LIZ_OK);
        assert_int_equal(liz_file_write(liz_files_system(), fd, "/dev/full", "x", 1, &err), LIZ_E_IO);
        assert_string_equal(
            err.text,
            "/dev/full: cannot be written: No space left on device: make room and run the same command again");
        liz_file_close(liz_files_system(), &fd);
    }
}

static void test_errors(void **state)
{
    (void)state;
    liz_error err;
    int fd = -1;
    liz_buf buf;
    liz_buf_init(&buf, 3);
    assert_int_equal(liz_file_open(liz_files_system(), "none", O_RDONLY, &fd, &err), LIZ_E_IO);
    assert_string_equal(err.text, "none: cannot be opened: No such file or directory: check its name");
    put("four", "1234");
    assert_int_equal(liz_file_read_whole(liz_files_system(), "four", &buf, &err), LIZ_E_LIMIT);
    liz_buf_free(&buf);
    assert_int_equal(liz_file_rename(liz_files_system(), "none", "other", &err), LIZ_E_IO);
}

/* Whether another process gets the lock. */
static bool other_gets_lock(const char *path)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = -1;
        _exit(liz_file_open_locked(liz_files_system(), path, &fd, NULL) == LIZ_OK ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) == 0;
}

static void test_lock_survives_replacing(void **state)
{
    (void)state;
    const liz_files *files = liz_files_system();
    int fd = -1;
    assert_true(other_gets_lock("lock"));
    assert_int_equal(liz_file_open_locked(files, "lock", &fd, NULL), LIZ_OK);
    assert_false(other_gets_lock("lock"));
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "v%d", i);
        assert_int_equal(liz_file_replace_locked(files, "lock", &fd, text, strlen(text), NULL), LIZ_OK);
        assert_holds("lock", text);
        assert_false(other_gets_lock("lock"));
    }
    liz_file_close(files, &fd);
    assert_true(other_gets_lock("lock"));
}

/* A crowd that fights for the lock and replaces the file: never two inside at once. */
static void test_lock_crowd(void **state)
{
    (void)state;
    enum { CROWD = 8, ROUNDS = 15 };
    const liz_files *files = liz_files_system();
    put("inside", "");
    for (int i = 0; i < CROWD; i++) {
        if (fork() != 0)
            continue;
        for (int done = 0; done < ROUNDS;) {
            int fd = -1;
            if (liz_file_open_locked(files, "crowd", &fd, NULL) != LIZ_OK)
                continue;
            int mark = open("mark", O_CREAT | O_EXCL | O_WRONLY, 0600);
            if (mark < 0)
                _exit(1); /* somebody else is inside */
            close(mark);
            bool ok = liz_file_replace_locked(files, "crowd", &fd, "x", 1, NULL) == LIZ_OK;
            unlink("mark");
            liz_file_close(files, &fd);
            if (!ok)
                _exit(2);
            done++;
        }
        _exit(0);
    }
    int status, n_ended = 0;
    while (wait(&status) > 0) {
        assert_int_equal(status, 0);
        n_ended++;
    }
    assert_int_equal(n_ended, CROWD);
}

static int rename_fails(void *user, const char *from, const char *to)
{
    (void)user, (void)from, (void)to;
    return -EIO;
}

static void test_replace_failure_keeps_old(void **state)
{
    (void)state;
    liz_files files = *liz_files_system();
    int fd = -1;
    assert_int_equal(liz_file_open_locked(&files, "keep", &fd, NULL), LIZ_OK);
    assert_int_equal(liz_file_replace_locked(&files, "keep", &fd, "old", 3, NULL), LIZ_OK);
    files.rename = rename_fails;
    assert_int_equal(liz_file_replace_locked(&files, "keep", &fd, "new", 3, NULL), LIZ_E_IO);
    assert_holds("keep", "old");
    assert_false(other_gets_lock("keep"));
    assert_int_not_equal(access("keep.tmp", F_OK), 0);
    liz_file_close(&files, &fd);
}

static void test_clock(void **state)
{
    (void)state;
    uint64_t before = liz_clock_us();
    usleep(2000);
    assert_true(liz_clock_us() - before >= 2000);
    assert_true(liz_clock_unix_s() > 1700000000);
}

static void zone(const char *folder, const char *name, const char *energy)
{
    char path[64];
    assert_true(mkdir("rapl", 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "rapl/%s", folder);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "rapl/%s/name", folder);
    put(path, name);
    snprintf(path, sizeof path, "rapl/%s/energy_uj", folder);
    put(path, energy);
    snprintf(path, sizeof path, "rapl/%s/max_energy_range_uj", folder);
    put(path, "10000000\n");
}

static void test_energy(void **state)
{
    (void)state;
    liz_energy_meter meter;
    assert_false(liz_energy_open(&meter, "no-such-folder"));
    zone("intel-rapl:0", "package-0\n", "1000000\n");
    zone("intel-rapl:1", "package-1\n", "9500000\n");
    zone("intel-rapl:0:0", "core\n", "5\n"); /* a part of the first package */
    zone("intel-rapl:0:1", "dram\n", "7000000\n");
    zone("intel-rapl:2", "psys\n", "5\n"); /* all of it once more */
    zone("dtpm", "package-0\n", "5\n");
    zone("intel-rapl:3", "package-3\n", "not a number\n");
    assert_int_equal(setenv("LIZZIE_POWERCAP", "rapl", 1), 0);
    assert_false(liz_energy_open(&meter, NULL)); /* a part would pass for the whole machine */
    zone("intel-rapl:3", "core\n", "not a number\n");
    assert_true(liz_energy_open(&meter, NULL));
    assert_int_equal(unsetenv("LIZZIE_POWERCAP"), 0);
    assert_int_equal(meter.n_zones, 3);
    assert_true(liz_energy_read_j(&meter) == 0);
    zone("intel-rapl:0", "package-0\n", "3500000\n");
    zone("intel-rapl:0:0", "core\n", "999\n");
    zone("intel-rapl:0:1", "dram\n", "8000000\n");
    zone("intel-rapl:1", "package-1\n", "250000\n"); /* wrapped: 0.5 to the end and 0.25 */
    double j = liz_energy_read_j(&meter);
    assert_true(j > 4.2499 && j < 4.2501);
    assert_int_equal(unlink("rapl/intel-rapl:1/energy_uj"), 0); /* a zone that goes away adds nothing */
    assert_true(liz_energy_read_j(&meter) == j);
}

/* A counter that stands lower has wrapped only if it was in its upper half: else its driver began anew. */
static void test_counter_begins_anew(void **state)
{
    static const struct {
        const char *before, *after;
        double used;
    } cases[] = {{"9000000", "500000", 1.5}, {"3000000", "200000", 0.2}, {"20000000", "300000", 0.3}, {"7", "7", 0}};
    char slashes[101] = "";
    (void)state;
    memset(slashes, '/', 100);
    assert_int_equal(system("rm -rf rapl"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        liz_energy_meter meter;
        char deep[128];
        snprintf(deep, sizeof deep, ".%.*srapl", 100, slashes); /* a long path is no other */
        zone("intel-rapl:0", "package-0\n", cases[i].before);
        assert_true(liz_energy_open(&meter, deep));
        zone("intel-rapl:0", "package-0\n", cases[i].after);
        double used = liz_energy_read_j(&meter);
        assert_true(used > cases[i].used - 1e-6 && used < cases[i].used + 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_write_all),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_lock_survives_replacing),
        cmocka_unit_test(test_lock_crowd),
        cmocka_unit_test(test_replace_failure_keeps_old),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_energy),
        cmocka_unit_test(test_counter_begins_anew),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
