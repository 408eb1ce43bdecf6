/* adapter.c - the pairs of an adapter file, each half checked against the other. */
#include "format/adapter.h"

#include "tensor/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct liz_adapter {
    liz_gguf *gguf;
    liz_str arch;
    double alpha;
    liz_adapter_pair *pairs;
    size_t n_pairs;
};

static liz_status check_kind(const liz_gguf *gguf, liz_error *err)
{
    static const char *const keys[] = {"general.type", "adapter.type"}, *const wants[] = {"adapter", "lora"};
    const char *path = liz_gguf_path(gguf);
    for (int i = 0; i < 2; i++) {
        liz_str value;
        if (!liz_gguf_str(gguf, keys[i], &value))
            return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: is no adapter: it has no key %s", path, keys[i]);
        if (!liz_str_is(value, wants[i]))
            return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: is no adapter of a kind that is known: %s is %.*s", path,
                            keys[i], LIZ_STR_ARG(value));
    }
    if (liz_gguf_find(gguf, "adapter.alora.invocation_tokens") != NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: adapters that begin at invocation tokens are not supported", path);
    return LIZ_OK;
}

static liz_status read_settings(liz_adapter *adapter, liz_error *err)
{
    const char *path = liz_gguf_path(adapter->gguf);
    if (!liz_gguf_str(adapter->gguf, "general.architecture", &adapter->arch))
        return liz_fail(err, LIZ_E_FORMAT, "%s: key general.architecture is missing", path);
    bool given = liz_gguf_find(adapter->gguf, "adapter.lora.alpha") != NULL;
    if (given && (!liz_gguf_f64(adapter->gguf, "adapter.lora.alpha", &adapter->alpha) || !isfinite(adapter->alpha)))
        return liz_fail(err, LIZ_E_FORMAT, "%s: key adapter.lora.alpha: is no finite number", path);
    return LIZ_OK;
}

static bool ends_in(liz_str text, const char *end)
{
    size_t n = strlen(end);
    return text.n > n && memcmp(text.p + text.n - n, end, n) == 0;
}

static bool is_matrix(const liz_gguf_tensor *t)
{
    bool is_float = t->dtype == LIZ_DTYPE_F32 || t->dtype == LIZ_DTYPE_F16 || t->dtype == LIZ_DTYPE_BF16;
    bool fits = (t->n_dim == 2 || t->n_dim == 3) && is_float;
    for (int i = 0; i < t->n_dim && fits; i++)
        fits = t->shape[i] >= 1 && t->shape[i] <= INT32_MAX / 2;
    return fits;
}

/* The pair of which `a` is a half. */
static liz_status read_pair(const liz_adapter *adapter, const liz_gguf_tensor *a, liz_adapter_pair *pair,
                            liz_error *err)
{
    char name[256];
    const char *path = liz_gguf_path(adapter->gguf);
    liz_str base = {a->name.p, a->name.n - strlen(".lora_a")};
    snprintf(name, sizeof name, "%.*s.lora_b", LIZ_STR_ARG(base));
    const liz_gguf_tensor *b = liz_gguf_tensor_find(adapter->gguf, name);
    if (b == NULL)
        return liz_fail(err, LIZ_E_FORMAT, "%s: tensor %s is missing", path, name);
    for (int i = 0; i < 2; i++)
        if (!is_matrix(i == 0 ? a : b))
            return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: tensor %.*s: is no matrix of type F32, F16 or BF16", path,
                            LIZ_STR_ARG((i == 0 ? a : b)->name));
    const uint64_t *a_shape = a->shape + a->n_dim - 2, *b_shape = b->shape + b->n_dim - 2;
    *pair = (liz_adapter_pair){.base = base,
                               .a = a,
                               .b = b,
                               .n_mat = a->n_dim == 3 ? a->shape[0] : 1,
                               .rank = a_shape[0],
                               .n_in = a_shape[1],
                               .n_out = b_shape[0]};
    if (b->n_dim != a->n_dim || b_shape[1] != pair->rank || (b->n_dim == 3 && b->shape[0] != pair->n_mat))
        return liz_fail(err, LIZ_E_FORMAT, "%s: tensor %s: its shape does not meet that of lora_a, of rank %llu", path,
                        name, (unsigned long long)pair->rank);
    pair->scale = adapter->alpha != 0 ? adapter->alpha / (double)pair->rank : 1;
    return LIZ_OK;
}

