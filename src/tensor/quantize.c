/* quantize.c - the search for scales and codes, one for all types of blocks.
 *
 * In the terms of quant.h a block is w = d * s * v(q) - dmin * m. Three steps:
 *
 *   fit     each sub-block by itself, w = a * v - b with real a and b. Given a and b the best codes are the nearest
 *           ones; given codes the best a and b follow from least squares. So: a handful of beginnings (the greatest
 *           weight on the grid's end, a little inside it or outside it), a step of least squares from each, then both
 *           in turn from the best one until nothing improves.
 *   scales  the sub-blocks' a and b become whole multiples of d and dmin.
 *   polish  each sub-block tries the neighbours of its s and m, and least squares over the whole block corrects d and
 *           dmin. What has less error is kept.
 *
 * Types with one scale a block are blocks of one sub-block whose s is 1. Errors are summed as differences from what the
 * codes say, never as differences of great sums, so that near-lossless types are judged as exactly as coarse ones.
 *
 * Sums run in four lanes: any compiler and machine adds in the same order. */
#include "tensor/quantize.h"

#include "base/half.h"
#include "base/status.h"
#include "tensor/quant.h"

#include <float.h>
#include <math.h>

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t masks __attribute__((vector_size(16)));
enum { LANES = 4, TABLE_LEN = 16 };
#define F16_MOST 65504.0f
#define BF16_MOST 0x1.FEp127f

/* What a type can express, beside what liz_quant_type says. */
typedef struct recipe {
    int8_t v_min, v_max;  /* of whole numbers; a table says it itself */
    int16_t s_min, s_max; /* 1, 1 where the block is one sub-block */
    uint8_t m_max;        /* 0: no minimum; 1: one of either sign */
    bool by_powers;       /* d is a power of two */
} recipe;

static const recipe recipes[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_Q4_0] = {-8, 7, 1, 1, 0, false},     [LIZ_DTYPE_Q4_1] = {0, 15, 1, 1, 1, false},
    [LIZ_DTYPE_Q5_0] = {-16, 15, 1, 1, 0, false},   [LIZ_DTYPE_Q5_1] = {0, 31, 1, 1, 1, false},
    [LIZ_DTYPE_Q8_0] = {-127, 127, 1, 1, 0, false}, [LIZ_DTYPE_Q2_K] = {0, 3, 0, 15, 15, false},
    [LIZ_DTYPE_Q3_K] = {-4, 3, -32, 31, 0, false},  [LIZ_DTYPE_Q4_K] = {0, 15, 0, 63, 63, false},
    [LIZ_DTYPE_Q5_K] = {0, 31, 0, 63, 63, false},   [LIZ_DTYPE_Q6_K] = {-32, 31, -128, 127, 0, false},
    [LIZ_DTYPE_IQ4_NL] = {0, 0, 1, 1, 0, false},    [LIZ_DTYPE_IQ4_XS] = {0, 0, -32, 31, 0, false},
    [LIZ_DTYPE_TQ1_0] = {-1, 1, 1, 1, 0, false},    [LIZ_DTYPE_TQ2_0] = {-1, 1, 1, 1, 0, false},
    [LIZ_DTYPE_MXFP4] = {0, 0, 1, 1, 0, true},
};

/* The numbers that a code can stand for: whole ones from `least` to `most`, or those of a table, ascending. */
typedef struct grid {
    float least, most;
    int n_steps;                              /* 0: whole numbers */
    float middle[TABLE_LEN], step[TABLE_LEN]; /* between each two neighbours, and from one to the next */
} grid;

/* A sub-block: elements [n], and what an error of each counts. */
typedef struct piece {
    const grid *grid;
    const lanes *x, *w; /* [n / LANES] */
    int n;
    double w_sum;
    bool has_min, min_signed; /* whether there is a b, and whether it may be below 0 */
} piece;

typedef struct fit {
    float a, b;
    double err;
} fit;

/* ---- Numbers and codes ---- */

