/* feed.h - what a training is fed with: items by number, so that any step's batch can be made again.
 *
 * An item is a piece of a batch that is never cut: a row of a text, a conversation. Which items a step takes and in
 * what order is the loop's affair. */
#ifndef LIZ_TRAIN_FEED_H
#define LIZ_TRAIN_FEED_H

#include "train/tape.h"

typedef struct liz_feed {
    const void *user;
    size_t n_items, n_tok_max; /* of an item */
    /* Item `i`: tokens, targets and segments [n_tok_max], the segments from 0. Returns how many tokens it has. */
    size_t (*get)(const void *user, size_t i, int32_t *tokens, int32_t *targets, liz_segment *segments,
                  size_t *n_segments);
} liz_feed;

#endif
