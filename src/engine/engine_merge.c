/* engine_merge.c - adapters made part of a model's weights, in a file of their own.
 *
 * Each matrix W that adapters are for becomes W + the sum of scale * alpha / rank * B A, in the order in which they are
 * given: W decoded to F32, B A summed in F32 over the rank in ascending order and fused, added by one more fused
 * multiplication, and written in W's own type or the one asked for. Everything else is copied as it stands. The team
 * shares the rows of a chunk; the bytes depend on the files and the scales alone. */
#include "engine/engine_lora.h"
#include "format/gguf_write.h"
#include "kernel/kernel.h"
#include "sys/team.h"
#include "tensor/quant.h"
#include "tensor/quantize.h"

#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { CHUNK_BYTES = 8 << 20 };

/* One adapter on the matrix at hand. */
typedef struct part {
    const liz_adapter_pair *pair;
    float scale;
    float *a; /* [rank, n_in] of the expert at hand */
} part;

typedef struct merging {
    const liz_gguf *gguf;
    const liz_lora *loras;
    liz_engine_loras files;
    liz_team *team;
    liz_kernel kernel;
    liz_gguf_writer *writer;
    int32_t dtype; /* of merged matrices; -1: their own */
    const liz_merge_opts *opts;
    uint64_t done;
    uint8_t *chunk; /* [CHUNK_BYTES or one row] */
    float *own;     /* [members][2 * n_in + rank] */
    part parts[LIZ_LORAS_MAX];
    int n_parts;
    /* What the team makes now. */
    const liz_gguf_tensor *tensor;
    uint64_t first, n_rows; /* rows of the tensor, counted over all experts */
    size_t own_floats, out_row_bytes;
    bool failed; /* a row could not be written in its type */
} merging;

static liz_dtype out_type(const merging *m, const liz_gguf_tensor *t)
{
    return m->n_parts > 0 && m->dtype >= 0 ? (liz_dtype)m->dtype : t->dtype;
}

/* The adapters that are for this tensor. */
static void find_parts(merging *m, const liz_gguf_tensor *t)
{
    m->n_parts = 0;
    for (size_t i = 0; i < m->files.n; i++) {
        const liz_adapter_pair *pair = liz_adapter_find(m->files.files[i], t->name);
        double scale = m->loras[i].scale != 0 ? (double)m->loras[i].scale : 1;
        if (pair != NULL)
            m->parts[m->n_parts++] = (part){.pair = pair, .scale = (float)(scale * pair->scale)};
    }
}

/* ---- Rows ---- */

static bool merge_row(const merging *m, uint64_t row, float *own, uint8_t *to)
{
    const liz_gguf_tensor *t = m->tensor;
    size_t n_in = (size_t)t->shape[t->n_dim - 1];
    uint64_t row_bytes = 0;
    float *w = own, *delta = own + n_in, *b = own + 2 * n_in;
    LIZ_ASSERT(liz_dtype_row_bytes(t->dtype, n_in, &row_bytes));
    liz_dequantize_row(t->dtype, t->data + row * row_bytes, w, n_in);
    for (int i = 0; i < m->n_parts; i++) {
        const part *p = &m->parts[i];
        if (!liz_adapter_rows(p->pair->b, row, 1, b))
            return false;
        memset(delta, 0, n_in * sizeof *delta);
        for (size_t r = 0; r < p->pair->rank; r++)
            m->kernel.add_scaled(p->a + r * n_in, b[r], n_in, delta);
        m->kernel.add_scaled(delta, p->scale, n_in, w);
    }
    return liz_quantize_row(out_type(m, t), w, NULL, to, n_in);
}

static void merge_share(void *arg, int member, int n_members)
{
    merging *m = arg;
    size_t begin, end;
    liz_team_share((size_t)m->n_rows, 1, member, n_members, &begin, &end);
    for (size_t i = begin; i < end; i++)
        if (!merge_row(m, m->first + i, m->own + (size_t)member * m->own_floats, m->chunk + i * m->out_row_bytes))
            __atomic_store_n(&m->failed, true, __ATOMIC_RELAXED);
}

/* ---- Tensors ---- */

