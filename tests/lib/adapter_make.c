/* adapter_make.c - see adapter_make.h. */
#include "adapter_make.h"

#include "../../bench/lib/weights.h"
#include "format/gguf.h"
#include "format/gguf_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_wanted(const liz_gguf_tensor *t, const char *only)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", LIZ_STR_ARG(t->name));
    bool is_weight = t->n_dim >= 2 && strstr(name, ".weight") != NULL;
    bool is_matrix = is_weight && (liz_str_starts(t->name, "blk.") || strcmp(name, "output.weight") == 0);
    return is_matrix && (only == NULL || strstr(name, only) != NULL);
}

/* The halves' shapes: [.., rank, n_in] and [.., n_out, rank]. */
static void shape_of(const liz_gguf_tensor *t, int rank, int half, uint64_t *shape)
{
    memcpy(shape, t->shape, sizeof t->shape);
    shape[half == 0 ? t->n_dim - 2 : t->n_dim - 1] = (uint64_t)rank;
}

static void write_half(liz_gguf_writer *w, const liz_gguf_tensor *t, const adapter_plan *plan, uint32_t index, int half)
{
    uint64_t shape[LIZ_GGUF_DIM_MAX], n_rows = 1, row_bytes = 0;
    liz_error err;
    shape_of(t, plan->rank, half, shape);
    for (int i = 0; i < t->n_dim - 1; i++)
        n_rows *= shape[i];
    size_t n = (size_t)shape[t->n_dim - 1];
    assert_true(liz_dtype_row_bytes(plan->dtype, n, &row_bytes));
    uint8_t *row = malloc((size_t)row_bytes);
    for (uint64_t r = 0; r < n_rows; r++) {
        bench_weights_row(plan->dtype, plan->seed, 2 * index + (uint32_t)half, r, n, 1 / sqrt((double)n), row);
        assert_int_equal(liz_gguf_writer_data(w, row, (size_t)row_bytes, &err), LIZ_OK);
    }
    free(row);
}

int adapter_make(const char *model, const char *to, adapter_plan plan)
{
    liz_gguf *gguf = NULL;
    liz_gguf_writer *w = NULL;
    liz_error err;
    liz_str arch;
    int n = 0;
    bench_weights_init();
    if (liz_gguf_open(&gguf, model, &err) != LIZ_OK || liz_gguf_writer_open(&w, NULL, to, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    assert_true(liz_gguf_str(gguf, "general.architecture", &arch));
    liz_gguf_put_str(w, "general.type", liz_str_of("adapter"));
    liz_gguf_put_str(w, "general.architecture", arch);
    liz_gguf_put_str(w, "adapter.type", liz_str_of("lora"));
    liz_gguf_put_f32(w, "adapter.lora.alpha", plan.alpha);
    size_t n_tensors = liz_gguf_n_tensors(gguf);
    for (size_t i = 0; i < 2 * n_tensors; i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(gguf, i / 2);
        uint64_t shape[LIZ_GGUF_DIM_MAX];
        char name[128];
        if (!is_wanted(t, plan.only))
            continue;
        shape_of(t, plan.rank, (int)(i % 2), shape);
        int len = snprintf(name, sizeof name, "%.*s.lora_%c", LIZ_STR_ARG(t->name), i % 2 ? 'b' : 'a');
        liz_gguf_declare_tensor(w, (liz_str){name, (size_t)len}, plan.dtype, t->n_dim, shape);
        n += i % 2 == 0;
    }
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    for (size_t i = 0; i < 2 * n_tensors; i++)
        if (is_wanted(liz_gguf_tensor_at(gguf, i / 2), plan.only))
            write_half(w, liz_gguf_tensor_at(gguf, i / 2), &plan, (uint32_t)(i / 2), (int)(i % 2));
    if (liz_gguf_writer_finish(w, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    liz_gguf_writer_close(w);
    liz_gguf_close(gguf);
    return n;
}
