/* test_cache.c - the page pool against a plain model of it: sequences that share beginnings come, grow, publish and go
 * in a pool that is too small for all. What is found must be the tokens asked for; pages in use are never given out;
 * none is lost. */
#include "cache/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_PAGES = 24, N_SEQS = 8, PAGES_MAX = 10, N_TOKENS = PAGES_MAX * LIZ_PAGE_TOKENS };

static const liz_cache_layer layers[] = {{2, 4, 6}, {1, 3, 3}};

static liz_cache *pool_open(int32_t n_pages, liz_cache_type type, bool sharing_off)
{
    liz_cache *cache;
    liz_cache_opts opts = {layers, 2, n_pages, type, sharing_off};
    assert_int_equal(liz_cache_open(&cache, &opts, NULL), LIZ_OK);
    return cache;
}

/* ---- bytes ---- */

static void test_bytes_are_apart(void **state)
{
    (void)state;
    for (int type = LIZ_CACHE_BF16; type <= LIZ_CACHE_INT8; type++) {
        liz_cache *cache = pool_open(5, (liz_cache_type)type, false);
        for (int round = 0; round < 2; round++)
            for (int layer = 0; layer < 2; layer++)
                for (int32_t page = 0; page < 5; page++) {
                    size_t n_heads = (size_t)layers[layer].n_head_kv;
                    size_t n_k = n_heads * liz_cache_head_bytes((liz_cache_type)type, layers[layer].n_embd_k);
                    size_t n_v = n_heads * liz_cache_head_bytes((liz_cache_type)type, layers[layer].n_embd_v);
                    unsigned char *k = liz_cache_k(cache, layer, page), *v = liz_cache_v(cache, layer, page);
                    unsigned char mark = (unsigned char)(1 + layer * 50 + page * 2);
                    assert_int_equal((uintptr_t)k % 64, 0);
                    assert_int_equal((uintptr_t)v % 64, 0);
                    for (size_t i = 0; i < n_k; i++)
                        assert_int_equal(k[i], round == 0 ? 0 : mark);
                    for (size_t i = 0; i < n_v; i++)
                        assert_int_equal(v[i], round == 0 ? 0 : mark + 1);
                    memset(k, mark, n_k);
                    memset(v, mark + 1, n_v);
                }
        liz_cache_close(cache);
    }
}

/* A page that was used comes back with nothing of its last owner in it. */
static void test_pages_come_clean(void **state)
{
    (void)state;
    liz_cache *cache = pool_open(1, LIZ_CACHE_F32, false);
    for (int round = 0; round < 3; round++) {
        int32_t page = liz_cache_page_take(cache);
        for (int layer = 0; layer < 2; layer++) {
            size_t n_heads = (size_t)layers[layer].n_head_kv;
            size_t n_k = n_heads * liz_cache_head_bytes(LIZ_CACHE_F32, layers[layer].n_embd_k);
            size_t n_v = n_heads * liz_cache_head_bytes(LIZ_CACHE_F32, layers[layer].n_embd_v);
            unsigned char *k = liz_cache_k(cache, layer, page), *v = liz_cache_v(cache, layer, page);
            for (size_t i = 0; i < n_k; i++)
                assert_int_equal(k[i], 0);
            for (size_t i = 0; i < n_v; i++)
                assert_int_equal(v[i], 0);
            memset(k, 0xFF, n_k); /* not-a-numbers */
            memset(v, 0xFF, n_v);
        }
        liz_cache_pages_release(cache, &page, 1);
    }
    liz_cache_close(cache);
}

/* Bytes of a token: float elements; for int8 a byte each, and two for every 32 of them. */
static void test_head_bytes(void **state)
{
    (void)state;
    assert_int_equal(liz_cache_head_bytes(LIZ_CACHE_F32, 80), LIZ_PAGE_TOKENS * 320);
    assert_int_equal(liz_cache_head_bytes(LIZ_CACHE_BF16, 80), LIZ_PAGE_TOKENS * 160);
    assert_int_equal(liz_cache_head_bytes(LIZ_CACHE_INT8, 80), LIZ_PAGE_TOKENS * 86);
    assert_int_equal(liz_cache_head_bytes(LIZ_CACHE_INT8, 16), LIZ_PAGE_TOKENS * 18);
}

