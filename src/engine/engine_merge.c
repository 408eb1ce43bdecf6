/* engine_merge.c - adapters made part of a model's weights, or the mean of several models, in a file of its own.
 *
 * Where there are more models the mean of their weights is what follows begins with (engine_average.h). Each matrix W
 * that adapters are for becomes W + the sum of scale * alpha / rank * B A, in the order in which they are given: W
 * decoded to F32, B A summed in F32 over the rank in ascending order and fused, added by one more fused multiplication,
 * and written in W's own type or the one asked for. Everything else is copied as it stands. The team shares the rows of
 * a chunk; the bytes depend on the files and the scales alone. */
#include "engine/engine_average.h"
#include "engine/engine_core.h"
#include "engine/engine_tensor.h"
#include "kernel/kernel.h"

#include <stdlib.h>
#include <unistd.h>

/* One adapter on the tensor at hand. */
typedef struct part {
    const liz_adapter_pair *pair;
    float scale;
    float *a, *b; /* its halves, of all experts: [n_mat * rank, n_in], [n_mat * n_out, rank] */
} part;

typedef struct merging {
    const liz_gguf *gguf;
    const liz_lora *loras;
    liz_engine_loras files;
    liz_average average;
    liz_team *team;
    liz_kernel kernel;
    liz_gguf_writer *writer;
    bool has_dtype; /* of merged matrices; else their own */
    liz_dtype dtype;
    const liz_merge_opts *opts;
    uint64_t done; /* bytes of the tensors before the one at hand */
    size_t i;      /* of the tensor at hand */
    part parts[LIZ_LORAS_MAX];
    int n_parts;
    float *deltas; /* [members, n_in] */
} merging;

static liz_dtype out_type(const merging *m, const liz_gguf_tensor *t)
{
    bool changes = m->n_parts > 0 || (m->average.n > 0 && t->n_dim > 1);
    return changes && m->has_dtype ? m->dtype : t->dtype;
}

/* Tensor `i`, and the adapters that are for it. */
static void find_parts(merging *m, size_t i_tensor)
{
    const liz_gguf_tensor *t = liz_gguf_tensor_at(m->gguf, i_tensor);
    m->i = i_tensor;
    m->n_parts = 0;
    for (size_t i = 0; i < m->files.n; i++) {
        const liz_adapter_pair *pair = liz_adapter_find(m->files.files[i], t->name);
        double scale = m->loras[i].scale != 0 ? (double)m->loras[i].scale : 1;
        if (pair != NULL)
            m->parts[m->n_parts++] = (part){.pair = pair, .scale = (float)(scale * pair->scale)};
    }
}

/* Gives a half's rows as floats. */
static liz_status half_read(const liz_gguf_tensor *half, uint64_t n_rows, uint64_t width, float **rows, liz_error *err)
{
    *rows = calloc((size_t)n_rows, (size_t)width * sizeof **rows);
    if (*rows == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "tensor %.*s: no memory to merge it", LIZ_STR_ARG(half->name));
    if (!liz_adapter_rows(half, 0, n_rows, *rows))
        return liz_fail(err, LIZ_E_FORMAT, "an adapter's tensor %.*s: holds a value that is no finite number",
                        LIZ_STR_ARG(half->name));
    return LIZ_OK;
}

