/* rows_body.h - operations on rows of activations, written once for all tiers (see lanes.h).
 *
 * Sums run in sixteen lanes, element i in lane i % 16, ascending, and end in the fixed tree of liz_v16_sum. */
#include "base/half.h"
#include "kernel/kernel_tiers.h"
#include "kernel/lanes.h"

#define ROWS_CAT_(name, tier) name##_##tier
#define ROWS_CAT(name, tier) ROWS_CAT_(name, tier)
#define ROWS(name) ROWS_CAT(name, LIZ_TIER)

/* ---- Activations to the forms that matrices take ---- */

typedef int8_t rows_v16b __attribute__((vector_size(16)));

/* 16 quantised elements; adds them to the lanes of `sum`. */
LIZ_LANE_FN void quantize_run(const float *x, size_t n, float inverse, int8_t *q, liz_v16i *sum)
{
    liz_v16i whole = __builtin_convertvector(liz_v16_rint(liz_v16_load_n(x, n) * inverse), liz_v16i);
    *sum += whole;
    rows_v16b bytes = __builtin_convertvector(whole, rows_v16b);
    memcpy(q, &bytes, sizeof bytes);
}

static void quantize_block(const float *x, size_t n, int8_t *q, float *d, int32_t *sum)
{
    liz_v16 most = {};
    liz_v16i finite = {};
    finite = ~finite;
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_abs(liz_v16_load_n(x + i, n - i));
        finite &= v <= 0x1.fffffep127f;
        most = liz_v16_max(v, most);
    }
    float amax = liz_v16_max_lane(most);
    int32_t all = -1;
    for (int i = 0; i < 16; i++)
        all &= finite[i];
    if (all == 0 || amax < 0x1p-100f) {
        memset(q, 0, LIZ_BLOCK_LEN);
        *d = all == 0 ? NAN : 0.0f;
        *sum = 0;
        return;
    }
    float inverse = 127.0f / amax;
    liz_v16i lanes = {};
    if (n < LIZ_BLOCK_LEN)
        memset(q, 0, LIZ_BLOCK_LEN);
    for (size_t i = 0; i < n; i += 16)
        quantize_run(x + i, n - i, inverse, q + liz_packed_index((int)i), &lanes);
    int32_t total = 0;
    for (int i = 0; i < 16; i++)
        total += lanes[i];
    *d = amax / 127.0f;
    *sum = 128 * total;
}

static void ROWS(quantize_i8)(const float *x, size_t n, int8_t *q, float *d, int32_t *sum)
{
    for (size_t k = 0; k < n; k += LIZ_BLOCK_LEN, q += LIZ_BLOCK_LEN)
        quantize_block(x + k, n - k < LIZ_BLOCK_LEN ? n - k : LIZ_BLOCK_LEN, q, d++, sum++);
}

static void ROWS(round_bf16)(const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(y + i, liz_v16_round_bf16(liz_v16_load_n(x + i, n - i)), n - i);
}

static void ROWS(to_bf16)(const float *x, size_t n, uint16_t *y)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        liz_v16_to_bf16(y + i, liz_v16_load(x + i));
    for (; i < n; i++)
        y[i] = liz_f32_to_bf16(x[i]);
}

/* ---- Norms ---- */

static void ROWS(rms_norm)(const float *x, const float *weight, float eps, size_t n, float *y)
{
    liz_v16 squares = {};
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_load_n(x + i, n - i);
        squares = liz_v16_fma(v, v, squares);
    }
    float inverse = 1.0f / sqrtf(liz_v16_sum(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_load_n(x + i, n - i) * inverse;
        if (weight != NULL)
            v *= liz_v16_load_n(weight + i, n - i);
        liz_v16_store_n(y + i, v, n - i);
    }
}

static void ROWS(layer_norm)(const float *x, const float *weight, const float *bias, float eps, size_t n, float *y)
{
    liz_v16 sums = {};
    for (size_t i = 0; i < n; i += 16)
        sums += liz_v16_load_n(x + i, n - i);
    float mean = liz_v16_sum(sums) / (float)n;
    liz_v16 squares = {};
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_load_n(x + i, n - i) - mean;
        if (n - i < 16) {
            liz_v16 kept = {};
            memcpy(&kept, &v, (n - i) * sizeof(float));
            v = kept;
        }
        squares = liz_v16_fma(v, v, squares);
    }
    float inverse = 1.0f / sqrtf(liz_v16_sum(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = (liz_v16_load_n(x + i, n - i) - mean) * inverse * liz_v16_load_n(weight + i, n - i);
        if (bias != NULL)
            v += liz_v16_load_n(bias + i, n - i);
        liz_v16_store_n(y + i, v, n - i);
    }
}

/* ---- Elementwise ---- */

static void ROWS(add)(const float *a, const float *b, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(y + i, liz_v16_load_n(a + i, n - i) + liz_v16_load_n(b + i, n - i), n - i);
}

static void ROWS(scale)(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        liz_v16_store_n(x + i, liz_v16_load_n(x + i, n - i) * factor, n - i);
}

static void ROWS(silu_mul)(const float *gate, const float *up, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 g = liz_v16_load_n(gate + i, n - i);
        liz_v16 v = g / (liz_v16_exp(-g) + 1.0f) * liz_v16_load_n(up + i, n - i);
        liz_v16_store_n(y + i, v, n - i);
    }
}

