/* cache.h - the paged KV cache: keys and values of attention, shared between sequences where they are equal.
 *
 * The pool is one mapping made at open: `n_pages` pages of LIZ_PAGE_TOKENS tokens. A page id covers all layers;
 * the bytes of a page in a layer are found with `liz_cache_k` and `liz_cache_v`, and their inner layout belongs to
 * the attention kernels (kernel/attention.h). A sequence holds pages through its page table; a page may be held by several.
 *
 * A full page whose tokens are known can be published under the hash of all tokens from the start of its
 * sequence to its end (a chain, one link a page) and found again by other sequences. A published page is
 * never written again. Pages nobody holds stay published until they are evicted, least recently used first,
 * and a page's successors before the page itself.
 *
 * Used from the engine's thread only. Allocates at open, never after. */
#ifndef LIZ_CACHE_CACHE_H
#define LIZ_CACHE_CACHE_H

#include "base/hash.h"
#include "base/status.h"
#include "lizzie.h"

#include <stdint.h>

#ifdef LIZ_TINY
enum { LIZ_PAGE_TOKENS = 1 };
#else
enum { LIZ_PAGE_TOKENS = 32 };
#endif

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

/* The bytes of keys and of values of a page in a layer, 64-byte aligned. Inside, head after head:
 * n_head_kv * LIZ_PAGE_TOKENS * n_embd elements. */
void *liz_cache_k(const liz_cache *cache, int layer, int32_t page);
void *liz_cache_v(const liz_cache *cache, int layer, int32_t page);
liz_cache_type liz_cache_elem_type(const liz_cache *cache);

/* Takes a free page, evicting if it must; -1 when every page is held. Held once, by the caller. */
int32_t liz_cache_page_take(liz_cache *cache);
void liz_cache_page_hold(liz_cache *cache, int32_t page);
void liz_cache_page_release(liz_cache *cache, int32_t page);

/* Pages that `liz_cache_page_take` could give now: free ones and those that can be evicted. */
int32_t liz_cache_pages_available(const liz_cache *cache);
int32_t liz_cache_pages_total(const liz_cache *cache);
int32_t liz_cache_pages_held(const liz_cache *cache);
uint64_t liz_cache_evictions(const liz_cache *cache);

/* The link of the chain after `before` (a zeroed hash at the start) for a full page of `tokens`
 * [LIZ_PAGE_TOKENS]. */
liz_hash liz_cache_chain(liz_hash before, const int32_t *tokens);

/* Publishes a held, full page under its link, `before` being its predecessor's. Where that link is published already
 * the page stays private and nothing changes. */
void liz_cache_publish(liz_cache *cache, int32_t page, liz_hash before, liz_hash link, const int32_t *tokens);

/* The published page of a link, held for the caller, or -1. The tokens are compared, so a collision is a miss. */
int32_t liz_cache_find(liz_cache *cache, liz_hash link, const int32_t *tokens);

#endif
