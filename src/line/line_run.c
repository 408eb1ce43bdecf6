/* line_run.c - one job from beginning to end, and the writer: rows out of the window, in order, into OUT.
 *
 * Before rows go to OUT the side file vouches for the input up to them, synced; OUT itself is synced once a second and
 * at the end, so a power failure costs a second of rows and a crash of the process none. On a clean stop (signal,
 * --limit, --strict) the side file vouches for exactly the rows that are there. */
#include "line/line_energy.h"
#include "line/line_job.h"

#include "base/log.h"
#include "base/tiny.h"
#include "sys/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WAIT_US = 100000,
    SYNC_US = 1000000,
    PROGRESS_US = 200000,
    WRITE_MAX = LIZ_OR_TINY(1 << 20, 100),
    WINDOW_MIN = LIZ_OR_TINY(256, 3),
    WINDOW_PER_SEQ = LIZ_OR_TINY(16, 2)
};

/* What the writing thread keeps beside the job. */
typedef struct writer {
    liz_line_job *job;
    liz_line_report *report;
    liz_buf lines, stats;
    uint64_t begun_us, synced_us, told_us;
    liz_line_mark mark; /* the input up to the last row in OUT */
    liz_line_energy energy;
} writer;

/* ---- Progress ----------------------------------------------------------------------------------- */

static void count_row(liz_line_progress *p, const liz_line_row *row)
{
    p->n_rows++;
    p->in_bytes = row->n_input_bytes;
    if (row->is_copy)
        return;
    p->n_made++;
    p->n_failed += row->error_code != NULL;
    p->n_truncated += row->was_truncated;
    liz_seq_stats stats = liz_line_row_stats(row);
    p->n_prompt_tokens += stats.n_prompt;
    p->n_reused_tokens += stats.n_prompt_reused;
    p->n_completion_tokens += stats.n_completion;
    p->n_words_read += row->error_code == NULL ? row->n_words_read : 0;
    for (size_t i = 0; i < row->n_completions && row->error_code == NULL; i++)
        p->n_words_written += liz_str_words(liz_buf_str(&row->completions[i].text));
}

static void tell(writer *w, bool now)
{
    liz_line_progress *p = &w->report->progress;
    uint64_t us = liz_clock_us();
    if (!now && us - w->told_us < PROGRESS_US)
        return;
    w->told_us = us;
    p->elapsed_us = us - w->begun_us;
    p->joules = liz_line_energy_read_j(&w->energy);
    if (w->job->opts->on_progress != NULL)
        w->job->opts->on_progress(w->job->opts->user, p);
}

/* ---- Writing ------------------------------------------------------------------------------------ */

/* A row that no row can be made of: memory ran out, or the engine failed for a reason that is not the row's. */
static liz_status check_sound(liz_line_row *row, liz_error *err)
{
    for (size_t i = 0; i < row->n_completions && row->error_code == NULL; i++) {
        const liz_line_completion *c = &row->completions[i];
        if (c->finish == LIZ_FINISH_FAILED)
            return liz_fail(err, c->status ? c->status : LIZ_E_STATE, "row of index %" PRIu64 ": the engine failed: %s",
                            row->index, c->message.len ? c->message.data : "no reason given");
        if (c->finish == LIZ_FINISH_CANCELLED)
            return liz_fail(err, LIZ_E_CANCELLED, "row of index %" PRIu64 ": was cancelled", row->index);
    }
    if (liz_line_row_overflowed(row))
        return liz_fail(err, LIZ_E_MEMORY, "row of index %" PRIu64 ": no memory for its text", row->index);
    return LIZ_OK;
}

/* Whether --strict ends the line before this row; then the report says why. */
static bool strict_stops(writer *w, const liz_line_row *row)
{
    if (!w->job->opts->strict || row->error_code == NULL)
        return false;
    w->report->outcome = LIZ_LINE_STRICT;
    snprintf(w->report->message, sizeof w->report->message, "row of index %" PRIu64 ": %s: %.400s", row->index,
             row->error_code, row->error_message.data);
    return true;
}

/* Vouches for the input of the rows about to be written, as far ahead as the reader is. */
static liz_status vouch(writer *w, liz_error *err)
{
    liz_line_job *job = w->job;
    liz_line_journal *j = &job->journal;
    if (!job->resumable || w->mark.n <= j->mark.n)
        return LIZ_OK;
    pthread_mutex_lock(&job->window.lock);
    j->mark = job->window.mark;
    j->finished = false;
    pthread_mutex_unlock(&job->window.lock);
    return liz_line_journal_save(j, err);
}

static liz_status sync_target(writer *w, liz_error *err)
{
    w->synced_us = liz_clock_us();
    return w->job->resumable ? liz_file_sync(w->job->files, w->job->target_fd, w->job->target_path, err) : LIZ_OK;
}