static void test_absurd_sizes(void **state)
{
    (void)state;
    uint64_t bytes;
    liz_cache_layer huge = {INT32_MAX, INT32_MAX, INT32_MAX}, negative = {1, -1, 1}, large = {1 << 20, 1 << 20, 1};
    liz_cache_opts opts = {&huge, 1, 1, LIZ_CACHE_F32, false};
    assert_false(liz_cache_page_bytes(&opts, &bytes));
    opts.layers = &negative;
    assert_false(liz_cache_page_bytes(&opts, &bytes));
    opts.layers = &large;
    opts.n_pages = INT32_MAX;
    liz_cache *cache;
    liz_error err;
    assert_int_equal(liz_cache_open(&cache, &opts, &err), LIZ_E_LIMIT);
}

/* ---- pages ---- */

static void tokens_make(int32_t *tokens, int n, int which)
{
    for (int i = 0; i < n; i++)
        tokens[i] = which * 1000 + i;
}

static void test_find_compares_the_whole_beginning(void **state)
{
    (void)state;
    liz_cache *cache = pool_open(4, LIZ_CACHE_BF16, false);
    int32_t a[LIZ_PAGE_TOKENS], b[LIZ_PAGE_TOKENS];
    tokens_make(a, LIZ_PAGE_TOKENS, 1);
    tokens_make(b, LIZ_PAGE_TOKENS, 2);
    int32_t pages[2] = {liz_cache_page_take(cache), liz_cache_page_take(cache)};
    assert_int_equal(liz_cache_publish(cache, 0, pages[0], -1, a), pages[0]);
    assert_int_equal(liz_cache_publish(cache, 0, pages[1], pages[0], b), pages[1]);
    assert_int_equal(liz_cache_find(cache, 0, -1, b), -1);       /* b is known after a only */
    assert_int_equal(liz_cache_find(cache, 0, pages[0], a), -1); /* and a at the start only */
    assert_int_equal(liz_cache_find(cache, 7, -1, a), -1);       /* pages of another kind are others */
    int32_t found[2] = {liz_cache_find(cache, 0, -1, a), liz_cache_find(cache, 0, pages[0], b)};
    assert_memory_equal(found, pages, sizeof pages);
    assert_int_equal(liz_cache_pages_held(cache), 2);
    liz_cache_pages_release(cache, pages, 2);
    assert_int_equal(liz_cache_pages_held(cache), 2);
    liz_cache_pages_release(cache, found, 2);
    assert_int_equal(liz_cache_pages_available(cache), 4);
    liz_cache_close(cache);
}

static void test_publishing_twice_keeps_one(void **state)
{
    (void)state;
    liz_cache *cache = pool_open(4, LIZ_CACHE_BF16, false);
    int32_t a[LIZ_PAGE_TOKENS];
    tokens_make(a, LIZ_PAGE_TOKENS, 1);
    int32_t first = liz_cache_page_take(cache), second = liz_cache_page_take(cache);
    assert_int_equal(liz_cache_publish(cache, 0, first, -1, a), first);
    assert_int_equal(liz_cache_publish(cache, 0, second, -1, a), first);
    assert_int_equal(liz_cache_pages_held(cache), 1);
    liz_cache_pages_release(cache, &first, 1);
    assert_int_equal(liz_cache_pages_held(cache), 1);
    liz_cache_pages_release(cache, &first, 1);
    assert_int_equal(liz_cache_pages_held(cache), 0);
    liz_cache_close(cache);
}

/* Of two idle chains the one used longer ago goes first, and each from its end. */
static void test_eviction_order(void **state)
{
    (void)state;
    liz_cache *cache = pool_open(4, LIZ_CACHE_BF16, false);
    int32_t tokens[4][LIZ_PAGE_TOKENS], pages[4];
    for (int i = 0; i < 4; i++) {
        tokens_make(tokens[i], LIZ_PAGE_TOKENS, i);
        pages[i] = liz_cache_page_take(cache);
        assert_int_equal(liz_cache_publish(cache, 0, pages[i], i % 2 ? pages[i - 1] : -1, tokens[i]), pages[i]);
    }
    assert_int_equal(liz_cache_page_take(cache), -1);
    liz_cache_pages_release(cache, &pages[0], 2);
    liz_cache_pages_release(cache, &pages[2], 2);
    assert_int_equal(liz_cache_find(cache, 0, -1, tokens[0]),
                     pages[0]); /* now the second chain is older, but for page 1 */
    liz_cache_pages_release(cache, &pages[0], 1);
    assert_int_equal(liz_cache_page_take(cache), pages[1]);
    assert_int_equal(liz_cache_page_take(cache), pages[3]);
    assert_int_equal(liz_cache_page_take(cache), pages[2]);
    assert_int_equal(liz_cache_page_take(cache), pages[0]);
    assert_int_equal(liz_cache_page_take(cache), -1);
    assert_int_equal(liz_cache_evictions(cache), 4);
    assert_int_equal(liz_cache_find(cache, 0, -1, tokens[0]), -1);
    liz_cache_close(cache);
}

