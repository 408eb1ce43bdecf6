/* write_model.c - a GGUF file of random weights in the shape of a well-known model.
 *
 *   build/bench/write_model SHAPE TYPE OUT [--seed N]
 *
 * Speed does not depend on what the weights say, so a file of random ones measures as well as a real model, and every
 * engine can load it: names, metadata and vocabulary are complete. Every matrix has the given type, norms are F32. The
 * standard deviation of a matrix is 1/sqrt(inputs), so that activations neither vanish nor explode. Bytes depend on
 * shape, type and seed alone. */
#include "format/gguf_write.h"
#include "lib/shapes.h"
#include "lib/synth_vocab.h"
#include "lib/weights.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_THREADS_MAX = 16, NAME_LEN_MAX = 64, CHUNK_BYTES = 16 << 20 };

typedef enum fill { FILL_MATRIX, FILL_NORM, FILL_ROPE_FREQS } fill;

/* A tensor to be written; its place in the list is part of its random key. */
typedef struct plan_item {
    char name[NAME_LEN_MAX];
    fill fill;
    liz_dtype dtype;
    uint64_t n_mat, n_out, n_in; /* n_out 0: a vector of n_in; n_mat > 0: as many matrices, a dimension more */
} plan_item;

typedef struct plan {
    plan_item *items;
    uint32_t n, n_max;
} plan;

typedef struct job {
    const bench_shape *shape;
    liz_dtype dtype;
    uint64_t seed;
    const char *out;
    int n_threads;
} job;

/* ---- What the model consists of ---------------------------------------------------------------- */

static void plan_add(plan *p, const char *name, plan_item item)
{
    LIZ_ASSERT(p->n < p->n_max);
    p->items[p->n] = item;
    snprintf(p->items[p->n++].name, NAME_LEN_MAX, "%s", name);
}

static void plan_norm(plan *p, const char *name, uint64_t n)
{
    plan_add(p, name, (plan_item){.fill = FILL_NORM, .dtype = LIZ_DTYPE_F32, .n_in = n});
}

static void plan_layer(plan *p, const job *j, uint32_t layer)
{
    const bench_shape *s = j->shape;
    const uint32_t n_q = s->n_head * s->head_len, n_kv = s->n_head_kv * s->head_len, n_exp = s->n_expert;
    const struct {
        const char *name;
        uint32_t n_mat, n_out, n_in;
        bool wanted;
    } rows[] = {{"attn_norm", 0, 0, s->n_embd, true},
                {"attn_q", 0, n_q, s->n_embd, true},
                {"attn_k", 0, n_kv, s->n_embd, true},
                {"attn_v", 0, n_kv, s->n_embd, true},
                {"attn_q_norm", 0, 0, s->head_len, s->has_qk_norm},
                {"attn_k_norm", 0, 0, s->head_len, s->has_qk_norm},
                {"attn_output", 0, s->n_embd, n_q, true},
                {"post_attention_norm", 0, 0, s->n_embd, s->has_post_norm},
                {"ffn_norm", 0, 0, s->n_embd, true},
                {"ffn_gate_inp", 0, n_exp, s->n_embd, n_exp > 0},
                {"ffn_gate_exps", n_exp, s->n_ff, s->n_embd, n_exp > 0},
                {"ffn_up_exps", n_exp, s->n_ff, s->n_embd, n_exp > 0},
                {"ffn_down_exps", n_exp, s->n_embd, s->n_ff, n_exp > 0},
                {"ffn_gate", 0, s->n_ff, s->n_embd, n_exp == 0},
                {"ffn_up", 0, s->n_ff, s->n_embd, n_exp == 0},
                {"ffn_down", 0, s->n_embd, s->n_ff, n_exp == 0},
                {"post_ffw_norm", 0, 0, s->n_embd, s->has_post_norm}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[NAME_LEN_MAX];
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, rows[i].name);
        bool is_router = strcmp(rows[i].name, "ffn_gate_inp") == 0; /* float, as in real files */
        if (rows[i].wanted && rows[i].n_out == 0)
            plan_norm(p, name, rows[i].n_in);
        else if (rows[i].wanted)
            plan_add(p, name,
                     (plan_item){.fill = FILL_MATRIX,
                                 .dtype = is_router ? LIZ_DTYPE_F32 : j->dtype,
                                 .n_mat = rows[i].n_mat,
                                 .n_out = rows[i].n_out,
                                 .n_in = rows[i].n_in});
    }
}

