/* engine_imatrix.c - collecting, writing and reading of importance.
 *
 * The model shows every matrix's inputs on their way into it (liz_model_watch). A member of the team sums the squares
 * of its share of the columns, over the tokens in their order, in double: so neither threads nor the length of a step
 * nor the tier change a bit. Pieces of the text are scored one after the other, which computes all logits too, so that
 * the output matrix sees every token. */
#include "engine/engine_imatrix.h"

#include "engine/engine_core.h"
#include "engine/engine_tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE_TOKENS = 512, NAME_BYTES = 512 };

/* A column that the text never used still counts a little: another text may. */
static const double share_of_all = 0.01;

/* Sums over the inputs of a tensor's matrices. */
typedef struct watched {
    double *sums;     /* [n_mat, n_in]; NULL for what is no matrix */
    uint64_t *counts; /* [n_mat] */
    size_t n_mat, n_in;
} watched;

typedef struct collector {
    const liz_gguf *gguf;
    watched *tensors; /* [n_tensors] of the file */
} collector;

static size_t n_matrices(const liz_gguf_tensor *t)
{
    return (size_t)(liz_gguf_n_rows(t) / (t->n_dim > 1 ? t->shape[t->n_dim - 2] : 1));
}

/* ---- Collecting ---- */

static void on_input(void *user, const liz_model_input *in)
{
    const collector *c = user;
    watched *w = &c->tensors[in->tensor - liz_gguf_tensor_at(c->gguf, 0)];
    size_t begin, end;
    double *sums = w->sums + (size_t)in->i * w->n_in;
    liz_team_share(w->n_in, 1, in->member, in->n_members, &begin, &end);
    for (size_t t = 0; t < in->n_tok; t++) {
        const float *x = in->x + (in->rows != NULL ? (size_t)in->rows[t] : t) * w->n_in;
        for (size_t k = begin; k < end; k++)
            sums[k] += (double)x[k] * (double)x[k];
    }
    if (in->member == 0)
        w->counts[in->i] += in->n_tok;
}

static void collector_close(collector *c)
{
    for (size_t i = 0; c->tensors != NULL && i < liz_gguf_n_tensors(c->gguf); i++) {
        free(c->tensors[i].sums);
        free(c->tensors[i].counts);
    }
    free(c->tensors);
}

static liz_status collector_open(collector *c, const liz_gguf *gguf, liz_error *err)
{
    size_t n = liz_gguf_n_tensors(gguf);
    *c = (collector){gguf, calloc(n, sizeof *c->tensors)};
    for (size_t i = 0; c->tensors != NULL && i < n; i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(gguf, i);
        watched *w = &c->tensors[i];
        if (t->n_dim < 2)
            continue;
        w->n_in = liz_gguf_n_in(t);
        w->n_mat = n_matrices(t);
        w->sums = calloc(w->n_mat * w->n_in, sizeof *w->sums);
        w->counts = calloc(w->n_mat, sizeof *w->counts);
        if (w->sums == NULL || w->counts == NULL) {
            collector_close(c);
            c->tensors = NULL;
        }
    }
    return c->tensors != NULL ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for the sums of its inputs");
}

/* ---- Running the text ---- */

/* The token that begins a text, where the model has one: pieces but the first need it too. */
static liz_status beginning(const liz_vocab *vocab, int32_t *token, bool *is_there, liz_error *err)
{
    int32_t *tokens;
    size_t n;
    LIZ_TRY(liz_tokenize(vocab, "", 0, LIZ_TOKENIZE_AFFIXES, &tokens, &n, err));
    *is_there = n > 0 && !liz_vocab_is_end(vocab, tokens[0]);
    *token = *is_there ? tokens[0] : 0;
    free(tokens);
    return LIZ_OK;
}

typedef struct text {
    int32_t *tokens;
    size_t n_tokens;
    int32_t first;
    bool has_first;
    double nats; /* of the n_scored tokens that have one before them */
    size_t n_scored;
} text;

