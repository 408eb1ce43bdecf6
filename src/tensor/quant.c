/* quant.c - dequantisation, one element at a time. */
#include "tensor/quant.h"

#include "base/half.h"
#include "base/status.h"

static uint16_t u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float f16_at(const uint8_t *p) { return liz_f16_to_f32(u16_at(p)); }

void liz_q4k_scale_min(const uint8_t scales[12], int j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = scales[j] & 63;
        *min = scales[j + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[j + 4] & 15) | scales[j - 4] >> 6 << 4);
        *min = (uint8_t)(scales[j + 4] >> 4 | scales[j] >> 6 << 4);
    }
}

void liz_q6k_unpack(const uint8_t *low, const uint8_t *high, uint8_t q[256])
{
    for (int half = 0; half < 2; half++, low += 64, high += 32, q += 128) {
        for (int i = 0; i < 32; i++) {
            q[i] = (uint8_t)((low[i] & 15) | (high[i] & 3) << 4);
            q[i + 32] = (uint8_t)((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4);
            q[i + 64] = (uint8_t)(low[i] >> 4 | (high[i] >> 4 & 3) << 4);
            q[i + 96] = (uint8_t)(low[i + 32] >> 4 | (high[i] >> 6 & 3) << 4);
        }
    }
}

static void q4_0_block(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)((src[2 + i] & 15) - 8);
        dst[i + 16] = d * (float)((src[2 + i] >> 4) - 8);
    }
}

static void q5_0_block(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    for (int i = 0; i < 32; i++) {
        int low = i < 16 ? src[6 + i] & 15 : src[6 + i - 16] >> 4;
        int fifth = src[2 + i / 8] >> (i % 8) & 1;
        dst[i] = d * (float)((low | fifth << 4) - 16);
    }
}

static void q8_0_block(const uint8_t *src, float *dst)
{
    float d = f16_at(src);
    for (int i = 0; i < 32; i++)
        dst[i] = d * (float)(int8_t)src[2 + i];
}

static void q4_k_block(const uint8_t *src, float *dst)
{
    float d = f16_at(src), dmin = f16_at(src + 2);
    for (int j = 0; j < 8; j++) {
        uint8_t scale, min;
        liz_q4k_scale_min(src + 4, j, &scale, &min);
        const uint8_t *nibbles = src + 16 + j / 2 * 32;
        for (int i = 0; i < 32; i++) {
            int q = nibbles[i] >> (j % 2 * 4) & 15;
            dst[j * 32 + i] = d * scale * (float)q - dmin * min;
        }
    }
}

static void q6_k_block(const uint8_t *src, float *dst)
{
    uint8_t q[256];
    liz_q6k_unpack(src, src + 128, q);
    float d = f16_at(src + 208);
    for (int i = 0; i < 256; i++)
        dst[i] = d * (float)(int8_t)src[192 + i / 16] * (float)(q[i] - 32);
}

static void f32_block(const uint8_t *src, float *dst) { memcpy(dst, src, 4); }
static void f16_block(const uint8_t *src, float *dst) { *dst = f16_at(src); }
static void bf16_block(const uint8_t *src, float *dst) { *dst = liz_bf16_to_f32(u16_at(src)); }

void liz_dequantize_row(liz_dtype dtype, const void *src, float *dst, size_t n)
{
    static void (*const blocks[LIZ_DTYPE_COUNT])(const uint8_t *, float *) = {
        [LIZ_DTYPE_F32] = f32_block,   [LIZ_DTYPE_F16] = f16_block,   [LIZ_DTYPE_BF16] = bf16_block,
        [LIZ_DTYPE_Q4_0] = q4_0_block, [LIZ_DTYPE_Q5_0] = q5_0_block, [LIZ_DTYPE_Q8_0] = q8_0_block,
        [LIZ_DTYPE_Q4_K] = q4_k_block, [LIZ_DTYPE_Q6_K] = q6_k_block,
    };
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    LIZ_ASSERT(info != NULL && blocks[dtype] != NULL && n % (size_t)info->block_len == 0);
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i += (size_t)info->block_len, p += info->block_bytes)
        blocks[dtype](p, dst + i);
}
