/* rewrite.c - tensor by tensor, in the order of the file that training began with. */
#include "train/rewrite.h"

#include "base/half.h"
#include "format/gguf_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_TYPE_F16 = 1, FILE_TYPE_BF16 = 32 };

/* The parameter that row `row` of a tensor is the first of: by the place its weights were read from, or, a vector, by
 * its name. */
static const liz_param *param_at(liz_tape *tape, const liz_gguf_tensor *t, uint64_t row)
{
    const uint8_t *data = t->data + t->size_bytes / liz_gguf_n_rows(t) * row;
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(tape, &i)) != NULL;) {
        bool is_named = row == 0 && p->file == NULL && p->n_in == liz_gguf_n_in(t) && liz_str_is(t->name, p->name);
        if (p->file != NULL ? p->file == data : is_named)
            break;
    }
    return p;
}

static size_t count_params(liz_tape *tape, const liz_gguf_tensor *t)
{
    size_t n = 0;
    for (uint64_t row = 0; row < liz_gguf_n_rows(t); n++) {
        const liz_param *p = param_at(tape, t, row);
        if (p == NULL)
            return n;
        row += p->n_out;
    }
    return n;
}

liz_status liz_rewrite_check(const liz_gguf *from, liz_tape *tape, liz_error *err)
{
    size_t n_placed = 0, n_trained = 0;
    for (size_t i = 0; i < liz_gguf_n_tensors(from); i++)
        n_placed += count_params(tape, liz_gguf_tensor_at(from, i));
    for (size_t i = 0; liz_tape_trained(tape, &i) != NULL;)
        n_trained++;
    if (n_placed == n_trained)
        return LIZ_OK;
    return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: holds weights in a form that training cannot write back: tune it",
                    liz_gguf_path(from));
}

static liz_dtype dtype_of(liz_tape *tape, const liz_gguf_tensor *t, liz_dtype matrices)
{
    if (param_at(tape, t, 0) == NULL)
        return t->dtype;
    return t->n_dim > 1 ? matrices : LIZ_DTYPE_F32;
}

static void put_entries(const liz_gguf *from, liz_gguf_writer *writer, liz_dtype matrices)
{
    liz_gguf_put_entries(writer, from, (const char *const[]){"general.file_type", NULL});
    liz_gguf_put_u32(writer, "general.file_type",
                     matrices == LIZ_DTYPE_BF16  ? FILE_TYPE_BF16
                     : matrices == LIZ_DTYPE_F16 ? FILE_TYPE_F16
                                                 : 0);
}

static liz_status write_row(liz_gguf_writer *writer, const float *x, size_t n, liz_dtype dtype, uint16_t *halves,
                            liz_error *err)
{
    if (dtype == LIZ_DTYPE_F32)
        return liz_gguf_writer_data(writer, x, n * sizeof *x, err);
    for (size_t i = 0; i < n; i++)
        halves[i] = dtype == LIZ_DTYPE_BF16 ? liz_f32_to_bf16(x[i]) : liz_f32_to_f16(x[i]);
    return liz_gguf_writer_data(writer, halves, n * sizeof *halves, err);
}

static liz_status write_tensor(liz_gguf_writer *writer, liz_tape *tape, const liz_gguf_tensor *t, liz_dtype matrices,
                               liz_error *err)
{
    const liz_param *p = param_at(tape, t, 0);
    if (p == NULL)
        return liz_gguf_writer_data(writer, t->data, t->size_bytes, err);
    uint16_t *halves = malloc(p->n_in * sizeof *halves);
    liz_status status = halves != NULL ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for a row of weights");
    for (uint64_t row = 0; status == LIZ_OK && row < liz_gguf_n_rows(t); row += p->n_out) {
        p = param_at(tape, t, row);
        for (size_t r = 0; status == LIZ_OK && r < p->n_out; r++)
            status = write_row(writer, p->w + r * p->n_in, p->n_in, dtype_of(tape, t, matrices), halves, err);
    }
    free(halves);
    return status;
}

liz_status liz_rewrite(const liz_gguf *from, liz_tape *tape, const liz_files *files, const char *path, liz_dtype dtype,
                       liz_error *err)
{
    liz_gguf_writer *writer;
    LIZ_TRY(liz_gguf_writer_open(&writer, files, path, err));
    put_entries(from, writer, dtype);
    for (size_t i = 0; i < liz_gguf_n_tensors(from); i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(from, i);
        liz_gguf_declare_tensor(writer, t->name, dtype_of(tape, t, dtype), t->n_dim, t->shape);
    }
    liz_status status = liz_gguf_writer_begin(writer, err);
    for (size_t i = 0; i < liz_gguf_n_tensors(from) && status == LIZ_OK; i++)
        status = write_tensor(writer, tape, liz_gguf_tensor_at(from, i), dtype, err);
    status = status ?: liz_gguf_writer_finish(writer, err);
    liz_gguf_writer_close(writer);
    return status;
}
