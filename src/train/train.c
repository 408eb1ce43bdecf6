/* train.c - from options to a model file, step by step. */
#include "train/train.h"

#include "decode/sampler.h"
#include "kernel/angle.h"
#include "sys/memory.h"
#include "train/bpe.h"
#include "train/corpus.h"
#include "train/rewrite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_TOKENS = 96, SAMPLE_MAX = 240, PART_TOKENS = 4096, SPECIALS_MAX = 64 };

static const char end_of_text[] = "<|endoftext|>";

typedef struct trainer {
    const liz_train_opts *opts;
    liz_course course; /* its model: --init, or the start beside OUT */
    liz_model_shape shape;
    liz_dtype dtype;
    liz_tokens tokens, valid_tokens;
    size_t n_ctx;
    liz_sampler *sampler;
    float *logits;
    liz_buf sample;
} trainer;

/* ---- Options ---- */

static liz_status check_specials(const liz_paths *specials, liz_error *err)
{
    if (specials->n > SPECIALS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--special: more than %d tokens", SPECIALS_MAX);
    for (size_t i = 0; i < specials->n; i++) {
        liz_str text = liz_str_of(specials->v[i]);
        bool twice = liz_str_is(text, end_of_text);
        for (size_t k = 0; k < i; k++)
            twice = twice || liz_str_is(text, specials->v[k]);
        if (text.n == 0 || liz_utf8_valid_prefix(text.p, text.n) != text.n)
            return liz_fail(err, LIZ_E_USAGE, "--special: its %zu. token is %s", i + 1,
                            text.n == 0 ? "empty" : "not UTF-8 text");
        if (twice)
            return liz_fail(err, LIZ_E_USAGE, "--special %s: is there already: leave one out", text.p);
    }
    return LIZ_OK;
}

static liz_status check_options(trainer *t, liz_error *err)
{
    static const struct {
        const char *name;
        liz_dtype dtype;
    } dtypes[] = {{"bf16", LIZ_DTYPE_BF16}, {"f32", LIZ_DTYPE_F32}, {"f16", LIZ_DTYPE_F16}};
    const liz_train_opts *o = t->opts;
    size_t i = 0;
    while (o->dtype != NULL && i < 3 && strcmp(o->dtype, dtypes[i].name) != 0)
        i++;
    if (i == 3)
        return liz_fail(err, LIZ_E_USAGE, "--dtype %s: is not bf16, f32 or f16", o->dtype);
    t->dtype = dtypes[i].dtype;
    if (o->data.n == 0)
        return liz_fail(err, LIZ_E_USAGE, "train: wants text: --data FILE...");
    const liz_model_shape *s = &o->shape;
    bool shaped = o->shape_name != NULL || s->n_layer || s->n_embd || s->n_ff || s->n_head || s->n_head_kv ||
                  s->n_embd_head || s->qk_norm || s->rope_base != 0;
    bool tokenized = o->pre != NULL || o->specials.n > 0 || s->n_vocab != 0;
    if (o->init != NULL && (o->tokenizer != NULL || shaped || tokenized))
        return liz_fail(err, LIZ_E_USAGE, "--init: shape and tokenizer are the model's own: leave theirs out");
    if (o->tokenizer != NULL && tokenized)
        return liz_fail(err, LIZ_E_USAGE,
                        "--tokenizer: is there already: leave out --vocab, --pre-tokenizer and --special");
    if (o->valid.n == 0 && (o->sample != NULL || o->common.patience > 0 || o->common.valid_every > 0))
        return liz_fail(err, LIZ_E_USAGE, "%s: happens at validations: give --valid FILE...",
                        o->sample != NULL        ? "--sample"
                        : o->common.patience > 0 ? "--patience"
                                                 : "--valid-every");
    LIZ_TRY(check_specials(&o->specials, err));
    t->shape = o->shape;
    return o->init != NULL ? LIZ_OK : liz_model_shape_complete(&t->shape, o->shape_name, err);
}

/* ---- The beginning ---- */

static void tell_reading(trainer *t, const char *path)
{
    t->course.progress.path = path;
    liz_course_tell(&t->course, LIZ_TRAIN_READING);
}

static liz_status count_text(void *user, liz_str text, bool ends, liz_error *err)
{
    (void)ends;
    return liz_bpe_count(user, text, err);
}

static liz_status train_tokenizer(trainer *t, liz_bpe *bpe, liz_gguf_writer *writer, liz_error *err)
{
    const liz_paths *data = &t->opts->data, *more = &t->opts->specials;
    const char *specials[SPECIALS_MAX + 1] = {end_of_text};
    size_t n_specials = 1 + more->n, n_merges;
    if (more->n > 0)
        memcpy(specials + 1, more->v, more->n * sizeof *specials);
    for (size_t i = 0; i < data->n; i++) {
        tell_reading(t, data->v[i]);
        LIZ_TRY(liz_corpus_read(t->course.files, data->v[i], count_text, bpe, err));
    }
    LIZ_TRY(liz_bpe_merge_all(bpe, (size_t)t->shape.n_vocab - n_specials, err));
    liz_bpe_merges(bpe, &n_merges);
    t->shape.n_vocab = (int32_t)(256 + n_merges + n_specials);
    return liz_bpe_put(bpe, writer, specials, n_specials, 0, err);
}

static liz_status put_new_tokenizer(trainer *t, liz_gguf_writer *writer, liz_error *err)
{
    liz_bpe *bpe;
    LIZ_TRY(liz_bpe_open(&bpe, t->opts->pre != NULL ? t->opts->pre : "qwen2", err));
    liz_status status = train_tokenizer(t, bpe, writer, err);
    liz_bpe_close(bpe);
    return status;
}

static liz_status put_tokenizer_of(trainer *t, liz_gguf_writer *writer, const char *path, liz_error *err)
{
    liz_gguf *from = NULL;
    liz_text_vocab *vocab = NULL;
    liz_status status = liz_gguf_open(&from, path, err);
    status = status ?: liz_text_vocab_open(&vocab, from, err);
    if (status == LIZ_OK)
        t->shape.n_vocab = liz_text_vocab_size(vocab);
    for (size_t i = 0; status == LIZ_OK && i < liz_gguf_n_entries(from); i++)
        if (liz_str_starts(liz_gguf_entry_at(from, i)->key, "tokenizer."))
            liz_gguf_put_entry(writer, liz_gguf_entry_at(from, i));
    /* Entries are kept as pieces of the file until the head is written. */
    liz_text_vocab_close(vocab);
    liz_gguf_close(from);
    return status;
}

/* Weights, gradients and averages alone must fit, or no file of them is written. */
static liz_status check_size(const trainer *t, liz_error *err)
{
    uint64_t n = liz_model_shape_params(&t->shape), available = liz_memory_available();
    if (n <= available / (4 * sizeof(float)))
        return LIZ_OK;
    return liz_fail(err, LIZ_E_MEMORY, "a model of %.1f M parameters takes over %.1f GiB to train, and %.1f are there",
                    (double)n * 1e-6, (double)n * 16 / (1 << 30), (double)available / (1 << 30));
}

/* The file that a model begins as, beside OUT. */
static liz_status write_start(trainer *t, liz_error *err)
{
    liz_gguf_writer *writer;
    LIZ_TRY(check_size(t, err));
    LIZ_TRY(liz_gguf_writer_open(&writer, t->course.files, t->course.job.start_new, err));
    liz_status status = t->opts->tokenizer != NULL ? put_tokenizer_of(t, writer, t->opts->tokenizer, err)
                                                   : put_new_tokenizer(t, writer, err);
    status = status ?: liz_model_shape_write(&t->shape, writer, t->opts->common.seed, err);
    status = status ?: liz_gguf_writer_finish(writer, err);
    liz_gguf_writer_close(writer);
    return status;
}

static liz_status open_start(trainer *t, liz_error *err)
{
    const char *init = t->opts->init, *start = t->course.job.resumes ? t->course.job.start : t->course.job.start_new;
    uint64_t n_ctx;
    if (init == NULL && !t->course.job.resumes)
        LIZ_TRY(write_start(t, err));
    liz_status status = liz_course_open_model(&t->course, init != NULL ? init : start, &n_ctx, err);
    if (status != LIZ_OK && init == NULL && t->course.job.resumes)
        return liz_fail_within(err, status, "%s: what it began as cannot be used: --restart begins anew", t->opts->out);
    LIZ_TRY(status);
    if (init == NULL || t->opts->shape.n_ctx > 0)
        n_ctx = (uint64_t)t->shape.n_ctx;
    else
        n_ctx = n_ctx == 0 ? 512 : n_ctx < PART_TOKENS ? n_ctx : PART_TOKENS;
    t->n_ctx = (size_t)n_ctx;
    return LIZ_OK;
}

/* ---- The data ---- */

static liz_status read_files(trainer *t, liz_tokens *tokens, const liz_paths *paths, liz_error *err)
{
    int32_t bos = liz_text_vocab_bos(t->course.vocab), eos = liz_text_vocab_eos(t->course.vocab);
    tokens->begin = bos >= 0 ? bos : eos;
    tokens->end = eos >= 0 ? eos : bos;
    if (tokens->begin < 0)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "the tokenizer names no token that begins or ends a text");
    for (size_t i = 0; i < paths->n; i++) {
        tell_reading(t, paths->v[i]);
        LIZ_TRY(liz_tokens_add(tokens, t->course.files, paths->v[i], t->course.vocab, err));
    }
    return LIZ_OK;
}

