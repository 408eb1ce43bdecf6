/* line_resume.c - where a job begins: at the start, after what OUT holds, or with the error rows of a finished OUT.
 *
 * What is in OUT and whole is kept. A line is whole when its line end is there and it begins and ends as the row of its
 * place does; a torn last line is cut off. Nothing is kept of which the side file does not vouch, and nothing at all
 * when settings, model or the consumed input differ: then it says what does, and stops.
 *
 * A retry writes a new file OUT.retry, rows that were done copied, and renames it over OUT. OUT.retry exists before the
 * side file says that a retry is under way, so a retry without its file is one that was renamed already. */
#include "line/line_job.h"

#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- The rows of a file ------------------------------------------------------------------------- */

static liz_status fail_foreign(const liz_line_job *job, uint64_t line, uint64_t index, liz_error *err)
{
    return liz_fail(err, LIZ_E_STATE,
                    "%s: line %" PRIu64 " is not the row of index %" PRIu64 " that this job wrote there: move the file "
                    "away, or begin anew with --restart",
                    job->opts->out_path, line, index);
}

/* Whether a line is what is left of a row: its beginning, or blocks that never reached the disk and read as 0. */
static bool is_torn(const liz_line_job *job, const liz_line_cut *cut, uint64_t index)
{
    return memchr(cut->text.p, '\0', cut->text.n) != NULL ||
           (!cut->is_closed && liz_line_row_begins(cut->text, job->form, index));
}

/* Behind all rows that the side file vouches for nothing of the job can stand but a torn line, or blocks that read as
 * 0. */
static liz_status check_end(const liz_line_job *job, liz_line_input *in, const liz_line_rows *found, uint64_t index,
                            liz_error *err)
{
    liz_line_cut cut;
    bool got;
    uint64_t end, size;
    liz_line_input_bytes(in, &end, &size);
    if (size == found->bytes)
        return LIZ_OK;
    LIZ_TRY(liz_line_input_next(in, &cut, &got, err));
    return got && is_torn(job, &cut, index) ? LIZ_OK : fail_foreign(job, found->n + 1, index, err);
}

/* Counts the whole rows of `path`, up to the record `n_records` (exclusive; 0: of a job that began anew, and may not
 * have cut off what was there). LIZ_E_STATE when a line is some other text. */
static liz_status scan_rows(const liz_line_job *job, const char *path, uint64_t n_records, liz_line_rows *found,
                            liz_error *err)
{
    liz_line_input *in = NULL;
    uint32_t n_shards = job->opts->n_shards > 0 ? job->opts->n_shards : 1;
    *found = (liz_line_rows){0};
    liz_status status = liz_line_input_open(&in, job->files, path, LIZ_LINE_INPUT_JSONL, NULL, err);
    uint64_t index = job->opts->shard;
    for (; status == LIZ_OK && index < n_records; index += n_shards) {
        liz_line_cut cut;
        bool got;
        uint64_t end, size;
        status = liz_line_input_next(in, &cut, &got, err);
        if (status != LIZ_OK || !got)
            break;
        liz_line_input_bytes(in, &end, &size);
        /* no mark, blank line or other line end between */
        bool follows = cut.is_closed && end == found->bytes + cut.text.n + 1;
        if (!follows || !liz_line_row_matches(cut.text, job->form, index)) {
            status = is_torn(job, &cut, index) ? LIZ_OK : fail_foreign(job, cut.line, index, err);
            break;
        }
        bool failed;
        status = liz_line_row_is_error(cut.text, &failed, err);
        if (status != LIZ_OK)
            break;
        found->n++;
        found->n_failed += failed;
        found->bytes = end;
    }
    if (status == LIZ_OK && n_records > 0 && index >= n_records)
        status = check_end(job, in, found, index, err);
    liz_line_input_close(in);
    return status;
}

/* ---- The input ---------------------------------------------------------------------------------- */

