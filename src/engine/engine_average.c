/* engine_average.c - opens models beside a first one, sees that they are alike, and adds them up row by row. */
#include "engine/engine_average.h"

#include "tensor/quant.h"

#include <string.h>

/* Whether two metadata entries hold the same; both may be absent. */
static bool is_same_entry(const liz_gguf_entry *a, const liz_gguf_entry *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->type != b->type || a->elem_type != b->elem_type || a->n != b->n)
        return false;
    if (a->n > 0 && (a->strings == NULL || b->strings == NULL)) /* the keys asked for hold texts */
        return false;
    for (uint64_t i = 0; i < a->n; i++)
        if (!liz_str_eq(a->strings[i], b->strings[i]))
            return false;
    return true;
}

static bool is_same_shape(const liz_gguf_tensor *a, const liz_gguf_tensor *b)
{
    return liz_str_eq(a->name, b->name) && a->n_dim == b->n_dim &&
           memcmp(a->shape, b->shape, (size_t)a->n_dim * sizeof *a->shape) == 0;
}

static liz_status check_tensors(const liz_gguf *first, const liz_gguf *other, liz_error *err)
{
    size_t n = liz_gguf_n_tensors(first);
    if (liz_gguf_n_tensors(other) != n)
        return liz_fail(err, LIZ_E_USAGE, "%s and %s: have %zu and %zu tensors: only models that are alike have a mean",
                        liz_gguf_path(first), liz_gguf_path(other), n, liz_gguf_n_tensors(other));
    for (size_t i = 0; i < n; i++) {
        const liz_gguf_tensor *a = liz_gguf_tensor_at(first, i), *b = liz_gguf_tensor_at(other, i);
        if (!is_same_shape(a, b))
            return liz_fail(err, LIZ_E_USAGE,
                            "%s and %s: tensor %zu, %.*s and %.*s, differs in name or shape: only models that are "
                            "alike have a mean",
                            liz_gguf_path(first), liz_gguf_path(other), i, LIZ_STR_ARG(a->name), LIZ_STR_ARG(b->name));
        if (!liz_dtype_info_get(a->dtype)->readable || !liz_dtype_info_get(b->dtype)->readable)
            return liz_fail(err, LIZ_E_UNSUPPORTED, "%s and %s: tensor %.*s: is of a type that cannot be converted",
                            liz_gguf_path(first), liz_gguf_path(other), LIZ_STR_ARG(a->name));
    }
    return LIZ_OK;
}

static liz_status check_alike(const liz_gguf *first, const liz_gguf *other, liz_error *err)
{
    static const char *const keys[] = {"general.architecture", "tokenizer.ggml.tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!is_same_entry(liz_gguf_find(first, keys[i]), liz_gguf_find(other, keys[i])))
            return liz_fail(err, LIZ_E_USAGE, "%s and %s: differ in %s: only models that are alike have a mean",
                            liz_gguf_path(first), liz_gguf_path(other), keys[i]);
    return check_tensors(first, other, err);
}

liz_status liz_average_open(liz_average *average, const liz_gguf *first, const char *const *paths, size_t n,
                            liz_error *err)
{
    *average = (liz_average){.n = 0};
    if (n > LIZ_AVERAGE_MAX)
        return liz_fail(err, LIZ_E_USAGE, "merge: %zu models are more than the %d that have a mean", n + 1,
                        LIZ_AVERAGE_MAX + 1);
    for (size_t i = 0; i < n; i++) {
        LIZ_TRY(liz_gguf_open(&average->others[i], paths[i], err));
        average->n = i + 1;
        LIZ_TRY(check_alike(first, average->others[i], err));
    }
    return LIZ_OK;
}

void liz_average_close(liz_average *average)
{
    for (size_t i = 0; i < average->n; i++)
        liz_gguf_close(average->others[i]);
}

/* Elements [at, at + n) of a row as floats; `at` is at a block's beginning. */
static void row_part(const liz_gguf_tensor *t, uint64_t row, size_t at, size_t n, float *x)
{
    const liz_dtype_info *info = liz_dtype_info_get(t->dtype);
    const uint8_t *row_bytes = t->data + row * (t->size_bytes / liz_gguf_n_rows(t));
    liz_dequantize_row(t->dtype, row_bytes + at / (size_t)info->block_len * (size_t)info->block_bytes, x, n);
}

void liz_average_row(const liz_average *average, size_t i, uint64_t row, float *x, size_t n)
{
    enum { PART = 256 }; /* whole blocks of any type */
    double sum[PART];
    float other[PART];
    for (size_t at = 0; at < n; at += PART) {
        size_t n_part = n - at < PART ? n - at : PART;
        for (size_t k = 0; k < n_part; k++)
            sum[k] = (double)x[at + k];
        for (size_t m = 0; m < average->n; m++) {
            row_part(liz_gguf_tensor_at(average->others[m], i), row, at, n_part, other);
            for (size_t k = 0; k < n_part; k++)
                sum[k] += (double)other[k];
        }
        for (size_t k = 0; k < n_part; k++)
            x[at + k] = (float)(sum[k] / (double)(average->n + 1));
    }
}