static liz_status run_piece(liz_engine *engine, text *t, size_t at, size_t n, liz_error *err)
{
    int32_t tokens[PIECE_TOKENS];
    float logprobs[PIECE_TOKENS];
    size_t n_first = t->has_first ? 1 : 0;
    tokens[0] = t->first;
    memcpy(tokens + n_first, t->tokens + at, n * sizeof *tokens);
    liz_status status = liz_score(engine, tokens, n + n_first, logprobs, NULL, NULL, err);
    for (size_t i = 1; i < n + n_first && status == LIZ_OK; i++, t->n_scored++)
        t->nats -= (double)logprobs[i];
    return status;
}

static liz_status run_text(liz_engine *engine, text *t, const liz_engine_opts *opts, liz_error *err)
{
    liz_engine_info info;
    liz_engine_info_get(engine, &info);
    size_t most = (size_t)(info.n_ctx < PIECE_TOKENS ? info.n_ctx : PIECE_TOKENS) - (t->has_first ? 1 : 0);
    for (size_t at = 0; at < t->n_tokens;) {
        size_t n = t->n_tokens - at < most ? t->n_tokens - at : most;
        LIZ_TRY(run_piece(engine, t, at, n, err));
        at += n;
        if (opts->on_progress != NULL)
            opts->on_progress(opts->on_progress_user, at, t->n_tokens);
    }
    return LIZ_OK;
}

/* ---- The file ---- */

static void declare(liz_gguf_writer *writer, liz_str name, const char *what, size_t n_mat, size_t n_in)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%.*s.%s", LIZ_STR_ARG(name), what);
    liz_gguf_declare_tensor(writer, liz_str_of(full), LIZ_DTYPE_F32, 2, (uint64_t[]){n_mat, n_in});
}

static bool was_used(const watched *w)
{
    bool used = false;
    for (size_t i = 0; i < w->n_mat; i++)
        used |= w->counts[i] > 0;
    return used;
}

static liz_status write_tensor(liz_gguf_writer *writer, const watched *w, liz_error *err)
{
    for (size_t i = 0; i < w->n_mat * w->n_in; i++)
        LIZ_TRY(liz_gguf_writer_data(writer, &(float){(float)w->sums[i]}, sizeof(float), err));
    for (size_t i = 0; i < w->n_mat; i++)
        LIZ_TRY(liz_gguf_writer_data(writer, &(float){(float)w->counts[i]}, sizeof(float), err));
    return LIZ_OK;
}

/* The text is named by its hash: the file says nothing of where it lay. */
static liz_status write_sums(const collector *c, const text *t, liz_hash hash, const char *out, liz_error *err)
{
    liz_gguf_writer *writer;
    char name[33];
    LIZ_TRY(liz_gguf_writer_open(&writer, NULL, out, err));
    liz_hash_hex(hash, name);
    liz_gguf_put_str(writer, "general.type", liz_str_of("imatrix"));
    liz_gguf_put_strs(writer, "imatrix.datasets", &(liz_str){name, strlen(name)}, 1);
    liz_gguf_put_u32(writer, "imatrix.chunk_count", (uint32_t)(t->n_tokens / PIECE_TOKENS + 1));
    liz_gguf_put_u32(writer, "imatrix.chunk_size", PIECE_TOKENS);
    size_t n = liz_gguf_n_tensors(c->gguf);
    for (size_t i = 0; i < n; i++)
        if (was_used(&c->tensors[i])) {
            declare(writer, liz_gguf_tensor_at(c->gguf, i)->name, "in_sum2", c->tensors[i].n_mat, c->tensors[i].n_in);
            declare(writer, liz_gguf_tensor_at(c->gguf, i)->name, "counts", c->tensors[i].n_mat, 1);
        }
    liz_status status = liz_gguf_writer_begin(writer, err);
    for (size_t i = 0; i < n && status == LIZ_OK; i++)
        if (was_used(&c->tensors[i]))
            status = write_tensor(writer, &c->tensors[i], err);
    status = status ?: liz_gguf_writer_finish(writer, err);
    liz_gguf_writer_close(writer);
    return status;
}

static liz_status tokens_of(const liz_engine *engine, const char *bytes, size_t n_bytes, text *t, liz_error *err)
{
    const liz_vocab *vocab = liz_engine_vocab(engine);
    if (vocab == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "the model has no vocabulary that is known: no text can be read");
    liz_status status = beginning(vocab, &t->first, &t->has_first, err);
    status = status ?: liz_tokenize(vocab, bytes, n_bytes, 0, &t->tokens, &t->n_tokens, err);
    if (status == LIZ_OK && t->n_tokens < 2)
        status = liz_fail(err, LIZ_E_USAGE, "the text has less than two tokens");
    return status;
}