liz_status liz_line_check_consumed(const liz_line_job *job, const liz_line_input *in, bool at_end, liz_error *err)
{
    const liz_line_journal *j = &job->journal;
    liz_line_mark mark = liz_line_input_mark(in);
    if (j->mark.n == 0)
        return LIZ_OK;
    if (at_end && mark.n < j->mark.n)
        return liz_fail(err, LIZ_E_STATE,
                        "%s: has changed: it ends after %" PRIu64 " records, and %s was made from %" PRIu64
                        " or more: give the old input, or begin anew with --restart",
                        job->opts->in_path, mark.n, job->opts->out_path, j->mark.n);
    if (mark.n == j->mark.n && !liz_hash_eq(mark.hash, j->mark.hash))
        return liz_fail(err, LIZ_E_STATE,
                        "%s: has changed: its first %" PRIu64 " records are not those that %s was made from: give the "
                        "old input, or begin anew with --restart",
                        job->opts->in_path, mark.n, job->opts->out_path);
    return LIZ_OK;
}

/* Reads the consumed part of the input beforehand, by an opening of its own. */
static liz_status verify_consumed(const liz_line_job *job, liz_error *err)
{
    liz_line_input *in = NULL;
    liz_line_cut cut;
    bool got = true;
    liz_status status =
        liz_line_input_open(&in, job->files, job->opts->in_path, LIZ_LINE_INPUT_GUESS, &job->reader_stop, err);
    while (status == LIZ_OK && got && liz_line_input_mark(in).n < job->journal.mark.n)
        status = liz_line_input_next(in, &cut, &got, err);
    status = status ?: liz_line_check_consumed(job, in, !got, err);
    liz_line_input_close(in);
    return status;
}

/* Moves the input behind the records of `n_rows` rows, and tells whether another of ours follows. */
static liz_status skip_rows(liz_line_job *job, uint64_t n_rows, bool *follows, liz_error *err)
{
    liz_line_cut cut;
    for (*follows = true;; n_rows -= liz_line_job_owns(job, cut.index)) {
        liz_status status = liz_line_input_next(job->in, &cut, follows, err);
        if (status == LIZ_OK && job->check_in_flight)
            status = liz_line_check_consumed(job, job->in, !*follows, err);
        if (status != LIZ_OK || !*follows)
            return status;
        if (n_rows == 0 && liz_line_job_owns(job, cut.index)) {
            liz_line_input_unget(job->in);
            return LIZ_OK;
        }
    }
}

/* Moves the reading of the finished OUT behind what OUT.retry holds. */
static liz_status skip_old_rows(liz_line_job *job, uint64_t n_rows, liz_error *err)
{
    liz_line_cut cut;
    bool got = true;
    liz_status status =
        liz_line_input_open(&job->old_out, job->files, job->opts->out_path, LIZ_LINE_INPUT_JSONL, NULL, err);
    for (; status == LIZ_OK && got && n_rows > 0; n_rows--)
        status = liz_line_input_next(job->old_out, &cut, &got, err);
    return status;
}

/* ---- Decisions ---------------------------------------------------------------------------------- */

static liz_status fail_busy(const liz_line_job *job, liz_error *err)
{
    return liz_fail(err, LIZ_E_BUSY, "%s: another lizzie is at work on it: wait for it to end, or name another OUT",
                    job->opts->out_path);
}

/* OUT can have several names (links), each with a side file of its own: only its own lock keeps their lines apart. */
static liz_status open_locked(liz_line_job *job, int flags, liz_error *err)
{
    if (job->target_fd >= 0)
        return LIZ_OK;
    flags |= O_WRONLY | O_APPEND;
    liz_status status = liz_file_open(job->files, job->target_path, flags, &job->target_fd, err);
    status = status ?: liz_file_lock(job->files, job->target_fd, job->target_path, err);
    return status == LIZ_E_BUSY ? fail_busy(job, err) : status;
}

/* The descriptor that a path is another name of, -1 for other paths. Opened by that name it would be written from its
 * beginning, whatever the redirection says. */
static int descriptor_of(const char *path)
{
    int fd, n = 0;
    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    bool is = (sscanf(path, "/dev/fd/%d%n", &fd, &n) == 1 || sscanf(path, "/proc/self/fd/%d%n", &fd, &n) == 1) &&
              path[n] == '\0';
    return is ? fd : -1;
}

