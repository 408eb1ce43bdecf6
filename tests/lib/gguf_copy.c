/* gguf_copy.c - see gguf_copy.h. */
#include "gguf_copy.h"

#include "../../bench/lib/weights.h"
#include "format/gguf_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A tensor as it is written. */
typedef struct copied {
    const liz_gguf_tensor *from, *gate; /* `gate`: stands before each expert of `from` */
    char name[96];
    liz_dtype dtype;
    uint64_t shape[LIZ_GGUF_DIM_MAX], n_rows, n_cols, row_bytes;
    bool is_random;
} copied;

static const gguf_change *change_of(const gguf_edit *e, liz_str key)
{
    for (const gguf_change *c = e->changes; c != NULL && c->key != NULL; c++)
        if (liz_str_is(key, c->key))
            return c;
    return NULL;
}

static bool is_kept(const gguf_edit *e, liz_str key)
{
    return change_of(e, key) == NULL && (e->drop_key == NULL || !liz_str_is(key, e->drop_key));
}

static void put_changes(liz_gguf_writer *w, const gguf_edit *e)
{
    for (const gguf_change *c = e->changes; c != NULL && c->key != NULL; c++) {
        uint8_t flags[32];
        for (size_t i = 0; i < c->n_array; i++)
            flags[i] = c->u32 >> i & 1;
        switch (c->type) {
        case LIZ_GGUF_F32: liz_gguf_put_f32(w, c->key, c->f32); break;
        case LIZ_GGUF_BOOL: liz_gguf_put_bool(w, c->key, c->u32 != 0); break;
        case LIZ_GGUF_STRING: liz_gguf_put_str(w, c->key, liz_str_of(c->text)); break;
        case LIZ_GGUF_ARRAY: liz_gguf_put_array(w, c->key, LIZ_GGUF_BOOL, flags, c->n_array); break;
        default: liz_gguf_put_u32(w, c->key, c->u32); break;
        }
    }
}

/* "blk.0.ffn_up_exps.bias" takes in "blk.0.ffn_gate_exps.bias" and becomes "blk.0.ffn_gate_up_exps.bias". */
static void plan_merge(const liz_gguf *in, copied *t)
{
    char gate[96], both[96];
    int layer;
    char part[16];
    if (sscanf(t->name, "blk.%d.ffn_up_exps.%15s", &layer, part) != 2)
        return;
    snprintf(gate, sizeof gate, "blk.%d.ffn_gate_exps.%s", layer, part);
    snprintf(both, sizeof both, "blk.%d.ffn_gate_up_exps.%s", layer, part);
    memcpy(t->name, both, sizeof both);
    t->gate = liz_gguf_tensor_find(in, gate);
    assert_non_null(t->gate);
    t->shape[1] *= 2;
}

/* Routers stay in float, as in real files; so do rows that are no whole blocks, in a type that takes them. */
static liz_dtype type_of(const gguf_edit *e, const copied *t)
{
    uint64_t bytes;
    if (strstr(t->name, "ffn_gate_inp") != NULL)
        return LIZ_DTYPE_F32;
    return liz_dtype_row_bytes((uint32_t)e->dtype, t->n_cols, &bytes) ? e->dtype : LIZ_DTYPE_Q8_0;
}

static void plan_tensor(const gguf_edit *e, const liz_gguf *in, const liz_gguf_tensor *from, copied *t)
{
    *t = (copied){.from = from, .dtype = from->dtype};
    bool renamed = e->rename_tensor != NULL && liz_str_is(from->name, e->rename_tensor);
    if (renamed)
        snprintf(t->name, sizeof t->name, "%s", e->rename_to);
    else
        snprintf(t->name, sizeof t->name, "%.*s", LIZ_STR_ARG(from->name));
    memcpy(t->shape, from->shape, sizeof t->shape);
    if (e->merge_gate_up)
        plan_merge(in, t);
    bool of_layer = strncmp(t->name, "blk.", 4) == 0 || strcmp(t->name, "output.weight") == 0;
    t->is_random = e->randomise && of_layer && from->n_dim >= 2;
    bool of_expert = strstr(t->name, "_exps") != NULL || strstr(t->name, "ffn_gate_inp") != NULL;
    if (e->n_expert > 0 && of_expert) {
        t->shape[0] = e->n_expert;
        t->is_random = true;
    }
    t->n_rows = 1;
    for (int i = 0; i + 1 < from->n_dim; i++)
        t->n_rows *= t->shape[i];
    t->n_cols = t->shape[from->n_dim - 1];
    bool is_bias = strstr(t->name, ".bias") != NULL;
    if (t->is_random && !is_bias)
        t->dtype = type_of(e, t);
    assert_true(liz_dtype_row_bytes((uint32_t)t->dtype, t->n_cols, &t->row_bytes));
}

