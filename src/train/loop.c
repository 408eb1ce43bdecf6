/* loop.c - steps, one after the other: batches, schedule, validation, checkpoints. */
#include "base/philox.h"
#include "kernel/angle.h"
#include "sys/clock.h"
#include "train/course.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { BAD_MAX = 20 }; /* steps without a gradient that is a number, in a row */

static const double pi = 3.14159265358979323846;

/* Scratch of a run. */
typedef struct run {
    liz_course *course;
    liz_checkpoint *now;
    uint32_t *order; /* [n_items] of this epoch */
    uint64_t epoch;  /* that `order` is of, from 1; 0: none */
    int32_t *tokens, *targets;
    liz_segment *segments; /* [n_tok_max] each */
    uint64_t begin_us;
    double seconds_before, saved_s; /* of training, until this run; at the last checkpoint */
} run;

static double now_s(const run *r) { return r->seconds_before + (double)(liz_clock_us() - r->begin_us) * 1e-6; }
static bool is_stopped(const run *r) { return r->course->opts->stop != NULL && *r->course->opts->stop != 0; }

/* ---- Items ---- */

/* The item at place `i` of the whole run: epochs follow each other, each in an order of its own (Fisher and Yates). */
static size_t item_at(run *r, uint64_t i)
{
    size_t n = r->course->feed.n_items;
    uint64_t epoch = i / n + 1;
    if (r->epoch != epoch) {
        for (size_t k = 0; k < n; k++)
            r->order[k] = (uint32_t)k;
        for (size_t k = n; k > 1; k--) {
            size_t other = (size_t)(liz_draw(r->course->opts->seed, k, (uint32_t)epoch) * (double)k);
            uint32_t kept = r->order[k - 1];
            r->order[k - 1] = r->order[other];
            r->order[other] = kept;
        }
        r->epoch = epoch;
    }
    return r->order[i % n];
}

/* Appends an item to the part being filled; false where it has no room. */
static bool take_item(run *r, const liz_feed *feed, size_t item, liz_train_batch *part)
{
    if (part->n_tok + feed->n_tok_max > r->course->n_part)
        return false;
    liz_segment *segments = r->segments + part->n_segments;
    size_t n_segments;
    size_t n = feed->get(feed->user, item, r->tokens + part->n_tok, r->targets + part->n_tok, segments, &n_segments);
    for (size_t i = 0; i < n_segments; i++)
        segments[i].begin += part->n_tok;
    part->n_tok += n;
    part->n_segments += n_segments;
    return true;
}

static size_t count_targets(const liz_train_batch *part)
{
    size_t n = 0;
    for (size_t t = 0; t < part->n_tok; t++)
        n += part->targets[t] >= 0;
    return n;
}

static liz_train_batch part_empty(const run *r, double n_targets)
{
    float scale = n_targets > 0 ? (float)(1 / n_targets) : 0;
    return (liz_train_batch){.tokens = r->tokens, .targets = r->targets, .segments = r->segments, .scale = scale};
}

/* ---- A step ---- */

typedef struct sums {
    double loss;
    size_t n_tok, n_targets;
} sums;

/* Walks the step's items part by part: counts only, or computes them. False when stopped in between. */
static bool walk_step(run *r, bool computes, sums *s)
{
    uint64_t i = r->now->state.n_items, end = i + r->course->plan.batch;
    double n_targets = (double)s->n_targets;
    while (i < end) {
        liz_train_batch part = part_empty(r, n_targets);
        while (i < end && take_item(r, &r->course->feed, item_at(r, i), &part))
            i++;
        if (is_stopped(r))
            return false;
        if (computes) {
            s->loss += liz_tape_backward(r->course->tape, &part);
        } else {
            s->n_tok += part.n_tok;
            s->n_targets += count_targets(&part);
        }
    }
    return true;
}

/* The share of the peak rate at a step, counted from 1. Beyond the end, where a length in hours is not decided, the
 * rate is steady. */
