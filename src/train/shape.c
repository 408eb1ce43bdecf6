/* shape.c - names, rules and tensors of shapes. */
#include "train/shape.h"

#include "base/philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    liz_model_shape shape;
} named[] = {
    {"1m", {.n_layer = 4, .n_embd = 128, .n_ff = 384, .n_head = 4, .n_head_kv = 2, .n_vocab = 2048}},
    {"3m", {.n_layer = 6, .n_embd = 192, .n_ff = 512, .n_head = 6, .n_head_kv = 2, .n_vocab = 4096}},
    {"10m", {.n_layer = 8, .n_embd = 320, .n_ff = 864, .n_head = 5, .n_head_kv = 5, .n_vocab = 8192}},
    {"25m", {.n_layer = 10, .n_embd = 448, .n_ff = 1216, .n_head = 7, .n_head_kv = 7, .n_vocab = 16384}},
    {"124m", {.n_layer = 12, .n_embd = 768, .n_ff = 2048, .n_head = 12, .n_head_kv = 12, .n_vocab = 50257}},
};
enum { N_NAMED = sizeof named / sizeof *named };

static void fill(int32_t *value, int32_t other)
{
    if (*value == 0)
        *value = other;
}

static liz_status fail_name(const char *name, liz_error *err)
{
    char names[128] = "";
    for (size_t i = 0, n = 0; i < N_NAMED; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, " %s", named[i].name);
    return liz_fail(err, LIZ_E_USAGE, "--shape %s: is not one of%s", name, names);
}

static liz_status check(const liz_model_shape *s, liz_error *err)
{
    if (s->n_layer < 1 || s->n_layer > 1024 || s->n_embd < 16 || s->n_embd > 65536 || s->n_ff < 16 || s->n_ff > 1 << 20)
        return liz_fail(err, LIZ_E_USAGE, "a model of %d layers, %d wide, feed-forward %d: is out of range", s->n_layer,
                        s->n_embd, s->n_ff);
    if (s->n_head < 1 || s->n_head > 1024 || s->n_head_kv < 1 || s->n_head % s->n_head_kv != 0)
        return liz_fail(err, LIZ_E_USAGE,
                        "%d heads cannot share %d key/value heads: --heads is a multiple of --kv-heads", s->n_head,
                        s->n_head_kv);
    if (s->n_embd_head < 16 || s->n_embd_head > 1024 || s->n_embd_head % 16 != 0)
        return liz_fail(err, LIZ_E_USAGE, "heads of %d elements: --head-size is a multiple of 16, from 16 to 1024",
                        s->n_embd_head);
    if (s->n_vocab < 257 || s->n_vocab > 1 << 20)
        return liz_fail(err, LIZ_E_USAGE, "--vocab %d: is not from 257 to 1048576", s->n_vocab);
    if (s->n_ctx < 8 || s->n_ctx > 1 << 17)
        return liz_fail(err, LIZ_E_USAGE, "--context %d: is not from 8 to 131072", s->n_ctx);
    return LIZ_OK;
}

liz_status liz_model_shape_complete(liz_model_shape *shape, const char *name, liz_error *err)
{
    size_t i = 0;
    while (name != NULL && i < N_NAMED && strcmp(named[i].name, name) != 0)
        i++;
    if (i == N_NAMED)
        return fail_name(name, err);
    if (name != NULL) {
        const liz_model_shape *from = &named[i].shape;
        bool own_width = shape->n_embd != 0, own_heads = shape->n_head != 0;
        fill(&shape->n_layer, from->n_layer);
        fill(&shape->n_embd, from->n_embd);
        fill(&shape->n_ff, own_width ? 0 : from->n_ff);
        fill(&shape->n_head, own_width ? 0 : from->n_head);
        fill(&shape->n_head_kv, own_width || own_heads ? 0 : from->n_head_kv);
        fill(&shape->n_vocab, from->n_vocab);
    }
    fill(&shape->n_layer, 6);
    fill(&shape->n_embd, 256);
    fill(&shape->n_ff, (shape->n_embd * 8 / 3 + 31) / 32 * 32);
    fill(&shape->n_embd_head, shape->n_head > 0 ? shape->n_embd / shape->n_head / 2 * 2 : 64);
    fill(&shape->n_head, shape->n_embd > shape->n_embd_head ? shape->n_embd / shape->n_embd_head : 1);
    fill(&shape->n_head_kv, shape->n_head);
    fill(&shape->n_vocab, 8192);
    fill(&shape->n_ctx, 512);
    if (shape->rope_base == 0)
        shape->rope_base = 10000;
    return check(shape, err);
}

/* ---- The file ---- */