static liz_status read_data(trainer *t, liz_error *err)
{
    liz_train_progress *p = &t->course.progress;
    LIZ_TRY(read_files(t, &t->tokens, &t->opts->data, err));
    LIZ_TRY(read_files(t, &t->valid_tokens, &t->opts->valid, err));
    t->course.feed = liz_tokens_feed(&t->tokens, t->n_ctx);
    t->course.valid = liz_tokens_feed(&t->valid_tokens, t->n_ctx);
    if (t->course.feed.n_items > UINT32_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "the data are more than %u rows of %zu tokens", UINT32_MAX, t->n_ctx);
    p->n_documents = t->tokens.n_documents;
    p->n_data_tokens = t->tokens.n;
    p->n_data_bytes = t->tokens.n_bytes;
    p->n_valid_tokens = t->valid_tokens.n;
    if (t->valid_tokens.n > 0) {
        p->bytes_per_token = (double)t->valid_tokens.n_bytes / (double)t->valid_tokens.n;
        p->words_per_token = (double)t->valid_tokens.n_words / (double)t->valid_tokens.n;
    }
    return LIZ_OK;
}

/* ---- Settings ---- */

static liz_hash tokens_hash(const liz_tokens *tokens)
{
    return liz_hash_bytes(tokens->v, tokens->n * sizeof *tokens->v);
}