static void write_tensor(liz_gguf_writer *w, const gguf_edit *e, const copied *t, uint32_t number, liz_error *err)
{
    size_t n = t->n_rows * t->row_bytes;
    uint8_t *data = malloc(n);
    if (t->is_random)
        for (uint64_t row = 0; row < t->n_rows; row++)
            bench_weights_row(t->dtype, 1, number, row, t->n_cols, 1 / sqrt((double)t->n_cols),
                              data + row * t->row_bytes);
    else if (t->gate == NULL)
        memcpy(data, t->from->data, n);
    for (uint64_t i = 0, half = n / t->shape[0] / 2; t->gate != NULL && i < t->shape[0]; i++) {
        memcpy(data + 2 * i * half, t->gate->data + i * half, half);
        memcpy(data + (2 * i + 1) * half, t->from->data + i * half, half);
    }
    bool is_scaled = e->scaled != NULL && strstr(t->name, e->scaled) != NULL;
    assert_true(!is_scaled || t->dtype == LIZ_DTYPE_F32);
    for (size_t i = 0; is_scaled && i < n / sizeof(float); i++)
        ((float *)(void *)data)[i] *= e->scale;
    if (e->poison != NULL && strcmp(t->name, e->poison) == 0)
        memcpy(data, &(float){NAN}, sizeof(float));
    assert_int_equal(liz_gguf_writer_data(w, data, n, err), LIZ_OK);
    free(data);
}

/* A matrix may be written with more dimensions than it has: those before its own are 1. */
static void declare(liz_gguf_writer *w, const gguf_edit *e, const copied *t)
{
    int n_dim = t->from->n_dim, n_more = n_dim == 2 && e->n_dim > 2 ? e->n_dim - 2 : 0;
    uint64_t shape[LIZ_GGUF_DIM_MAX] = {1, 1, 1, 1};
    memcpy(shape + n_more, t->shape, (size_t)n_dim * sizeof *shape);
    liz_gguf_declare_tensor(w, liz_str_of(t->name), t->dtype, n_dim + n_more, shape);
}

/* "blk.0.attn_q.weight" becomes "blk.2.attn_q.weight"; false where it is of no layer. */
static bool renumber(copied *t, int n_more)
{
    char part[96];
    int layer;
    if (sscanf(t->name, "blk.%d.%95s", &layer, part) != 2)
        return false;
    return snprintf(t->name, sizeof t->name, "blk.%d.%s", layer + n_more, part) < (int)sizeof t->name;
}

void gguf_copy(const char *from, const char *to, gguf_edit e)
{
    liz_error err;
    liz_gguf *in;
    liz_gguf_writer *w;
    if (liz_gguf_open(&in, from, &err) != LIZ_OK || liz_gguf_writer_open(&w, NULL, to, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    bench_weights_init();
    for (size_t i = 0; i < liz_gguf_n_entries(in); i++)
        if (is_kept(&e, liz_gguf_entry_at(in, i)->key))
            liz_gguf_put_entry(w, liz_gguf_entry_at(in, i));
    put_changes(w, &e);
    size_t n_in = liz_gguf_n_tensors(in), n = 0;
    copied *tensors = calloc(2 * n_in, sizeof *tensors);
    for (size_t i = 0; i < (e.layers_again > 0 ? 2 : 1) * n_in; i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(in, i % n_in);
        bool is_gate = memmem(t->name.p, t->name.n, "ffn_gate_exps", 13) != NULL;
        if ((e.drop_tensor != NULL && liz_str_is(t->name, e.drop_tensor)) || (e.merge_gate_up && is_gate))
            continue;
        plan_tensor(&e, in, t, &tensors[n]);
        if (i >= n_in && !renumber(&tensors[n], e.layers_again))
            continue;
        declare(w, &e, &tensors[n++]);
    }
    if (liz_gguf_writer_begin(w, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        write_tensor(w, &e, &tensors[i], (uint32_t)i, &err);
    if (liz_gguf_writer_finish(w, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    free(tensors);
    liz_gguf_writer_close(w);
    liz_gguf_close(in);
}
