/* line_feed.c - the reader thread: record, fields, prompt, tokens, submitted.
 *
 * Tokenising happens here and not on the engine's thread. When the engine's queue is full the thread waits for a row to
 * end; when the window is full it waits for the writer. A record that cannot become a request becomes an error row;
 * only trouble with the machine (memory, disk) or a setting of the job that the engine refuses ends the line. */
#include "line/line_job.h"

#include <stdlib.h>

typedef struct feeder {
    liz_line_job *job;
    liz_arena arena; /* of one record */
    liz_line_ask ask;
    liz_line_choices choices;
    uint64_t n_rows; /* in OUT when this row is there */
} feeder;

void liz_line_feed_event(void *user, const liz_event *event)
{
    liz_line_completion *completion = user;
    liz_line_window_event(completion->row->owner, completion, event);
}

/* ---- From a record to what is asked ------------------------------------------------------------- */

static void take_id(const liz_line_opts *opts, const liz_line_record *record, liz_line_row *row)
{
    if (opts->id_field != NULL) {
        if (!liz_line_record_json(record, opts->id_field, &row->id))
            liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "it has no field \"%s\", which --id names", opts->id_field);
    } else if (!liz_line_record_json(record, "id", &row->id)) {
        liz_line_record_json(record, "custom_id", &row->id);
    }
}

static void take_kept(const liz_line_opts *opts, const liz_line_record *record, liz_line_row *row)
{
    for (size_t i = 0; i < opts->n_keep; i++) {
        if (!liz_line_record_has(record, opts->keep[i])) {
            liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "it has no field \"%s\", which --keep names", opts->keep[i]);
            continue;
        }
        liz_json_key(&row->keep, opts->keep[i]);
        liz_line_record_json(record, opts->keep[i], &row->keep);
    }
}

/* An error row says what the row determines, and never that memory was short. */
static liz_status check_memory(const liz_arena *arena, const liz_line_row *row, liz_error *err)
{
    if (row->error_code != NULL && arena->refused)
        return liz_fail(err, LIZ_E_MEMORY, "row of index %lu: no memory to read it", row->index);
    return LIZ_OK;
}

/* Finds the tokens of the choices; it may become an error row. */
static liz_status prepare_choices(const liz_line_job *job, liz_line_choices *choices, const liz_line_ask *ask,
                                  liz_line_row *row, const int32_t *tokens, liz_error *err)
{
    if (job->opts->n_choices == 0)
        return LIZ_OK;
    row->choices = job->opts->choices;
    row->n_choices = job->opts->n_choices;
    if (ask->n_completions > 1)
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "body.n: there is one likeliest choice");
    LIZ_TRY(liz_line_choices_after(choices, job->prompter.vocab, job->opts, tokens, row->n_prompt, err));
    liz_line_choices_fit(choices, job->prompter.n_ctx, row);
    return LIZ_OK;
}

liz_status liz_line_feed_read(const liz_line_job *job, const liz_line_cut *cut, liz_arena *arena, liz_line_row *row,
                              liz_line_ask *ask, liz_line_choices *choices, int32_t **tokens, liz_error *err)
{
    liz_line_record record;
    *tokens = NULL;
    liz_arena_reset(arena);
    *ask = job->ask;
    if (!liz_line_record_read(&record, cut, job->columns, arena, row))
        return check_memory(arena, row, err);
    if (job->form == LIZ_LINE_FORM_OPENAI) {
        if (!liz_line_openai_read(&record, arena, row, ask))
            return check_memory(arena, row, err);
        liz_line_loras_of_model(job->opts, &job->info, ask->model, row, &ask->request.loras);
    } else {
        take_id(job->opts, &record, row);
        take_kept(job->opts, &record, row);
        liz_line_loras_of_record(job->opts, &record, row, &ask->request.loras);
    }
    if (row->error_code != NULL || !liz_line_ask_check(ask, job->info.n_vocab, job->form, row))
        return LIZ_OK;
    LIZ_TRY(liz_line_ask_tokens(ask, &job->prompter, job->form, &record, row, tokens, err));
    return *tokens != NULL ? prepare_choices(job, choices, ask, row, *tokens, err) : LIZ_OK;
}

/* ---- Submitting --------------------------------------------------------------------------------- */

/* Submits all completions, waiting while the queue is full. LIZ_E_CANCELLED once stopped. */
static liz_status submit_completions(feeder *f, liz_line_row *row, const int32_t *tokens, liz_error *err)
{
    size_t n = 0;
    liz_status status = liz_line_ask_begin(&f->ask, row, tokens, f->choices.choices, err);
    if (status != LIZ_OK)
        return status;
    while ((status = liz_line_ask_submit(&f->ask, f->job->engine, row, &n, err)) == LIZ_E_BUSY)
        if (!liz_line_window_wait_ended(&f->job->window))
            return liz_fail(err, LIZ_E_CANCELLED, "row %lu was given up", row->index);
    return status;
}

