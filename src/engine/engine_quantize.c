/* engine_quantize.c - a model file written again with its matrices in another type.
 *
 * What is a matrix here: a tensor NAME.weight of two dimensions or more that the model multiplies by, or the table of
 * embeddings. Norms, biases, routers and tables of positions keep their type, vectors become F32: they are small, and
 * errors in them are not.
 *
 * A name is a type, for all matrices, or a mix. The mixes are our own: _S gives the embeddings and the output matrix
 * Q6_K; _M besides gives the attention's values, and every other layer's way down from the feed-forward, the type two
 * steps finer. A matrix whose rows are no whole blocks of its type takes the type of smaller blocks that is nearest in
 * error: of 32, and F16 where not even these fit. */
#include "base/log.h"
#include "engine/engine_imatrix.h"
#include "engine/engine_tensor.h"
#include "lizzie.h"
#include "sys/cpu.h"
#include "sys/files.h"
#include "tensor/quant.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Names ---- */

/* `file_type` is what general.file_type calls it; `ends` and `finer` 0 where they are no other than `dtype`. */
static const struct mix {
    const char *name;
    uint32_t file_type;
    liz_dtype dtype, ends, finer;
} mixes[] = {
    {"F32", 0, LIZ_DTYPE_F32, 0, 0},
    {"F16", 1, LIZ_DTYPE_F16, 0, 0},
    {"BF16", 32, LIZ_DTYPE_BF16, 0, 0},
    {"Q8_0", 7, LIZ_DTYPE_Q8_0, 0, 0},
    {"Q6_K", 18, LIZ_DTYPE_Q6_K, 0, 0},
    {"Q5_K", 16, LIZ_DTYPE_Q5_K, 0, 0},
    {"Q5_1", 9, LIZ_DTYPE_Q5_1, 0, 0},
    {"Q5_0", 8, LIZ_DTYPE_Q5_0, 0, 0},
    {"Q4_K", 14, LIZ_DTYPE_Q4_K, 0, 0},
    {"Q4_1", 3, LIZ_DTYPE_Q4_1, 0, 0},
    {"Q4_0", 2, LIZ_DTYPE_Q4_0, 0, 0},
    {"IQ4_NL", 25, LIZ_DTYPE_IQ4_NL, 0, 0},
    {"IQ4_XS", 30, LIZ_DTYPE_IQ4_XS, 0, 0},
    {"MXFP4", 38, LIZ_DTYPE_MXFP4, 0, 0},
    {"Q3_K", 11, LIZ_DTYPE_Q3_K, 0, 0},
    {"Q2_K", 10, LIZ_DTYPE_Q2_K, 0, 0},
    {"TQ2_0", 37, LIZ_DTYPE_TQ2_0, 0, 0},
    {"TQ1_0", 36, LIZ_DTYPE_TQ1_0, 0, 0},
    {"Q5_K_S", 16, LIZ_DTYPE_Q5_K, LIZ_DTYPE_Q6_K, 0},
    {"Q5_K_M", 17, LIZ_DTYPE_Q5_K, LIZ_DTYPE_Q6_K, LIZ_DTYPE_Q6_K},
    {"Q4_K_S", 14, LIZ_DTYPE_Q4_K, LIZ_DTYPE_Q6_K, 0},
    {"Q4_K_M", 15, LIZ_DTYPE_Q4_K, LIZ_DTYPE_Q6_K, LIZ_DTYPE_Q6_K},
    {"Q3_K_S", 11, LIZ_DTYPE_Q3_K, LIZ_DTYPE_Q6_K, 0},
    {"Q3_K_M", 12, LIZ_DTYPE_Q3_K, LIZ_DTYPE_Q6_K, LIZ_DTYPE_Q5_K},
    {"Q2_K_S", 21, LIZ_DTYPE_Q2_K, LIZ_DTYPE_Q6_K, 0},
};
enum { N_MIXES = sizeof mixes / sizeof *mixes };

const char *liz_quantize_type(int i) { return i >= 0 && i < N_MIXES ? mixes[i].name : NULL; }

static liz_status mix_find(const char *name, const struct mix **out, liz_error *err)
{
    for (int i = 0; i < N_MIXES; i++)
        if (strcasecmp(name, mixes[i].name) == 0) {
            *out = &mixes[i];
            return LIZ_OK;
        }
    return liz_fail(err, LIZ_E_USAGE, "%.40s: is not a type that can be written: Q4_K, Q8_0 and others are", name);
}

/* The type of one tensor, where one was asked for. */
static liz_status dtype_find(const char *name, liz_dtype *dtype, liz_error *err)
{
    if (name == NULL || liz_dtype_find(name, dtype))
        return LIZ_OK;
    return liz_fail(err, LIZ_E_USAGE, "%.40s: is not a type that one tensor can have: Q6_K, F16 and others are", name);
}

/* ---- Which tensor in which type ---- */

