/* line_window.c - the ring. Everything waits on one condition: rows come and go some thousand times a second at most.
 */
#include "line/line_window.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_ENDED_US = 50000 };

liz_status liz_line_window_open(liz_line_window *window, size_t n_slots, liz_error *err)
{
    *window = (liz_line_window){.n_slots = n_slots};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&window->lock, NULL);
    pthread_cond_init(&window->changed, &attr);
    pthread_condattr_destroy(&attr);
    window->slots = calloc(n_slots, sizeof *window->slots);
    if (window->slots == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a window of %zu rows", n_slots);
    for (size_t i = 0; i < n_slots; i++)
        liz_line_row_init(&window->slots[i]);
    return LIZ_OK;
}

static void sequences_end(liz_line_row *row, bool freeing)
{
    for (size_t i = 0; i < row->n_completions; i++) {
        liz_seq *seq = row->completions[i].seq;
        if (freeing)
            liz_seq_free(seq);
        else if (seq != NULL)
            liz_seq_cancel(seq);
    }
}

void liz_line_window_close(liz_line_window *window)
{
    if (window->n_slots == 0)
        return;
    for (int freeing = 0; freeing < 2; freeing++) /* all are cancelled before one is waited for */
        for (size_t i = 0; window->slots != NULL && i < window->n_slots; i++)
            sequences_end(&window->slots[i], freeing);
    for (size_t i = 0; window->slots != NULL && i < window->n_slots; i++)
        liz_line_row_free(&window->slots[i]);
    free(window->slots);
    pthread_cond_destroy(&window->changed);
    pthread_mutex_destroy(&window->lock);
    *window = (liz_line_window){0};
}

/* Waits for a change, at most until `deadline`; false when that has passed. */
static bool wait_changed(liz_line_window *window, const struct timespec *deadline)
{
    return pthread_cond_timedwait(&window->changed, &window->lock, deadline) != ETIMEDOUT;
}

static struct timespec deadline_in(uint64_t us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + us % 1000000u * 1000u;
    t.tv_sec += (time_t)(us / 1000000u + ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    return t;
}

/* ---- Reader ------------------------------------------------------------------------------------- */

liz_line_row *liz_line_window_take(liz_line_window *window, uint64_t index)
{
    liz_line_row *row = NULL;
    uint64_t n_held;
    pthread_mutex_lock(&window->lock);
    while (!window->stopped && (n_held = window->n_taken - window->n_released) > 0 &&
           (n_held >= window->n_slots || window->bytes_held >= LIZ_LINE_WINDOW_BYTES_MAX))
        pthread_cond_wait(&window->changed, &window->lock);
    if (!window->stopped)
        row = &window->slots[window->n_taken % window->n_slots];
    pthread_mutex_unlock(&window->lock);
    if (row != NULL)
        row->index = index;
    return row;
}

/* Under the lock: counts what the row holds. Its text is the engine's until it is done. */
static void charge(liz_line_window *window, liz_line_row *row)
{
    size_t bytes = row->done ? liz_line_row_bytes(row) : row->id.len + row->keep.len;
    window->bytes_held += bytes - row->charged_bytes;
    row->charged_bytes = bytes;
}

void liz_line_window_pass(liz_line_window *window, liz_line_row *row, bool is_done)
{
    pthread_mutex_lock(&window->lock);
    row->done = row->done || is_done;
    row->passed = true;
    window->n_taken++; /* only now, so that the writer sees no row half filled */
    charge(window, row);
    window->mark = row->mark;
    pthread_cond_broadcast(&window->changed);
    pthread_mutex_unlock(&window->lock);
}

bool liz_line_window_wait_ended(liz_line_window *window)
{
    struct timespec deadline = deadline_in(WAIT_ENDED_US);
    pthread_mutex_lock(&window->lock);
    if (!window->stopped)
        wait_changed(window, &deadline);
    bool go_on = !window->stopped;
    pthread_mutex_unlock(&window->lock);
    return go_on;
}

void liz_line_window_end(liz_line_window *window, bool whole, liz_line_mark mark, liz_status status,
                         const liz_error *err)
{
    pthread_mutex_lock(&window->lock);
    window->ended = true;
    window->whole = whole;
    window->mark = mark;
    window->status = status;
    if (status != LIZ_OK)
        window->err = *err;
    pthread_cond_broadcast(&window->changed);
    pthread_mutex_unlock(&window->lock);
}

/* ---- Engine's thread ---------------------------------------------------------------------------- */

void liz_line_window_event(liz_line_window *window, liz_line_completion *completion, const liz_event *event)
{
    liz_line_row *row = completion->row;
    bool over = liz_line_row_event(completion, event); /* nobody else looks at these fields before `done` */
    if (event->type != LIZ_EVENT_DONE)
        return;
    pthread_mutex_lock(&window->lock);
    row->done = over;
    if (over && row->passed)
        charge(window, row);
    pthread_cond_broadcast(&window->changed);
    pthread_mutex_unlock(&window->lock);
}

/* ---- Writer ------------------------------------------------------------------------------------- */

liz_line_row *liz_line_window_peek(liz_line_window *window, size_t n_ahead, uint64_t wait_us, bool *over)
{
    struct timespec deadline = deadline_in(wait_us);
    bool is_over;
    liz_line_row *row;
    pthread_mutex_lock(&window->lock);
    do {
        uint64_t i = window->n_released + n_ahead;
        row = i < window->n_taken ? &window->slots[i % window->n_slots] : NULL;
        row = row != NULL && row->done ? row : NULL;
        is_over = window->ended && i == window->n_taken;
    } while (row == NULL && !is_over && n_ahead == 0 && wait_us > 0 && wait_changed(window, &deadline));
    pthread_mutex_unlock(&window->lock);
    if (over != NULL)
        *over = is_over;
    return row;
}

void liz_line_window_release(liz_line_window *window, size_t n)
{
    pthread_mutex_lock(&window->lock);
    LIZ_ASSERT(window->n_released + n <= window->n_taken);
    for (; n > 0; n--) {
        liz_line_row *row = &window->slots[window->n_released++ % window->n_slots];
        window->bytes_held -= row->charged_bytes;
        liz_line_row_reset(row); /* now, as its turn comes again only after all others */
    }
    pthread_cond_broadcast(&window->changed);
    pthread_mutex_unlock(&window->lock);
}

void liz_line_window_stop(liz_line_window *window)
{
    pthread_mutex_lock(&window->lock);
    window->stopped = true;
    pthread_cond_broadcast(&window->changed);
    pthread_mutex_unlock(&window->lock);
}
