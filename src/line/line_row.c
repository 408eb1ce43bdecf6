/* line_row.c - a row's slot: filling, failing, and taking the engine's events.
 *
 * Buffers have maxima far above what a context can generate; reaching one, or the end of memory, marks the buffer as
 * failed, which the writer finds and treats as the end of the line, not of the row. */
#include "line/line_row.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 30, SMALL_MAX = 1 << 28, KEEP_CAP = 64 * 1024 };

enum { ROW_BUFS = 7, COMPLETION_BUFS = 5 };

static liz_buf *row_buf(liz_line_row *row, size_t i)
{
    liz_buf *bufs[ROW_BUFS] = {&row->id,   &row->keep,        &row->model,      &row->error_message,
                               &row->line, &row->prompt.each, &row->prompt.tops};
    return bufs[i];
}

static liz_buf *completion_buf(liz_line_completion *c, size_t i)
{
    liz_buf *bufs[COMPLETION_BUFS] = {&c->text, &c->tokens.each, &c->tokens.tops, &c->message, &c->probs};
    return bufs[i];
}

/* The i-th of all its buffers; NULL beyond the last. */
static liz_buf *any_buf(liz_line_row *row, size_t i)
{
    if (i < ROW_BUFS)
        return row_buf(row, i);
    i -= ROW_BUFS;
    return i / COMPLETION_BUFS < row->n_completions_cap
               ? completion_buf(&row->completions[i / COMPLETION_BUFS], i % COMPLETION_BUFS)
               : NULL;
}

void liz_line_row_init(liz_line_row *row)
{
    *row = (liz_line_row){0};
    for (size_t i = 0; i < ROW_BUFS; i++)
        liz_buf_init(row_buf(row, i), row_buf(row, i) == &row->line ? TEXT_MAX : SMALL_MAX);
}

void liz_line_row_free(liz_line_row *row)
{
    liz_buf *buf;
    for (size_t i = 0; (buf = any_buf(row, i)) != NULL; i++)
        liz_buf_free(buf);
    free(row->completions);
}

void liz_line_row_reset(liz_line_row *row)
{
    liz_buf *buf;
    for (size_t i = 0; (buf = any_buf(row, i)) != NULL; i++) {
        if (buf->cap > KEEP_CAP)
            liz_buf_free(buf);
        liz_buf_clear(buf);
    }
    liz_line_row fresh = {.completions = row->completions, .n_completions_cap = row->n_completions_cap};
    for (size_t i = 0; i < ROW_BUFS; i++)
        *row_buf(&fresh, i) = *row_buf(row, i);
    *row = fresh;
}

static bool completions_reserve(liz_line_row *row, size_t n)
{
    if (n <= row->n_completions_cap)
        return true;
    liz_line_completion *more = realloc(row->completions, n * sizeof *more);
    if (more == NULL)
        return false;
    row->completions = more;
    for (; row->n_completions_cap < n; row->n_completions_cap++)
        for (size_t i = 0; i < COMPLETION_BUFS; i++)
            liz_buf_init(completion_buf(&more[row->n_completions_cap], i), i == 0 ? TEXT_MAX : SMALL_MAX);
    return true;
}

liz_status liz_line_row_expect(liz_line_row *row, size_t n, liz_error *err)
{
    if (!completions_reserve(row, n))
        return liz_fail(err, LIZ_E_MEMORY, "no memory for %zu completions", n);
    row->n_completions = n;
    for (size_t k = 0; k < n; k++) {
        liz_line_completion *c = &row->completions[k], fresh = {.row = row, .choice = -1};
        for (size_t i = 0; i < COMPLETION_BUFS; i++)
            *completion_buf(&fresh, i) = *completion_buf(c, i);
        *c = fresh;
    }
    return LIZ_OK;
}

size_t liz_line_row_bytes(liz_line_row *row)
{
    size_t n = 0;
    for (size_t i = 0; any_buf(row, i) != NULL; i++)
        n += any_buf(row, i)->len;
    return n;
}