static void tell(merging *m, uint64_t n)
{
    m->done += n;
    if (m->opts->on_progress != NULL)
        m->opts->on_progress(m->opts->on_progress_user, m->done, liz_gguf_file_bytes(m->gguf));
}

static liz_status fail_memory(const liz_gguf_tensor *t, liz_error *err)
{
    return liz_fail(err, LIZ_E_MEMORY, "tensor %.*s: no memory to merge it", LIZ_STR_ARG(t->name));
}

/* The first halves for one expert, and room for a chunk of its rows. */
static liz_status open_parts(merging *m, uint64_t expert, liz_error *err)
{
    const liz_gguf_tensor *t = m->tensor;
    size_t n_in = (size_t)t->shape[t->n_dim - 1], rank_max = 0;
    for (int i = 0; i < m->n_parts; i++) {
        part *p = &m->parts[i];
        size_t rank = (size_t)p->pair->rank;
        rank_max = rank > rank_max ? rank : rank_max;
        p->a = calloc(rank, n_in * sizeof *p->a);
        if (p->a == NULL)
            return fail_memory(t, err);
        if (!liz_adapter_rows(p->pair->a, expert * rank, rank, p->a))
            return liz_fail(err, LIZ_E_FORMAT, "tensor %.*s: its adapter holds a value that is no finite number",
                            LIZ_STR_ARG(t->name));
    }
    m->own_floats = 2 * n_in + rank_max;
    m->own = calloc((size_t)liz_team_size(m->team), m->own_floats * sizeof *m->own);
    m->chunk = malloc(m->out_row_bytes > CHUNK_BYTES ? m->out_row_bytes : CHUNK_BYTES);
    return m->own != NULL && m->chunk != NULL ? LIZ_OK : fail_memory(t, err);
}

static void close_parts(merging *m)
{
    for (int i = 0; i < m->n_parts; i++) {
        free(m->parts[i].a);
        m->parts[i].a = NULL;
    }
    free(m->own);
    free(m->chunk);
    m->own = NULL;
    m->chunk = NULL;
}

/* Rows [first, first + n) of the tensor, of one expert. */
static liz_status merge_rows(merging *m, uint64_t first, uint64_t n, liz_error *err)
{
    liz_status status = open_parts(m, first / n, err);
    uint64_t step = CHUNK_BYTES / m->out_row_bytes > 0 ? CHUNK_BYTES / m->out_row_bytes : 1;
    uint64_t row_bytes = 0;
    LIZ_ASSERT(liz_dtype_row_bytes(m->tensor->dtype, m->tensor->shape[m->tensor->n_dim - 1], &row_bytes));
    for (m->first = first; status == LIZ_OK && m->first < first + n; m->first += m->n_rows) {
        m->n_rows = first + n - m->first < step ? first + n - m->first : step;
        liz_team_run(m->team, merge_share, m);
        if (m->failed)
            status = liz_fail(err, LIZ_E_NUMERIC, "tensor %.*s: a merged weight is no number that its type can hold",
                              LIZ_STR_ARG(m->tensor->name));
        else
            status = liz_gguf_writer_data(m->writer, m->chunk, (size_t)m->n_rows * m->out_row_bytes, err);
        liz_gguf_drop(m->gguf, m->tensor->data + m->first * row_bytes, m->n_rows * row_bytes);
        tell(m, m->n_rows * row_bytes);
    }
    close_parts(m);
    return status;
}

static liz_status merge_tensor(merging *m, liz_error *err)
{
    const liz_gguf_tensor *t = m->tensor;
    uint64_t n_mat = t->n_dim == 3 ? t->shape[0] : 1, n_out = t->shape[t->n_dim - 2], out_row_bytes = 0;
    LIZ_ASSERT(liz_dtype_row_bytes(out_type(m, t), t->shape[t->n_dim - 1], &out_row_bytes));
    m->out_row_bytes = (size_t)out_row_bytes;
    liz_status status = LIZ_OK;
    for (uint64_t i = 0; i < n_mat && status == LIZ_OK; i++)
        status = merge_rows(m, i * n_out, n_out, err);
    return status;
}