/* x / 2 (1 + tanh u), u = sqrt(2 / pi) (x + 0.044715 x^3); that is x (1 - 1 / (1 + e^2u)). */
static void ROWS(gelu)(const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        liz_v16 v = liz_v16_load_n(x + i, n - i);
        liz_v16 cubic = liz_v16_fma(v * v * v, liz_v16_set(0.044715f), v);
        liz_v16 e = liz_v16_exp(cubic * (2 * 0.7978845608f));
        liz_v16_store_n(y + i, v - v / (e + 1.0f), n - i);
    }
}

/* (a, b) turned by an angle: a cos - b sin, b cos + a sin, each with one rounding of the second product's sum. */
LIZ_LANE_FN void rope_pair(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    float ys = y * s, xs = x * s;
    *a = x * c - ys;
    *b = y * c + xs;
}

static void ROWS(rope)(float *x, const float *cos, const float *sin, liz_rope_shape shape)
{
    int half = shape.n_dims / 2;
    for (int i = 0; i < half; i++) {
        if (shape.neox)
            rope_pair(x + i, x + i + half, cos[i], sin[i]);
        else
            rope_pair(x + 2 * i, x + 2 * i + 1, cos[i], sin[i]);
    }
}

/* ---- Float weights ---- */

/* Splits a pair-interleaved run of 16 rows into its even and odd elements. */
LIZ_LANE_FN void weights_f32(const void *group, size_t pair, liz_v16 *even, liz_v16 *odd)
{
    const float *p = (const float *)group + 32 * pair;
    liz_v16 a = liz_v16_load(p), b = liz_v16_load(p + 16);
    *even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

LIZ_LANE_FN void weights_bf16(const void *group, size_t pair, liz_v16 *even, liz_v16 *odd)
{
    liz_v16u pairs;
    memcpy(&pairs, (const uint16_t *)group + 32 * pair, sizeof pairs);
    *even = liz_v16_from_bits(pairs << 16);
    *odd = liz_v16_from_bits(pairs & 0xFFFF0000u);
}

/* N tokens at once; the tail of the caller's tokens comes with N = 1. */
#define DOT_F32_TOKENS(N, group_bytes, weights)                                                                     \
    LIZ_LANE_FN void dot_f32_##weights##_##N(const uint8_t *panel, size_t n_groups, const float *x, size_t x_stride, \
                                             float *y, size_t y_stride)                                             \
    {                                                                                                               \
        liz_v16 sum[N] = {};                                                                                        \
        for (size_t g = 0; g < n_groups; g++, panel += (group_bytes), x += LIZ_GROUP_LEN) {                         \
            liz_v16 even[N] = {}, odd[N] = {};                                                                      \
            for (size_t p = 0; p < LIZ_GROUP_LEN / 2; p++) {                                                        \
                liz_v16 we, wo;                                                                                     \
                weights(panel, p, &we, &wo);                                                                        \
                for (int t = 0; t < N; t++) {                                                                       \
                    even[t] = liz_v16_fma(we, liz_v16_set(x[(size_t)t * x_stride + 2 * p]), even[t]);               \
                    odd[t] = liz_v16_fma(wo, liz_v16_set(x[(size_t)t * x_stride + 2 * p + 1]), odd[t]);             \
                }                                                                                                   \
            }                                                                                                       \
            for (int t = 0; t < N; t++)                                                                             \
                sum[t] += even[t] + odd[t];                                                                         \
        }                                                                                                           \
        for (int t = 0; t < N; t++)                                                                                 \
            liz_v16_store(y + (size_t)t * y_stride, sum[t]);                                                        \
    }

DOT_F32_TOKENS(4, 16 * LIZ_GROUP_LEN * 4, weights_f32)
DOT_F32_TOKENS(1, 16 * LIZ_GROUP_LEN * 4, weights_f32)
DOT_F32_TOKENS(4, 16 * LIZ_GROUP_LEN * 2, weights_bf16)
DOT_F32_TOKENS(1, 16 * LIZ_GROUP_LEN * 2, weights_bf16)

static void ROWS(dot_f32)(const void *panel, size_t n_groups, const float *x, size_t x_stride, size_t n_tok, float *y,
                          size_t y_stride)
{
    size_t t = 0;
    for (; t + 4 <= n_tok; t += 4)
        dot_f32_weights_f32_4(panel, n_groups, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    for (; t < n_tok; t++)
        dot_f32_weights_f32_1(panel, n_groups, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
}

static void ROWS(dot_bf16)(const void *panel, size_t n_groups, const float *x, size_t x_stride, size_t n_tok, float *y,
                           size_t y_stride)
{
    size_t t = 0;
    for (; t + 4 <= n_tok; t += 4)
        dot_f32_weights_bf16_4(panel, n_groups, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    for (; t < n_tok; t++)
        dot_f32_weights_bf16_1(panel, n_groups, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
}

/* ---- Attention ---- */

#include "kernel/attention_body.h"

void ROWS(liz_kernel_rows)(liz_kernel *kernel)
{
    kernel->quantize_i8 = ROWS(quantize_i8);
    kernel->round_bf16 = ROWS(round_bf16);
    kernel->to_bf16 = ROWS(to_bf16);
    kernel->rms_norm = ROWS(rms_norm);
    kernel->layer_norm = ROWS(layer_norm);
    kernel->add = ROWS(add);
    kernel->scale = ROWS(scale);
    kernel->silu_mul = ROWS(silu_mul);
    kernel->gelu = ROWS(gelu);
    kernel->rope = ROWS(rope);
    kernel->dot_f32[LIZ_PACK_F32] = ROWS(dot_f32);
    kernel->dot_f32[LIZ_PACK_BF16] = ROWS(dot_bf16);
    kernel->attend_bf16 = ROWS(attend_bf16);
    kernel->attend_f32 = ROWS(attend_f32);
}
