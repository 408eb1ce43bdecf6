/* shapes.h - the sizes of well-known models, by name. */
#ifndef BENCH_LIB_SHAPES_H
#define BENCH_LIB_SHAPES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bench_shape {
    const char *name, *arch;
    const char *pre; /* pre-tokenizer of the vocabulary */
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_len;
    uint32_t n_vocab, n_control;      /* the last n_control tokens are control tokens */
    uint32_t n_expert, n_expert_used; /* 0: none; n_ff is an expert's */
    uint32_t n_ctx;
    uint32_t window; /* > 0: of the layers that the architecture gives one */
    float rope_base, norm_eps;
    float rope_factor; /* > 0: rope_freqs as Llama 3 scales them, by this factor from a context of 8192 */
    bool has_head;     /* an output matrix of its own; otherwise the embedding is used again */
    bool has_qk_norm, has_post_norm;
    bool add_bos;
} bench_shape;

/* NULL when there is no such shape. */
const bench_shape *bench_shape_find(const char *name);
/* The i-th, NULL after the last. */
const bench_shape *bench_shape_at(int i);

#endif