static liz_status copy_tensor(merging *m, liz_error *err)
{
    const liz_gguf_tensor *t = m->tensor;
    liz_status status = LIZ_OK;
    for (uint64_t at = 0; at < t->size_bytes && status == LIZ_OK; at += CHUNK_BYTES) {
        uint64_t n = t->size_bytes - at < CHUNK_BYTES ? t->size_bytes - at : CHUNK_BYTES;
        status = liz_gguf_writer_data(m->writer, t->data + at, (size_t)n, err);
        liz_gguf_drop(m->gguf, t->data + at, n);
        tell(m, n);
    }
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
    liz_status status = LIZ_OK;
    size_t n = liz_gguf_n_tensors(m->gguf);
    for (size_t i = 0; i < liz_gguf_n_entries(m->gguf); i++) {
        const liz_gguf_entry *entry = liz_gguf_entry_at(m->gguf, i);
        if (!liz_str_is(entry->key, "general.alignment") && !liz_str_starts(entry->key, "split."))
            liz_gguf_put_entry(m->writer, entry);
    }
    for (size_t i = 0; i < n && status == LIZ_OK; i++) {
        find_parts(m, liz_gguf_tensor_at(m->gguf, i));
        status = declare(m, liz_gguf_tensor_at(m->gguf, i), err);
    }
    if (status == LIZ_OK)
        status = liz_gguf_writer_begin(m->writer, err);
    for (size_t i = 0; i < n && status == LIZ_OK; i++) {
        m->tensor = liz_gguf_tensor_at(m->gguf, i);
        find_parts(m, m->tensor);
        status = (m->n_parts > 0 ? merge_tensor : copy_tensor)(m, err);
    }
    return status == LIZ_OK ? liz_gguf_writer_finish(m->writer, err) : status;
}

static liz_status type_read(const char *name, int32_t *dtype, liz_error *err)
{
    *dtype = -1;
    for (uint32_t i = 0; name != NULL && i < LIZ_DTYPE_COUNT; i++) {
        const liz_dtype_info *info = liz_dtype_info_get(i);
        if (info != NULL && info->readable && strcasecmp(info->name, name) == 0)
            *dtype = (int32_t)i;
    }
    return name == NULL || *dtype >= 0 ? LIZ_OK : liz_fail(err, LIZ_E_USAGE, "type %s: is not known", name);
}

/* The adapters must fit the model as if it were to run with them. */
static liz_status check_fit(merging *m, liz_error *err)
{
    liz_model *model = NULL;
    liz_engine_opts opts = {.loras = m->loras, .n_loras = m->opts->n_loras};
    liz_status status = liz_model_open(&model, m->gguf, err);
    if (status == LIZ_OK)
        status = liz_engine_loras_open(&m->files, model, &opts, err);
    liz_model_close(model);
    return status;
}

liz_status liz_merge(const char *model_path, const char *out_path, const liz_merge_opts *opts, liz_error *err)
{
    liz_gguf *gguf = NULL;
    merging m = {.loras = opts->loras, .opts = opts};
    liz_tier_id tier;
    if (opts->n_loras == 0)
        return liz_fail(err, LIZ_E_USAGE, "merge: no adapter is given");
    if (!opts->overwrite && access(out_path, F_OK) == 0)
        return liz_fail(err, LIZ_E_STATE, "%s: is there already", out_path);
    liz_status status = type_read(opts->type, &m.dtype, err);
    if (status == LIZ_OK)
        status = liz_cpu_tier(&tier, err);
    if (status == LIZ_OK)
        status = liz_gguf_open(&gguf, model_path, err);
    m.gguf = gguf;
    if (status == LIZ_OK)
        status = check_fit(&m, err);
    if (status == LIZ_OK)
        status = liz_team_open(&m.team, opts->n_threads > 0 ? opts->n_threads : liz_cpu_count(), err);
    if (status == LIZ_OK) {
        liz_kernel_init(&m.kernel, tier);
        status = liz_gguf_writer_open(&m.writer, out_path, err);
    }
    if (status == LIZ_OK)
        status = write_file(&m, err);
    liz_gguf_writer_close(m.writer);
    liz_team_close(m.team);
    liz_engine_loras_drop(&m.files);
    liz_gguf_close(gguf);
    return status;
}