/* Settings that are known before anything is read. */
static liz_status add_first_settings(trainer *t, liz_error *err)
{
    const liz_train_opts *o = t->opts;
    const liz_model_shape *s = &t->shape;
    liz_job *job = &t->course.job;
    liz_job_setting(job, "command", "train");
    if (o->init == NULL)
        liz_job_setting(job, "shape", "%d %d %d %d %d %d %d%s %g", s->n_layer, s->n_embd, s->n_ff, s->n_head,
                        s->n_head_kv, s->n_embd_head, s->n_vocab, s->qk_norm ? " qk-norm" : "", (double)s->rope_base);
    liz_job_setting(job, "context", "%d", s->n_ctx); /* 0: of the model */
    if (o->init == NULL && o->tokenizer == NULL)
        liz_job_setting(job, "pre-tokenizer", "%s", o->pre != NULL ? o->pre : "qwen2");
    if (o->init == NULL)
        liz_job_setting(job, "tokenizer", "%s", o->tokenizer != NULL ? o->tokenizer : "trained");
    liz_hash specials = {0};
    for (size_t i = 0; i < o->specials.n; i++)
        specials = liz_hash_chain(specials, o->specials.v[i], strlen(o->specials.v[i]));
    liz_job_setting_hash(job, "special", specials);
    liz_job_setting(job, "dtype", "%s", o->dtype != NULL ? o->dtype : "bf16");
    liz_job_setting(job, "part", "%d", o->n_part > 0 ? o->n_part : PART_TOKENS);
    return liz_job_check(job, err) ?: liz_course_settle_first(&t->course, err);
}

static liz_status add_settings(trainer *t, liz_error *err)
{
    liz_job_setting_hash(&t->course.job, "model", liz_gguf_hash(t->course.gguf, SIZE_MAX));
    liz_job_setting_hash(&t->course.job, "data", tokens_hash(&t->tokens));
    if (t->opts->common.patience > 0)
        liz_job_setting_hash(&t->course.job, "valid", tokens_hash(&t->valid_tokens));
    return liz_job_check(&t->course.job, err);
}

/* ---- Samples ---- */

static int32_t draw(trainer *t, const int32_t *tokens, size_t n)
{
    size_t n_vocab = (size_t)liz_text_vocab_size(t->course.vocab);
    const float *p = liz_tape_next(t->course.tape, tokens, n);
    for (size_t i = 0; i < n_vocab; i++)
        t->logits[i] = p[i] > 1e-30f ? (float)liz_angle_log((double)p[i]) : -INFINITY;
    liz_sampling sampling = {.temperature = 0.7f, .min_p = 0.05f, .seed = t->opts->common.seed};
    liz_history history = {tokens, NULL, n};
    return liz_sampler_choose(t->sampler, &sampling, t->logits, &history, n);
}

