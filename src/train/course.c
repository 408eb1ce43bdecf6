/* course.c - defaults, settings, and the events of the loop on their way to the log, the curve and the caller. */
#include "train/course.h"

#include "sys/memory.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Of the numbers that training computes: raised when an operation's order changes, so that no run mixes two. */
enum {
    CONTRACT = 1,
    VALIDATIONS = 20,
    VALID_TOKENS = 1 << 17,
    BATCH_TOKENS = 1 << 14,
    WARMUP_MAX = 200,
    CHECKPOINT_MINUTES = 5
};

void liz_course_tell(liz_course *course, liz_train_event event)
{
    course->progress.state = &course->loop.now.state;
    course->progress.point =
        course->loop.now.history.n > 0 ? &course->loop.now.history.v[course->loop.now.history.n - 1] : NULL;
    if (course->on_event != NULL)
        course->on_event(course->user, event, &course->progress);
}

void liz_course_opts_init(liz_course_opts *opts)
{
    *opts = (liz_course_opts){.rate = 2e-3, .warmup = -1, .decay = -1, .weight_decay = -1, .clip = -1};
}

liz_status liz_course_open(liz_course *course, const liz_course_opts *opts, const liz_files *files, const char *out,
                           liz_train_fn *on_event, void *user, liz_error *err)
{
    *course = (liz_course){.opts = opts, .files = files, .on_event = on_event, .user = user, .job.fd = -1};
    int lengths = (opts->tokens > 0) + (opts->epochs > 0) + (opts->hours > 0);
    if (lengths > 1)
        return liz_fail(err, LIZ_E_USAGE, "--tokens, --epochs and --hours: give one of them");
    liz_status status = liz_cpu_tier(&course->tier, err);
    if (status == LIZ_OK)
        status = liz_job_open(&course->job, files, out, opts->restart, err);
    if (status == LIZ_OK)
        status = liz_team_open(&course->team, opts->n_threads > 0 ? opts->n_threads : liz_cpu_count(), err);
    course->progress.resumes = course->job.resumes;
    return status;
}

void liz_course_close(liz_course *course)
{
    liz_optimizer_close(course->optimizer);
    liz_history_free(&course->loop.now.history);
    liz_team_close(course->team);
    liz_job_close(&course->job);
}

/* ---- Options ---- */

static double or_default(double value, double other) { return value > 0 ? value : other; }

static liz_status settle_names(liz_course *course, liz_error *err)
{
    const liz_course_opts *o = course->opts;
    const char *schedule = o->schedule != NULL ? o->schedule : "wsd";
    const char *optimizer = o->optimizer != NULL ? o->optimizer : "muon";
    if (strcmp(schedule, "wsd") != 0 && strcmp(schedule, "cosine") != 0)
        return liz_fail(err, LIZ_E_USAGE, "--schedule %s: is neither wsd nor cosine", schedule);
    if (strcmp(optimizer, "muon") != 0 && strcmp(optimizer, "adamw") != 0)
        return liz_fail(err, LIZ_E_USAGE, "--optimizer %s: is neither muon nor adamw", optimizer);
    if (o->hours > 0 && strcmp(schedule, "cosine") == 0)
        return liz_fail(err, LIZ_E_USAGE, "--schedule cosine: wants --tokens or --epochs, not --hours");
    course->loop_opts.schedule = strcmp(schedule, "wsd") == 0 ? LIZ_SCHEDULE_WSD : LIZ_SCHEDULE_COSINE;
    course->optimizer_opts.muon = strcmp(optimizer, "muon") == 0;
    return LIZ_OK;
}

static void settle_numbers(liz_course *course, const liz_feed *feed, const liz_feed *valid, size_t n_item)
{
    const liz_course_opts *o = course->opts;
    liz_loop_opts *l = &course->loop_opts;
    size_t batch = BATCH_TOKENS / n_item > 0 ? BATCH_TOKENS / n_item : 1;
    l->batch = o->batch > 0 ? (size_t)o->batch : batch;
    double steps = o->tokens > 0 ? o->tokens / (double)(l->batch * n_item)
                                 : or_default(o->epochs, 1) * (double)feed->n_items / (double)l->batch;
    l->hours = o->hours;
    l->n_steps = o->hours > 0 ? 0 : (uint64_t)ceil(steps);
    double warmup = l->n_steps > 0 ? fmin(0.02 * (double)l->n_steps, WARMUP_MAX) : WARMUP_MAX / 4.0;
    l->n_warmup = (uint64_t)(o->warmup >= 0 ? o->warmup : warmup);
    l->decay_share = o->decay >= 0 ? o->decay : 0.3;
    l->valid_every = o->valid_every > 0 ? o->valid_every
                     : l->n_steps > 0   ? (l->n_steps + VALIDATIONS - 1) / VALIDATIONS
                                        : 100;
    l->n_valid = valid != NULL ? VALID_TOKENS / n_item + 1 : 0;
    l->patience = o->patience;
    l->checkpoint_s = or_default(o->checkpoint_minutes, CHECKPOINT_MINUTES) * 60;
    l->seed = o->seed;
    course->optimizer_opts.rate = (float)o->rate;
    course->optimizer_opts.beta1 = 0.9f;
    course->optimizer_opts.beta2 = 0.95f;
    course->optimizer_opts.eps = 1e-8f;
    course->optimizer_opts.momentum = 0.95f;
    course->optimizer_opts.decay = (float)(o->weight_decay >= 0 ? o->weight_decay : 0.1);
    course->optimizer_opts.clip = (float)(o->clip >= 0 ? o->clip : 1);
}