static double rate_share(const run *r, uint64_t step)
{
    const liz_plan *p = &r->course->plan;
    uint64_t n = r->now->state.n_steps;
    double left = (double)n - (double)step + 1, decay = p->decay_share * (double)n;
    if (step <= p->n_warmup)
        return (double)step / (double)(p->n_warmup + 1);
    if (n == 0)
        return 1;
    if (!p->is_cosine)
        return decay > 0 && left < decay ? left / decay : 1;
    double sine, cosine, done = (double)(step - p->n_warmup - 1) / fmax(1, (double)(n - p->n_warmup));
    liz_angle_sincos(pi * done, &sine, &cosine);
    return 0.55 + 0.45 * cosine;
}

/* With a length in hours: once the steady part has taken its share of the time, so many steps remain as fit. */
static void decide_length(run *r)
{
    double share = 1 - r->course->plan.decay_share;
    liz_train_state *state = &r->now->state;
    if (state->n_steps == 0 && now_s(r) >= r->course->opts->hours * 3600 * share)
        state->n_steps = (uint64_t)((double)state->step / share) + 1;
}

static liz_status one_step(run *r, liz_error *err)
{
    liz_course *course = r->course;
    liz_train_state *state = &r->now->state;
    sums s = {0};
    double begin_s = now_s(r);
    decide_length(r);
    if (!walk_step(r, false, &s) || !walk_step(r, true, &s))
        return LIZ_E_CANCELLED;
    double share = rate_share(r, state->step + 1);
    float norm = liz_optimizer_step(course->optimizer, state->step + 1, (float)share);
    state->step++;
    state->n_items += course->plan.batch;
    state->n_tokens += s.n_tok;
    state->n_bad = isfinite(norm) ? 0 : state->n_bad + 1;
    state->seconds = now_s(r);
    state->last_loss = s.loss / fmax(1, (double)s.n_targets);
    if (state->n_bad >= BAD_MAX)
        return liz_fail(err, LIZ_E_NUMERIC, "the loss is not a number any more since step %llu: take a lower --rate",
                        (unsigned long long)(state->step - BAD_MAX));
    liz_point point = {.step = state->step,
                       .n_tokens = state->n_tokens,
                       .loss = state->last_loss,
                       .rate = share * (double)course->optimizer_opts.rate,
                       .norm = (double)norm,
                       .valid = NAN,
                       .seconds = state->seconds,
                       .tokens_s = (double)s.n_tok / fmax(1e-9, state->seconds - begin_s)};
    return liz_history_add(&r->now->history, &point, err);
}

/* ---- Between steps ---- */

/* A target's loss in the validation text. */
static bool validate(run *r, double *loss)
{
    const liz_feed *valid = &r->course->valid;
    size_t n_items = valid->n_items, n_targets = 0;
    double sum = 0;
    if (r->course->plan.n_valid < n_items)
        n_items = r->course->plan.n_valid;
    for (size_t i = 0; i < n_items;) {
        liz_train_batch part = part_empty(r, 0);
        while (i < n_items && take_item(r, valid, i, &part))
            i++;
        if (is_stopped(r))
            return false;
        n_targets += count_targets(&part);
        sum += liz_tape_forward(r->course->tape, &part);
    }
    *loss = n_targets > 0 ? sum / (double)n_targets : NAN;
    return true;
}

static void note_valid(run *r, double valid)
{
    liz_train_state *state = &r->now->state;
    bool is_better = !isnan(valid) && (isnan(state->best_valid) || valid < state->best_valid);
    state->last_valid = r->now->history.v[r->now->history.n - 1].valid = valid;
    state->n_worse = is_better ? 0 : state->n_worse + 1;
    state->best_valid = is_better ? valid : state->best_valid;
}

static bool is_over(const run *r)
{
    const liz_train_state *state = &r->now->state;
    bool is_enough = r->course->opts->patience > 0 && state->n_worse >= r->course->opts->patience;
    return is_enough || (state->n_steps > 0 && state->step >= state->n_steps);
}

static liz_status save(run *r, liz_error *err)
{
    r->now->state.seconds = r->saved_s = now_s(r);
    LIZ_TRY(liz_checkpoint_write(r->now, r->course->tape, r->course->files, r->course->job.checkpoint, err));
    return liz_course_note(r->course, LIZ_TRAIN_SAVED, err);
}

