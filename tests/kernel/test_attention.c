/* test_attention.c - attention of rows together, of every tier, against the C reference row by row, bit for bit, and
 * that against sums in double. `--bench` times it instead. */
#include "../lib/guarded.h"
#include "../lib/tiers.h"

#include "kernel/attend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t attn_page_bytes(liz_attn_elem elem, size_t n)
{
    size_t scales = (n + LIZ_GROUP_LEN - 1) / LIZ_GROUP_LEN * 2;
    return LIZ_ATTN_PAGE * (elem == LIZ_ATTN_F32 ? 4 * n : elem == LIZ_ATTN_BF16 ? 2 * n : n + scales);
}

/* Pages of x [n, n_embd] by the tier's own store, which must be the reference's. What is not stored is finite, but for
 * scales of int8, which may be anything. */
static void fill_pages(liz_attn_elem elem, size_t n, int n_embd, bool values, const float *x, const uint8_t **pages)
{
    size_t bytes = attn_page_bytes(elem, (size_t)n_embd);
    uint8_t *page[2] = {NULL, NULL};
    for (size_t t = 0; t < n; t++) {
        int slot = (int)(t % LIZ_ATTN_PAGE);
        for (int i = 0; i < 2; i++) {
            const liz_kernel *kernel = i ? &tested : &ref;
            if (slot == 0) {
                page[i] = guarded(bytes);
                memset(page[i], elem == LIZ_ATTN_I8 ? 0xFF : 0, bytes);
            }
            entry = values ? "store_value" : "store_key";
            (values ? kernel->store_value : kernel->store_key)[elem](x + t * (size_t)n_embd, n_embd, slot, page[i]);
        }
        if (slot == LIZ_ATTN_PAGE - 1 || t == n - 1) {
            assert_memory_equal(page[0], page[1], bytes);
            pages[t / LIZ_ATTN_PAGE] = page[0];
        }
    }
}

/* What a case of attention varies: runs of n_tok tokens from `pos` on (each run seven later than the one before), whose
 * first n_shared keys are the same. */
typedef struct attn_case {
    liz_attn_elem elem;
    bool sinks;
    bool poisoned; /* a key is not a number */
    size_t pos, window, n_shared;
    int n_runs, n_tok, n_group, n_embd;
    float softcap;
} attn_case;

enum { ATTN_PAGES_MAX = 16, POISONED_KEY = 3 };

/* Keys and values of a run. */
typedef struct attn_keys {
    float *k, *v;
    const uint8_t *k_pages[ATTN_PAGES_MAX], *v_pages[ATTN_PAGES_MAX];
} attn_keys;

static size_t run_pos(const attn_case *c, size_t run) { return c->pos + 7 * run; }
static size_t run_rows(const attn_case *c) { return (size_t)(c->n_tok * c->n_group); }

/* Row i of all, heads within tokens within runs. */
static liz_attn_row attn_row(const attn_case *c, size_t i, const float *q, const float *sinks, float *out)
{
    size_t head = i % (size_t)c->n_group, tok = i / (size_t)c->n_group % (size_t)c->n_tok;
    size_t n_keys = run_pos(c, i / run_rows(c)) + tok + 1, at = i * (size_t)c->n_embd;
    return (liz_attn_row){.q = q + at,
                          .first_key = n_keys > c->window ? n_keys - c->window : 0,
                          .n_keys = n_keys,
                          .sink = c->sinks ? sinks + head : NULL,
                          .out = out + at};
}

/* One head in double: the value that element i of the result must have, for each i. */
static void attend_double(const attn_case *c, const liz_attn_row *row, const attn_keys *keys, double *out)
{
    double total = 0, most = -1e300, sums[256] = {0};
    for (int pass = 0; pass < 2; pass++)
        for (size_t t = row->first_key; t < row->n_keys; t++) {
            double s = 0;
            for (int i = 0; i < c->n_embd; i++)
                s += (double)row->q[i] * (double)keys->k[t * (size_t)c->n_embd + (size_t)i];
            s *= 0.125;
            if (c->softcap > 0)
                s = (double)c->softcap * tanh(s / (double)c->softcap);
            if (pass == 0) {
                most = s > most ? s : most;
                continue;
            }
            double p = exp(s - most);
            total += p;
            for (int i = 0; i < c->n_embd; i++)
                sums[i] += p * (double)keys->v[t * (size_t)c->n_embd + (size_t)i];
        }
    if (row->sink != NULL)
        total += exp((double)*row->sink - most);
    for (int i = 0; i < c->n_embd; i++)
        out[i] = sums[i] / total;
}

