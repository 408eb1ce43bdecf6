/* line_row.c - a row's slot: filling, failing, and taking the engine's events.
 *
 * Buffers have maxima far above what a context can generate; reaching one, or the end of memory, marks the buffer as
 * failed, which the writer finds and treats as the end of the line, not of the row. */
#include "line/line_row.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 1 << 30, SMALL_MAX = 1 << 28, KEEP_CAP = 64 * 1024 };

static liz_buf *row_bufs(liz_line_row *row, size_t i)
{
    liz_buf *bufs[] = {&row->id, &row->keep, &row->model, &row->error_message, &row->text, &row->tokens, &row->tops};
    return i < sizeof bufs / sizeof *bufs ? bufs[i] : NULL;
}

void liz_line_row_init(liz_line_row *row)
{
    *row = (liz_line_row){0};
    for (size_t i = 0; row_bufs(row, i) != NULL; i++)
        liz_buf_init(row_bufs(row, i), row_bufs(row, i) == &row->text ? TEXT_MAX : SMALL_MAX);
}

void liz_line_row_free(liz_line_row *row)
{
    for (size_t i = 0; row_bufs(row, i) != NULL; i++)
        liz_buf_free(row_bufs(row, i));
}

void liz_line_row_reset(liz_line_row *row, uint64_t index)
{
    liz_line_row fresh = {.index = index};
    for (size_t i = 0; row_bufs(row, i) != NULL; i++) {
        liz_buf *buf = row_bufs(row, i);
        if (buf->cap > KEEP_CAP)
            liz_buf_free(buf);
        liz_buf_clear(buf);
        *row_bufs(&fresh, i) = *buf;
    }
    *row = fresh;
}

size_t liz_line_row_bytes(const liz_line_row *row)
{
    return row->id.len + row->keep.len + row->text.len + row->tokens.len + row->tops.len;
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

static void row_token_add(liz_line_row *row, const liz_event *event)
{
    liz_row_token token = {.chosen = {event->token, event->logprob},
                           .top = (uint32_t)(row->tops.len / sizeof *event->top),
                           .n_top = (uint32_t)event->n_top,
                           .text_end = row->text.len};
    liz_buf_append(&row->tops, (const char *)event->top, (size_t)event->n_top * sizeof *event->top);
    liz_buf_append(&row->tokens, (const char *)&token, sizeof token);
}

void liz_line_row_event(liz_line_row *row, const liz_event *event)
{
    liz_buf_append(&row->text, event->text, event->n_text);
    if (event->type == LIZ_EVENT_TOKEN) {
        if (row->wants_logprobs)
            row_token_add(row, event);
        return;
    }
    row->finish = event->finish;
    row->status = event->status;
    row->stats = event->stats;
    if (event->finish == LIZ_FINISH_FAILED && event->status == LIZ_E_NUMERIC)
        liz_line_row_fail(row, LIZ_ROW_NOT_A_NUMBER, "the model computed a value that is not a number: %s",
                          event->message ? event->message : "no more is known");
    else if (event->finish == LIZ_FINISH_FAILED)
        liz_buf_puts(&row->error_message, event->message ? event->message : "no reason given");
}

uint64_t liz_line_words(liz_str text)
{
    uint64_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < text.n; i++) {
        bool space = text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r');
        n += !space && !inside;
        inside = !space;
    }
    return n;
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