bool liz_line_row_overflowed(liz_line_row *row)
{
    bool failed = false;
    for (size_t i = 0; any_buf(row, i) != NULL; i++)
        failed = failed || liz_buf_failed(any_buf(row, i));
    return failed;
}

void liz_line_row_fail(liz_line_row *row, const char *code, const char *fmt, ...)
{
    char text[1024];
    if (row->error_code != NULL)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    row->error_code = code;
    liz_buf_puts(&row->error_message, text);
}

static void token_add(liz_row_tokens *tokens, const liz_event *event, size_t text_end)
{
    liz_row_token token = {.chosen = {event->token, event->logprob},
                           .top = (uint32_t)(tokens->tops.len / sizeof *event->top),
                           .n_top = (uint32_t)event->n_top,
                           .text_end = text_end};
    liz_buf_append(&tokens->tops, (const char *)event->top, (size_t)event->n_top * sizeof *event->top);
    liz_buf_append(&tokens->each, (const char *)&token, sizeof token);
}

static void completion_end(liz_line_completion *c, const liz_event *event)
{
    c->ended = true;
    c->finish = event->finish;
    c->status = event->status;
    c->stats = event->stats;
    if (event->n_probs > 0) {
        c->choice = event->choice;
        liz_buf_append(&c->probs, (const char *)event->probs, (size_t)event->n_probs * sizeof *event->probs);
        liz_buf_puts(&c->text, c->row->choices[event->choice]);
    }
    if (event->finish == LIZ_FINISH_FAILED)
        liz_buf_puts(&c->message, event->message ? event->message : "no more is known");
}

static void row_settle(liz_line_row *row)
{
    for (size_t i = 0; i < row->n_completions; i++) {
        const liz_line_completion *c = &row->completions[i];
        if (c->finish == LIZ_FINISH_FAILED && c->status == LIZ_E_NUMERIC)
            liz_line_row_fail(row, LIZ_ROW_NOT_A_NUMBER, "the model computed a value that is not a number: %s",
                              c->message.len ? c->message.data : "");
    }
}

bool liz_line_row_event(liz_line_completion *c, const liz_event *event)
{
    liz_line_row *row = c->row;
    liz_buf_append(&c->text, event->text, event->n_text);
    if (event->type == LIZ_EVENT_PROMPT)
        token_add(&row->prompt, event, 0);
    else if (event->type == LIZ_EVENT_TOKEN && row->wants_logprobs)
        token_add(&c->tokens, event, c->text.len);
    if (event->type != LIZ_EVENT_DONE)
        return false;
    completion_end(c, event);
    if (++row->n_ended < row->n_completions)
        return false;
    row_settle(row);
    return true;
}

liz_seq_stats liz_line_row_stats(const liz_line_row *row)
{
    liz_seq_stats sum = {0};
    for (size_t i = 0; i < row->n_completions; i++) {
        const liz_seq_stats *s = &row->completions[i].stats;
        sum.queue_us += s->queue_us;
        sum.prefill_us += s->prefill_us;
        sum.decode_us += s->decode_us;
        sum.n_prompt += s->n_prompt;
        sum.n_prompt_reused += s->n_prompt_reused;
        sum.n_completion += s->n_completion;
    }
    return sum;
}

double liz_line_completion_prob(const liz_line_completion *completion, size_t i)
{
    double p;
    memcpy(&p, completion->probs.data + i * sizeof p, sizeof p);
    return p;
}

const char *liz_line_finish_name(liz_finish finish)
{
    switch (finish) {
    case LIZ_FINISH_STOP: return "stop";
    case LIZ_FINISH_LENGTH: return "length";
    case LIZ_FINISH_CANCELLED: return "cancelled";
    case LIZ_FINISH_FAILED: break;
    }
    return "failed";
}
