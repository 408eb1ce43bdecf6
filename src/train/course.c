/* course.c - defaults, settings, the log and the curve, and who is told of what. */
#include "train/course.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of the numbers that training computes: raised when an operation's order changes, so that no run mixes two. */
enum {
    CONTRACT = 3,
    VALIDATIONS = 20,
    VALID_TOKENS = 1 << 17,
    BATCH_TOKENS = 1 << 14,
    WARMUP_MAX = 200,
    CHECKPOINT_MINUTES = 5
};

void liz_course_opts_init(liz_course_opts *opts)
{
    *opts = (liz_course_opts){.rate = 2e-3, .warmup = -1, .decay = -1, .weight_decay = -1, .clip = -1};
}

/* ---- Opening and closing ---- */

liz_status liz_course_open(liz_course *course, const liz_course_opts *opts, const liz_files *files, const char *out,
                           liz_train_fn *on_event, void *user, liz_error *err)
{
    *course = (liz_course){.opts = opts, .files = files, .on_event = on_event, .user = user, .job.fd = -1};
    course->progress.state = &course->now.state;
    int lengths = (opts->tokens > 0) + (opts->epochs > 0) + (opts->hours > 0);
    if (lengths > 1)
        return liz_fail(err, LIZ_E_USAGE, "--tokens, --epochs and --hours: give one of them");
    LIZ_TRY(liz_cpu_tier(&course->tier, err));
    LIZ_TRY(liz_job_open(&course->job, files, out, opts->restart, err));
    course->progress.resumes = course->job.resumes;
    return liz_team_open(&course->team, opts->n_threads > 0 ? opts->n_threads : liz_cpu_count(), err);
}

void liz_course_close_tape(liz_course *course)
{
    liz_graph_close(course->graph);
    liz_tape_close(course->tape);
    course->graph = NULL;
    course->tape = NULL;
}

void liz_course_close(liz_course *course)
{
    liz_optimizer_close(course->optimizer);
    liz_history_free(&course->now.history);
    liz_course_close_tape(course);
    liz_text_vocab_close(course->vocab);
    liz_gguf_close(course->gguf);
    liz_team_close(course->team);
    liz_job_close(&course->job);
}

liz_status liz_course_open_model(liz_course *course, const char *path, uint64_t *n_ctx, liz_error *err)
{
    liz_str arch;
    char key[128];
    *n_ctx = 0;
    LIZ_TRY(liz_gguf_open(&course->gguf, path, err));
    LIZ_TRY(liz_text_vocab_open(&course->vocab, course->gguf, err));
    course->progress.n_vocab = (uint64_t)liz_text_vocab_size(course->vocab);
    if (liz_gguf_str(course->gguf, "general.architecture", &arch)) {
        snprintf(key, sizeof key, "%.*s.context_length", LIZ_STR_ARG(arch));
        liz_gguf_u64(course->gguf, key, n_ctx);
    }
    return LIZ_OK;
}

liz_status liz_course_open_tape(liz_course *course, const liz_graph_opts *opts, liz_tape_opts how, liz_error *err)
{
    how.n_tok_max = course->n_part;
    LIZ_TRY(liz_tape_open(&course->tape, course->team, course->tier, &how, err));
    LIZ_TRY(liz_graph_open(&course->graph, course->gguf, course->tape, opts, err));
    course->progress.n_params = 0;
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(course->tape, &i)) != NULL;)
        course->progress.n_params += p->n_out * p->n_in;
    course->progress.memory_bytes = liz_tape_bytes(course->tape);
    return LIZ_OK;
}

/* ---- Options ---- */

static double or_default(double value, double other) { return value > 0 ? value : other; }

static liz_status settle_names(liz_course *course, liz_error *err)
{
    const liz_course_opts *o = course->opts;
    const char *schedule = o->schedule != NULL ? o->schedule : "wsd";
    const char *optimizer = o->optimizer != NULL ? o->optimizer : "muon";
    course->plan.is_cosine = strcmp(schedule, "cosine") == 0;
    course->optimizer_opts.muon = strcmp(optimizer, "muon") == 0;
    if (!course->plan.is_cosine && strcmp(schedule, "wsd") != 0)
        return liz_fail(err, LIZ_E_USAGE, "--schedule %s: is neither wsd nor cosine", schedule);
    if (!course->optimizer_opts.muon && strcmp(optimizer, "adamw") != 0)
        return liz_fail(err, LIZ_E_USAGE, "--optimizer %s: is neither muon nor adamw", optimizer);
    if (course->plan.is_cosine && o->hours > 0)
        return liz_fail(err, LIZ_E_USAGE, "--schedule cosine: wants --tokens or --epochs, not --hours");
    return LIZ_OK;
}

static void settle_optimizer(liz_course *course)
{
    const liz_course_opts *o = course->opts;
    course->optimizer_opts.rate = (float)o->rate;
    course->optimizer_opts.decay = (float)(o->weight_decay >= 0 ? o->weight_decay : 0.1);
    course->optimizer_opts.clip = (float)(o->clip >= 0 ? o->clip : 1);
}