static liz_status submit_row(feeder *f, liz_line_row *row, const int32_t *tokens, liz_error *err)
{
    liz_line_job *job = f->job;
    row->owner = &job->window;
    liz_status status = submit_completions(f, row, tokens, err);
    bool of_the_row = job->form == LIZ_LINE_FORM_OPENAI && (status == LIZ_E_USAGE || status == LIZ_E_LIMIT);
    if (of_the_row) { /* already the first one was refused */
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "%s", err->text);
        row->n_completions = 0;
        liz_line_window_pass(&job->window, row, true);
        return LIZ_OK;
    }
    if (status == LIZ_OK)
        liz_line_window_pass(&job->window, row, false);
    return status;
}

/* A row of a finished OUT that is no error row is kept as it stands. Sets `*kept`. */
static liz_status keep_old(feeder *f, liz_line_row *row, bool *kept, liz_error *err)
{
    liz_line_cut old;
    bool got = false, failed;
    *kept = false;
    if (f->job->old_out == NULL)
        return LIZ_OK;
    LIZ_TRY(liz_line_input_next(f->job->old_out, &old, &got, err));
    if (!got)
        return liz_fail(err, LIZ_E_STATE, "%s: has lost rows since it was finished", f->job->opts->out_path);
    LIZ_TRY(liz_line_row_is_error(old.text, &failed, err));
    *kept = !failed;
    if (*kept) {
        row->is_copy = true;
        liz_buf_append_str(&row->line, old.text);
        liz_buf_putc(&row->line, '\n');
    }
    return LIZ_OK;
}

static liz_status feed_record(feeder *f, const liz_line_cut *cut, liz_error *err)
{
    liz_line_job *job = f->job;
    bool kept;
    uint64_t total;
    if (cut->index > UINT32_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "%s: has more than 2^32 records: split it", job->opts->in_path);
    liz_line_row *row = liz_line_window_take(&job->window, cut->index);
    if (row == NULL)
        return liz_fail(err, LIZ_E_CANCELLED, "stopped");
    row->mark = liz_line_input_mark(job->in);
    liz_line_input_bytes(job->in, &row->n_input_bytes, &total);
    liz_status status = keep_old(f, row, &kept, err);
    int32_t *tokens = NULL;
    if (status == LIZ_OK && !kept)
        status = liz_line_feed_read(job, cut, &f->arena, row, &f->ask, &f->choices, &tokens, err);
    if (status == LIZ_OK && tokens != NULL && row->error_code == NULL)
        status = submit_row(f, row, tokens, err);
    else if (status == LIZ_OK)
        liz_line_window_pass(&job->window, row, true);
    liz_free(tokens);
    return status;
}

/* ---- The thread --------------------------------------------------------------------------------- */

static bool has_enough(const feeder *f) { return f->job->n_rows_max > 0 && f->n_rows >= f->job->n_rows_max; }

/* Whether the input is a file, in which what follows the last row of --limit can be looked for without waiting. */
static bool can_look_ahead(const feeder *f)
{
    uint64_t consumed, total;
    liz_line_input_bytes(f->job->in, &consumed, &total);
    return total > 0;
}

/* Reads to the end; `*whole` tells whether that was the input's. */
static liz_status feed_all(feeder *f, bool *whole, liz_error *err)
{
    liz_line_job *job = f->job;
    liz_line_cut cut;
    bool got;
    *whole = false;
    while (!atomic_load(&job->reader_stop) && (!has_enough(f) || can_look_ahead(f))) {
        liz_status status = liz_line_input_next(job->in, &cut, &got, err);
        if (status == LIZ_OK && job->check_in_flight)
            status = liz_line_check_consumed(job, job->in, !got, err);
        *whole = status == LIZ_OK && !got && !atomic_load(&job->reader_stop);
        if (status != LIZ_OK || !got)
            return status;
        if (!liz_line_job_owns(job, cut.index))
            continue;
        if (has_enough(f)) {
            liz_line_input_unget(job->in);
            return LIZ_OK;
        }
        status = feed_record(f, &cut, err);
        if (status != LIZ_OK)
            return status;
        f->n_rows++;
    }
    return LIZ_OK;
}

void *liz_line_feed(void *arg)
{
    liz_line_job *job = arg;
    liz_error err = {0};
    bool whole = false;
    liz_status status;
    feeder *f = calloc(1, sizeof *f);
    if (f == NULL) {
        status = liz_fail(&err, LIZ_E_MEMORY, "no memory for the reader");
    } else {
        *f = (feeder){.job = job, .arena = {.size_max = LIZ_LINE_RECORD_MAX * 8}, .n_rows = job->have.n};
        status = feed_all(f, &whole, &err);
        liz_arena_free(&f->arena);
        liz_line_choices_free(&f->choices);
    }
    free(f);
    liz_line_window_end(&job->window, whole, liz_line_input_mark(job->in), status == LIZ_E_CANCELLED ? LIZ_OK : status,
                        &err);
    return NULL;
}
