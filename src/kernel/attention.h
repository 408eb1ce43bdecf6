/* attention.h - how keys and values lie in a cache page, and what attention computes with them.
 *
 * A page holds LIZ_ATTN_PAGE tokens. Within a layer and a kv head, elements lie so that sixteen keys, or sixteen
 * elements of a value, are read at once:
 *   keys, bf16:   [token / 16][i / 2][token % 16][i % 2]     keys, f32:   [token / 16][i][token % 16]
 *   values, bf16: [i / 16][token / 2][i % 16][token % 2]     values, f32: [token][i]
 *   keys, int8:   [token / 16][i / 4][token % 16][i % 4]     values, int8: [token / 4][i][token % 4]
 * (i: element of the head; the last sixteen may be fewer). int8 has a scale for each token and 32 elements, in bf16
 * after the bytes: [i / 32][token]. Bytes of tokens not written yet must be finite numbers.
 *
 * The formula, per token and head: keys in blocks of LIZ_KEY_BLOCK counted from position 0, of which those before
 * `first_key` (outside a sliding window) do not take part. In a block, scores s = scale * (q . k), even and odd
 * elements in two fused chains for each 32, q rounded to bf16 where the cache is bf16; with a soft-cap c, s becomes
 * c * tanh(s / c); m the greatest score; p = e^(s - m), rounded to bf16 likewise; l the sum of p in 16 lanes, key i in
 * lane i % 16; o the sum of p v over keys, even and odd keys in two fused chains for each 32, these added in order.
 * Blocks merge in order: with M = max(m, m'), (l, o) becomes (l e^(m-M) + l' e^(m'-M), o e^(m-M) + o' e^(m'-M)). A
 * sink z merges last, as a block with m' = z, l' = 1, o' = 0. The result is o / l.
 *
 * With int8, what meets the stored bytes is quantised too, to whole numbers n within 32,258 = 127 * 254 of a scale of
 * its own for each 32, split into two bytes, n = 254 h + l: q by elements, and for each page and 32 elements of values
 * the 32 weights p * d_v (p not rounded). Sums of products of bytes are exact integers H and L for each 32, and I =
 * fma(H, 254, L): a score's sum is fma(I, d_k * d_q, sum), groups in order; o = fma(I, d_w, o), pages in order. */
#ifndef LIZ_KERNEL_ATTENTION_H
#define LIZ_KERNEL_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>

enum { LIZ_KEY_BLOCK = 128, LIZ_ATTN_PAGE = 32 };

/* Floats of a query as the cache type wants it, and of a sum of values, which is made sixteen at a time. */
#define LIZ_ATTN_QUERY_FLOATS(n_embd_k) ((size_t)(n_embd_k) + 16)
#define LIZ_ATTN_VALUE_FLOATS(n_embd_v) (((size_t)(n_embd_v) + 15) / 16 * 16)

/* The element types of a page, numbered as the cache numbers them. */
typedef enum liz_attn_elem { LIZ_ATTN_BF16, LIZ_ATTN_F32, LIZ_ATTN_I8, LIZ_ATTN_ELEM_COUNT } liz_attn_elem;

/* Where element i of a token's key or value stands in its page, in elements. */
static inline size_t liz_attn_k_index(liz_attn_elem elem, int n_embd, int token, int i)
{
    size_t tile = (size_t)(token / 16) * 16 * (size_t)n_embd, lane = (size_t)token % 16, at = (size_t)i;
    size_t run = elem == LIZ_ATTN_F32 ? 1 : elem == LIZ_ATTN_BF16 ? 2 : 4; /* elements of a key side by side */
    return tile + at / run * run * 16 + run * lane + at % run;
}

static inline size_t liz_attn_v_index(liz_attn_elem elem, int n_embd, int token, int i)
{
    size_t row = (size_t)token, at = (size_t)i, first = elem == LIZ_ATTN_BF16 ? at / 16 * 16 : 0;
    size_t width = (size_t)n_embd - first, run = elem == LIZ_ATTN_F32 ? 1 : elem == LIZ_ATTN_BF16 ? 2 : 4;
    width = elem == LIZ_ATTN_BF16 && width > 16 ? 16 : width; /* elements, and tokens, side by side */
    return first * LIZ_ATTN_PAGE + (row / run * width + at - first) * run + row % run;
}

/* Where the scale of 32 elements of a token stands in a page of int8, in bytes. */
static inline size_t liz_attn_scale_at(int n_embd, int token, int group)
{
    return (size_t)(LIZ_ATTN_PAGE * n_embd) + 2 * (size_t)(group * LIZ_ATTN_PAGE + token);
}

#endif