/* Takes back what rows that are not in OUT left in --stats: they are made again, and their stats with them. */
static void take_back_stats(liz_line_job *job)
{
    struct stat st;
    if (job->stats_fd >= 0 && fstat(job->stats_fd, &st) == 0 && S_ISREG(st.st_mode) &&
        liz_file_truncate(job->files, job->stats_fd, job->opts->stats_path, job->stats_bytes, NULL) != LIZ_OK)
        liz_log(LIZ_LOG_WARN, "line", "%s: has lines of rows that are not in OUT", job->opts->stats_path);
}

/* The stats go first, so that every row of OUT has its own. A write that failed half way left a torn line: taken back
 * where that works, and cut off by a resume where not. */
static liz_status write_lines(writer *w, liz_error *err)
{
    liz_line_job *job = w->job;
    liz_status status = LIZ_OK;
    if (job->stats_fd >= 0 && w->stats.len > 0)
        status = liz_file_write(job->files, job->stats_fd, job->opts->stats_path, w->stats.data, w->stats.len, err);
    bool stats_ok = status == LIZ_OK;
    if (stats_ok)
        status = liz_file_write(job->files, job->target_fd, job->target_path, w->lines.data, w->lines.len, err);
    if (status == LIZ_OK) {
        job->have.bytes += w->lines.len;
        job->stats_bytes += w->stats.len;
        return LIZ_OK;
    }
    take_back_stats(job);
    if (stats_ok && job->resumable &&
        liz_file_truncate(job->files, job->target_fd, job->target_path, job->have.bytes, NULL) != LIZ_OK)
        liz_log(LIZ_LOG_WARN, "line", "%s: a torn line stays at its end until the job is resumed", job->target_path);
    return status;
}

static double share_j(writer *w, const liz_line_row *row)
{
    liz_engine_stats all;
    liz_engine_stats_get(w->job->engine, &all);
    liz_seq_stats s = liz_line_row_stats(row);
    uint64_t n_tokens = s.n_prompt - s.n_prompt_reused + s.n_completion;
    return liz_line_energy_share_j(&w->energy, n_tokens, all.n_tokens_prefilled + all.n_tokens_decoded);
}

/* Both of a row's lines, or neither. */
static liz_status add_row(writer *w, const liz_line_row *row, liz_error *err)
{
    size_t lines_before = w->lines.len, stats_before = w->stats.len;
    liz_line_row_write(row, w->job->form, w->job->prompter.vocab, &w->lines);
    if (w->job->stats_fd >= 0 && !row->is_copy)
        liz_line_row_write_stats(row, share_j(w, row), &w->stats);
    if (!liz_buf_failed(&w->lines) && !liz_buf_failed(&w->stats))
        return LIZ_OK;
    liz_buf_cut(&w->lines, lines_before);
    liz_buf_cut(&w->stats, stats_before);
    return liz_fail(err, LIZ_E_MEMORY, "row of index %" PRIu64 ": no memory for its line", row->index);
}

/* Turns the rows that have ended, from the oldest on, into lines. Counts them; sets `*stop` where --strict wants it. */
static liz_status gather(writer *w, size_t *n, bool *stop, liz_error *err)
{
    liz_line_job *job = w->job;
    liz_line_row *row;
    liz_buf_clear(&w->lines);
    liz_buf_clear(&w->stats);
    for (*n = 0; w->lines.len < WRITE_MAX; ++*n) {
        row = liz_line_window_peek(&job->window, *n, 0, NULL);
        *stop = row != NULL && strict_stops(w, row);
        if (row == NULL || *stop)
            return LIZ_OK;
        LIZ_TRY(check_sound(row, err));
        LIZ_TRY(add_row(w, row, err));
        w->mark = row->mark;
    }
    return LIZ_OK;
}

static void release(writer *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        liz_line_row *row = liz_line_window_peek(&w->job->window, i, 0, NULL);
        count_row(&w->report->progress, row);
        if (w->report->choices != NULL)
            liz_line_choices_count(w->report->choices, row);
        for (size_t k = 0; k < row->n_completions; k++) {
            liz_seq_free(row->completions[k].seq);
            row->completions[k].seq = NULL;
        }
    }
    liz_line_window_release(&w->job->window, n);
}

static liz_status write_ended(writer *w, bool *stop, liz_error *err)
{
    size_t n;
    liz_status gathered = gather(w, &n, stop, err);
    /* Rows before one that cannot be made are whole and written all the same. */
    liz_error write_err;
    liz_status status = n > 0 ? vouch(w, &write_err) : LIZ_OK;
    if (status == LIZ_OK && n > 0)
        status = write_lines(w, &write_err);
    if (status == LIZ_OK && liz_clock_us() - w->synced_us > SYNC_US)
        status = sync_target(w, &write_err);
    if (status != LIZ_OK) {
        *err = write_err;
        return status;
    }
    release(w, n);
    return gathered;
}