/* What the architecture wants said, in the file's order. */
static void put_keys(const liz_model_shape *s, liz_gguf_writer *writer)
{
    const char *arch = s->qk_norm ? "qwen3" : "llama";
    const struct {
        const char *name;
        float real; /* 0: the number is whole */
        int32_t whole;
    } keys[] = {{"context_length", 0, s->n_ctx},
                {"embedding_length", 0, s->n_embd},
                {"block_count", 0, s->n_layer},
                {"feed_forward_length", 0, s->n_ff},
                {"attention.head_count", 0, s->n_head},
                {"attention.head_count_kv", 0, s->n_head_kv},
                {"attention.key_length", 0, s->n_embd_head},
                {"attention.value_length", 0, s->n_embd_head},
                {"attention.layer_norm_rms_epsilon", 1e-5f, 0},
                {"rope.dimension_count", 0, s->n_embd_head},
                {"rope.freq_base", s->rope_base, 0},
                {"vocab_size", 0, s->n_vocab}};
    liz_gguf_put_str(writer, "general.architecture", liz_str_of(arch));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[96];
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].name);
        if (keys[i].real != 0)
            liz_gguf_put_f32(writer, key, keys[i].real);
        else
            liz_gguf_put_u32(writer, key, (uint32_t)keys[i].whole);
    }
}

/* A tensor and how it begins: uniform with this deviation; a vector as ones. */
typedef struct tensor {
    const char *name;
    uint64_t n_rows, n_in;
    bool is_vector;
    float deviation;
} tensor;

/* Tensor `i` of the file, its name in `name`; false behind the last one. */
static bool tensor_at(const liz_model_shape *s, uint32_t i, char name[64], tensor *out)
{
    uint64_t n = (uint64_t)s->n_embd, ff = (uint64_t)s->n_ff, head = (uint64_t)s->n_embd_head;
    uint64_t q = (uint64_t)s->n_head * head, kv = (uint64_t)s->n_head_kv * head;
    float in = 0.5f / sqrtf((float)n), depth = sqrtf(2 * (float)s->n_layer);
    const tensor first = {"token_embd.weight", (uint64_t)s->n_vocab, n, false, 0.02f},
                 last = {"output_norm.weight", 1, n, true, 0},
                 of_layer[] = {
                     {"attn_norm.weight", 1, n, true, 0},
                     {"attn_q.weight", q, n, false, in},
                     {"attn_k.weight", kv, n, false, in},
                     {"attn_v.weight", kv, n, false, in},
                     {"attn_output.weight", n, q, false, 0.5f / sqrtf((float)q) / depth},
                     {"ffn_norm.weight", 1, n, true, 0},
                     {"ffn_gate.weight", ff, n, false, in},
                     {"ffn_up.weight", ff, n, false, in},
                     {"ffn_down.weight", n, ff, false, 0.5f / sqrtf((float)ff) / depth},
                     {"attn_q_norm.weight", 1, head, true, 0},
                     {"attn_k_norm.weight", 1, head, true, 0},
                 };
    uint32_t n_of_layer = sizeof of_layer / sizeof *of_layer - (s->qk_norm ? 0 : 2);
    uint32_t n_tensors = n_of_layer * (uint32_t)s->n_layer + 2, at = i - 1;
    bool is_of_layer = i > 0 && i + 1 < n_tensors;
    *out = is_of_layer ? of_layer[at % n_of_layer] : i == 0 ? first : last;
    if (is_of_layer)
        snprintf(name, 64, "blk.%u.%s", at / n_of_layer, out->name);
    else
        snprintf(name, 64, "%s", out->name);
    return i < n_tensors;
}

uint64_t liz_model_shape_params(const liz_model_shape *s)
{
    uint64_t n = 0;
    char name[64];
    tensor t;
    for (uint32_t i = 0; tensor_at(s, i, name, &t); i++)
        n += t.n_rows * t.n_in;
    return n;
}

static liz_status write_tensor(liz_gguf_writer *writer, const tensor *t, float *row, uint64_t seed, uint32_t which,
                               liz_error *err)
{
    for (uint64_t r = 0; r < t->n_rows; r++) {
        for (uint64_t i = 0; i < t->n_in; i++)
            row[i] =
                t->is_vector ? 1 : (float)(liz_draw(seed, r * t->n_in + i, which) * 2 - 1) * t->deviation * 1.7320508f;
        LIZ_TRY(liz_gguf_writer_data(writer, row, t->n_in * sizeof *row, err));
    }
    return LIZ_OK;
}

liz_status liz_model_shape_write(const liz_model_shape *s, liz_gguf_writer *writer, uint64_t seed, liz_error *err)
{
    char name[64];
    tensor t;
    size_t widest = 0;
    put_keys(s, writer);
    for (uint32_t i = 0; tensor_at(s, i, name, &t); i++) {
        uint64_t shape[2] = {t.n_rows, t.n_in};
        liz_gguf_declare_tensor(writer, liz_str_of(name), LIZ_DTYPE_F32, t.is_vector ? 1 : 2, shape + t.is_vector);
        widest = t.n_in > widest ? t.n_in : widest;
    }
    LIZ_TRY(liz_gguf_writer_begin(writer, err));
    float *row = malloc(widest * sizeof *row);
    liz_status status = row != NULL ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for a model's rows");
    for (uint32_t i = 0; status == LIZ_OK && tensor_at(s, i, name, &t); i++)
        status = write_tensor(writer, &t, row, seed, i + 1, err);
    free(row);
    return status;
}
