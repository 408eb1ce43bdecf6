/* fuzz_adapter.c - the reader of adapters: every pair that it accepts has two halves that meet, readable to their last
 * row; what it refuses it refuses clearly. */
#include "../tests/lib/gguf_check.h"
#include "format/adapter.h"
#include "fuzz.h"

enum { WIDTH_MAX = 1 << 20 };

static void read_half(const liz_gguf_tensor *half, uint64_t n_rows, uint64_t width)
{
    float *row = malloc((size_t)width * sizeof *row);
    FUZZ_CHECK(row != NULL && half->shape[half->n_dim - 1] == width);
    liz_adapter_rows(half, 0, 1, row);
    liz_adapter_rows(half, n_rows - 1, 1, row);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size, 0);
    liz_adapter *adapter = NULL;
    liz_error err = {0};
    liz_status status = liz_adapter_open(&adapter, path, &err);
    if (status != LIZ_OK) {
        FUZZ_CHECK(gguf_error_is_clear(&err, status, path));
        return 0;
    }
    FUZZ_CHECK(liz_adapter_n_pairs(adapter) > 0);
    for (size_t i = 0; i < liz_adapter_n_pairs(adapter); i++) {
        const liz_adapter_pair *pair = liz_adapter_pair_at(adapter, i);
        FUZZ_CHECK(liz_adapter_find(adapter, pair->base) != NULL && pair->rank > 0 && pair->n_mat > 0);
        if (pair->n_in > WIDTH_MAX || pair->rank > WIDTH_MAX)
            continue;
        read_half(pair->a, pair->n_mat * pair->rank, pair->n_in);
        read_half(pair->b, pair->n_mat * pair->n_out, pair->rank);
    }
    liz_adapter_close(adapter);
    return 0;
}