/* Writes until no row follows, --strict stops, or the caller does. */
static liz_status write_all(writer *w, liz_error *err)
{
    liz_line_job *job = w->job;
    bool over = false, stop = false;
    liz_status status = LIZ_OK;
    while (status == LIZ_OK && !over && !stop) {
        if (job->opts->stop != NULL && atomic_load(job->opts->stop) != 0) {
            while (status == LIZ_OK && !stop && liz_line_window_peek(&job->window, 0, 0, NULL) != NULL)
                status = write_ended(w, &stop, err);
            w->report->outcome = LIZ_LINE_INTERRUPTED;
            return status;
        }
        if (liz_line_window_peek(&job->window, 0, WAIT_US, &over) != NULL)
            status = write_ended(w, &stop, err);
        tell(w, false);
    }
    if (status == LIZ_OK && over && job->window.status != LIZ_OK) {
        *err = job->window.err;
        return job->window.status;
    }
    return status;
}

/* ---- Ending ------------------------------------------------------------------------------------- */

/* The side file vouches for exactly what OUT holds. */
static liz_status settle_stopped(writer *w, liz_error *err)
{
    liz_line_journal *j = &w->job->journal;
    if (!w->job->resumable || w->job->opts->retry_failed || w->mark.n == 0)
        return LIZ_OK;
    j->mark = w->mark;
    return liz_line_journal_save(j, err);
}

static liz_status settle_finished(liz_line_job *job, liz_error *err)
{
    liz_line_journal *j = &job->journal;
    if (j->finished && j->mark.n == job->window.mark.n)
        return LIZ_OK;
    j->finished = true;
    j->mark = job->window.mark;
    return liz_line_journal_save(j, err);
}

static liz_status settle(writer *w, liz_error *err)
{
    liz_line_job *job = w->job;
    bool all = w->report->outcome == LIZ_LINE_DONE && job->window.whole;
    liz_status status = sync_target(w, err);
    if (status != LIZ_OK || !job->resumable)
        return status;
    if (w->report->outcome == LIZ_LINE_DONE && job->opts->retry_failed)
        return liz_file_rename(job->files, job->target_path, job->out_path, err) ?: liz_line_retry_settle(job, err);
    if (w->report->outcome == LIZ_LINE_DONE && !all)
        w->report->outcome = LIZ_LINE_LIMITED;
    return all ? settle_finished(job, err) : settle_stopped(w, err);
}

/* ---- The model ---------------------------------------------------------------------------------- */

static liz_status open_model(liz_line_job *job, liz_error *err)
{
    LIZ_TRY(liz_engine_open(&job->engine, job->opts->model_path, &job->opts->engine, err));
    liz_engine_info_get(job->engine, &job->info);
    job->prompter.vocab = liz_engine_vocab(job->engine);
    job->prompter.n_ctx = job->info.n_ctx;
    liz_status status = liz_line_vocab_check(job->engine, job->opts->model_path, err);
    status =
        status
            ?: liz_line_ask_settle(&job->ask, job->opts, job->prompter.vocab, &job->info, 0, 0, job->stop_tokens, err);
    job->ask.attempt = job->attempt;
    job->ask.request.on_event = liz_line_feed_event;
    liz_log(LIZ_LOG_INFO, "line", "temperature %g", (double)job->ask.request.sampling.temperature);
    return status ?: liz_line_prompter_open(&job->prompter, err);
}

/* ---- The job ------------------------------------------------------------------------------------ */

static void log_engine(const liz_line_job *job)
{
    liz_engine_stats s;
    liz_engine_stats_get(job->engine, &s);
    liz_log(LIZ_LOG_INFO, "line",
            "%" PRIu64 " steps, at most %d rows in one; %" PRIu64 " of %" PRIu64
            " guessed tokens kept; %d of %d cache pages used, %" PRIu64 " given up",
            s.n_steps, s.n_seqs_step_max, s.n_drafts_kept, s.n_tokens_drafted, s.n_pages_used_max, s.n_pages,
            s.n_pages_evicted);
}