static bool wants_validation(const run *r)
{
    const liz_train_state *state = &r->now->state;
    uint64_t every = r->course->plan.valid_every;
    if (r->course->valid.n_items == 0 || state->step == 0 || !isnan(r->now->history.v[r->now->history.n - 1].valid))
        return false;
    return is_over(r) || (every > 0 && state->step % every == 0);
}

/* What is due after a step, which a run that goes on makes up for where the one before was stopped first. */
static liz_status settle(run *r, liz_error *err)
{
    double valid;
    if (wants_validation(r)) {
        if (!validate(r, &valid))
            return LIZ_E_CANCELLED;
        note_valid(r, valid);
        LIZ_TRY(liz_course_note(r->course, LIZ_TRAIN_VALIDATED, err));
    }
    bool is_due = is_over(r) || now_s(r) - r->saved_s >= r->course->plan.checkpoint_s;
    return is_due ? save(r, err) : LIZ_OK;
}

static liz_status advance(run *r, liz_error *err)
{
    LIZ_TRY(one_step(r, err));
    LIZ_TRY(liz_course_note(r->course, LIZ_TRAIN_STEPPED, err));
    return settle(r, err);
}

/* ---- The run ---- */

static liz_status run_open(run *r, liz_error *err)
{
    size_t n = r->course->n_part;
    r->order = calloc(r->course->feed.n_items, sizeof *r->order);
    r->tokens = calloc(n, sizeof *r->tokens);
    r->targets = calloc(n, sizeof *r->targets);
    r->segments = calloc(n, sizeof *r->segments);
    bool ok = r->order != NULL && r->tokens != NULL && r->targets != NULL && r->segments != NULL;
    return ok ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for batches of %zu tokens", n);
}

static liz_status run_steps(run *r, liz_error *err)
{
    liz_train_state *state = &r->now->state;
    LIZ_TRY(run_open(r, err));
    if (state->step == 0) {
        state->n_steps = r->course->plan.n_steps;
        state->best_valid = state->last_valid = state->last_loss = NAN;
    } else if (wants_validation(r)) {
        LIZ_TRY(settle(r, err));
    }
    while (!is_over(r))
        LIZ_TRY(is_stopped(r) ? LIZ_E_CANCELLED : advance(r, err));
    bool is_lost = state->n_bad > 0 || (r->course->valid.n_items > 0 && !isfinite(state->last_valid));
    return is_lost ? liz_fail(err, LIZ_E_NUMERIC,
                              "the loss is not a number at the end: take a lower --rate, or other data or weights")
                   : LIZ_OK;
}

/* Where the job's run before stopped, if it came to a checkpoint. */
static liz_status go_on(liz_course *course, liz_error *err)
{
    if (!course->job.resumes || access(course->job.checkpoint, F_OK) != 0)
        return LIZ_OK;
    LIZ_TRY(liz_checkpoint_read(&course->now, course->tape, course->files, course->job.checkpoint, err));
    liz_tape_refresh(course->tape);
    return LIZ_OK;
}

liz_status liz_course_run(liz_course *course, liz_error *err)
{
    LIZ_TRY(liz_job_begin(&course->job, &course->now.job, err));
    LIZ_TRY(liz_optimizer_open(&course->optimizer, course->tape, course->team, &course->optimizer_opts, err));
    LIZ_TRY(go_on(course, err));
    LIZ_TRY(liz_course_note(course, LIZ_TRAIN_PLANNED, err));
    double seconds = course->now.state.seconds;
    run r = {course, &course->now, .begin_us = liz_clock_us(), .seconds_before = seconds, .saved_s = seconds};
    liz_status status = run_steps(&r, err);
    if (status == LIZ_E_CANCELLED) {
        status = save(&r, err);
        if (status == LIZ_OK)
            status = liz_fail(err, LIZ_E_CANCELLED, "stopped after step %llu", (unsigned long long)r.now->state.step);
    }
    free(r.order);
    free(r.tokens);
    free(r.targets);
    free(r.segments);
    return status;
}
