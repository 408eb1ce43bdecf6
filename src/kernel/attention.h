/* attention.h - how keys and values lie in a cache page, and what attention computes with them.
 *
 * A page holds LIZ_ATTN_PAGE tokens. Within a layer and a kv head, elements lie so that sixteen keys, or sixteen
 * elements of a value, are read at once:
 *   keys, bf16:   [token / 16][i / 2][token % 16][i % 2]     keys, f32:   [token / 16][i][token % 16]
 *   values, bf16: [token / 2][i][token % 2]                  values, f32: [token][i]
 * (i: element of the head). Bytes of tokens not written yet must be finite numbers.
 *
 * The formula, per token and head: keys in blocks of LIZ_KEY_BLOCK counted from position 0, of which those before
 * `first_key` (outside a sliding window) do not take part. In a block, scores s = scale * (q . k), even and odd
 * elements in two fused chains for each 32, q rounded to bf16 where the cache is bf16; with a soft-cap c, s becomes
 * c * tanh(s / c); m the greatest score; p = e^(s - m), rounded to bf16 likewise; l the sum of p in 16 lanes, key i in
 * lane i % 16; o the sum of p v over keys, even and odd keys in two fused chains for each 32, these added in order.
 * Blocks merge in order: with M = max(m, m'), (l, o) becomes (l e^(m-M) + l' e^(m'-M), o e^(m-M) + o' e^(m'-M)). A
 * sink z merges last, as a block with m' = z, l' = 1, o' = 0. The result is o / l. */
#ifndef LIZ_KERNEL_ATTENTION_H
#define LIZ_KERNEL_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>

enum { LIZ_KEY_BLOCK = 128, LIZ_ATTN_PAGE = 32 };

/* Floats of scratch: the rounded query, a block's scores, the block's and the running value sums. */
#define LIZ_ATTN_SCRATCH_FLOATS(n_embd_k, n_embd_v) ((size_t)(n_embd_k) + LIZ_KEY_BLOCK + 2 * ((size_t)(n_embd_v) + 16))

/* Where element i of a token's key or value stands in its page, in elements. */
static inline size_t liz_attn_k_index(bool is_bf16, int n_embd, int token, int i)
{
    size_t tile = (size_t)(token / 16) * 16 * (size_t)n_embd, lane = (size_t)token % 16, at = (size_t)i;
    return is_bf16 ? tile + at / 2 * 32 + 2 * lane + at % 2 : tile + at * 16 + lane;
}

static inline size_t liz_attn_v_index(bool is_bf16, int n_embd, int token, int i)
{
    size_t row = (size_t)token, n = (size_t)n_embd, at = (size_t)i;
    return is_bf16 ? (row / 2 * n + at) * 2 + row % 2 : row * n + at;
}

#endif