static liz_status write_with_reader(writer *w, liz_error *err)
{
    liz_line_job *job = w->job;
    pthread_t reader;
    if (job->opts->at_work != NULL)
        atomic_store(job->opts->at_work, true);
    if (pthread_create(&reader, NULL, liz_line_feed, job) != 0)
        return liz_fail(err, LIZ_E_MEMORY, "no thread for the reader: raise the limit of processes");
    liz_status status = write_all(w, err);
    atomic_store(&job->reader_stop, true);
    liz_line_window_stop(&job->window);
    pthread_join(reader, NULL);
    liz_status settled = LIZ_OK;
    if (status == LIZ_OK)
        settled = settle(w, err);
    tell(w, true);
    log_engine(job);
    return status ?: settled;
}

static liz_status make_rows(liz_line_job *job, liz_line_report *report, liz_error *err)
{
    writer w = {.job = job, .report = report};
    liz_buf_init(&w.lines, (size_t)4 << 30);
    liz_buf_init(&w.stats, 64u << 20);
    liz_status status = open_model(job, err);
    if (status == LIZ_OK) {
        size_t n_slots = (size_t)job->info.n_parallel * WINDOW_PER_SEQ;
        status = liz_line_window_open(&job->window, n_slots > WINDOW_MIN ? n_slots : WINDOW_MIN, err);
    }
    status = status ?: liz_line_target_open(job, err);
    if (status == LIZ_OK) {
        w.begun_us = w.synced_us = liz_clock_us();
        liz_line_energy_open(&w.energy, job->opts->watts);
        status = write_with_reader(&w, err);
    }
    liz_buf_free(&w.lines);
    liz_buf_free(&w.stats);
    return status;
}

/* Every row was there already; a run that was killed before it could say so is finished now. */
static liz_status conclude(liz_line_job *job, liz_line_report *report, liz_error *err)
{
    report->outcome = job->is_over ? LIZ_LINE_NOTHING : LIZ_LINE_LIMITED;
    if (job->opts->retry_failed)
        return LIZ_OK;
    job->window.mark = liz_line_input_mark(job->in);
    liz_status status = liz_line_target_open(job, err);
    status = status ?: liz_file_sync(job->files, job->target_fd, job->target_path, err);
    return status == LIZ_OK && job->is_over ? settle_finished(job, err) : status;
}

static liz_status run(liz_line_job *job, liz_line_report *report, liz_error *err)
{
    LIZ_TRY(liz_line_check_opts(job, err));
    LIZ_TRY(liz_line_check_input(job, err));
    LIZ_TRY(liz_line_loras_check(job->opts, job->form, err));
    LIZ_TRY(liz_line_open_template(job, err));
    if (job->opts->dry_run) {
        report->outcome = LIZ_LINE_PLANNED;
        return liz_line_plan(job, &report->plan, err);
    }
    LIZ_TRY(liz_line_resume(job, err));
    report->resumable = job->resumable;
    report->progress.n_rows = report->progress.n_rows_before = job->have.n;
    report->progress.n_rows_max = job->n_rows_max;
    report->progress.n_failed = job->have.n_failed;
    liz_line_input_bytes(job->in, &report->progress.in_bytes_before, &report->progress.in_bytes_total);
    bool enough = job->n_rows_max > 0 && job->have.n >= job->n_rows_max && !job->opts->retry_failed;
    return job->is_over || enough ? conclude(job, report, err) : make_rows(job, report, err);
}

static void job_close(liz_line_job *job)
{
    liz_line_window_close(&job->window);
    liz_engine_close(job->engine);
    liz_file_close(job->files, &job->target_fd);
    liz_file_close(job->files, &job->stats_fd);
    liz_line_input_close(job->old_out);
    liz_line_journal_close(&job->journal);
    liz_buf_free(&job->fingerprint);
    liz_line_template_free(job->template);
    liz_template_close(job->chat);
    liz_line_header_free(&job->header);
    liz_line_input_close(job->in);
    free(job->target_path);
    free(job->out_path);
    free(job);
}

liz_status liz_line_run(const liz_line_opts *opts, liz_line_report *report, liz_error *err)
{
    *report = (liz_line_report){.progress.joules = -1};
    liz_buf_init(&report->plan, 64u << 20);
    liz_line_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for the job");
    report->choices = opts->n_choices > 0 ? calloc(opts->n_choices, sizeof *report->choices) : NULL;
    job->opts = opts;
    job->files = opts->files ? opts->files : liz_files_system();
    job->target_fd = job->stats_fd = -1;
    liz_buf_init(&job->fingerprint, LIZ_LINE_FINGERPRINT_MAX);
    liz_status status = opts->n_choices > 0 && report->choices == NULL
                            ? liz_fail(err, LIZ_E_MEMORY, "no memory for %zu choices", opts->n_choices)
                            : run(job, report, err);
    job_close(job);
    return status;
}

void liz_line_report_free(liz_line_report *report)
{
    liz_buf_free(&report->plan);
    free(report->choices);
    report->choices = NULL;
}