static liz_status open_parts(merging *m, size_t n_in, liz_error *err)
{
    m->deltas = calloc((size_t)liz_team_size(m->team), n_in * sizeof *m->deltas);
    if (m->deltas == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory to merge rows of %zu", n_in);
    for (int i = 0; i < m->n_parts; i++) {
        part *p = &m->parts[i];
        LIZ_TRY(half_read(p->pair->a, p->pair->n_mat * p->pair->rank, p->pair->n_in, &p->a, err));
        LIZ_TRY(half_read(p->pair->b, p->pair->n_mat * p->pair->n_out, p->pair->rank, &p->b, err));
    }
    return LIZ_OK;
}

static void close_parts(merging *m)
{
    for (int i = 0; i < m->n_parts; i++) {
        free(m->parts[i].a);
        free(m->parts[i].b);
    }
    free(m->deltas);
    m->deltas = NULL;
}

static void merge_row(void *user, int member, uint64_t row, float *w, size_t n_in)
{
    const merging *m = user;
    float *delta = m->deltas + (size_t)member * n_in;
    if (m->average.n > 0)
        liz_average_row(&m->average, m->i, row, w, n_in);
    for (int i = 0; i < m->n_parts; i++) {
        const part *p = &m->parts[i];
        size_t rank = (size_t)p->pair->rank;
        const float *a = p->a + row / p->pair->n_out * rank * n_in, *b = p->b + row * rank;
        memset(delta, 0, n_in * sizeof *delta);
        for (size_t r = 0; r < rank; r++)
            m->kernel.add_scaled(a + r * n_in, b[r], n_in, delta);
        m->kernel.add_scaled(delta, p->scale, n_in, w);
    }
}

static bool on_bytes(void *user, uint64_t done)
{
    const merging *m = user;
    return m->opts->on_progress == NULL ||
           m->opts->on_progress(m->opts->on_progress_user, m->done + done, liz_gguf_file_bytes(m->gguf));
}

static liz_status write_tensor(merging *m, size_t i, liz_error *err)
{
    const liz_gguf_tensor *t = liz_gguf_tensor_at(m->gguf, i);
    find_parts(m, i);
    liz_tensor_job job = {.gguf = m->gguf, .tensor = t, .dtype = out_type(m, t), .on_bytes = on_bytes, .user = m};
    if (m->n_parts == 0 && m->average.n == 0)
        return liz_tensor_write(m->writer, m->team, &job, NULL, err);
    job.edit = merge_row;
    liz_status status = open_parts(m, liz_gguf_n_in(t), err);
    status = status ?: liz_tensor_write(m->writer, m->team, &job, NULL, err);
    close_parts(m);
    return status;
}

/* ---- The file ---- */

static liz_status declare(merging *m, const liz_gguf_tensor *t, liz_error *err)
{
    uint64_t row_bytes;
    liz_dtype dtype = out_type(m, t);
    if (!liz_dtype_row_bytes(dtype, t->shape[t->n_dim - 1], &row_bytes))
        return liz_fail(err, LIZ_E_UNSUPPORTED, "tensor %.*s: its rows are no whole blocks of type %s",
                        LIZ_STR_ARG(t->name), liz_dtype_info_get(dtype)->name);
    liz_gguf_declare_tensor(m->writer, t->name, dtype, t->n_dim, t->shape);
    return LIZ_OK;
}

static liz_status write_file(merging *m, liz_error *err)
{
    size_t n = liz_gguf_n_tensors(m->gguf);
    liz_gguf_put_entries(m->writer, m->gguf, NULL);
    for (size_t i = 0; i < n; i++) {
        find_parts(m, i);
        LIZ_TRY(declare(m, liz_gguf_tensor_at(m->gguf, i), err));
    }
    LIZ_TRY(liz_gguf_writer_begin(m->writer, err));
    for (size_t i = 0; i < n; i++) {
        LIZ_TRY(write_tensor(m, i, err));
        m->done += liz_gguf_tensor_at(m->gguf, i)->size_bytes;
    }
    return liz_gguf_writer_finish(m->writer, err);
}

/* The adapters must fit the model as if it were to run with them. */
static liz_status check_fit(merging *m, liz_error *err)
{
    liz_model *model = NULL;
    liz_engine_opts opts = {.loras = m->loras, .n_loras = m->opts->n_loras};
    liz_status status = liz_model_open(&model, m->gguf, err);
    status = status ?: liz_engine_loras_open(&m->files, model, &opts, err);
    liz_model_close(model);
    return status;
}

liz_status liz_merge(const char *model_path, const char *out_path, const liz_merge_opts *opts, liz_error *err)
{
    static const liz_merge_opts opts_default;
    opts = opts != NULL ? opts : &opts_default;
    liz_gguf *gguf = NULL;
    merging m = {.loras = opts->loras, .opts = opts};
    liz_tier_id tier;
    if (opts->n_loras == 0 && opts->n_others == 0)
        return liz_fail(err, LIZ_E_USAGE, "merge: neither an adapter nor a second model is given");
    if (!opts->overwrite && access(out_path, F_OK) == 0)
        return liz_fail(err, LIZ_E_STATE, "%s: is there already", out_path);
    m.has_dtype = opts->type != NULL;
    if (m.has_dtype && !liz_dtype_find(opts->type, &m.dtype))
        return liz_fail(err, LIZ_E_USAGE, "type %s: is not known", opts->type);
    liz_status status = liz_cpu_tier(&tier, err);
    status = status ?: liz_gguf_open(&gguf, model_path, err);
    m.gguf = gguf;
    status = status ?: liz_average_open(&m.average, gguf, opts->others, opts->n_others, err);
    status = status ?: check_fit(&m, err);
    status = status ?: liz_team_open(&m.team, opts->n_threads != 0 ? opts->n_threads : liz_cpu_count(), err);
    if (status == LIZ_OK) {
        liz_kernel_init(&m.kernel, tier);
        status = liz_gguf_writer_open(&m.writer, NULL, out_path, err);
    }
    status = status ?: write_file(&m, err);
    liz_gguf_writer_close(m.writer);
    liz_team_close(m.team);
    liz_engine_loras_drop(&m.files);
    liz_average_close(&m.average);
    liz_gguf_close(gguf);
    return status;
}