/* What of the options decides the bytes of OUT. */
static liz_status add_settings(liz_course *course, liz_error *err)
{
    const liz_loop_opts *l = &course->loop_opts;
    const liz_optimizer_opts *a = &course->optimizer_opts;
    liz_job *job = &course->job;
    liz_status status = liz_job_setting(job, err, "numbers", "%d", CONTRACT);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "batch", "%zu", l->batch);
    if (status == LIZ_OK && l->n_steps > 0)
        status = liz_job_setting(job, err, "length", "%llu steps", (unsigned long long)l->n_steps);
    if (status == LIZ_OK && l->n_steps == 0)
        status = liz_job_setting(job, err, "length", "by the clock"); /* hours may change while the rate is steady */
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "schedule", "%s, %llu steps of warm-up, decay %g",
                                 l->schedule == LIZ_SCHEDULE_WSD ? "wsd" : "cosine", (unsigned long long)l->n_warmup,
                                 l->decay_share);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "optimizer", "%s", a->muon ? "muon" : "adamw");
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "rate", "%.9g", (double)a->rate);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "weight-decay", "%.9g", (double)a->decay);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "clip", "%.9g", (double)a->clip);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "seed", "%llu", (unsigned long long)l->seed);
    if (status == LIZ_OK && l->patience > 0)
        status = liz_job_setting(job, err, "patience", "%llu validations, each %llu steps",
                                 (unsigned long long)l->patience, (unsigned long long)l->valid_every);
    return status;
}

liz_status liz_course_settle(liz_course *course, const liz_feed *feed, const liz_feed *valid, size_t n_item,
                             liz_error *err)
{
    liz_status status = settle_names(course, err);
    if (status != LIZ_OK)
        return status;
    settle_numbers(course, feed, valid, n_item);
    return add_settings(course, err);
}

/* ---- Running ---- */

static liz_status write_files(const liz_course *course, bool last_only, liz_error *err)
{
    const liz_history_list *history = &course->loop.now.history;
    const char *log = course->opts->log_path, *plot = course->opts->plot_path;
    liz_status status = LIZ_OK;
    if (log != NULL)
        status = (last_only ? liz_history_log_last : liz_history_log)(history, course->files, log, err);
    if (plot != NULL && !last_only && status == LIZ_OK)
        status = liz_history_plot(history, course->files, plot, err);
    return status;
}

static liz_status on_loop(void *user, liz_loop_event event, const liz_loop *loop, liz_error *err)
{
    static const liz_train_event events[] = {[LIZ_LOOP_STEP] = LIZ_TRAIN_STEPPED,
                                             [LIZ_LOOP_VALID] = LIZ_TRAIN_VALIDATED,
                                             [LIZ_LOOP_SAVED] = LIZ_TRAIN_SAVED};
    liz_course *course = user;
    (void)loop;
    liz_status status = LIZ_OK;
    if (event != LIZ_LOOP_SAVED)
        status = write_files(course, event == LIZ_LOOP_STEP, err);
    if (status == LIZ_OK && event == LIZ_LOOP_VALID && course->on_valid != NULL)
        status = course->on_valid(course->valid_user, course, err);
    if (status == LIZ_OK)
        liz_course_tell(course, events[event]);
    course->progress.sample = NULL;
    return status;
}

/* Where the job's run before stopped, if it came to a checkpoint. */
static liz_status go_on(liz_course *course, liz_error *err)
{
    liz_loop *loop = &course->loop;
    if (!course->job.resumes || access(loop->checkpoint_path, F_OK) != 0)
        return LIZ_OK;
    liz_status status = liz_checkpoint_read(&loop->now, loop->tape, course->files, loop->checkpoint_path, err);
    if (status == LIZ_OK)
        liz_tape_refresh(loop->tape);
    return status;
}

liz_status liz_course_run(liz_course *course, liz_tape *tape, size_t n_tok_max, const liz_feed *feed,
                          const liz_feed *valid, liz_error *err)
{
    liz_hash job;
    liz_status status = liz_job_begin(&course->job, &job, err);
    if (status == LIZ_OK)
        status = liz_optimizer_open(&course->optimizer, tape, course->team, &course->optimizer_opts, err);
    if (status != LIZ_OK)
        return status;
    course->loop = (liz_loop){.opts = &course->loop_opts,
                              .files = course->files,
                              .checkpoint_path = course->job.checkpoint,
                              .tape = tape,
                              .n_tok_max = n_tok_max,
                              .optimizer = course->optimizer,
                              .feed = feed,
                              .valid = valid,
                              .stop = course->opts->stop,
                              .on_event = on_loop,
                              .user = course,
                              .now.job = job};
    course->progress.memory_bytes = liz_tape_bytes(tape);
    status = go_on(course, err);
    if (status == LIZ_OK)
        status = write_files(course, false, err);
    if (status != LIZ_OK)
        return status;
    liz_course_tell(course, LIZ_TRAIN_PLANNED);
    return liz_loop_run(&course->loop, err);
}

liz_status liz_course_finish(liz_course *course, liz_error *err)
{
    liz_status status = liz_file_sync_folder(course->files, course->job.out, err);
    if (status == LIZ_OK)
        status = liz_job_finish(&course->job, err);
    if (status == LIZ_OK)
        status = write_files(course, false, err);
    if (status == LIZ_OK)
        liz_course_tell(course, LIZ_TRAIN_FINISHED);
    return status;
}
