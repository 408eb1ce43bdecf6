/* cache.c - the pool of pages, who holds them, and which may be found or evicted.
 *
 * A page is in one of four states. Free: on a stack. Private: held, being written by one sequence. Published and held:
 * in the index, read by any number of sequences. Published and idle: in the index and on the list of idle pages, oldest
 * first, from which eviction takes. All transitions are O(1).
 *
 * The index maps (kind, published predecessor, tokens) to a page. Because the predecessor is a page id, and that page
 * was itself matched in this way, an entry stands for the whole beginning of a sequence and is compared exactly; the
 * chained hash only finds the bucket. This needs the predecessor to stay published as long as the entry does. It does:
 * - who holds a page holds its predecessor (publishing into an existing entry swaps to the published page), and
 * - a sequence gives its pages up from the end, so that on the idle list a successor is always older than its
 * predecessor. `n_next` counts published successors to assert it.
 *
 * The bytes: one mapping, in it for each layer the keys of all pages, then the values of all pages. A page is cleared
 * when it changes hands: attention reads whole blocks and gives what lies past the tokens a weight of zero, which times
 * a NaN that another sequence left would still be a NaN. */
#include "cache/cache.h"

#include "base/checked.h"
#include "sys/memory.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, NONE = -1, SCALE_LEN = 32, SCALE_BYTES = 2 };

/* Neighbours on the list of idle pages; `next` also links the stack of free ones. */
typedef struct page {
    liz_hash link;
    uint64_t kind;
    int32_t n_held;
    int32_t before;      /* published predecessor */
    int32_t n_next;      /* published successors */
    int32_t bucket_next; /* index */
    int32_t older, newer;
    bool published, was_used;
} page;

typedef struct layer_place {
    char *k, *v; /* of page 0 */
    size_t k_stride, v_stride;
} layer_place;

struct liz_cache {
    layer_place *layers;
    page *pages;
    int32_t *tokens;    /* [n_pages][LIZ_PAGE_TOKENS] of published pages */
    int32_t *buckets;   /* [n_buckets] heads of the index */
    uint32_t n_buckets; /* a power of two */
    int32_t n_pages, n_free, n_idle;
    int n_layer;
    int32_t free_top;
    int32_t idle_oldest, idle_newest;
    uint64_t n_evictions;
    liz_cache_type type;
    bool sharing_off;
    void *map;
    size_t map_bytes;
};

size_t liz_cache_head_bytes(liz_cache_type type, int n_embd)
{
    size_t n = (size_t)n_embd, scales = liz_div_up(n, SCALE_LEN) * SCALE_BYTES;
    return LIZ_PAGE_TOKENS * (type == LIZ_CACHE_F32 ? 4 * n : type == LIZ_CACHE_BF16 ? 2 * n : n + scales);
}

static bool stride_of(int n_head, int n_embd, liz_cache_type type, uint64_t *bytes)
{
    return n_head >= 0 && n_embd >= 0 &&
           liz_u64_mul((uint64_t)n_head, (uint64_t)liz_cache_head_bytes(type, n_embd), bytes) &&
           liz_u64_round_up(*bytes, ALIGN, bytes);
}

bool liz_cache_page_bytes(const liz_cache_opts *opts, uint64_t *bytes)
{
    *bytes = 0;
    for (int i = 0; i < opts->n_layer; i++) {
        const liz_cache_layer *layer = &opts->layers[i];
        uint64_t k, v;
        if (!stride_of(layer->n_head_kv, layer->n_embd_k, opts->type, &k) ||
            !stride_of(layer->n_head_kv, layer->n_embd_v, opts->type, &v) || !liz_u64_add(*bytes, k, bytes) ||
            !liz_u64_add(*bytes, v, bytes))
            return false;
    }
    return true;
}

/* Places the layers' keys and values in the mapping; their sizes were checked. */
static void layers_place(liz_cache *cache, const liz_cache_opts *opts)
{
    char *at = cache->map;
    for (int i = 0; i < opts->n_layer; i++) {
        const liz_cache_layer *from = &opts->layers[i];
        uint64_t k = 0, v = 0;
        (void)stride_of(from->n_head_kv, from->n_embd_k, opts->type, &k);
        (void)stride_of(from->n_head_kv, from->n_embd_v, opts->type, &v);
        cache->layers[i] = (layer_place){.k = at, .v = at + k * (size_t)opts->n_pages, .k_stride = k, .v_stride = v};
        at += (k + v) * (size_t)opts->n_pages;
    }
    LIZ_ASSERT(at == (char *)cache->map + cache->map_bytes);
}

static void pages_init(liz_cache *cache)
{
    memset(cache->buckets, 0xFF, cache->n_buckets * sizeof *cache->buckets);
    for (int32_t i = 0; i < cache->n_pages; i++)
        cache->pages[i] = (page){.before = NONE, .bucket_next = NONE, .older = NONE, .newer = i + 1};
    cache->pages[cache->n_pages - 1].newer = NONE;
    cache->free_top = 0;
    cache->n_free = cache->n_pages;
    cache->idle_oldest = cache->idle_newest = NONE;
}