static grid grid_of(const liz_quant_type *type, const recipe *r)
{
    grid g = {.least = r->v_min, .most = r->v_max};
    if (type->values == NULL)
        return g;
    int sorted[TABLE_LEN], n = 0;
    for (int v = INT8_MIN; v <= INT8_MAX; v++)
        if (memchr(type->values, v, TABLE_LEN) != NULL)
            sorted[n++] = v;
    g.least = (float)sorted[0];
    g.most = (float)sorted[n - 1];
    g.n_steps = n - 1;
    for (int i = 0; i < g.n_steps; i++) {
        g.middle[i] = 0.5f * (float)(sorted[i] + sorted[i + 1]);
        g.step[i] = (float)(sorted[i + 1] - sorted[i]);
    }
    return g;
}

static uint8_t code_of(const liz_quant_type *type, float v)
{
    if (type->values != NULL)
        return (uint8_t)((const int8_t *)memchr(type->values, (int)v, TABLE_LEN) - type->values);
    return (uint8_t)((int)v + type->zero);
}

static inline lanes all(float x) { return (lanes){x, x, x, x}; }
static inline lanes where(masks m, lanes x) { return (lanes)((masks)x & m); }
static inline lanes either(masks m, lanes x, lanes y) { return (lanes)(((masks)x & m) | ((masks)y & ~m)); }

static inline double sum_lanes(lanes x) { return ((double)x[0] + (double)x[1]) + ((double)x[2] + (double)x[3]); }

/* The number nearest to each of y. Adding 1.5 * 2^23 rounds to whole numbers, to even where two are as near. */
static inline lanes snap(const grid *g, lanes y)
{
    lanes v = all(g->least), most = all(g->most), round = all(0x1.8p23f);
    if (g->n_steps == 0) {
        y = either(y > v, y, v);
        return either(y < most, y, most) + round - round;
    }
    for (int k = 0; k < g->n_steps; k++)
        v += where(y > all(g->middle[k]), all(g->step[k]));
    return v;
}

static inline float inverse_of(float a) { return a != 0 ? 1 / a : 0; }

/* ---- Least squares ---- */

/* Of the numbers v nearest to x under a and b, and of what they leave, r = x - (a * v - b). */
typedef struct sums {
    double v, vv, r, rv, rr;
} sums;

static sums measure(const piece *p, float a, float b)
{
    lanes v_sum = {0}, vv = {0}, r_sum = {0}, rv = {0}, rr = {0}, inverse = all(inverse_of(a));
    for (int i = 0; i < p->n / LANES; i++) {
        lanes x = p->x[i] + b, v = snap(p->grid, x * inverse), r = x - a * v;
        lanes wr = p->w[i] * r, wv = p->w[i] * v;
        v_sum += wv;
        vv += wv * v;
        r_sum += wr;
        rv += wr * v;
        rr += wr * r;
    }
    return (sums){sum_lanes(v_sum), sum_lanes(vv), sum_lanes(r_sum), sum_lanes(rv), sum_lanes(rr)};
}

static double error_of(const piece *p, float a, float b)
{
    lanes rr = {0}, inverse = all(inverse_of(a));
    for (int i = 0; i < p->n / LANES; i++) {
        lanes x = p->x[i] + b, r = x - a * snap(p->grid, x * inverse);
        rr += p->w[i] * r * r;
    }
    return sum_lanes(rr);
}

/* The best a for codes with these sums, b staying as it is. */
static fit refit_scale(const sums *s, float a, float b)
{
    double change = s->vv > 0 ? s->rv / s->vv : 0;
    return (fit){(float)((double)a + change), b, s->rr - change * s->rv};
}

