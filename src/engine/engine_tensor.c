/* engine_tensor.c - chunks of rows through the team: decode, edit, encode, and decode once more, for what was lost.
 *
 * A chunk's losses are kept row by row and added in the order of rows, so that what is reported does not depend on the
 * number of members either. */
#include "engine/engine_tensor.h"

#include "base/checked.h"
#include "tensor/quant.h"
#include "tensor/quantize.h"

#include <stdlib.h>

enum { CHUNK_ELEMENTS = 1 << 21 };

typedef struct row_result {
    liz_tensor_loss loss;
    bool refused;
} row_result;

typedef struct chunk {
    const liz_tensor_job *job;
    size_t n_in, bytes_in, bytes_out; /* of a row */
    uint64_t rows_of_matrix;
    uint64_t first; /* row */
    size_t n_rows;
    uint8_t *out;        /* [n_rows_max, bytes_out] */
    float *floats;       /* [members, 2, n_in] */
    row_result *results; /* [n_rows_max] */
} chunk;

static liz_tensor_loss loss_of(const float *x, const float *y, const float *importance, size_t n)
{
    liz_tensor_loss sum = {0};
    for (size_t i = 0; i < n; i++) {
        double size = (double)x[i] * (double)x[i], difference = (double)x[i] - (double)y[i];
        double weight = importance != NULL ? (double)importance[i] : 1;
        sum.size += size;
        sum.error += difference * difference;
        sum.size_weighted += weight * size;
        sum.error_weighted += weight * difference * difference;
    }
    return sum;
}

static void convert_row(const chunk *c, int member, size_t i, float *x, float *y)
{
    const liz_tensor_job *job = c->job;
    uint64_t row = c->first + i;
    uint8_t *out = c->out + i * c->bytes_out;
    const float *importance =
        job->importance != NULL ? job->importance + row / c->rows_of_matrix * (uint64_t)c->n_in : NULL;
    liz_dequantize_row(job->tensor->dtype, job->tensor->data + row * c->bytes_in, x, c->n_in);
    if (job->edit != NULL)
        job->edit(job->user, member, row, x, c->n_in);
    c->results[i] = (row_result){.refused = !liz_quantize_row(job->dtype, x, importance, out, c->n_in)};
    if (c->results[i].refused)
        return;
    liz_dequantize_row(job->dtype, out, y, c->n_in);
    c->results[i].loss = loss_of(x, y, importance, c->n_in);
}

static void convert_share(void *arg, int member, int n_members)
{
    const chunk *c = arg;
    float *x = c->floats + (size_t)member * 2 * c->n_in;
    size_t begin, end;
    liz_team_share(c->n_rows, 1, member, n_members, &begin, &end);
    for (size_t i = begin; i < end; i++)
        convert_row(c, member, i, x, x + c->n_in);
}

static liz_status check_results(const chunk *c, liz_tensor_loss *loss, liz_error *err)
{
    for (size_t i = 0; i < c->n_rows; i++) {
        const row_result *r = &c->results[i];
        if (r->refused)
            return liz_fail(err, LIZ_E_NUMERIC,
                            "%s: tensor %.*s: row %llu holds a weight that is not finite, or too great for %s",
                            liz_gguf_path(c->job->gguf), LIZ_STR_ARG(c->job->tensor->name),
                            (unsigned long long)(c->first + i), liz_dtype_info_get(c->job->dtype)->name);
        if (loss == NULL)
            continue;
        loss->size += r->loss.size;
        loss->error += r->loss.error;
        loss->size_weighted += r->loss.size_weighted;
        loss->error_weighted += r->loss.error_weighted;
    }
    return LIZ_OK;
}

/* Rows from `first` on have been dealt with. */
static liz_status passed(const liz_tensor_job *job, uint64_t from, uint64_t to, liz_error *err)
{
    liz_gguf_drop(job->gguf, job->tensor->data + from, to - from);
    if (job->on_bytes != NULL && !job->on_bytes(job->user, to))
        return liz_fail(err, LIZ_E_CANCELLED, "interrupted");
    return LIZ_OK;
}

static liz_status copy_bytes(liz_gguf_writer *writer, const liz_tensor_job *job, liz_error *err)
{
    uint64_t size = job->tensor->size_bytes, n;
    for (uint64_t at = 0; at < size; at += n) {
        n = size - at < CHUNK_ELEMENTS ? size - at : CHUNK_ELEMENTS;
        LIZ_TRY(liz_gguf_writer_data(writer, job->tensor->data + at, (size_t)n, err));
        LIZ_TRY(passed(job, at, at + n, err));
    }
    return LIZ_OK;
}

static liz_status convert(liz_gguf_writer *writer, liz_team *team, chunk *c, size_t n_rows_max, liz_tensor_loss *loss,
                          liz_error *err)
{
    uint64_t n_rows = liz_gguf_n_rows(c->job->tensor);
    for (c->first = 0; c->first < n_rows; c->first += c->n_rows) {
        c->n_rows = n_rows - c->first < n_rows_max ? (size_t)(n_rows - c->first) : n_rows_max;
        liz_team_run(team, convert_share, c);
        LIZ_TRY(check_results(c, loss, err));
        LIZ_TRY(liz_gguf_writer_data(writer, c->out, c->n_rows * c->bytes_out, err));
        LIZ_TRY(passed(c->job, c->first * c->bytes_in, (c->first + c->n_rows) * c->bytes_in, err));
    }
    return LIZ_OK;
}

liz_status liz_tensor_write(liz_gguf_writer *writer, liz_team *team, const liz_tensor_job *job, liz_tensor_loss *loss,
                            liz_error *err)
{
    const liz_gguf_tensor *t = job->tensor;
    const liz_dtype_info *info = liz_dtype_info_get(t->dtype);
    if (t->dtype == job->dtype && job->edit == NULL)
        return copy_bytes(writer, job, err);
    if (!info->readable)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: tensor %.*s: type %s cannot be converted",
                        liz_gguf_path(job->gguf), LIZ_STR_ARG(t->name), info->name);
    chunk c = {.job = job, .n_in = liz_gguf_n_in(t), .rows_of_matrix = t->n_dim > 1 ? t->shape[t->n_dim - 2] : 1};
    uint64_t bytes_in, bytes_out, n_rows = liz_gguf_n_rows(t);
    bool whole =
        liz_dtype_row_bytes(t->dtype, c.n_in, &bytes_in) && liz_dtype_row_bytes(job->dtype, c.n_in, &bytes_out);
    LIZ_ASSERT(whole);
    c.bytes_in = (size_t)bytes_in;
    c.bytes_out = (size_t)bytes_out;
    size_t n_rows_max = liz_div_up(CHUNK_ELEMENTS, c.n_in);
    n_rows_max = n_rows < n_rows_max ? (size_t)n_rows : n_rows_max;
    c.out = calloc(n_rows_max, c.bytes_out);
    c.floats = calloc((size_t)liz_team_size(team) * 2, c.n_in * sizeof *c.floats);
    c.results = calloc(n_rows_max, sizeof *c.results);
    liz_status status = c.out != NULL && c.floats != NULL && c.results != NULL
                            ? convert(writer, team, &c, n_rows_max, loss, err)
                            : liz_fail(err, LIZ_E_MEMORY, "%s: tensor %.*s: no memory for its rows",
                                       liz_gguf_path(job->gguf), LIZ_STR_ARG(t->name));
    free(c.out);
    free(c.floats);
    free(c.results);
    return status;
}