/* OUT's kind: a file (perhaps not there yet) can be resumed; a pipe, a device and what is open already cannot. */
static bool out_is_file(const char *path, uint64_t *size)
{
    struct stat st;
    *size = 0;
    if (descriptor_of(path) >= 0)
        return false;
    if (stat(path, &st) != 0)
        return true;
    *size = (uint64_t)st.st_size;
    return S_ISREG(st.st_mode);
}

static liz_status fail_differs(const liz_line_job *job, liz_str was, const char *only, const char *what, liz_error *err)
{
    liz_buf diff = {.len_max = 4096};
    liz_line_fingerprint_diff(was, liz_buf_str(&job->fingerprint), only, &diff);
    liz_status status = LIZ_OK;
    if (liz_buf_failed(&diff) && !diff.is_full)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory to compare settings", job->opts->out_path);
    else if (diff.len > 0)
        status = liz_fail(err, LIZ_E_STATE, "%s: %s with other settings: %s: use those, or begin anew with --restart",
                          job->opts->out_path, what, diff.data);
    liz_buf_free(&diff);
    return status;
}

static liz_status resume_plain(liz_line_job *job, uint64_t out_bytes, liz_error *err)
{
    const liz_line_opts *o = job->opts;
    liz_line_journal *j = &job->journal;
    bool follows;
    job->is_new = o->restart || !j->exists;
    if (!o->restart && !j->exists && out_bytes > 0)
        return liz_fail(err, LIZ_E_STATE,
                        "%s: exists and has no side file %s.lizzie to go on by: name another OUT, or "
                        "overwrite it with --restart",
                        o->out_path, o->out_path);
    if (!job->is_new && j->retry.len > 0)
        return liz_fail(err, LIZ_E_STATE,
                        "%s: a --retry-failed is under way: finish it with the same command, or begin "
                        "anew with --restart",
                        o->out_path);
    if (job->is_new) {
        liz_model_identity model = j->model;
        liz_line_journal_begin(j, liz_buf_str(&job->fingerprint), &model, liz_clock_unix_s());
    } else {
        LIZ_TRY(fail_differs(job, liz_line_journal_fingerprint(j, 0), NULL, "was made", err));
        job->check_in_flight = strcmp(o->in_path, "-") == 0;
        if (!job->check_in_flight)
            LIZ_TRY(verify_consumed(job, err));
        if (access(job->target_path, F_OK) == 0)
            LIZ_TRY(scan_rows(job, job->target_path, j->mark.n, &job->have, err));
    }
    LIZ_TRY(skip_rows(job, job->have.n, &follows, err));
    job->is_over = !follows;
    return LIZ_OK;
}

/* ---- --retry-failed ----------------------------------------------------------------------------- */

static char *retry_path(const liz_line_job *job)
{
    char *path;
    return asprintf(&path, "%s.retry", job->out_path) < 0 ? NULL : path;
}

static liz_status begin_retry(liz_line_job *job, liz_error *err)
{
    int fd = -1;
    liz_status status = liz_file_open(job->files, job->target_path, O_WRONLY | O_CREAT | O_TRUNC, &fd, err);
    status = status ?: liz_file_sync(job->files, fd, job->target_path, err);
    liz_file_close(job->files, &fd);
    liz_file_mode_copy(job->out_path, job->target_path);
    status = status ?: liz_file_sync_folder(job->files, job->target_path, err);
    liz_buf_append_str(&job->journal.retry, liz_buf_str(&job->fingerprint));
    return status ?: liz_line_journal_save(&job->journal, err);
}

liz_status liz_line_retry_settle(liz_line_job *job, liz_error *err)
{
    liz_line_journal *j = &job->journal;
    liz_buf_append_str(&j->fingerprints, liz_buf_str(&j->retry));
    liz_buf_putc(&j->fingerprints, '\n');
    liz_buf_clear(&j->retry);
    j->n_attempts++;
    return liz_line_journal_save(j, err);
}

static liz_status check_finished(liz_line_job *job, liz_error *err)
{
    const char *out = job->opts->out_path;
    if (!job->journal.exists)
        return liz_fail(err, LIZ_E_STATE, "%s: has no side file: --retry-failed needs a finished OUT", out);
    if (!job->journal.finished)
        return liz_fail(err, LIZ_E_STATE, "%s: is not finished: run the command without --retry-failed first", out);
    return fail_differs(job, liz_line_journal_fingerprint(&job->journal, 0), "shard", "was made", err);
}