/* What least squares makes of a and b with the codes nearest under them. */
static fit refit(const piece *p, float a, float b)
{
    sums s = measure(p, a, b);
    if (!p->has_min)
        return refit_scale(&s, a, b);
    double det = s.vv * p->w_sum - s.v * s.v;
    if (det <= 1e-9 * s.vv * p->w_sum)
        return (fit){a, b, s.rr};
    double more_a = (s.rv * p->w_sum - s.v * s.r) / det, more_b = (s.v * more_a - s.r) / p->w_sum;
    if (p->min_signed || (double)b + more_b >= 0)
        return (fit){(float)((double)a + more_a), (float)((double)b + more_b), s.rr - more_a * s.rv + more_b * s.r};
    s.rr += (double)b * ((double)b * p->w_sum - 2 * s.r); /* the same codes with b = 0 */
    s.rv -= (double)b * s.v;
    return refit_scale(&s, a, 0);
}

/* ---- Fitting a sub-block ---- */

/* How many beginnings, and how many rounds of what follows them: more of any lowers errors by a percent at most. */
enum { BEGINNINGS = 8, ENDS = 4, REFITS_MAX = 4, POLISHES_MAX = 2 };

static void keep_better(fit *best, fit other)
{
    if (other.err < best->err)
        *best = other;
}

/* Beginnings for numbers around 0, on either side of it: the greatest weight from a step inside the grid's end to
 * some steps outside. */
static void begin_around_zero(const piece *p, float amax, fit *best)
{
    const grid *g = p->grid;
    float end = -g->least > g->most ? -g->least : g->most;
    for (int i = 0; i < BEGINNINGS; i++) {
        float at = end - 1 + 0.5f * (float)i;
        if (at < 1)
            continue;
        keep_better(best, refit(p, amax / at, 0));
        if (g->least != -g->most)
            keep_better(best, refit(p, -amax / at, 0));
    }
}

/* Beginnings for numbers from 0 up: least and greatest weight a little inside the grid's ends or outside them. */
static void begin_from_min(const piece *p, float min, float max, fit *best)
{
    for (int i = 0; i < ENDS; i++)
        for (int j = 0; j < ENDS; j++) {
            float under = 0.5f * (float)i - 0.3f, over = 0.5f * (float)j - 0.3f;
            float a = (max - min) / (p->grid->most + under + over), b = a * under - min;
            keep_better(best, refit(p, a, b > 0 || p->min_signed ? b : 0));
        }
}