/* Continues the sample's text, as `lizzie run` would by default. */
static liz_status on_valid(void *user, liz_error *err)
{
    trainer *t = user;
    const liz_text_vocab *vocab = t->course.vocab;
    int32_t tokens[SAMPLE_MAX], *ids = NULL, next = 0;
    size_t n_ids, n = 1, most = t->n_ctx < SAMPLE_MAX ? t->n_ctx : SAMPLE_MAX;
    LIZ_TRY(liz_text_encode(vocab, liz_str_of(t->opts->sample), 0, &ids, &n_ids, err));
    tokens[0] = t->tokens.begin;
    for (size_t i = 0; i < n_ids && n + 1 < most; i++)
        tokens[n++] = ids[i];
    free(ids);
    for (int i = 0; i < SAMPLE_TOKENS && n < most && next >= 0; i++) {
        next = draw(t, tokens, n);
        if (next < 0 || liz_text_vocab_is_end(vocab, next))
            break;
        tokens[n++] = next;
    }
    liz_text_stream stream = {0};
    liz_buf bytes;
    liz_buf_init(&bytes, 1 << 16);
    for (size_t i = 1; i < n; i++)
        liz_text_decode_token(vocab, tokens[i], i == 1, false, &bytes);
    liz_buf_clear(&t->sample);
    liz_buf_puts(&t->sample, "");
    liz_text_stream_push(&stream, bytes.data != NULL ? bytes.data : "", bytes.len, &t->sample);
    liz_buf_free(&bytes);
    t->course.progress.sample = t->sample.data;
    return LIZ_OK;
}

static liz_status open_sampler(trainer *t, liz_error *err)
{
    int32_t n_vocab = liz_text_vocab_size(t->course.vocab);
    t->logits = malloc((size_t)n_vocab * sizeof *t->logits);
    if (t->logits == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for samples");
    t->course.on_valid = on_valid;
    t->course.valid_user = t;
    return liz_sampler_open(&t->sampler, n_vocab, 4, err);
}

/* ---- The whole ---- */

static liz_status open_tape(trainer *t, liz_error *err)
{
    size_t n_part = t->opts->n_part > 0 ? (size_t)t->opts->n_part : PART_TOKENS,
           n_step = t->course.plan.batch * t->n_ctx;
    n_part = n_part > t->n_ctx ? n_part : t->n_ctx;
    t->course.n_part = n_part < n_step ? n_part : n_step;
    liz_graph_opts opts = {.seed = t->opts->common.seed, .n_ctx = (int32_t)t->n_ctx};
    LIZ_TRY(liz_course_open_tape(&t->course, &opts, (liz_tape_opts){.recompute = t->opts->recompute}, err));
    t->course.progress.token_ops = liz_tape_token_ops(t->course.tape, t->n_ctx, 1);
    return liz_rewrite_check(t->course.gguf, t->course.tape, err);
}

static liz_status train(trainer *t, liz_error *err)
{
    LIZ_TRY(add_first_settings(t, err));
    if (t->course.job.is_done) {
        /* The length in steps is known without data where it is given in tokens. */
        if (t->shape.n_ctx > 0 && t->opts->common.tokens > 0)
            LIZ_TRY(liz_course_settle(&t->course, (size_t)t->shape.n_ctx, err));
        liz_course_was_finished(&t->course);
        return LIZ_OK;
    }
    LIZ_TRY(open_start(t, err));
    LIZ_TRY(read_data(t, err));
    LIZ_TRY(add_settings(t, err));
    LIZ_TRY(liz_course_settle(&t->course, t->n_ctx, err));
    LIZ_TRY(open_tape(t, err));
    if (t->opts->sample != NULL)
        LIZ_TRY(open_sampler(t, err));
    LIZ_TRY(liz_course_run(&t->course, err));
    LIZ_TRY(liz_rewrite(t->course.gguf, t->course.tape, t->course.files, t->opts->out, t->dtype, err));
    return liz_course_finish(&t->course, err);
}

liz_status liz_train(const liz_train_opts *opts, const liz_files *files, liz_train_fn *on_event, void *user,
                     liz_error *err)
{
    trainer t = {.opts = opts};
    LIZ_TRY(check_options(&t, err));
    liz_buf_init(&t.sample, 1 << 16);
    liz_status status = liz_course_open(&t.course, &opts->common, files, opts->out, on_event, user, err);
    status = status ?: train(&t, err);
    liz_sampler_close(t.sampler);
    free(t.logits);
    liz_buf_free(&t.sample);
    liz_course_close(&t.course);
    liz_tokens_free(&t.tokens);
    liz_tokens_free(&t.valid_tokens);
    return status;
}
