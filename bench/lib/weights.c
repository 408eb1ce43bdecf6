/* weights.c - table look-ups on random bytes.
 *
 * A byte picks one of 256 equally likely quantiles of the normal distribution, which reach to 2.9 sigma. For each
 * integer width there is a table of those quantiles rounded to its grid; the sum of two quantiles makes the floats,
 * which so take 32,896 values. The generator is SplitMix64, started for each row from Philox. */
#include "weights.h"

#include "base/half.h"
#include "base/philox.h"
#include "base/status.h"
#include "tensor/quant.h"

#include <math.h>

enum { N_QUANTILES = 256 };

/* Standard deviation of the integers of a grid whose ends lie just beyond the last quantile. */
#define STD_4BIT 2.7
#define STD_5BIT 5.4
#define STD_6BIT 10.8
#define STD_8BIT 43.0

static float quantiles[N_QUANTILES];
static uint8_t q4[N_QUANTILES], q5[N_QUANTILES], q6[N_QUANTILES]; /* offset by half the range */
static int8_t q8[N_QUANTILES];

/* ---- Tables ------------------------------------------------------------------------------------ */

/* x with P(X < x) = p for a standard normal X, by bisection: it runs 256 times. */
static double normal_quantile(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        if (0.5 * erfc(-mid / sqrt(2.0)) < p)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static int grid(double x, double std, int low, int high)
{
    int q = (int)lround(x * std);
    return q < low ? low : q > high ? high : q;
}

void bench_weights_init(void)
{
    for (int i = 0; i < N_QUANTILES; i++) {
        double x = normal_quantile((i + 0.5) / N_QUANTILES);
        quantiles[i] = (float)x;
        q4[i] = (uint8_t)(grid(x, STD_4BIT, -8, 7) + 8);
        q5[i] = (uint8_t)(grid(x, STD_5BIT, -16, 15) + 16);
        q6[i] = (uint8_t)(grid(x, STD_6BIT, -32, 31) + 32);
        q8[i] = (int8_t)grid(x, STD_8BIT, -127, 127);
    }
}

/* ---- Random bytes ------------------------------------------------------------------------------ */

typedef struct stream {
    uint64_t state, bits;
    int n_left; /* bytes left in `bits` */
} stream;

static stream stream_new(uint64_t seed, uint32_t tensor, uint64_t row)
{
    liz_philox r = liz_philox4x32(seed, (liz_philox){{tensor, (uint32_t)row, (uint32_t)(row >> 32), 0}});
    return (stream){.state = (uint64_t)r.v[1] << 32 | r.v[0]};
}

static inline uint64_t next_u64(stream *s)
{
    uint64_t z = s->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline uint8_t next_byte(stream *s)
{
    if (s->n_left == 0) {
        s->bits = next_u64(s);
        s->n_left = 8;
    }
    uint8_t byte = (uint8_t)s->bits;
    s->bits >>= 8;
    s->n_left--;
    return byte;
}

static inline float next_normal(stream *s)
{
    float a = quantiles[next_byte(s)], b = quantiles[next_byte(s)];
    return (a + b) * 0.70710678f;
}

/* From 0.75 to 1.25. */
static double next_scale(stream *s) { return 0.75 + next_byte(s) * (0.5 / 255); }

/* ---- Types ------------------------------------------------------------------------------------- */

static uint8_t *put_u16(uint8_t *out, uint16_t value)
{
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

static uint8_t *put_f16(uint8_t *out, double value) { return put_u16(out, liz_f32_to_f16((float)value)); }

static uint8_t *put_f32_one(stream *s, double sigma, uint8_t *out)
{
    float value = next_normal(s) * (float)sigma;
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

static uint8_t *put_f16_one(stream *s, double sigma, uint8_t *out) { return put_f16(out, next_normal(s) * sigma); }

static uint8_t *put_bf16_one(stream *s, double sigma, uint8_t *out)
{
    return put_u16(out, liz_f32_to_bf16(next_normal(s) * (float)sigma));
}

/* n bytes of two 4-bit integers each. */
static uint8_t *put_nibbles(stream *s, int n, uint8_t *out)
{
    for (int i = 0; i < n; i++) {
        uint8_t low = q4[next_byte(s)];
        *out++ = (uint8_t)(low | q4[next_byte(s)] << 4);
    }
    return out;
}

static uint8_t *put_q4_0(stream *s, double sigma, uint8_t *out)
{
    out = put_f16(out, sigma / STD_4BIT * next_scale(s));
    return put_nibbles(s, 16, out);
}

static uint8_t *put_q5_0(stream *s, double sigma, uint8_t *out)
{
    out = put_f16(out, sigma / STD_5BIT * next_scale(s));
    uint32_t high = 0;
    for (int i = 0; i < 16; i++) {
        uint32_t a = q5[next_byte(s)], b = q5[next_byte(s)];
        high |= a >> 4 << i | b >> 4 << (i + 16);
        out[4 + i] = (uint8_t)((a & 15) | (b & 15) << 4);
    }
    memcpy(out, &high, sizeof high);
    return out + 20;
}

static uint8_t *put_q8_0(stream *s, double sigma, uint8_t *out)
{
    out = put_f16(out, sigma / STD_8BIT * next_scale(s));
    for (int i = 0; i < 32; i++)
        *out++ = (uint8_t)q8[next_byte(s)];
    return out;
}

/* w = d * scale * q - dmin * min; the mins put the middle of each 32 near zero. */
static uint8_t *put_q4_k(stream *s, double sigma, uint8_t *out)
{
    enum { SCALE_MEAN = 40, MIN_UNIT = 8 };
    double d = sigma / (STD_4BIT * SCALE_MEAN);
    out = put_f16(put_f16(out, d), d * MIN_UNIT);
    uint8_t *packed = out;
    memset(packed, 0, 12);
    for (int i = 0; i < 8; i++) {
        unsigned scale = (unsigned)(SCALE_MEAN * next_scale(s));
        unsigned min = (unsigned)(scale * (8.0 / MIN_UNIT) * (0.9 + next_byte(s) * (0.2 / 255))); /* < 56 */
        if (i < 4) {
            packed[i] |= (uint8_t)scale;
            packed[i + 4] |= (uint8_t)min;
        } else {
            packed[i + 4] |= (uint8_t)((scale & 15) | (min & 15) << 4);
            packed[i - 4] |= (uint8_t)(scale >> 4 << 6);
            packed[i] |= (uint8_t)(min >> 4 << 6);
        }
    }
    return put_nibbles(s, 128, out + 12);
}

/* w = d * scale * (q - 32), scales of both signs. */
static uint8_t *put_q6_k(stream *s, double sigma, uint8_t *out)
{
    enum { SCALE_MEAN = 96 };
    uint8_t *low = out, *high = out + 128, *scales = out + 192;
    for (int half = 0; half < 2; half++, low += 64, high += 32)
        for (int i = 0; i < 32; i++) {
            unsigned a = q6[next_byte(s)], b = q6[next_byte(s)], c = q6[next_byte(s)], d = q6[next_byte(s)];
            low[i] = (uint8_t)((a & 15) | (c & 15) << 4);
            low[i + 32] = (uint8_t)((b & 15) | (d & 15) << 4);
            high[i] = (uint8_t)(a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6);
        }
    for (int i = 0; i < 16; i++) {
        int scale = (int)(SCALE_MEAN * next_scale(s));
        scales[i] = (uint8_t)(int8_t)((next_byte(s) & 1) != 0 ? -scale : scale);
    }
    return put_f16(out + 208, sigma / (STD_6BIT * SCALE_MEAN));
}

/* ---- Types without a distribution of their own: random codes, and scales that give them mean 0 and `sigma` ---- */

static const struct {
    uint8_t at, n; /* where the binary16 scales stand, and how many: d, then what offsets */
} scales_of[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_Q4_1] = {0, 2},   [LIZ_DTYPE_Q5_1] = {0, 2},   [LIZ_DTYPE_Q2_K] = {80, 2},
    [LIZ_DTYPE_Q3_K] = {108, 1}, [LIZ_DTYPE_Q5_K] = {0, 2},   [LIZ_DTYPE_TQ1_0] = {52, 1},
    [LIZ_DTYPE_TQ2_0] = {64, 1}, [LIZ_DTYPE_IQ4_NL] = {0, 1}, [LIZ_DTYPE_IQ4_XS] = {0, 1},
};

/* Mean and root mean square of a block with these scales. */
static void block_moments(liz_dtype dtype, uint8_t *block, double d, double offset, double *mean, double *rms)
{
    float w[256];
    size_t n = (size_t)liz_dtype_info_get((uint32_t)dtype)->block_len;
    uint8_t *p = put_f16(block + scales_of[dtype].at, d);
    if (scales_of[dtype].n == 2)
        put_f16(p, offset);
    liz_dequantize_row(dtype, block, w, n);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
    }
    *mean = sum / (double)n;
    *rms = sqrt(squares / (double)n);
}

static uint8_t *put_codes(liz_dtype dtype, stream *s, double sigma, uint8_t *out)
{
    int n = liz_dtype_info_get((uint32_t)dtype)->block_bytes;
    double mean, mean_offset = 0, offset = 0, rms;
    for (int i = 0; i < n; i++)
        out[i] = next_byte(s);
    if (dtype == LIZ_DTYPE_MXFP4) { /* codes of 2.9 on average, times a power of two */
        out[0] = (uint8_t)(127 + lround(log2(sigma / 2.9)));
        return out + n;
    }
    block_moments(dtype, out, 1, 0, &mean, &rms);
    if (scales_of[dtype].n == 2) {
        block_moments(dtype, out, 0, 1, &mean_offset, &rms);
        offset = mean_offset != 0 ? -mean / mean_offset : 0;
        block_moments(dtype, out, 1, offset, &mean, &rms);
    }
    double scale = rms > 0 ? sigma * next_scale(s) / rms : 0;
    block_moments(dtype, out, scale, scale * offset, &mean, &rms);
    return out + n;
}

typedef uint8_t *put_block_fn(stream *s, double sigma, uint8_t *out);

static put_block_fn *block_writer(liz_dtype dtype)
{
    switch (dtype) {
    case LIZ_DTYPE_F32: return put_f32_one;
    case LIZ_DTYPE_F16: return put_f16_one;
    case LIZ_DTYPE_BF16: return put_bf16_one;
    case LIZ_DTYPE_Q4_0: return put_q4_0;
    case LIZ_DTYPE_Q5_0: return put_q5_0;
    case LIZ_DTYPE_Q8_0: return put_q8_0;
    case LIZ_DTYPE_Q4_K: return put_q4_k;
    case LIZ_DTYPE_Q6_K: return put_q6_k;
    default: return NULL;
    }
}

bool bench_weights_can(liz_dtype dtype)
{
    return block_writer(dtype) != NULL || scales_of[dtype].n > 0 || dtype == LIZ_DTYPE_MXFP4;
}

void bench_weights_row(liz_dtype dtype, uint64_t seed, uint32_t tensor, uint64_t row, size_t n, double sigma, void *out)
{
    const liz_dtype_info *info = liz_dtype_info_get((uint32_t)dtype);
    put_block_fn *put = block_writer(dtype);
    LIZ_ASSERT(bench_weights_can(dtype) && n % (size_t)info->block_len == 0);
    stream s = stream_new(seed, tensor, row);
    uint8_t *p = out;
    for (size_t i = 0; i < n / (size_t)info->block_len; i++)
        p = put != NULL ? put(&s, sigma, p) : put_codes(dtype, &s, sigma, p);
}

void bench_norm_row(uint64_t seed, uint32_t tensor, size_t n, float *out)
{
    stream s = stream_new(seed, tensor, 0);
    for (size_t i = 0; i < n; i++)
        out[i] = 1.0f + 0.1f * next_normal(&s);
}