static fit fit_piece(const piece *p)
{
    const float *x = (const float *)p->x;
    float min = x[0], max = x[0];
    for (int i = 1; i < p->n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    if (p->has_min && !p->min_signed && min > 0)
        min = 0;
    if (p->has_min ? min == max : min == 0 && max == 0)
        return (fit){0, -min, 0};
    fit best = {.err = INFINITY};
    if (p->has_min)
        begin_from_min(p, min, max, &best);
    else
        begin_around_zero(p, -min > max ? -min : max, &best);
    for (int i = 0; i < REFITS_MAX; i++) {
        fit next = refit(p, best.a, best.b);
        if (!(next.err < best.err))
            break;
        best = next;
    }
    return best;
}

/* ---- Scales of a block ---- */

/* A block while it is made. */
typedef struct block {
    const recipe *recipe;
    int n_subs;
    piece subs[LIZ_QUANT_SUBS_MAX];
    float d, dmin;
    int s[LIZ_QUANT_SUBS_MAX], m[LIZ_QUANT_SUBS_MAX];
    double err;
} block;

static int whole(float x, int least, int most)
{
    return x <= (float)least ? least : x >= (float)most ? most : (int)lrintf(x);
}

/* The nearest number that a field can hold; never infinity. */
static float as_f16(float x)
{
    x = x > F16_MOST ? F16_MOST : x < -F16_MOST ? -F16_MOST : x;
    return liz_f16_to_f32(liz_f32_to_f16(x));
}

/* The unit of whole multiples; the least that there is rather than none. */
static float unit_of(float x)
{
    float unit = as_f16(x);
    return unit == 0 && x != 0 ? copysignf(0x1p-24f, x) : unit;
}

static float scale_of(const block *k, int j) { return k->d * (float)k->s[j]; }
static float min_of(const block *k, int j) { return k->dmin * (float)k->m[j]; }

/* The integers nearest to the fits, and their unit: the greatest of them is the grid's end. */
static void choose_scales(block *k, const fit *fits)
{
    const recipe *r = k->recipe;
    float a_end = 0, b_end = 0;
    int m_min = r->m_max == 1;
    for (int j = 0; j < k->n_subs; j++) {
        a_end = fabsf(fits[j].a) > fabsf(a_end) ? fits[j].a : a_end;
        b_end = fabsf(fits[j].b) > fabsf(b_end) ? fits[j].b : b_end;
    }
    k->d = unit_of(a_end / (float)(r->s_min < 0 ? r->s_min : r->s_max));
    k->dmin = r->m_max == 1 ? as_f16(b_end) : r->m_max > 0 ? unit_of(b_end / (float)r->m_max) : 0;
    for (int j = 0; j < k->n_subs; j++) {
        k->s[j] = k->d != 0 ? whole(fits[j].a / k->d, r->s_min, r->s_max) : r->s_min;
        k->m[j] = k->dmin != 0 ? whole(fits[j].b / k->dmin, m_min, r->m_max) : m_min;
    }
}

/* The best of the neighbours of s and m. */
static void polish_sub(block *k, int j)
{
    const recipe *r = k->recipe;
    int s0 = k->s[j], m0 = k->m[j];
    double best = INFINITY;
    for (int m = m0 - (r->m_max > 1); m <= m0 + (r->m_max > 1); m++)
        for (int s = s0 - 1; s <= s0 + 1; s++) {
            if (s < r->s_min || s > r->s_max || m < 0 || m > r->m_max)
                continue;
            double err = error_of(&k->subs[j], k->d * (float)s, k->dmin * (float)m);
            if (err < best)
                best = err, k->s[j] = s, k->m[j] = m;
        }
}

/* d and dmin by least squares over the whole block, as far as binary16 can say them. */
static void polish_units(block *k)
{
    double ss = 0, sm = 0, mm = 0, rs = 0, rm = 0;
    for (int j = 0; j < k->n_subs; j++) {
        sums t = measure(&k->subs[j], scale_of(k, j), min_of(k, j));
        double s = k->s[j], m = k->m[j];
        ss += s * s * t.vv;
        sm += s * m * t.v;
        mm += m * m * k->subs[j].w_sum;
        rs += s * t.rv;
        rm += m * t.r;
    }
    double det = ss * mm - sm * sm, more_d = ss > 0 ? rs / ss : 0, more_dmin = 0;
    if (det > 1e-9 * ss * mm) {
        more_d = (rs * mm - sm * rm) / det;
        more_dmin = (sm * rs - ss * rm) / det;
    }
    k->d = as_f16((float)((double)k->d + more_d));
    k->dmin = as_f16((float)((double)k->dmin + more_dmin));
}

static void sum_error(block *k)
{
    k->err = 0;
    for (int j = 0; j < k->n_subs; j++)
        k->err += error_of(&k->subs[j], scale_of(k, j), min_of(k, j));
}

static void polish(block *k)
{
    sum_error(k);
    for (int i = 0; i < POLISHES_MAX; i++) {
        block other = *k;
        if (k->n_subs > 1)
            for (int j = 0; j < k->n_subs; j++)
                polish_sub(&other, j);
        polish_units(&other);
        sum_error(&other);
        if (!(other.err < k->err))
            break;
        *k = other;
    }
}

/* A power of two for d: the fit's neighbours below and above. The least is the least normal number, since denormals
 * count as zero. */
static void choose_power(block *k, const fit *f)
{
    const piece *p = &k->subs[0];
    int exponent;
    (void)frexpf(f->a, &exponent);
    exponent = exponent - 1 < -126 ? -126 : exponent - 1;
    float below = ldexpf(1, exponent), above = 2 * below;
    k->d = f->a == 0 ? 0 : error_of(p, below, 0) <= error_of(p, above, 0) ? below : above;
    k->s[0] = 1;
}

/* ---- Blocks and rows ---- */

static void quantize_block(block *k, const liz_quant_type *type, liz_dtype dtype, uint8_t *dst)
{
    fit fits[LIZ_QUANT_SUBS_MAX];
    for (int j = 0; j < k->n_subs; j++)
        fits[j] = fit_piece(&k->subs[j]);
    if (k->recipe->by_powers) {
        choose_power(k, fits);
    } else {
        choose_scales(k, fits);
        polish(k);
    }
    liz_quant_parts parts = {.d = k->d, .dmin = k->dmin};
    uint8_t *q = parts.q;
    for (int j = 0; j < k->n_subs; j++) {
        const piece *p = &k->subs[j];
        parts.s[j] = (int8_t)k->s[j];
        parts.m[j] = (uint8_t)k->m[j];
        for (int i = 0; i < p->n / LANES; i++) {
            lanes v = snap(p->grid, (p->x[i] + min_of(k, j)) * inverse_of(scale_of(k, j)));
            for (int lane = 0; lane < LANES; lane++)
                *q++ = code_of(type, v[lane]);
        }
    }
    liz_quant_pack(dtype, &parts, dst);
}

static void quantize_blocks(liz_dtype dtype, const float *x, const float *importance, uint8_t *dst, size_t n)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    const liz_quant_type *type = liz_quant_type_get(dtype);
    const recipe *r = &recipes[dtype];
    grid g = grid_of(type, r);
    int sub_len = type->sub_len > 0 ? type->sub_len : info->block_len;
    lanes xs[LIZ_QUANT_LEN_MAX / LANES], ws[LIZ_QUANT_LEN_MAX / LANES];
    for (size_t i = 0; i < LIZ_QUANT_LEN_MAX / LANES; i++)
        ws[i] = all(1);
    size_t block_len = (size_t)info->block_len;
    for (size_t at = 0; at < n; at += block_len, dst += info->block_bytes) {
        block k = {.recipe = r, .n_subs = info->block_len / sub_len};
        memcpy(xs, x + at, block_len * sizeof *x);
        if (importance != NULL)
            memcpy(ws, importance + at, block_len * sizeof *x);
        for (int j = 0; j < k.n_subs; j++) {
            piece *p = &k.subs[j];
            int from = j * sub_len / LANES;
            *p = (piece){&g, xs + from, ws + from, sub_len, 0, r->m_max > 0, r->m_max == 1};
            for (int i = 0; i < sub_len / LANES; i++)
                p->w_sum += sum_lanes(p->w[i]);
        }
        quantize_block(&k, type, dtype, dst);
    }
}

