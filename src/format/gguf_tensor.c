/* gguf_tensor.c - tensor infos: a name, a shape, a type, and where the bytes are.
 *
 * The infos are read first, since only their end tells where the data section begins; then every tensor is placed:
 * its size from shape and type, its bytes inside the file, no two tensors over the same bytes. Offsets must be
 * multiples of the alignment, which is at least 8, so that any element type lies aligned in memory. */
#include "format/gguf_part.h"

#include "base/checked.h"

#include <stdlib.h>

/* Where a tensor says it lies, from the start of the data section. */
typedef struct span {
    uint64_t off;
    size_t tensor;
} span;

static liz_status shape_take(liz_gguf_cursor *cur, liz_gguf_tensor *tensor, liz_error *err)
{
    uint32_t n_dim;
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u32(cur, &n_dim, err));
    if (n_dim < 1 || n_dim > LIZ_GGUF_DIM_MAX)
        return liz_fail_at(err, LIZ_E_FORMAT, at, "has %u dimensions, not 1 to %d: the file is damaged", n_dim,
                           LIZ_GGUF_DIM_MAX);
    tensor->n_dim = (int)n_dim;
    for (uint32_t i = 0; i < n_dim; i++) {
        uint64_t *dim = &tensor->shape[n_dim - 1 - i]; /* innermost comes first in the file, last here */
        at = cur->at;
        LIZ_TRY(liz_gguf_take_u64(cur, dim, err));
        if (*dim == 0)
            return liz_fail_at(err, LIZ_E_FORMAT, at, "has a dimension of 0: the file is damaged");
    }
    return LIZ_OK;
}

static liz_status type_take(liz_gguf_cursor *cur, liz_gguf_tensor *tensor, liz_error *err)
{
    uint32_t dtype;
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u32(cur, &dtype, err));
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    if (info == NULL)
        return liz_fail_at(err, LIZ_E_UNSUPPORTED, at,
                           "has tensor type %u, which is not known: use a newer Lizzie or another quantisation", dtype);
    tensor->dtype = (liz_dtype)dtype;
    uint64_t row_len = tensor->shape[tensor->n_dim - 1];
    if (row_len % (uint64_t)info->block_len != 0)
        return liz_fail_at(err, LIZ_E_FORMAT, at, "has rows of %llu elements, no multiple of the %d in a block of %s",
                           (unsigned long long)row_len, info->block_len, info->name);
    bool fits = liz_dtype_row_bytes(dtype, row_len, &tensor->size_bytes);
    for (int i = 0; i < tensor->n_dim - 1; i++)
        fits = fits && liz_u64_mul(tensor->size_bytes, tensor->shape[i], &tensor->size_bytes);
    if (!fits)
        return liz_fail_at(err, LIZ_E_FORMAT, at, "has a shape whose size overflows: the file is damaged");
    return LIZ_OK;
}

static liz_status info_take(liz_gguf_cursor *cur, liz_gguf_tensor *tensor, uint64_t alignment, uint64_t *off,
                            liz_error *err)
{
    LIZ_TRY(shape_take(cur, tensor, err));
    LIZ_TRY(type_take(cur, tensor, err));
    size_t at = cur->at;
    LIZ_TRY(liz_gguf_take_u64(cur, off, err));
    if (*off % alignment != 0)
        return liz_fail_at(err, LIZ_E_FORMAT, at,
                           "lies at %llu, no multiple of the alignment %llu: the file is damaged",
                           (unsigned long long)*off, (unsigned long long)alignment);
    return LIZ_OK;
}

static liz_status alignment_get(const liz_gguf_part *part, uint64_t *out, liz_error *err)
{
    *out = LIZ_GGUF_ALIGNMENT_DEFAULT;
    const char *key = "general.alignment";
    if (liz_gguf_part_find(part, key) == NULL)
        return LIZ_OK;
    if (!liz_gguf_part_u64(part, key, out) || *out < LIZ_GGUF_ALIGNMENT_MIN || *out > LIZ_GGUF_ALIGNMENT_MAX ||
        (*out & (*out - 1)) != 0)
        return liz_fail(err, LIZ_E_FORMAT, "key '%s': must be a power of two from %d to %d: the file is damaged", key,
                        LIZ_GGUF_ALIGNMENT_MIN, LIZ_GGUF_ALIGNMENT_MAX);
    return LIZ_OK;
}