static liz_attn attn_of(const attn_case *c, const liz_kernel *kernel)
{
    static liz_attn_row rows[LIZ_ATTN_ROWS];
    return (liz_attn){.kernel = kernel,
                      .elem = c->elem,
                      .n_embd_k = c->n_embd,
                      .n_embd_v = c->n_embd,
                      .k_bytes = LIZ_ATTN_PAGE * (size_t)c->n_embd,
                      .v_bytes = LIZ_ATTN_PAGE * (size_t)c->n_embd,
                      .scale = 0.125f,
                      .softcap = c->softcap,
                      .scratch = guarded(4 * LIZ_ATTN_SCRATCH_FLOATS(c->n_embd, c->n_embd)),
                      .rows = rows};
}

/* All rows together, as a model does it. */
static void attend_crew(const attn_case *c, const attn_keys *keys, const float *q, const float *sinks, float *out)
{
    liz_attn attn = attn_of(c, &tested);
    for (size_t i = 0; i < (size_t)c->n_runs * run_rows(c); i++)
        liz_attn_add(&attn, attn_row(c, i, q, sinks, out));
    assert_true(liz_attn_multiplies(&attn, attn.n_rows) ==
                (tested.gemm_bf16 != NULL && c->elem == LIZ_ATTN_BF16 && c->n_embd % 32 == 0 && attn.n_rows > 1));
    tested.tiles_begin();
    if (c->n_shared > 0)
        liz_attn_look(&attn, 0, attn.n_rows, keys->k_pages, keys->v_pages, 0, c->n_shared);
    for (size_t run = 0; run < (size_t)c->n_runs; run++)
        liz_attn_look(&attn, run * run_rows(c), (run + 1) * run_rows(c), keys[run].k_pages, keys[run].v_pages,
                      c->n_shared, run_pos(c, run) + (size_t)c->n_tok);
    liz_attn_finish(&attn);
    tested.tiles_end();
}

/* Keys of each run; those that are shared are the first run's pages, and pages outside all windows must not be looked
 * at. */
static void fill_keys(const attn_case *c, attn_keys *keys)
{
    for (size_t run = 0; run < (size_t)c->n_runs; run++) {
        attn_keys *at = &keys[run];
        size_t pos = run_pos(c, run), n_keys = pos + (size_t)c->n_tok, n = (size_t)c->n_embd;
        size_t n_unseen = pos + 1 > c->window ? pos + 1 - c->window : 0;
        at->k = gauss_floats((n_keys + LIZ_ATTN_PAGE) * n);
        at->v = gauss_floats((n_keys + LIZ_ATTN_PAGE) * n);
        if (c->poisoned)
            at->k[POISONED_KEY * n + 1] = NAN;
        memcpy(at->k, keys->k, c->n_shared * n * sizeof(float));
        memcpy(at->v, keys->v, c->n_shared * n * sizeof(float));
        fill_pages(c->elem, n_keys, c->n_embd, false, at->k, at->k_pages);
        fill_pages(c->elem, n_keys, c->n_embd, true, at->v, at->v_pages);
        for (size_t p = 0; p < n_unseen / LIZ_ATTN_PAGE; p++)
            at->k_pages[p] = at->v_pages[p] = NULL;
    }
}