static void test_sharing_off(void **state)
{
    (void)state;
    liz_cache *cache = pool_open(2, LIZ_CACHE_BF16, true);
    int32_t a[LIZ_PAGE_TOKENS];
    tokens_make(a, LIZ_PAGE_TOKENS, 1);
    int32_t page = liz_cache_page_take(cache);
    assert_int_equal(liz_cache_publish(cache, 0, page, -1, a), page);
    assert_int_equal(liz_cache_find(cache, 0, -1, a), -1);
    liz_cache_pages_release(cache, &page, 1);
    assert_int_equal(liz_cache_pages_available(cache), 2);
    assert_false(liz_cache_is_shared(cache));
    liz_cache_close(cache);
}

/* ---- random life ---- */

typedef struct life {
    int32_t tokens[N_TOKENS], pages[PAGES_MAX];
    int n, n_target; /* pages held, wanted; n_target 0: not alive */
} life;

/* Each page carries a mark of the tokens up to it; whoever holds it must see that mark. */
static uint64_t mark_of(const life *l, int page)
{
    uint64_t h = 1;
    for (int i = 0; i < (page + 1) * LIZ_PAGE_TOKENS; i++)
        h = (h ^ (uint64_t)l->tokens[i]) * 0x9E3779B97F4A7C15u;
    return h;
}

static void life_begin(liz_cache *cache, life *l, int *n_found)
{
    l->n = 0;
    l->n_target = 1 + rand() % PAGES_MAX;
    int which = rand() % 3, n_shared = rand() % N_TOKENS;
    for (int i = 0; i < N_TOKENS; i++)
        l->tokens[i] = i < n_shared ? which * 7 + i : rand() % 3;
    while (l->n < l->n_target) {
        int32_t before = l->n > 0 ? l->pages[l->n - 1] : -1;
        int32_t page = liz_cache_find(cache, 0, before, l->tokens + l->n * LIZ_PAGE_TOKENS);
        if (page < 0)
            break;
        l->pages[l->n++] = page;
        ++*n_found;
    }
}

static void life_grow(liz_cache *cache, life *l)
{
    int32_t page = liz_cache_page_take(cache);
    if (page < 0)
        return;
    uint64_t mark = mark_of(l, l->n);
    memcpy(liz_cache_k(cache, 1, page), &mark, sizeof mark);
    int32_t before = l->n > 0 ? l->pages[l->n - 1] : -1;
    l->pages[l->n] = liz_cache_publish(cache, 0, page, before, l->tokens + l->n * LIZ_PAGE_TOKENS);
    l->n++;
}

static void lives_check(liz_cache *cache, const life *lives)
{
    bool held[N_PAGES] = {false};
    int n_held = 0;
    for (int s = 0; s < N_SEQS; s++)
        for (int i = 0; lives[s].n_target > 0 && i < lives[s].n; i++) {
            uint64_t mark = mark_of(&lives[s], i);
            assert_memory_equal(liz_cache_k(cache, 1, lives[s].pages[i]), &mark, sizeof mark);
            n_held += !held[lives[s].pages[i]];
            held[lives[s].pages[i]] = true;
        }
    assert_int_equal(liz_cache_pages_held(cache), n_held);
    assert_int_equal(liz_cache_pages_available(cache), N_PAGES - n_held);
}

static void test_random_lives(void **state)
{
    (void)state;
    static life lives[N_SEQS];
    int n_found = 0;
    liz_cache *cache = pool_open(N_PAGES, LIZ_CACHE_F32, false);
    memset(lives, 0, sizeof lives);
    srand(3);
    for (int step = 0; step < 20000; step++) {
        life *l = &lives[rand() % N_SEQS];
        if (l->n_target == 0) {
            life_begin(cache, l, &n_found);
        } else if (l->n < l->n_target && rand() % 8 != 0) {
            life_grow(cache, l);
        } else {
            liz_cache_pages_release(cache, l->pages, (size_t)l->n);
            l->n_target = 0;
        }
        lives_check(cache, lives);
    }
    assert_true(n_found > 1000);
    assert_true(liz_cache_evictions(cache) > 1000);
    liz_cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_apart),
        cmocka_unit_test(test_pages_come_clean),
        cmocka_unit_test(test_head_bytes),
        cmocka_unit_test(test_absurd_sizes),
        cmocka_unit_test(test_find_compares_the_whole_beginning),
        cmocka_unit_test(test_publishing_twice_keeps_one),
        cmocka_unit_test(test_eviction_order),
        cmocka_unit_test(test_sharing_off),
        cmocka_unit_test(test_random_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