static liz_status resume_retry(liz_line_job *job, liz_error *err)
{
    liz_line_rows old;
    bool follows;
    free(job->target_path);
    job->target_path = retry_path(job);
    if (job->target_path == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", job->opts->out_path);
    LIZ_TRY(check_finished(job, err));
    LIZ_TRY(verify_consumed(job, err));
    LIZ_TRY(scan_rows(job, job->opts->out_path, job->journal.mark.n, &old, err));
    job->attempt = job->journal.n_attempts;
    job->n_rows_max = old.n;
    bool under_way = job->journal.retry.len > 0;
    if (under_way)
        LIZ_TRY(fail_differs(job, liz_buf_str(&job->journal.retry), NULL, "a --retry-failed is under way", err));
    bool was_renamed = under_way && access(job->target_path, F_OK) != 0;
    job->is_over = was_renamed || (!under_way && old.n_failed == 0);
    if (job->is_over) {
        job->have = old;
        return was_renamed ? liz_line_retry_settle(job, err) : LIZ_OK;
    }
    if (under_way)
        LIZ_TRY(scan_rows(job, job->target_path, job->journal.mark.n, &job->have, err));
    else
        LIZ_TRY(begin_retry(job, err));
    LIZ_TRY(skip_old_rows(job, job->have.n, err));
    return skip_rows(job, job->have.n, &follows, err);
}

/* ---- Beginning ---------------------------------------------------------------------------------- */

/* The time for templates is that at which the line first began, unless --now is given. */
static void recall_now(liz_line_job *job)
{
    char began[sizeof job->now];
    bool kept = job->journal.exists && !job->opts->restart && job->opts->now == NULL &&
                liz_line_fingerprint_get(liz_line_journal_fingerprint(&job->journal, 0), "now", began, sizeof began);
    if (kept && strcmp(began, "none") != 0)
        memcpy(job->now, began, sizeof began);
}

static liz_status settings_describe(liz_line_job *job, liz_error *err)
{
    const char *loras[LIZ_LORAS_MAX];
    liz_arena arena = {.size_max = 1u << 20};
    liz_status status = liz_line_loras_describe(job->opts, &arena, loras, err);
    if (status == LIZ_OK)
        liz_line_fingerprint_make(&job->fingerprint, job->opts, job->journal.model.hash, loras,
                                  job->chat ? liz_template_hash(job->chat) : NULL, job->chat ? job->now : NULL);
    if (status == LIZ_OK && liz_buf_failed(&job->fingerprint))
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory for the settings", job->opts->out_path);
    liz_arena_free(&arena);
    return status;
}

liz_status liz_line_resume(liz_line_job *job, liz_error *err)
{
    const liz_line_opts *o = job->opts;
    uint64_t out_bytes;
    job->resumable = out_is_file(o->out_path, &out_bytes);
    job->n_rows_max = o->limit;
    job->target_path = strdup(o->out_path);
    job->out_path = realpath(o->out_path, NULL);
    if (job->out_path == NULL)
        job->out_path = strdup(o->out_path); /* it is not there yet, or no file */
    if (job->target_path == NULL || job->out_path == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for a path", o->out_path);
    if (access(o->out_path, F_OK) == 0 && access(o->out_path, W_OK) != 0)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be written: %m%s", o->out_path, liz_file_hint(errno));
    job->is_new = !job->resumable;
    if (!job->resumable && o->retry_failed)
        return liz_fail(err, LIZ_E_USAGE, "%s: is no file: --retry-failed needs a finished OUT", o->out_path);
    if (!job->resumable)
        return LIZ_OK;
    liz_status status = liz_line_journal_open(&job->journal, job->files, o->out_path, err);
    if (status == LIZ_E_FORMAT && o->restart) {
        job->journal.model = (liz_model_identity){0};
        status = LIZ_OK;
    } else if (status == LIZ_E_BUSY) {
        return fail_busy(job, err);
    }
    if (status == LIZ_OK && !o->retry_failed && access(o->out_path, F_OK) == 0)
        status = open_locked(job, 0, err);
    LIZ_TRY(status ?: liz_model_identify(o->model_path, &job->journal.model, err));
    recall_now(job);
    LIZ_TRY(settings_describe(job, err));
    return o->retry_failed ? resume_retry(job, err) : resume_plain(job, out_bytes, err);
}

/* The side file speaks of a new job before a row of it is in OUT, so that none is ever there without. It vouches for
 * nothing yet: of the rows that an old OUT still holds none is taken for the new job's. An OUT that has rows although
 * it was not there when the job was settled is another's, who knows it by another name. What is torn, or of another
 * job, is cut off. */
static liz_status open_resumable(liz_line_job *job, liz_error *err)
{
    struct stat st;
    bool was_there = job->target_fd >= 0 || job->opts->retry_failed;
    LIZ_TRY(open_locked(job, O_CREAT, err));
    if (fstat(job->target_fd, &st) != 0)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be examined: %m", job->target_path);
    if (!was_there && st.st_size > 0)
        return fail_busy(job, err);
    if (job->is_new)
        LIZ_TRY(liz_line_journal_save(&job->journal, err));
    if ((uint64_t)st.st_size == job->have.bytes)
        return LIZ_OK;
    LIZ_TRY(liz_file_truncate(job->files, job->target_fd, job->target_path, job->have.bytes, err));
    return liz_file_sync(job->files, job->target_fd, job->target_path, err);
}

static void remove_retry(const liz_line_job *job)
{
    char *path = retry_path(job);
    if (path != NULL)
        job->files->unlink(job->files->user, path);
    free(path);
}

static bool same_open_file(int a, int b)
{
    struct stat x, y;
    return a >= 0 && b >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino &&
           S_ISREG(x.st_mode);
}

/* What of a file are whole lines, if its end shows it; else all of it. */
static uint64_t whole_lines(const char *path, uint64_t size)
{
    char tail[4096];
    size_t n = size < sizeof tail ? (size_t)size : sizeof tail;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? pread(fd, tail, n, (off_t)(size - n)) : -1;
    if (fd >= 0)
        close(fd);
    if (n == 0 || got != (ssize_t)n)
        return size;
    const char *end = memrchr(tail, '\n', n);
    return end != NULL ? size - n + (uint64_t)(end + 1 - tail) : n == size ? 0 : size;
}

/* Emptied, or cut off where a line is torn, only when it is known not to be OUT or its side file by another name. */
static liz_status open_stats(liz_line_job *job, const char *path, liz_error *err)
{
    struct stat st;
    LIZ_TRY(liz_file_open(job->files, path, O_WRONLY | O_CREAT | O_APPEND, &job->stats_fd, err));
    if (same_open_file(job->stats_fd, job->target_fd) || same_open_file(job->stats_fd, job->journal.fd))
        return liz_fail(err, LIZ_E_USAGE, "%s: is the file of --stats and also OUT or its side file: name another",
                        path);
    if (fstat(job->stats_fd, &st) != 0 || !S_ISREG(st.st_mode))
        return LIZ_OK;
    job->stats_bytes = job->is_new ? 0 : whole_lines(path, (uint64_t)st.st_size);
    return job->stats_bytes == (uint64_t)st.st_size
               ? LIZ_OK
               : liz_file_truncate(job->files, job->stats_fd, path, job->stats_bytes, err);
}

liz_status liz_line_target_open(liz_line_job *job, liz_error *err)
{
    int fd = descriptor_of(job->target_path);
    if (fd >= 0 && (job->target_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be written: %m%s", job->target_path, liz_file_hint(errno));
    if (fd < 0 && !job->resumable)
        LIZ_TRY(liz_file_open(job->files, job->target_path, O_WRONLY, &job->target_fd, err));
    if (job->resumable)
        LIZ_TRY(open_resumable(job, err));
    if (job->is_new && job->opts->restart)
        remove_retry(job);
    return job->opts->stats_path != NULL ? open_stats(job, job->opts->stats_path, err) : LIZ_OK;
}