typedef struct choice {
    const struct mix *mix;
    liz_dtype output, embedding; /* LIZ_DTYPE_COUNT: what the mix says */
} choice;

static bool holds(liz_str name, const char *part) { return memmem(name.p, name.n, part, strlen(part)) != NULL; }

static bool is_matrix(const liz_gguf_tensor *t)
{
    return t->n_dim >= 2 && liz_str_ends(t->name, ".weight") && !liz_str_ends(t->name, "_norm.weight") &&
           !holds(t->name, "ffn_gate_inp") && !holds(t->name, "position_embd") && !holds(t->name, "token_types");
}

/* Of tensors blk.N.NAME: whether N is even. */
static bool in_even_layer(liz_str name)
{
    size_t at = 4;
    while (at < name.n && name.p[at] >= '0' && name.p[at] <= '9')
        at++;
    return liz_str_starts(name, "blk.") && at > 4 && (name.p[at - 1] - '0') % 2 == 0;
}

static bool wants_finer(liz_str name)
{
    return holds(name, "attn_v.") || holds(name, "attn_qkv.") || (holds(name, "ffn_down") && in_even_layer(name));
}

static liz_dtype smaller_blocks(liz_dtype dtype)
{
    switch (dtype) {
    case LIZ_DTYPE_Q6_K: return LIZ_DTYPE_Q8_0;
    case LIZ_DTYPE_Q5_K: return LIZ_DTYPE_Q5_1;
    case LIZ_DTYPE_Q4_K: return LIZ_DTYPE_Q4_1;
    case LIZ_DTYPE_Q3_K:
    case LIZ_DTYPE_Q2_K:
    case LIZ_DTYPE_IQ4_XS:
    case LIZ_DTYPE_TQ1_0:
    case LIZ_DTYPE_TQ2_0: return LIZ_DTYPE_IQ4_NL;
    default: return LIZ_DTYPE_F16;
    }
}

/* What the choice says, if its rows allow it. */
static liz_dtype wanted(const choice *c, const liz_gguf_tensor *t)
{
    const liz_dtype_info *info = liz_dtype_info_get(t->dtype);
    bool is_number = info->readable || info->block_len > 1;
    if (t->n_dim == 1 && info->readable)
        return LIZ_DTYPE_F32;
    if (!is_matrix(t) || !is_number)
        return t->dtype;
    bool is_output = liz_str_is(t->name, "output.weight"), is_embedding = liz_str_is(t->name, "token_embd.weight");
    if (is_output && c->output != LIZ_DTYPE_COUNT)
        return c->output;
    if (is_embedding && c->embedding != LIZ_DTYPE_COUNT)
        return c->embedding;
    liz_dtype special = is_output || is_embedding ? c->mix->ends : wants_finer(t->name) ? c->mix->finer : 0;
    return special != 0 ? special : c->mix->dtype;
}

static liz_dtype fitting(liz_dtype dtype, const liz_gguf_tensor *t)
{
    while (liz_gguf_n_in(t) % (size_t)liz_dtype_info_get(dtype)->block_len != 0)
        dtype = smaller_blocks(dtype);
    return dtype;
}

/* ---- The file ---- */

typedef struct job {
    choice choice;
    const liz_quantize_opts *opts;
    liz_gguf *gguf, *imatrix;
    liz_gguf_writer *writer;
    liz_team *team;
    uint64_t done; /* bytes of the tensors before the present one */
    liz_quantize_report report;
    liz_tensor_loss loss;
    int n_weighted; /* tensors that the importance matrix knows */
} job;

static void put_metadata(const job *j)
{
    static const char *const anew[] = {"general.file_type", "general.quantization_version", NULL};
    liz_gguf_put_entries(j->writer, j->gguf, anew);
    liz_gguf_put_u32(j->writer, "general.file_type", j->choice.mix->file_type);
    liz_gguf_put_u32(j->writer, "general.quantization_version", 2);
}

static void declare_tensors(job *j)
{
    bool warned = false;
    for (size_t i = 0; i < liz_gguf_n_tensors(j->gguf); i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(j->gguf, i);
        liz_dtype first = wanted(&j->choice, t), dtype = fitting(first, t);
        const char *from = liz_dtype_info_get(t->dtype)->name, *to = liz_dtype_info_get(dtype)->name;
        if (dtype == t->dtype)
            liz_log(LIZ_LOG_INFO, "quantize", "%.*s: %s", LIZ_STR_ARG(t->name), from);
        else if (dtype == first)
            liz_log(LIZ_LOG_INFO, "quantize", "%.*s: %s to %s", LIZ_STR_ARG(t->name), from, to);
        else
            liz_log(LIZ_LOG_INFO, "quantize", "%.*s: %s to %s, since rows of %zu are no whole blocks of %s",
                    LIZ_STR_ARG(t->name), from, to, liz_gguf_n_in(t), liz_dtype_info_get(first)->name);
        j->report.n_other_type += dtype != first;
        if (dtype != t->dtype && liz_quant_type_get(t->dtype) != NULL && !warned) {
            liz_log(LIZ_LOG_WARN, "quantize", "%.*s: is quantised already (%s): errors add up; begin from the original",
                    LIZ_STR_ARG(t->name), from);
            warned = true;
        }
        liz_gguf_declare_tensor(j->writer, t->name, dtype, t->n_dim, t->shape);
        j->report.n_tensors += dtype != t->dtype;
    }
}

