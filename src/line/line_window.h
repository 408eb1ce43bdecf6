/* line_window.h - rows between the reader and the writer, in order.
 *
 * A ring of slots. The reader takes the next slot (waiting while all are in use, or while the rows held take too much
 * memory), the engine ends rows in any order, the writer takes the oldest once it has ended. So memory is bounded by
 * the ring whatever the number of rows, and one slow row holds up at most a ring of others.
 *
 * Threads: one reader, one writer, and the engine's thread. One lock guards all that is said to be under it. */
#ifndef LIZ_LINE_LINE_WINDOW_H
#define LIZ_LINE_LINE_WINDOW_H

#include "line/line_row.h"

#include <pthread.h>

#define LIZ_LINE_WINDOW_BYTES_MAX ((size_t)64 << 20)

typedef struct liz_line_window {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    liz_line_row *slots;
    size_t n_slots;
    /* Under the lock. */
    uint64_t n_taken, n_released; /* rows that the reader began, and that the writer is done with */
    size_t bytes_held;            /* in rows that the reader has passed on */
    liz_line_mark mark;           /* the input up to the last row passed on, or the end */
    bool ended;                   /* no row follows */
    bool whole;                   /* and that is since the input ended */
    bool stopped;                 /* the writer wants no more */
    liz_status status;            /* why the reader failed */
    liz_error err;
} liz_line_window;

/* LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_window_open(liz_line_window *window, size_t n_slots, liz_error *err);
void liz_line_window_close(liz_line_window *window);

/* ---- Reader ------------------------------------------------------------------------------------- */

/* The next slot, reset; NULL once stopped. */
liz_line_row *liz_line_window_take(liz_line_window *window, uint64_t index);
/* Passes on a row that needs no engine (an error, a copy), which is done, or one whose sequences were submitted: they
 * end by liz_line_window_event, before this call or after. */
void liz_line_window_pass(liz_line_window *window, liz_line_row *row, bool is_done);
/* Waits for any sequence to end, a moment at most; false once stopped. */
bool liz_line_window_wait_ended(liz_line_window *window);
/* No row follows: the input is at its end (`whole`), or --limit is reached, or the reader failed. */
void liz_line_window_end(liz_line_window *window, bool whole, liz_line_mark mark, liz_status status,
                         const liz_error *err);

/* ---- Engine's thread ---------------------------------------------------------------------------- */

/* Takes an event of a row's sequence. */
void liz_line_window_event(liz_line_window *window, liz_line_completion *completion, const liz_event *event);

/* ---- Writer ------------------------------------------------------------------------------------- */

/* The row after the `n_ahead` oldest, if it has ended; waits up to `wait_us` for the oldest (n_ahead 0). NULL when it
 * has not ended, or none follows: `*over` (may be NULL) tells. The row stays the writer's until released. */
liz_line_row *liz_line_window_peek(liz_line_window *window, size_t n_ahead, uint64_t wait_us, bool *over);
/* Gives the `n` oldest slots back, and the memory of large rows in them. Their sequences have been freed. */
void liz_line_window_release(liz_line_window *window, size_t n);
/* No more rows are wanted: the reader returns soon. */
void liz_line_window_stop(liz_line_window *window);

#endif