/* ---- Placing the tensors ------------------------------------------------------------------------ */

static int span_compare(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return x->off < y->off ? -1 : x->off > y->off;
}

static liz_status tensor_place(const liz_gguf_part *part, liz_gguf_tensor *tensor, uint64_t data_off, uint64_t off,
                               liz_error *err)
{
    uint64_t begin, end;
    if (!liz_u64_add(data_off, off, &begin) || !liz_u64_add(begin, tensor->size_bytes, &end))
        return liz_fail(err, LIZ_E_FORMAT, "lies at an offset that overflows: the file is damaged");
    if (end > part->size_bytes)
        return liz_fail(err, LIZ_E_FORMAT, "ends at byte %llu, but the file at %zu: it is cut off: fetch it again",
                        (unsigned long long)end, part->size_bytes);
    tensor->data = part->data + begin;
    return LIZ_OK;
}

static liz_status tensors_place(liz_gguf_part *part, uint64_t data_off, span *spans, liz_error *err)
{
    for (size_t i = 0; i < part->n_tensors; i++) {
        liz_gguf_tensor *tensor = &part->tensors[i];
        liz_status status = tensor_place(part, tensor, data_off, spans[i].off, err);
        if (status != LIZ_OK)
            return liz_fail_within(err, status, "tensor '%.*s'", LIZ_STR_ARG(tensor->name));
    }
    qsort(spans, part->n_tensors, sizeof *spans, span_compare);
    for (size_t i = 1; i < part->n_tensors; i++) {
        const liz_gguf_tensor *a = &part->tensors[spans[i - 1].tensor], *b = &part->tensors[spans[i].tensor];
        if (a->data + a->size_bytes > b->data)
            return liz_fail(err, LIZ_E_FORMAT, "tensor '%.*s': overlaps tensor '%.*s': the file is damaged",
                            LIZ_STR_ARG(b->name), LIZ_STR_ARG(a->name));
    }
    return LIZ_OK;
}

static liz_status infos_take(liz_gguf_part *part, liz_gguf_cursor *cur, uint64_t alignment, span *spans, liz_error *err)
{
    for (size_t i = 0; i < part->n_tensors; i++) {
        liz_gguf_tensor *tensor = &part->tensors[i];
        liz_status status = liz_gguf_take_name(cur, LIZ_GGUF_NAME_LEN_MAX, &tensor->name, err);
        if (status != LIZ_OK)
            return liz_fail_within(err, status, "tensor %zu of %zu", i, part->n_tensors);
        status = info_take(cur, tensor, alignment, &spans[i].off, err);
        if (status != LIZ_OK)
            return liz_fail_within(err, status, "tensor '%.*s'", LIZ_STR_ARG(tensor->name));
        spans[i].tensor = i;
    }
    return LIZ_OK;
}

liz_status liz_gguf_tensors_read(liz_gguf_part *part, liz_gguf_cursor *cur, liz_arena *arena, liz_error *err)
{
    uint64_t alignment, data_off;
    liz_status status = alignment_get(part, &alignment, err);
    if (status != LIZ_OK || part->n_tensors == 0)
        return status;
    span *spans = liz_arena_array(arena, part->n_tensors, sizeof *spans);
    part->tensors = liz_arena_array(arena, part->n_tensors, sizeof *part->tensors);
    if (spans == NULL || part->tensors == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for %zu tensor infos", part->n_tensors);
    LIZ_TRY(infos_take(part, cur, alignment, spans, err));
    if (!liz_u64_round_up(cur->at, alignment, &data_off))
        return liz_gguf_fail_cut_off(cur, err);
    return tensors_place(part, data_off, spans, err);
}