/* What a type cannot hold: infinities and NaN, and beyond binary16 where that is what it or its scales are. */
static bool fits_in(liz_dtype dtype, const float *x, size_t n)
{
    float most = dtype == LIZ_DTYPE_F32 ? FLT_MAX : dtype == LIZ_DTYPE_BF16 ? BF16_MOST : F16_MOST;
    bool fits = true;
    for (size_t i = 0; i < n; i++)
        fits &= fabsf(x[i]) <= most;
    return fits;
}

bool liz_quantize_row(liz_dtype dtype, const float *x, const float *importance, void *dst, size_t n)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    LIZ_ASSERT(info != NULL && info->readable && n % (size_t)info->block_len == 0);
    if (!fits_in(dtype, x, n))
        return false;
    uint8_t *p = dst;
    switch (dtype) {
    case LIZ_DTYPE_F32: memcpy(dst, x, n * sizeof *x); break;
    case LIZ_DTYPE_F16:
    case LIZ_DTYPE_BF16:
        for (size_t i = 0; i < n; i++, p += 2) {
            uint16_t half = dtype == LIZ_DTYPE_F16 ? liz_f32_to_f16(x[i]) : liz_f32_to_bf16(x[i]);
            memcpy(p, &half, 2);
        }
        break;
    default: quantize_blocks(dtype, x, importance, dst, n);
    }
    return true;
}
