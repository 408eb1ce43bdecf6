/* job.c - a text file of settings. The first line is the format's name; "done" is the last one's once OUT is there. */
#include "train/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE_MAX = 1 << 16 };

static const char head[] = "lizzie training, form 1\n", done[] = "done\n";

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static char *joined(const char *out, const char *suffix)
{
    char *path = NULL;
    return asprintf(&path, "%s.%s", out, suffix) < 0 ? NULL : path;
}

/* What the side file says: nothing (then the job is new), a running job, or one that is done. */
static liz_status read_side(liz_job *job, liz_error *err)
{
    LIZ_TRY(liz_file_read_whole(job->files, job->side, &job->before, err));
    if (job->before.len == 0)
        return LIZ_OK;
    if (!liz_str_starts(liz_buf_str(&job->before), head))
        return liz_fail(err, LIZ_E_FORMAT, "%s: was not written by train or tune: move it away, or --restart",
                        job->side);
    size_t n = job->before.len, n_done = sizeof done - 1;
    job->resumes = true;
    job->is_done = n >= n_done && memcmp(job->before.data + n - n_done, done, n_done) == 0;
    return LIZ_OK;
}

static void forget(liz_job *job)
{
    job->resumes = job->is_done = false;
    liz_buf_clear(&job->before);
    job->files->unlink(job->files->user, job->checkpoint);
    job->files->unlink(job->files->user, job->start);
}

/* The job that is there, if one is, and whether OUT stands in the way. */
static liz_status look(liz_job *job, bool restart, liz_error *err)
{
    struct stat st;
    job->is_new = fstat(job->fd, &st) == 0 && st.st_size == 0;
    if (restart)
        return LIZ_OK;
    LIZ_TRY(read_side(job, err));
    if (job->is_done && !exists(job->out))
        forget(job);
    if (exists(job->out) && !job->resumes)
        return liz_fail(err, LIZ_E_STATE, "%s: is there already: name another file, or --restart to replace it",
                        job->out);
    if (!job->resumes && exists(job->checkpoint))
        return liz_fail(err, LIZ_E_STATE, "%s: is there, but %s does not say of what job: move it away, or --restart",
                        job->checkpoint, job->side);
    return LIZ_OK;
}

liz_status liz_job_open(liz_job *job, const liz_files *files, const char *out, bool restart, liz_error *err)
{
    *job = (liz_job){.files = files, .fd = -1};
    liz_buf_init(&job->before, SIDE_MAX);
    liz_buf_init(&job->now, SIDE_MAX);
    liz_buf_puts(&job->now, head);
    job->out = strdup(out);
    job->side = joined(out, "lizzie");
    job->checkpoint = joined(out, "checkpoint");
    job->start = joined(out, "start");
    job->start_new = joined(out, "start.new");
    if (!job->out || !job->side || !job->checkpoint || !job->start || !job->start_new)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its paths", out);
    LIZ_TRY(liz_file_open_locked(files, job->side, &job->fd, err));
    return look(job, restart, err);
}

void liz_job_close(liz_job *job)
{
    if (job->files != NULL && job->fd >= 0 && !job->has_begun) {
        if (job->is_new)
            job->files->unlink(job->files->user, job->side);
        job->files->unlink(job->files->user, job->start_new);
    }
    if (job->files != NULL)
        liz_file_close(job->files, &job->fd);
    liz_buf_free(&job->before);
    liz_buf_free(&job->now);
    free(job->out);
    free(job->side);
    free(job->checkpoint);
    free(job->start);
    free(job->start_new);
}

/* The line of setting `name` in the job that is there, without its end. */
static liz_str line_before(const liz_job *job, const char *name)
{
    liz_str rest = liz_buf_str(&job->before);
    size_t n_name = strlen(name);
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        liz_str line = {rest.p, end != NULL ? (size_t)(end - rest.p) : rest.n};
        if (line.n > n_name && memcmp(line.p, name, n_name) == 0 && line.p[n_name] == ' ')
            return (liz_str){line.p + n_name + 1, line.n - n_name - 1};
        rest.p += line.n + (end != NULL);
        rest.n -= line.n + (end != NULL);
    }
    return (liz_str){"nothing", 7};
}

void liz_job_setting(liz_job *job, const char *name, const char *format, ...)
{
    char value[256];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    for (char *p = value; *p != '\0'; p++)
        *p = *p == '\n' ? ' ' : *p;
    liz_buf_printf(&job->now, "%s %s\n", name, value);
    liz_str before = line_before(job, name);
    if (job->resumes && job->status == LIZ_OK && !liz_str_is(before, value))
        job->status =
            liz_fail(&job->why, LIZ_E_STATE,
                     "%s: was begun with another %s (%.*s, now %s): give the same, or --restart to begin anew",
                     job->out, name, LIZ_STR_ARG(before), value);
}

void liz_job_setting_hash(liz_job *job, const char *name, liz_hash hash)
{
    char hex[33];
    liz_hash_hex(hash, hex);
    liz_job_setting(job, name, "%s", hex);
}

liz_status liz_job_check(const liz_job *job, liz_error *err)
{
    if (job->status != LIZ_OK && err != NULL)
        *err = job->why;
    return job->status;
}

liz_status liz_job_begin(liz_job *job, liz_hash *hash, liz_error *err)
{
    LIZ_TRY(liz_job_check(job, err));
    if (liz_buf_failed(&job->now))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its settings", job->side);
    *hash = liz_hash_bytes(job->now.data, job->now.len);
    job->has_begun = true;
    if (job->resumes)
        return LIZ_OK;
    forget(job);
    if (exists(job->start_new))
        LIZ_TRY(liz_file_rename(job->files, job->start_new, job->start, err));
    return liz_file_replace_locked(job->files, job->side, &job->fd, job->now.data, job->now.len, err);
}

liz_status liz_job_finish(liz_job *job, liz_error *err)
{
    liz_buf_puts(&job->now, done);
    LIZ_TRY(liz_file_replace_locked(job->files, job->side, &job->fd, job->now.data, job->now.len, err));
    job->files->unlink(job->files->user, job->checkpoint);
    job->files->unlink(job->files->user, job->start);
    return LIZ_OK;
}