static bool on_bytes(void *user, uint64_t done)
{
    const job *j = user;
    const liz_quantize_opts *o = j->opts;
    return o->on_progress == NULL || o->on_progress(o->on_progress_user, j->done + done, j->report.bytes_in);
}

static liz_status write_tensor(job *j, const liz_gguf_tensor *t, liz_error *err)
{
    float *importance = NULL;
    liz_dtype dtype = fitting(wanted(&j->choice, t), t);
    if (j->imatrix != NULL && dtype != t->dtype && is_matrix(t))
        LIZ_TRY(liz_imatrix_of(j->imatrix, t, &importance, err));
    j->n_weighted += importance != NULL;
    liz_tensor_job tensor = {j->gguf, t, dtype, importance, NULL, on_bytes, j};
    liz_status status = liz_tensor_write(j->writer, j->team, &tensor, &j->loss, err);
    j->done += t->size_bytes;
    free(importance);
    return status;
}

static liz_status write_file(job *j, const char *out, liz_error *err)
{
    LIZ_TRY(liz_gguf_writer_open(&j->writer, NULL, out, err));
    put_metadata(j);
    declare_tensors(j);
    LIZ_TRY(liz_gguf_writer_begin(j->writer, err));
    for (size_t i = 0; i < liz_gguf_n_tensors(j->gguf); i++)
        LIZ_TRY(write_tensor(j, liz_gguf_tensor_at(j->gguf, i), err));
    if (j->imatrix != NULL && j->n_weighted == 0 && j->report.n_tensors > 0)
        return liz_fail(err, LIZ_E_FORMAT, "%s: knows no tensor of this model: is it another one's?",
                        j->opts->imatrix_path);
    return liz_gguf_writer_finish(j->writer, err);
}

/* A reader must not lose what it reads, and nobody a file that took long to make. */
static liz_status check_out(const job *j, const char *out, liz_error *err)
{
    for (size_t i = 0; i < liz_gguf_n_parts(j->gguf); i++)
        if (liz_file_is_same(liz_gguf_part_path(j->gguf, i), out))
            return liz_fail(err, LIZ_E_USAGE, "%s: is the file that is read: name another one", out);
    if (!j->opts->overwrite && access(out, F_OK) == 0)
        return liz_fail(err, LIZ_E_STATE, "%s: is there already: name another file, or --force", out);
    return LIZ_OK;
}

static liz_status job_open(job *j, const char *in, const char *out, const char *type, liz_error *err)
{
    const liz_quantize_opts *o = j->opts;
    j->choice.output = j->choice.embedding = LIZ_DTYPE_COUNT;
    LIZ_TRY(mix_find(type, &j->choice.mix, err));
    LIZ_TRY(dtype_find(o->output_type, &j->choice.output, err));
    LIZ_TRY(dtype_find(o->embedding_type, &j->choice.embedding, err));
    LIZ_TRY(liz_gguf_open(&j->gguf, in, err));
    LIZ_TRY(check_out(j, out, err));
    if (o->imatrix_path != NULL)
        LIZ_TRY(liz_imatrix_open(&j->imatrix, o->imatrix_path, err));
    return liz_team_open(&j->team, o->n_threads != 0 ? o->n_threads : liz_cpu_count(), err);
}

static void report_fill(job *j, const char *out)
{
    struct stat st;
    j->report.bytes_out = stat(out, &st) == 0 ? (uint64_t)st.st_size : 0;
    j->report.error = j->loss.size > 0 ? j->loss.error / j->loss.size : 0;
    j->report.error_weighted = j->loss.size_weighted > 0 ? j->loss.error_weighted / j->loss.size_weighted : 0;
}

liz_status liz_quantize(const char *in, const char *out, const char *type, const liz_quantize_opts *opts,
                        liz_quantize_report *report, liz_error *err)
{
    static const liz_quantize_opts opts_default;
    job j = {.opts = opts != NULL ? opts : &opts_default};
    liz_status status = job_open(&j, in, out, type, err);
    if (status == LIZ_OK) {
        j.report.bytes_in = liz_gguf_file_bytes(j.gguf);
        status = write_file(&j, out, err);
    }
    if (status == LIZ_OK) {
        report_fill(&j, out);
        if (report != NULL)
            *report = j.report;
    }
    liz_gguf_writer_close(j.writer);
    liz_gguf_close(j.imatrix);
    liz_gguf_close(j.gguf);
    liz_team_close(j.team);
    return status;
}