/* Rows together against the reference row by row, and that against double. */
static void check_attention(attn_case c)
{
    static const char *const names[] = {"attend bf16", "attend f32", "attend int8"};
    size_t n_embd = (size_t)c.n_embd, n_rows = (size_t)c.n_runs * run_rows(&c), n_out = n_rows * n_embd;
    attn_keys keys[LIZ_ATTN_ROWS];
    fill_keys(&c, keys);
    float *q = gauss_floats(n_out), *sinks = gauss_floats((size_t)c.n_group), *want = guarded(n_out * 4);
    uint8_t *got = canaries_new(n_out * 4);
    entry = names[c.elem];
    for (size_t i = 0; i < n_rows; i++) {
        const attn_keys *own = &keys[i / run_rows(&c)];
        liz_attn attn = attn_of(&c, &ref);
        liz_attn_row row = attn_row(&c, i, q, sinks, want);
        double right[256];
        liz_attn_add(&attn, row);
        liz_attn_look(&attn, 0, 1, own->k_pages, own->v_pages, 0, row.n_keys);
        liz_attn_finish(&attn);
        attend_double(&c, &row, own, right);
        bool sees_poison = c.poisoned && row.first_key <= POISONED_KEY && row.n_keys > POISONED_KEY;
        for (size_t j = 0; j < n_embd; j++)
            assert_true(sees_poison
                            ? isnan(want[i * n_embd + j])
                            : fabs(right[j] - (double)want[i * n_embd + j]) < (c.elem == LIZ_ATTN_F32 ? 2e-5 : 0.05));
    }
    attend_crew(&c, keys, q, sinks, (float *)(void *)got);
    compare(want, (float *)(void *)got, n_out, entry, c.pos, n_rows);
    canaries_check(got, n_out * 4, entry);
    guards_release();
}

static void test_attention(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 100, 128, 129, 160, 257, 300};
    static const size_t windows[] = {SIZE_MAX, 1, 16, 17, 40, 130};
    static const struct {
        int n_group, n_embd;
        bool sinks;
        float softcap;
    } shapes[] = {{1, 64, false, 0}, {3, 32, true, 0}, {1, 16, false, 1.5f}, {2, 80, true, 0}, {2, 32, false, 50}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT; elem++)
            for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
                for (size_t j = w % 2; j < sizeof shapes / sizeof *shapes; j += 2)
                    check_attention((attn_case){.elem = (liz_attn_elem)elem,
                                                .pos = lengths[i] - 1,
                                                .window = windows[w],
                                                .n_runs = 1,
                                                .n_tok = 1,
                                                .n_group = shapes[j].n_group,
                                                .n_embd = shapes[j].n_embd,
                                                .sinks = shapes[j].sinks,
                                                .softcap = shapes[j].softcap});
}

/* Neighbouring tokens. */
static void test_attention_runs(void **state)
{
    (void)state;
    static const size_t begins[] = {0, 1, 15, 31, 32, 100, 120, 127, 128, 250, 380};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        for (int n_group = 1; n_group <= 8; n_group *= 2)
            for (int n_tok = 1; n_tok * n_group <= (i % 4 == 0 ? LIZ_ATTN_ROWS : 40); n_tok += n_tok < 3    ? 1
                                                                                               : n_tok < 30 ? 5
                                                                                                            : 31) {
                attn_case c = {.elem = n_tok % 3 == 2 ? (liz_attn_elem)(i % LIZ_ATTN_ELEM_COUNT) : LIZ_ATTN_BF16,
                               .pos = begins[i],
                               .window = SIZE_MAX,
                               .n_runs = 1,
                               .n_tok = n_tok,
                               .n_group = n_group,
                               .n_embd = n_tok % 2 ? 64 : 32,
                               .sinks = i % 3 == 1,
                               .softcap = i % 4 == 2 ? 30 : 0};
                check_attention(c);
                c.window = 1 + (i * 37 + (size_t)n_tok) % 170;
                check_attention(c);
            }
}

/* Sequences that begin alike; the last of 14 with 9 rows each is read beyond all rows. */
static void test_attention_crews(void **state)
{
    (void)state;
    for (size_t n_shared = 128; n_shared <= 256; n_shared += 128)
        for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT; elem++)
            for (int n_group = 1; n_group <= 4; n_group++)
                for (int n_tok = 1; n_tok <= 3; n_tok++) {
                    attn_case c = {.elem = (liz_attn_elem)elem,
                                   .pos = n_shared + (size_t)(elem * 20 + n_tok),
                                   .window = SIZE_MAX,
                                   .n_shared = n_shared,
                                   .n_runs = n_group == 3 && n_tok == 3 ? 14 : 6,
                                   .n_tok = n_tok,
                                   .n_group = n_group,
                                   .n_embd = n_group == 3 && n_tok < 3 ? 80 : 64,
                                   .sinks = n_tok == 2,
                                   .softcap = n_group == 2 ? 30 : 0};
                    check_attention(c);
                    c.window = 150;
                    check_attention(c);
                }
}

