/* feed.c - rows of a text. */
#include "train/feed.h"

#include "base/checked.h"

/* What is to be predicted at token `t`: after the end of a document, nothing. */
static int32_t target_at(const liz_tokens *tokens, size_t t)
{
    int32_t next = t + 1 < tokens->n ? tokens->v[t + 1] : tokens->begin;
    return next == tokens->begin && tokens->end != tokens->begin ? -1 : next;
}

static size_t get_row(const void *user, size_t i, int32_t *tokens, int32_t *targets, liz_segment *segments,
                      size_t *n_segments)
{
    const liz_row_feed *rows = user;
    const liz_tokens *all = rows->tokens;
    size_t first = i * rows->n_ctx, n = all->n - first < rows->n_ctx ? all->n - first : rows->n_ctx;
    *n_segments = 0;
    for (size_t t = 0; t < n; t++) {
        tokens[t] = all->v[first + t];
        targets[t] = target_at(all, first + t);
        if (t == 0 || tokens[t] == all->begin)
            segments[(*n_segments)++] = (liz_segment){t, 0};
        segments[*n_segments - 1].n++;
    }
    return n;
}

liz_feed liz_row_feed_of(liz_row_feed *rows, const liz_tokens *tokens, size_t n_ctx)
{
    *rows = (liz_row_feed){tokens, n_ctx};
    double n = tokens->n > 0 ? (double)tokens->n : 1;
    return (liz_feed){.user = rows,
                      .n_items = liz_div_up(tokens->n, n_ctx),
                      .n_tok_max = n_ctx,
                      .get = get_row,
                      .bytes_per_token = (double)tokens->n_bytes / n,
                      .words_per_token = (double)tokens->n_words / n};
}