static void plan_model(plan *p, const job *j)
{
    const bench_shape *s = j->shape;
    plan_item table = {.fill = FILL_MATRIX, .dtype = j->dtype, .n_out = s->n_vocab, .n_in = s->n_embd};
    plan_add(p, "token_embd.weight", table);
    if (s->rope_factor > 0)
        plan_add(p, "rope_freqs.weight",
                 (plan_item){.fill = FILL_ROPE_FREQS, .dtype = LIZ_DTYPE_F32, .n_in = s->head_len / 2});
    for (uint32_t layer = 0; layer < s->n_layer; layer++)
        plan_layer(p, j, layer);
    plan_norm(p, "output_norm.weight", s->n_embd);
    if (s->has_head)
        plan_add(p, "output.weight", table);
}

/* ---- Metadata ---------------------------------------------------------------------------------- */

/* The number by which llama.cpp calls a file whose matrices are of that type. */
static uint32_t file_type(liz_dtype dtype)
{
    static const uint8_t types[LIZ_DTYPE_COUNT] = {
        [LIZ_DTYPE_F32] = 0,     [LIZ_DTYPE_F16] = 1,     [LIZ_DTYPE_Q4_0] = 2,  [LIZ_DTYPE_Q4_1] = 3,
        [LIZ_DTYPE_Q8_0] = 7,    [LIZ_DTYPE_Q5_0] = 8,    [LIZ_DTYPE_Q5_1] = 9,  [LIZ_DTYPE_Q2_K] = 10,
        [LIZ_DTYPE_Q3_K] = 12,   [LIZ_DTYPE_Q4_K] = 14,   [LIZ_DTYPE_Q5_K] = 16, [LIZ_DTYPE_Q6_K] = 18,
        [LIZ_DTYPE_IQ4_NL] = 25, [LIZ_DTYPE_IQ4_XS] = 30, [LIZ_DTYPE_BF16] = 32, [LIZ_DTYPE_TQ1_0] = 36,
        [LIZ_DTYPE_TQ2_0] = 37,  [LIZ_DTYPE_MXFP4] = 38,
    };
    return types[dtype];
}

static const char *key_of(const bench_shape *s, const char *what)
{
    static char key[NAME_LEN_MAX];
    snprintf(key, sizeof key, "%s.%s", s->arch, what);
    return key;
}