liz_status liz_cache_open(liz_cache **out, const liz_cache_opts *opts, liz_error *err)
{
    uint64_t page_bytes, map_bytes;
    LIZ_ASSERT(opts->n_pages > 0 && opts->n_layer > 0);
    if (!liz_cache_page_bytes(opts, &page_bytes) || !liz_u64_mul(page_bytes, (uint64_t)opts->n_pages, &map_bytes) ||
        map_bytes > SIZE_MAX / 2)
        return liz_fail(err, LIZ_E_LIMIT, "attention cache: %d pages are larger than memory can be", opts->n_pages);
    liz_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        goto fail;
    cache->n_pages = opts->n_pages;
    cache->n_layer = opts->n_layer;
    cache->type = opts->type;
    cache->sharing_off = opts->sharing_off;
    cache->map_bytes = map_bytes;
    cache->n_buckets = 16;
    while (cache->n_buckets < (uint32_t)opts->n_pages)
        cache->n_buckets *= 2;
    cache->layers = calloc((size_t)opts->n_layer, sizeof *cache->layers);
    cache->pages = calloc((size_t)opts->n_pages, sizeof *cache->pages);
    cache->tokens = calloc((size_t)opts->n_pages, LIZ_PAGE_TOKENS * sizeof *cache->tokens);
    cache->buckets = calloc(cache->n_buckets, sizeof *cache->buckets);
    cache->map = liz_memory_map(map_bytes > 0 ? map_bytes : 1);
    if (!cache->layers || !cache->pages || !cache->tokens || !cache->buckets || !cache->map)
        goto fail;
    layers_place(cache, opts);
    pages_init(cache);
    *out = cache;
    return LIZ_OK;
fail:
    liz_cache_close(cache);
    return liz_fail(err, LIZ_E_MEMORY,
                    "attention cache: no memory for %d pages, %llu bytes: lower the context or the number of sequences",
                    opts->n_pages, (unsigned long long)map_bytes);
}

void liz_cache_close(liz_cache *cache)
{
    if (cache == NULL)
        return;
    liz_memory_unmap(cache->map, cache->map_bytes > 0 ? cache->map_bytes : 1);
    free(cache->buckets);
    free(cache->tokens);
    free(cache->pages);
    free(cache->layers);
    free(cache);
}

void *liz_cache_k(const liz_cache *cache, int layer, int32_t id)
{
    const layer_place *place = &cache->layers[layer];
    LIZ_DASSERT(id >= 0 && id < cache->n_pages);
    return place->k + place->k_stride * (size_t)id;
}

void *liz_cache_v(const liz_cache *cache, int layer, int32_t id)
{
    const layer_place *place = &cache->layers[layer];
    LIZ_DASSERT(id >= 0 && id < cache->n_pages);
    return place->v + place->v_stride * (size_t)id;
}

liz_cache_type liz_cache_elem_type(const liz_cache *cache) { return cache->type; }
bool liz_cache_is_shared(const liz_cache *cache) { return !cache->sharing_off; }
int32_t liz_cache_pages_available(const liz_cache *cache) { return cache->n_free + cache->n_idle; }
int32_t liz_cache_pages_total(const liz_cache *cache) { return cache->n_pages; }
int32_t liz_cache_pages_held(const liz_cache *cache) { return cache->n_pages - cache->n_free - cache->n_idle; }
uint64_t liz_cache_evictions(const liz_cache *cache) { return cache->n_evictions; }

liz_hash liz_cache_chain(liz_hash before, const int32_t *tokens)
{
    return liz_hash_chain(before, tokens, LIZ_PAGE_TOKENS * sizeof *tokens);
}

/* ---- the list of idle pages and the stack of free ones ---- */

static void idle_append(liz_cache *cache, int32_t id)
{
    page *p = &cache->pages[id];
    p->older = cache->idle_newest;
    p->newer = NONE;
    if (p->older != NONE)
        cache->pages[p->older].newer = id;
    else
        cache->idle_oldest = id;
    cache->idle_newest = id;
    cache->n_idle++;
}

static void idle_remove(liz_cache *cache, int32_t id)
{
    page *p = &cache->pages[id];
    if (p->older != NONE)
        cache->pages[p->older].newer = p->newer;
    else
        cache->idle_oldest = p->newer;
    if (p->newer != NONE)
        cache->pages[p->newer].older = p->older;
    else
        cache->idle_newest = p->older;
    cache->n_idle--;
}

static void free_push(liz_cache *cache, int32_t id)
{
    cache->pages[id].newer = cache->free_top;
    cache->free_top = id;
    cache->n_free++;
}

static int32_t free_pop(liz_cache *cache)
{
    int32_t id = cache->free_top;
    cache->free_top = cache->pages[id].newer;
    cache->n_free--;
    return id;
}

/* ---- the index ---- */