static void settle_numbers(liz_course *course, size_t n_item)
{
    const liz_course_opts *o = course->opts;
    liz_plan *p = &course->plan;
    size_t batch = BATCH_TOKENS / n_item > 0 ? BATCH_TOKENS / n_item : 1;
    p->batch = o->batch > 0 ? (size_t)o->batch : batch;
    double steps = o->tokens > 0 ? o->tokens / (double)(p->batch * n_item)
                                 : or_default(o->epochs, 1) * (double)course->feed.n_items / (double)p->batch;
    p->n_steps = o->hours > 0 ? 0 : (uint64_t)ceil(steps);
    double warmup = p->n_steps > 0 ? fmin(0.02 * (double)p->n_steps, WARMUP_MAX) : WARMUP_MAX / 4.0;
    p->n_warmup = (uint64_t)(o->warmup >= 0 ? o->warmup : warmup);
    p->decay_share = o->decay >= 0 ? o->decay : 0.3;
    p->valid_every = o->valid_every > 0 ? o->valid_every
                     : p->n_steps > 0   ? (p->n_steps + VALIDATIONS - 1) / VALIDATIONS
                                        : 100;
    p->n_valid = VALID_TOKENS / n_item + 1;
    p->checkpoint_s = or_default(o->checkpoint_minutes, CHECKPOINT_MINUTES) * 60;
}

/* What of the options decides the bytes of OUT. */
static void add_settings(liz_course *course)
{
    const liz_plan *p = &course->plan;
    liz_job *job = &course->job;
    liz_job_setting(job, "batch", "%zu", p->batch);
    if (p->n_steps > 0)
        liz_job_setting(job, "length", "%llu steps", (unsigned long long)p->n_steps);
    else
        liz_job_setting(job, "length", "by the clock"); /* hours may change while the rate is steady */
    liz_job_setting(job, "schedule", "%s, %llu steps of warm-up, decay %g", p->is_cosine ? "cosine" : "wsd",
                    (unsigned long long)p->n_warmup, p->decay_share);
    if (course->opts->patience == 0)
        liz_job_setting(job, "patience", "none");
    else
        liz_job_setting(job, "patience", "%llu validations, each %llu steps",
                        (unsigned long long)course->opts->patience, (unsigned long long)p->valid_every);
}

liz_status liz_course_settle_first(liz_course *course, liz_error *err)
{
    const liz_optimizer_opts *a = &course->optimizer_opts;
    liz_job *job = &course->job;
    LIZ_TRY(settle_names(course, err));
    settle_optimizer(course);
    liz_job_setting(job, "numbers", "%d", CONTRACT);
    liz_job_setting(job, "optimizer", "%s", a->muon ? "muon" : "adamw");
    liz_job_setting(job, "rate", "%.9g", (double)a->rate);
    liz_job_setting(job, "weight-decay", "%.9g", (double)a->decay);
    liz_job_setting(job, "clip", "%.9g", (double)a->clip);
    liz_job_setting(job, "seed", "%llu", (unsigned long long)course->opts->seed);
    return liz_job_check(job, err);
}

liz_status liz_course_settle(liz_course *course, size_t n_item, liz_error *err)
{
    settle_numbers(course, n_item);
    add_settings(course);
    return liz_job_check(&course->job, err);
}

/* ---- Telling ---- */

void liz_course_tell(liz_course *course, liz_train_event event)
{
    const liz_history_list *history = &course->now.history;
    course->progress.point = history->n > 0 ? &history->v[history->n - 1] : NULL;
    if (course->on_event != NULL)
        course->on_event(course->user, event, &course->progress);
}

/* The log whole and the curve, or but the last step's line. */
static liz_status write_files(const liz_course *course, bool last_only, liz_error *err)
{
    const liz_history_list *history = &course->now.history;
    const char *log = course->opts->log_path, *plot = course->opts->plot_path;
    if (log != NULL)
        LIZ_TRY(liz_history_log(history, last_only, course->files, log, err));
    return plot != NULL && !last_only ? liz_history_plot(history, course->files, plot, err) : LIZ_OK;
}

liz_status liz_course_note(liz_course *course, liz_train_event event, liz_error *err)
{
    if (event != LIZ_TRAIN_SAVED)
        LIZ_TRY(write_files(course, event == LIZ_TRAIN_STEPPED, err));
    if (event == LIZ_TRAIN_VALIDATED && course->on_valid != NULL)
        LIZ_TRY(course->on_valid(course->valid_user, err));
    liz_course_tell(course, event);
    course->progress.sample = NULL;
    return LIZ_OK;
}

void liz_course_was_finished(liz_course *course)
{
    course->progress.was_finished = true;
    liz_course_tell(course, LIZ_TRAIN_FINISHED);
}

liz_status liz_course_finish(liz_course *course, liz_error *err)
{
    LIZ_TRY(liz_file_sync_folder(course->files, course->job.out, err));
    LIZ_TRY(liz_job_finish(&course->job, err));
    return liz_course_note(course, LIZ_TRAIN_FINISHED, err);
}