static void put_metadata(liz_gguf_writer *w, const job *j)
{
    const bench_shape *s = j->shape;
    char name[NAME_LEN_MAX];
    snprintf(name, sizeof name, "%s random", s->name);
    liz_gguf_put_str(w, "general.architecture", liz_str_of(s->arch));
    liz_gguf_put_str(w, "general.name", liz_str_of(name));
    liz_gguf_put_u32(w, "general.file_type", file_type(j->dtype));
    liz_gguf_put_u32(w, "general.quantization_version", 2);
    const struct {
        const char *key;
        uint32_t value;
    } rows[] = {{"block_count", s->n_layer},           {"context_length", s->n_ctx},
                {"embedding_length", s->n_embd},       {"feed_forward_length", s->n_ff},
                {"attention.head_count", s->n_head},   {"attention.head_count_kv", s->n_head_kv},
                {"attention.key_length", s->head_len}, {"attention.value_length", s->head_len},
                {"rope.dimension_count", s->head_len}, {"vocab_size", s->n_vocab}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        liz_gguf_put_u32(w, key_of(s, rows[i].key), rows[i].value);
    const struct {
        const char *key;
        uint32_t value;
    } some[] = {{"expert_count", s->n_expert},
                {"expert_used_count", s->n_expert_used},
                {"expert_feed_forward_length", s->n_expert > 0 ? s->n_ff : 0},
                {"attention.sliding_window", s->window}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (some[i].value > 0)
            liz_gguf_put_u32(w, key_of(s, some[i].key), some[i].value);
    liz_gguf_put_f32(w, key_of(s, "rope.freq_base"), s->rope_base);
    liz_gguf_put_f32(w, key_of(s, "attention.layer_norm_rms_epsilon"), s->norm_eps);
}

/* ---- Data -------------------------------------------------------------------------------------- */

/* Llama 3's divisors of the frequencies: 1 for short wavelengths, the factor for long ones, a blend between. */
static void rope_freqs(const bench_shape *s, float *out)
{
    const double ctx = 8192, low = ctx / 1, high = ctx / 4;
    for (uint32_t i = 0; i < s->head_len / 2; i++) {
        double wavelength = 2 * M_PI * pow((double)s->rope_base, 2.0 * i / s->head_len);
        double blend = (ctx / wavelength - 1) / (4 - 1);
        double factor = (double)s->rope_factor;
        out[i] = (float)(wavelength < high ? 1 : wavelength > low ? factor : 1 / ((1 - blend) / factor + blend));
    }
}

/* One thread's rows of a chunk. */
typedef struct slice {
    const job *job;
    const plan_item *item;
    uint32_t tensor;
    uint64_t row, n_rows, row_bytes;
    uint8_t *out;
} slice;

static void *slice_fill(void *arg)
{
    const slice *s = arg;
    double sigma = 1 / sqrt((double)s->item->n_in);
    for (uint64_t i = 0; i < s->n_rows; i++)
        bench_weights_row(s->item->dtype, s->job->seed, s->tensor, s->row + i, s->item->n_in, sigma,
                          s->out + i * s->row_bytes);
    return NULL;
}

static void chunk_fill(const slice *whole)
{
    slice slices[N_THREADS_MAX];
    pthread_t threads[N_THREADS_MAX];
    bool started[N_THREADS_MAX] = {false};
    uint64_t n = (uint64_t)whole->job->n_threads;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t begin = whole->n_rows * i / n, end = whole->n_rows * (i + 1) / n;
        slices[i] = *whole;
        slices[i].row += begin;
        slices[i].n_rows = end - begin;
        slices[i].out += begin * whole->row_bytes;
        started[i] = i + 1 < n && pthread_create(&threads[i], NULL, slice_fill, &slices[i]) == 0;
        if (!started[i])
            slice_fill(&slices[i]);
    }
    for (uint64_t i = 0; i < n; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
}

static liz_status matrix_write(liz_gguf_writer *w, const job *j, const plan_item *item, uint32_t tensor, uint8_t *chunk,
                               liz_error *err)
{
    uint64_t row_bytes = 0;
    if (!liz_dtype_row_bytes((uint32_t)item->dtype, item->n_in, &row_bytes))
        return liz_fail(err, LIZ_E_USAGE, "%s: its rows are no whole blocks", item->name);
    uint64_t n_rows_max = CHUNK_BYTES / row_bytes, n_all = item->n_out * (item->n_mat > 0 ? item->n_mat : 1);
    for (uint64_t row = 0; row < n_all; row += n_rows_max) {
        uint64_t n_rows = n_all - row < n_rows_max ? n_all - row : n_rows_max;
        chunk_fill(&(slice){j, item, tensor, row, n_rows, row_bytes, chunk});
        liz_status status = liz_gguf_writer_data(w, chunk, n_rows * row_bytes, err);
        if (status != LIZ_OK)
            return status;
    }
    return LIZ_OK;
}

static liz_status item_write(liz_gguf_writer *w, const job *j, const plan_item *item, uint32_t tensor, uint8_t *chunk,
                             liz_error *err)
{
    if (item->fill == FILL_MATRIX)
        return matrix_write(w, j, item, tensor, chunk, err);
    if (item->fill == FILL_NORM)
        bench_norm_row(j->seed, tensor, item->n_in, (float *)(void *)chunk);
    else
        rope_freqs(j->shape, (float *)(void *)chunk);
    return liz_gguf_writer_data(w, chunk, item->n_in * sizeof(float), err);
}

static liz_status model_write(liz_gguf_writer *w, const job *j, const plan *p, uint8_t *chunk, liz_error *err)
{
    put_metadata(w, j);
    if (!bench_vocab_put(w, j->shape->pre, j->shape->n_vocab, j->shape->n_control, j->shape->add_bos))
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a vocabulary of %u tokens", j->shape->n_vocab);
    for (uint32_t i = 0; i < p->n; i++) {
        const plan_item *item = &p->items[i];
        uint64_t shape[3] = {item->n_mat, item->n_out, item->n_in};
        int n_dim = item->n_mat > 0 ? 3 : item->n_out > 0 ? 2 : 1;
        liz_gguf_declare_tensor(w, liz_str_of(item->name), item->dtype, n_dim, shape + 3 - n_dim);
    }
    liz_status status = liz_gguf_writer_begin(w, err);
    for (uint32_t i = 0; status == LIZ_OK && i < p->n; i++)
        status = item_write(w, j, &p->items[i], i, chunk, err);
    return status == LIZ_OK ? liz_gguf_writer_finish(w, err) : status;
}

static liz_status job_run(const job *j, liz_error *err)
{
    plan p = {.n_max = 4 + 17 * j->shape->n_layer};
    liz_gguf_writer *w = NULL;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    p.items = calloc(p.n_max, sizeof *p.items);
    liz_status status = LIZ_OK;
    if (chunk == NULL || p.items == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "no memory");
    if (status == LIZ_OK)
        status = liz_gguf_writer_open(&w, NULL, j->out, err);
    if (status == LIZ_OK) {
        plan_model(&p, j);
        status = model_write(w, j, &p, chunk, err);
    }
    liz_gguf_writer_close(w);
    free(p.items);
    free(chunk);
    return status;
}

/* ---- Arguments --------------------------------------------------------------------------------- */

static bool dtype_parse(const char *name, liz_dtype *out)
{
    for (uint32_t i = 0; i < LIZ_DTYPE_COUNT; i++) {
        const liz_dtype_info *info = liz_dtype_info_get(i);
        if (info != NULL && bench_weights_can((liz_dtype)i) && strcasecmp(info->name, name) == 0) {
            *out = (liz_dtype)i;
            return true;
        }
    }
    return false;
}

static int usage(void)
{
    fprintf(stderr, "usage: write_model SHAPE TYPE OUT.gguf [--seed N]\nshapes:");
    for (int i = 0; bench_shape_at(i) != NULL; i++)
        fprintf(stderr, " %s", bench_shape_at(i)->name);
    fprintf(stderr, "\ntypes:");
    for (uint32_t i = 0; i < LIZ_DTYPE_COUNT; i++)
        if (bench_weights_can((liz_dtype)i))
            fprintf(stderr, " %s", liz_dtype_info_get(i)->name);
    fprintf(stderr, "\n");
    return 2;
}

static bool arguments_parse(job *j, int argc, char **argv)
{
    if (argc != 4 && argc != 6)
        return false;
    j->shape = bench_shape_find(argv[1]);
    j->out = argv[3];
    if (j->shape == NULL || !dtype_parse(argv[2], &j->dtype))
        return false;
    if (argc == 4)
        return true;
    char *end;
    j->seed = strtoull(argv[5], &end, 0);
    return strcmp(argv[4], "--seed") == 0 && argv[5][0] != '\0' && *end == '\0';
}

int main(int argc, char **argv)
{
    job j = {0};
    liz_error err;
    if (!arguments_parse(&j, argc, argv))
        return usage();
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    j.n_threads = n_cpus < 1 ? 1 : n_cpus > N_THREADS_MAX ? N_THREADS_MAX : (int)n_cpus;
    bench_weights_init();
    if (job_run(&j, &err) != LIZ_OK) {
        fprintf(stderr, "write_model: %s\n", err.text);
        return 1;
    }
    return 0;
}