liz_status liz_imatrix_make(const char *path, const char *bytes, size_t n_bytes, const char *out,
                            const liz_engine_opts *opts, liz_imatrix_report *report, liz_error *err)
{
    static const liz_engine_opts opts_default;
    opts = opts != NULL ? opts : &opts_default;
    liz_engine *engine;
    liz_engine_opts own = {.n_threads = opts->n_threads,
                           .n_parallel = 1,
                           .prefix_cache_off = true,
                           .memory_max_bytes = opts->memory_max_bytes};
    LIZ_TRY(liz_engine_open(&engine, path, &own, err));
    collector c = {0};
    text t = {0};
    liz_status status = tokens_of(engine, bytes, n_bytes, &t, err);
    status = status ?: collector_open(&c, engine->parts.gguf, err);
    if (status == LIZ_OK) {
        liz_model_watch(engine->parts.model, on_input, &c);
        status = run_text(engine, &t, opts, err);
    }
    status = status ?: write_sums(&c, &t, liz_hash_bytes(bytes, n_bytes), out, err);
    if (status == LIZ_OK && report != NULL)
        *report = (liz_imatrix_report){t.n_tokens, exp(t.nats / (double)t.n_scored)};
    free(t.tokens);
    collector_close(&c);
    liz_engine_close(engine);
    return status;
}

/* ---- Reading ---- */

liz_status liz_imatrix_open(liz_gguf **out, const char *path, liz_error *err)
{
    liz_str type;
    liz_status status = liz_gguf_open(out, path, err);
    if (status == LIZ_OK && (!liz_gguf_str(*out, "general.type", &type) || !liz_str_is(type, "imatrix"))) {
        liz_gguf_close(*out);
        *out = NULL;
        status = liz_fail(err, LIZ_E_FORMAT, "%s: is no importance matrix (general.type is another)", path);
    }
    return status;
}

static const liz_gguf_tensor *find(const liz_gguf *imatrix, liz_str name, const char *what)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%.*s.%s", LIZ_STR_ARG(name), what);
    return liz_gguf_tensor_find(imatrix, full);
}

static bool is_sane(const liz_gguf_tensor *t, uint64_t n)
{
    bool sane = t->dtype == LIZ_DTYPE_F32 && t->size_bytes == n * sizeof(float);
    for (uint64_t i = 0; i < n && sane; i++) {
        float value;
        memcpy(&value, t->data + i * sizeof value, sizeof value);
        sane = value >= 0 && isfinite(value);
    }
    return sane;
}

/* A matrix's sums [n] to importance, 1 on average; a matrix that met nothing finds all inputs alike. */
static void even_out(const uint8_t *sums, size_t n, float *importance)
{
    double all = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(importance + i, sums + i * sizeof *importance, sizeof *importance);
        all += (double)importance[i];
    }
    for (size_t i = 0; i < n; i++) {
        double share = all > 0 ? (double)importance[i] / all * (double)n : 1;
        importance[i] = (float)(share_of_all + (1 - share_of_all) * share);
    }
}

liz_status liz_imatrix_of(const liz_gguf *imatrix, const liz_gguf_tensor *tensor, float **importance, liz_error *err)
{
    const liz_gguf_tensor *sums = find(imatrix, tensor->name, "in_sum2");
    size_t n_mat = n_matrices(tensor), n_in = liz_gguf_n_in(tensor);
    *importance = NULL;
    if (sums == NULL)
        return LIZ_OK;
    if (!is_sane(sums, (uint64_t)n_mat * n_in))
        return liz_fail(err, LIZ_E_FORMAT, "%s: tensor %.*s: does not fit the model's, or holds no sums of squares",
                        liz_gguf_path(imatrix), LIZ_STR_ARG(sums->name));
    *importance = malloc(n_mat * n_in * sizeof **importance);
    if (*importance == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for importance", liz_gguf_path(imatrix));
    for (size_t i = 0; i < n_mat; i++)
        even_out(sums->data + i * n_in * sizeof(float), n_in, *importance + i * n_in);
    return LIZ_OK;
}