/* Every tensor is a half; each second half is found with its first. */
static liz_status read_pairs(liz_adapter *adapter, liz_error *err)
{
    size_t n = liz_gguf_n_tensors(adapter->gguf);
    const char *path = liz_gguf_path(adapter->gguf);
    adapter->pairs = calloc(n + 1, sizeof *adapter->pairs);
    if (adapter->pairs == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", path);
    liz_status status = LIZ_OK;
    for (size_t i = 0; i < n && status == LIZ_OK; i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(adapter->gguf, i);
        if (ends_in(t->name, ".lora_a"))
            status = read_pair(adapter, t, &adapter->pairs[adapter->n_pairs++], err);
        else if (!ends_in(t->name, ".lora_b"))
            status = liz_fail(err, LIZ_E_UNSUPPORTED, "%s: tensor %.*s: is neither a lora_a nor a lora_b", path,
                              LIZ_STR_ARG(t->name));
    }
    if (status == LIZ_OK && n != 2 * adapter->n_pairs)
        return liz_fail(err, LIZ_E_FORMAT, "%s: has a lora_b without its lora_a", path);
    if (status == LIZ_OK && n == 0)
        return liz_fail(err, LIZ_E_FORMAT, "%s: has no tensors", path);
    return status;
}

liz_status liz_adapter_open(liz_adapter **out, const char *path, liz_error *err)
{
    liz_adapter *adapter = calloc(1, sizeof *adapter);
    if (adapter == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: out of memory", path);
    liz_status status = liz_gguf_open(&adapter->gguf, path, err);
    status = status ?: check_kind(adapter->gguf, err);
    status = status ?: read_settings(adapter, err);
    status = status ?: read_pairs(adapter, err);
    if (status != LIZ_OK)
        liz_adapter_close(adapter);
    else
        *out = adapter;
    return status;
}

void liz_adapter_close(liz_adapter *adapter)
{
    if (adapter == NULL)
        return;
    liz_gguf_close(adapter->gguf);
    free(adapter->pairs);
    free(adapter);
}

const char *liz_adapter_path(const liz_adapter *adapter) { return liz_gguf_path(adapter->gguf); }
liz_str liz_adapter_arch(const liz_adapter *adapter) { return adapter->arch; }
size_t liz_adapter_n_pairs(const liz_adapter *adapter) { return adapter->n_pairs; }
const liz_adapter_pair *liz_adapter_pair_at(const liz_adapter *adapter, size_t i) { return &adapter->pairs[i]; }

const liz_adapter_pair *liz_adapter_find(const liz_adapter *adapter, liz_str base)
{
    for (size_t i = 0; i < adapter->n_pairs; i++)
        if (liz_str_eq(adapter->pairs[i].base, base))
            return &adapter->pairs[i];
    return NULL;
}

bool liz_adapter_rows(const liz_gguf_tensor *half, uint64_t row, uint64_t n, float *out)
{
    size_t width = (size_t)half->shape[half->n_dim - 1];
    uint64_t row_bytes = 0;
    LIZ_ASSERT(liz_dtype_row_bytes(half->dtype, width, &row_bytes));
    liz_dequantize_row(half->dtype, half->data + row * row_bytes, out, (size_t)n * width);
    for (size_t i = 0; i < (size_t)n * width; i++)
        if (!isfinite(out[i]))
            return false;
    return true;
}