static int32_t *bucket_of(const liz_cache *cache, liz_hash link)
{
    return &cache->buckets[link.lo & (cache->n_buckets - 1)];
}

static int32_t *tokens_of(const liz_cache *cache, int32_t id) { return cache->tokens + (size_t)id * LIZ_PAGE_TOKENS; }

static liz_hash link_after(const liz_cache *cache, uint64_t kind, int32_t before, const int32_t *tokens)
{
    LIZ_ASSERT(before == NONE || (cache->pages[before].published && cache->pages[before].kind == kind));
    return liz_cache_chain(before == NONE ? liz_cache_start(kind) : cache->pages[before].link, tokens);
}

static int32_t index_find(const liz_cache *cache, liz_hash link, uint64_t kind, int32_t before, const int32_t *tokens)
{
    int32_t id = *bucket_of(cache, link);
    for (; id != NONE; id = cache->pages[id].bucket_next) {
        const page *p = &cache->pages[id];
        if (liz_hash_eq(p->link, link) && p->kind == kind && p->before == before &&
            memcmp(tokens_of(cache, id), tokens, LIZ_PAGE_TOKENS * sizeof *tokens) == 0)
            break;
    }
    return id;
}

static void index_remove(liz_cache *cache, int32_t id)
{
    page *p = &cache->pages[id];
    int32_t *at = bucket_of(cache, p->link);
    while (*at != id)
        at = &cache->pages[*at].bucket_next;
    *at = p->bucket_next;
    if (p->before != NONE)
        cache->pages[p->before].n_next--;
    p->published = false;
}

static void page_hold(liz_cache *cache, int32_t id)
{
    page *p = &cache->pages[id];
    if (p->n_held++ == 0)
        idle_remove(cache, id);
}

static void page_release(liz_cache *cache, int32_t id)
{
    page *p = &cache->pages[id];
    LIZ_ASSERT(p->n_held > 0);
    if (--p->n_held > 0)
        return;
    if (p->published)
        idle_append(cache, id);
    else
        free_push(cache, id);
}

static void page_clear(liz_cache *cache, int32_t id)
{
    for (int layer = 0; layer < cache->n_layer; layer++) {
        memset(liz_cache_k(cache, layer, id), 0, cache->layers[layer].k_stride);
        memset(liz_cache_v(cache, layer, id), 0, cache->layers[layer].v_stride);
    }
}

void liz_cache_page_copy(liz_cache *cache, int32_t to, int32_t from)
{
    LIZ_ASSERT(cache->pages[to].n_held == 1 && !cache->pages[to].published);
    for (int layer = 0; layer < cache->n_layer; layer++) {
        memcpy(liz_cache_k(cache, layer, to), liz_cache_k(cache, layer, from), cache->layers[layer].k_stride);
        memcpy(liz_cache_v(cache, layer, to), liz_cache_v(cache, layer, from), cache->layers[layer].v_stride);
    }
}

int32_t liz_cache_page_take(liz_cache *cache)
{
    int32_t id;
    if (cache->n_free > 0) {
        id = free_pop(cache);
    } else if (cache->n_idle > 0) {
        id = cache->idle_oldest;
        LIZ_ASSERT(cache->pages[id].n_next == 0);
        idle_remove(cache, id);
        index_remove(cache, id);
        cache->n_evictions++;
    } else {
        return NONE;
    }
    if (cache->pages[id].was_used)
        page_clear(cache, id);
    cache->pages[id].was_used = true;
    cache->pages[id].n_held = 1;
    return id;
}

void liz_cache_pages_release(liz_cache *cache, const int32_t *pages, size_t n)
{
    while (n > 0)
        page_release(cache, pages[--n]);
}

int32_t liz_cache_find(liz_cache *cache, uint64_t kind, int32_t before, const int32_t *tokens)
{
    if (cache->sharing_off)
        return NONE;
    int32_t id = index_find(cache, link_after(cache, kind, before, tokens), kind, before, tokens);
    if (id != NONE)
        page_hold(cache, id);
    return id;
}

int32_t liz_cache_publish(liz_cache *cache, uint64_t kind, int32_t id, int32_t before, const int32_t *tokens)
{
    page *p = &cache->pages[id];
    LIZ_ASSERT(p->n_held == 1 && !p->published);
    if (cache->sharing_off)
        return id;
    LIZ_ASSERT(before == NONE || cache->pages[before].n_held > 0);
    liz_hash link = link_after(cache, kind, before, tokens);
    int32_t same = index_find(cache, link, kind, before, tokens);
    if (same != NONE) {
        page_hold(cache, same);
        page_release(cache, id);
        return same;
    }
    int32_t *bucket = bucket_of(cache, link);
    p->link = link;
    p->kind = kind;
    p->before = before;
    p->n_next = 0;
    p->bucket_next = *bucket;
    p->published = true;
    *bucket = id;
    if (before != NONE)
        cache->pages[before].n_next++;
    memcpy(tokens_of(cache, id), tokens, LIZ_PAGE_TOKENS * sizeof *tokens);
    return id;
}