/* A key that is not a number makes so all that see it, whatever comes after it, and nothing else. */
static void test_attention_nan(void **state)
{
    (void)state;
    for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT; elem++)
        for (size_t pos = 0; pos <= 300; pos += 150)
            for (int n_tok = 1; n_tok <= 41; n_tok += 20)
                for (int sinks = 0; sinks < 2; sinks++) {
                    attn_case c = {.elem = (liz_attn_elem)elem,
                                   .sinks = sinks,
                                   .poisoned = true,
                                   .pos = pos + 1,
                                   .window = SIZE_MAX,
                                   .n_runs = 1,
                                   .n_tok = n_tok,
                                   .n_group = 2,
                                   .n_embd = 64};
                    check_attention(c);
                    c.window = 200;
                    check_attention(c);
                }
}

/* One token's group of four heads, and eight tokens', over 4,096 keys of one kv head. */
static void bench_attention(liz_attn_elem elem, int n_embd)
{
    enum { N_KEYS = 4096, N_GROUP = 4 };
    static const char *const names[] = {"bf16", "f32", "int8"};
    static const uint8_t *k_pages[N_KEYS / LIZ_ATTN_PAGE], *v_pages[N_KEYS / LIZ_ATTN_PAGE];
    attn_case c = {.elem = elem, .window = SIZE_MAX, .n_runs = 1, .n_group = N_GROUP, .n_embd = n_embd};
    size_t n = (size_t)n_embd, bytes = 2 * N_KEYS / LIZ_ATTN_PAGE * attn_page_bytes(elem, n);
    fill_pages(elem, N_KEYS, n_embd, false, gauss_floats(N_KEYS * n), k_pages);
    fill_pages(elem, N_KEYS, n_embd, true, gauss_floats(N_KEYS * n), v_pages);
    float *q = gauss_floats(LIZ_ATTN_ROWS * n), *out = guarded(4 * LIZ_ATTN_ROWS * n);
    for (c.n_tok = 1; c.n_tok <= LIZ_ATTN_ROWS / N_GROUP; c.n_tok *= LIZ_ATTN_ROWS / N_GROUP) {
        double best = 1e9;
        c.pos = N_KEYS - (size_t)c.n_tok;
        tested.tiles_begin();
        for (int r = 0; r < 9; r++) {
            liz_attn attn = attn_of(&c, &tested);
            double t = seconds();
            for (size_t i = 0; i < run_rows(&c); i++)
                liz_attn_add(&attn, attn_row(&c, i, q, NULL, out));
            liz_attn_look(&attn, 0, attn.n_rows, k_pages, v_pages, 0, N_KEYS);
            liz_attn_finish(&attn);
            t = seconds() - t;
            best = t < best ? t : best;
        }
        tested.tiles_end();
        printf("%s,attend %s,%d keys x %d,%zu,warm,%.0f,%.2f,%.1f\n", liz_cpu_tier_name(tested.tier), names[elem],
               N_KEYS, n_embd, run_rows(&c), best * 1e9, (double)bytes / best / 1e9,
               4.0 * (double)run_rows(&c) * N_KEYS * (double)n / best / 1e9);
    }
    guards_release();
}

static void bench(liz_tier_id tier, const char *arg)
{
    (void)tier, (void)arg;
    for (int elem = 0; elem < LIZ_ATTN_ELEM_COUNT; elem++)
        for (int n_embd = 64; n_embd <= 128; n_embd *= 2)
            bench_attention((liz_attn_elem)elem, n_embd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest each[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_runs),
        cmocka_unit_test(test_attention_crews),
        cmocka_unit_test(test_attention_nan),
    };
    return tiers_main(argc, argv, &(tiers_tests){.each = each, .n_each = sizeof each / sizeof *each, .bench = bench});
}
