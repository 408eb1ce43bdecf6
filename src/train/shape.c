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
    if (s->n_embd_head < 8 || s->n_embd_head > 1024 || s->n_embd_head % 2 != 0)
        return liz_fail(err, LIZ_E_USAGE, "heads of %d elements: --head-size is even, from 8 to 1024", s->n_embd_head);
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
    fill(&shape->n_head, shape->n_embd / (shape->n_embd_head > 0 ? shape->n_embd_head : 64));
    fill(&shape->n_head_kv, shape->n_head);
    fill(&shape->n_vocab, 8192);
    fill(&shape->n_ctx, 512);
    if (shape->rope_base == 0)
        shape->rope_base = 10000;
    return check(shape, err);
}

/* ---- The file ---- */

static void put_key(const liz_model_shape *s, liz_gguf_writer *writer, const char *key, int32_t value)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", s->qk_norm ? "qwen3" : "llama", key);
    liz_gguf_put_u32(writer, full, (uint32_t)value);
}

static void put_float(const liz_model_shape *s, liz_gguf_writer *writer, const char *key, float value)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", s->qk_norm ? "qwen3" : "llama", key);
    liz_gguf_put_f32(writer, full, value);
}

void liz_model_shape_put(const liz_model_shape *s, liz_gguf_writer *writer)
{
    liz_gguf_put_str(writer, "general.architecture", liz_str_of(s->qk_norm ? "qwen3" : "llama"));
    put_key(s, writer, "context_length", s->n_ctx);
    put_key(s, writer, "embedding_length", s->n_embd);
    put_key(s, writer, "block_count", s->n_layer);
    put_key(s, writer, "feed_forward_length", s->n_ff);
    put_key(s, writer, "attention.head_count", s->n_head);
    put_key(s, writer, "attention.head_count_kv", s->n_head_kv);
    put_key(s, writer, "attention.key_length", s->n_embd_head);
    put_key(s, writer, "attention.value_length", s->n_embd_head);
    put_float(s, writer, "attention.layer_norm_rms_epsilon", 1e-5f);
    put_key(s, writer, "rope.dimension_count", s->n_embd_head);
    put_float(s, writer, "rope.freq_base", s->rope_base);
    put_key(s, writer, "vocab_size", s->n_vocab);
}

/* A tensor of a layer (or of none) and how it begins: uniform with this deviation; a vector as ones. */
typedef struct tensor {
    const char *name;
    uint64_t n_out, n_in; /* n_out 0: a vector */
    float deviation;
} tensor;

enum { TENSORS_MAX = 16 };

static int tensors_of_layer(const liz_model_shape *s, tensor out[TENSORS_MAX])
{
    uint64_t n = (uint64_t)s->n_embd, ff = (uint64_t)s->n_ff, head = (uint64_t)s->n_embd_head;
    uint64_t q = (uint64_t)s->n_head * head, kv = (uint64_t)s->n_head_kv * head;
    float in = 0.5f / sqrtf((float)n), depth = sqrtf(2 * (float)s->n_layer);
    const tensor all[] = {
        {"attn_norm.weight", 0, n, 0},
        {"attn_q.weight", q, n, in},
        {"attn_k.weight", kv, n, in},
        {"attn_v.weight", kv, n, in},
        {"attn_output.weight", n, q, 0.5f / sqrtf((float)q) / depth},
        {"ffn_norm.weight", 0, n, 0},
        {"ffn_gate.weight", ff, n, in},
        {"ffn_up.weight", ff, n, in},
        {"ffn_down.weight", n, ff, 0.5f / sqrtf((float)ff) / depth},
        {"attn_q_norm.weight", 0, head, 0},
        {"attn_k_norm.weight", 0, head, 0},
    };
    int n_all = (int)(sizeof all / sizeof *all) - (s->qk_norm ? 0 : 2);
    memcpy(out, all, (size_t)n_all * sizeof *all);
    return n_all;
}

static tensor token_table(const liz_model_shape *s)
{
    return (tensor){"token_embd.weight", (uint64_t)s->n_vocab, (uint64_t)s->n_embd, 0.02f};
}
static tensor last_norm(const liz_model_shape *s) { return (tensor){"output_norm.weight", 0, (uint64_t)s->n_embd, 0}; }

/* Calls `each` for every tensor in the file's order. */
typedef liz_status tensor_fn(void *user, const char *name, const tensor *t, liz_error *err);

static liz_status each_tensor(const liz_model_shape *s, tensor_fn *each, void *user, liz_error *err)
{
    tensor first = token_table(s), last = last_norm(s), of_layer[TENSORS_MAX];
    int n = tensors_of_layer(s, of_layer);
    char name[64];
    liz_status status = each(user, first.name, &first, err);
    for (int layer = 0; layer < s->n_layer; layer++)
        for (int i = 0; i < n && status == LIZ_OK; i++) {
            snprintf(name, sizeof name, "blk.%d.%s", layer, of_layer[i].name);
            status = each(user, name, &of_layer[i], err);
        }
    return status == LIZ_OK ? each(user, last.name, &last, err) : status;
}

static liz_status count(void *user, const char *name, const tensor *t, liz_error *err)
{
    (void)name;
    (void)err;
    *(uint64_t *)user += (t->n_out > 0 ? t->n_out : 1) * t->n_in;
    return LIZ_OK;
}

uint64_t liz_model_shape_params(const liz_model_shape *shape)
{
    uint64_t n = 0;
    (void)each_tensor(shape, count, &n, NULL);
    return n;
}

static liz_status declare(void *user, const char *name, const tensor *t, liz_error *err)
{
    (void)err;
    uint64_t shape[2] = {t->n_out, t->n_in};
    bool is_vector = t->n_out == 0;
    liz_gguf_declare_tensor(user, liz_str_of(name), LIZ_DTYPE_F32, is_vector ? 1 : 2, shape + is_vector);
    return LIZ_OK;
}

void liz_model_shape_declare(const liz_model_shape *shape, liz_gguf_writer *writer)
{
    (void)each_tensor(shape, declare, writer, NULL);
}

typedef struct filler {
    liz_gguf_writer *writer;
    float *row;
    uint64_t seed;
    uint32_t which;
} filler;

static liz_status write_tensor(void *user, const char *name, const tensor *t, liz_error *err)
{
    filler *f = user;
    (void)name;
    f->which++;
    for (uint64_t r = 0; r < (t->n_out > 0 ? t->n_out : 1); r++) {
        for (uint64_t i = 0; i < t->n_in; i++)
            f->row[i] = t->n_out == 0
                            ? 1
                            : (float)(liz_draw(f->seed, r * t->n_in + i, f->which) * 2 - 1) * t->deviation * 1.7320508f;
        liz_status status = liz_gguf_writer_data(f->writer, f->row, t->n_in * sizeof *f->row, err);
        if (status != LIZ_OK)
            return status;
    }
    return LIZ_OK;
}

liz_status liz_model_shape_write(const liz_model_shape *s, liz_gguf_writer *writer, uint64_t seed, liz_error *err)
{
    size_t widest = (size_t)(s->n_ff > s->n_embd ? s->n_ff : s->n_embd);
    size_t q = (size_t)s->n_head * (size_t)s->n_embd_head;
    filler f = {.writer = writer, .row = malloc((q > widest ? q : widest) * sizeof(float)), .seed = seed};
    if (f.row == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a model's rows");
    liz_status status = each_tensor(s, write_tensor, &f, err);
    free(f.row);
    return status;
}
