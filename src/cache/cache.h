/* cache.h - the paged KV cache: keys and values of attention, shared between sequences where they are equal.
 *
 * The pool is one mapping made at open: `n_pages` pages of LIZ_PAGE_TOKENS tokens. A page id covers all layers;
 * the bytes of a page in a layer are found with `liz_cache_k` and `liz_cache_v`, and their inner layout belongs to
 * the attention kernels (kernel/attention.h). A sequence holds pages through its page table; a page may be held by
 * several.
 *
 * A full page whose tokens are known can be published as the continuation of the published page before it, and found
 * again by other sequences that have the same tokens up to there. A published page is never written again. Pages nobody
 * holds stay published until they are evicted, least recently used first, and a page's successors before the page
 * itself.
 *
 * Used from the engine's thread only. Allocates at open, never after. */
#ifndef LIZ_CACHE_CACHE_H
#define LIZ_CACHE_CACHE_H

#include "base/hash.h"
#include "base/status.h"
#include "base/tiny.h"
#include "lizzie.h"

#include <stdint.h>

enum { LIZ_PAGE_TOKENS = LIZ_OR_TINY(32, 1) };

/* What one layer keeps for one token. */
typedef struct liz_cache_layer {
    int n_head_kv;
    int n_embd_k, n_embd_v; /* of one head */
} liz_cache_layer;

typedef struct liz_cache_opts {
    const liz_cache_layer *layers; /* [n_layer], copied */
    int n_layer;
    int32_t n_pages;
    liz_cache_type type;
    bool sharing_off; /* nothing is published or found */
} liz_cache_opts;

typedef struct liz_cache liz_cache;

LIZ_MUST_CHECK liz_status liz_cache_open(liz_cache **out, const liz_cache_opts *opts, liz_error *err);
void liz_cache_close(liz_cache *cache);

/* Bytes of one page over all layers under these options (n_pages aside); false on overflow. */
bool liz_cache_page_bytes(const liz_cache_opts *opts, uint64_t *bytes);

/* Bytes of one head's keys or values in a page: elements, and for int8 a scale of two bytes for each token and 32 of
 * them. */
size_t liz_cache_head_bytes(liz_cache_type type, int n_embd);

/* The bytes of keys and of values of a page in a layer, 64-byte aligned, at first zero. Inside, head after head. */
void *liz_cache_k(const liz_cache *cache, int layer, int32_t page);
void *liz_cache_v(const liz_cache *cache, int layer, int32_t page);
liz_cache_type liz_cache_elem_type(const liz_cache *cache);
bool liz_cache_is_shared(const liz_cache *cache); /* not `sharing_off` */

/* Takes a free page, evicting if it must; -1 when every page is held. Held once, by the caller. Its bytes
 * are zero: attention reads whole blocks of keys, and what another sequence left must not be a NaN in one of them. */
int32_t liz_cache_page_take(liz_cache *cache);

/* Copies the bytes of a page to one that the caller alone holds. */
void liz_cache_page_copy(liz_cache *cache, int32_t to, int32_t from);

/* Gives up the pages of one sequence, `pages` [n] in the order of its tokens, each held by the caller. A sequence that
 * holds a published page holds those before it too, and gives them up together or from the end: this keeps eviction
 * from ever cutting a chain in the middle. */
void liz_cache_pages_release(liz_cache *cache, const int32_t *pages, size_t n);

/* Pages that `liz_cache_page_take` could give now: free ones and those that can be evicted. */
int32_t liz_cache_pages_available(const liz_cache *cache);
int32_t liz_cache_pages_total(const liz_cache *cache);
int32_t liz_cache_pages_held(const liz_cache *cache);
uint64_t liz_cache_evictions(const liz_cache *cache);

/* The hash of all tokens up to the end of a page, from the hash up to its beginning (liz_cache_start) and its `tokens`
 * [LIZ_PAGE_TOKENS]. Equal hashes suggest equal beginnings; `liz_cache_find` makes sure. */
static inline liz_hash liz_cache_start(uint64_t kind) { return (liz_hash){kind, 0}; }
liz_hash liz_cache_chain(liz_hash before, const int32_t *tokens);

/* The published page of `tokens` [LIZ_PAGE_TOKENS] after the published page `before` (-1 at the start of a
 * sequence), now held for the caller too; -1 where there is none. `kind` is what a page's bytes depend on beside tokens
 * (a set of adapters): pages of one kind follow each other. All three are compared, not only their hash. */
int32_t liz_cache_find(liz_cache *cache, uint64_t kind, int32_t before, const int32_t *tokens);

/* Publishes a held, full page of `tokens` after the published page `before`, which the caller holds. Returns the page
 * that has these tokens from now on, held in its stead: `page` itself, or, where they are published already, the page
 * they are in (`page` is then given up, its bytes being the same). With sharing off nothing happens. */
LIZ_MUST_CHECK int32_t liz_cache_publish(liz_cache *cache, uint64_t kind, int32_t page, int32_t before,
                                         const int32_t *tokens);

#endif
