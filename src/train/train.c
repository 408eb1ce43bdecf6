/* train.c - from options to a model file, step by step. */
#include "train/train.h"

#include "base/checked.h"
#include "decode/sampler.h"
#include "kernel/angle.h"
#include "sys/memory.h"
#include "train/bpe.h"
#include "train/graph.h"
#include "train/rewrite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_TOKENS = 96, SAMPLE_MAX = 240, PART_TOKENS = 4096, SPECIALS_MAX = 64 };

static const char end_of_text[] = "<|endoftext|>";

typedef struct trainer {
    const liz_train_opts *opts;
    liz_course course;
    liz_model_shape shape;
    liz_gguf *gguf; /* what training goes on from: --init, or the start beside OUT */
    liz_dtype dtype;
    liz_text_vocab *vocab;
    liz_tokens tokens, valid_tokens;
    liz_row_feed rows, valid_rows;
    liz_feed feed, valid;
    size_t n_ctx, n_part;
    liz_tape *tape;
    liz_graph *graph;
    liz_sampler *sampler;
    float *logits;
    liz_buf sample;
} trainer;

/* ---- Options ---- */

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
    if (o->init != NULL && (o->tokenizer != NULL || o->shape_name != NULL || o->specials.n > 0))
        return liz_fail(err, LIZ_E_USAGE, "--init: shape and tokenizer are the model's own: leave theirs out");
    if (o->specials.n > SPECIALS_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--special: more than %d tokens", SPECIALS_MAX);
    t->shape = o->shape;
    return o->init != NULL ? LIZ_OK : liz_model_shape_complete(&t->shape, o->shape_name, err);
}

/* ---- The beginning ---- */

static liz_status count_text(void *user, liz_str text, bool ends, liz_error *err)
{
    (void)ends;
    return liz_bpe_count(user, text, err);
}

static liz_status train_tokenizer(trainer *t, liz_bpe *bpe, liz_error *err)
{
    const liz_paths *data = &t->opts->data;
    size_t n_specials = 1 + t->opts->specials.n, n_merges;
    liz_status status = LIZ_OK;
    for (size_t i = 0; i < data->n && status == LIZ_OK; i++) {
        t->course.progress.path = data->v[i];
        liz_course_tell(&t->course, LIZ_TRAIN_READING);
        status = liz_corpus_read(t->course.files, data->v[i], count_text, bpe, err);
    }
    if (status == LIZ_OK)
        status = liz_bpe_merge_all(bpe, (size_t)t->shape.n_vocab - n_specials, err);
    liz_bpe_merges(bpe, &n_merges);
    t->shape.n_vocab = (int32_t)(256 + n_merges + n_specials);
    return status;
}

static liz_status put_new_tokenizer(trainer *t, liz_gguf_writer *writer, liz_error *err)
{
    const char *specials[SPECIALS_MAX + 1] = {end_of_text};
    liz_bpe *bpe = NULL;
    for (size_t i = 0; i < t->opts->specials.n; i++)
        specials[i + 1] = t->opts->specials.v[i];
    liz_status status = liz_bpe_open(&bpe, t->opts->pre != NULL ? t->opts->pre : "qwen2", err);
    if (status == LIZ_OK)
        status = train_tokenizer(t, bpe, err);
    if (status == LIZ_OK)
        status = liz_bpe_put(bpe, writer, specials, 1 + t->opts->specials.n, 0, err);
    liz_bpe_close(bpe);
    return status;
}

static liz_status put_tokenizer_of(trainer *t, liz_gguf_writer *writer, const char *path, liz_error *err)
{
    liz_gguf *from = NULL;
    liz_text_vocab *vocab = NULL;
    liz_status status = liz_gguf_open(&from, path, err);
    if (status == LIZ_OK)
        status = liz_text_vocab_open(&vocab, from, err);
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
    liz_gguf_writer *writer = NULL;
    liz_status status = check_size(t, err);
    if (status == LIZ_OK)
        status = liz_gguf_writer_open(&writer, t->course.job.start, err);
    if (status == LIZ_OK)
        status = t->opts->tokenizer != NULL ? put_tokenizer_of(t, writer, t->opts->tokenizer, err)
                                            : put_new_tokenizer(t, writer, err);
    if (status == LIZ_OK) {
        liz_model_shape_put(&t->shape, writer);
        liz_model_shape_declare(&t->shape, writer);
        status = liz_gguf_writer_begin(writer, err);
    }
    if (status == LIZ_OK)
        status = liz_model_shape_write(&t->shape, writer, t->opts->common.seed, err);
    if (status == LIZ_OK)
        status = liz_gguf_writer_finish(writer, err);
    liz_gguf_writer_close(writer);
    return status;
}

static liz_status open_start(trainer *t, liz_error *err)
{
    const char *path = t->opts->init != NULL ? t->opts->init : t->course.job.start;
    liz_status status = LIZ_OK;
    uint64_t n_ctx = 0;
    if (t->opts->init == NULL && !t->course.job.resumes)
        status = write_start(t, err);
    if (status == LIZ_OK)
        status = liz_gguf_open(&t->gguf, path, err);
    if (status == LIZ_OK)
        status = liz_text_vocab_open(&t->vocab, t->gguf, err);
    if (status != LIZ_OK)
        return status;
    t->course.progress.n_vocab = (uint64_t)liz_text_vocab_size(t->vocab);
    t->n_ctx = t->opts->init == NULL || t->opts->shape.n_ctx > 0 ? (size_t)t->shape.n_ctx : 0;
    liz_str arch;
    char key[128];
    if (t->n_ctx == 0 && liz_gguf_str(t->gguf, "general.architecture", &arch)) {
        snprintf(key, sizeof key, "%.*s.context_length", LIZ_STR_ARG(arch));
        t->n_ctx = liz_gguf_u64(t->gguf, key, &n_ctx) ? (size_t)(n_ctx < PART_TOKENS ? n_ctx : PART_TOKENS) : 512;
    }
    return LIZ_OK;
}

/* ---- The data ---- */

static liz_status read_files(trainer *t, liz_tokens *tokens, const liz_paths *paths, liz_error *err)
{
    int32_t bos = liz_text_vocab_bos(t->vocab), eos = liz_text_vocab_eos(t->vocab);
    tokens->begin = bos >= 0 ? bos : eos;
    tokens->end = eos >= 0 ? eos : bos;
    if (tokens->begin < 0)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "the tokenizer names no token that begins or ends a text");
    liz_status status = LIZ_OK;
    for (size_t i = 0; i < paths->n && status == LIZ_OK; i++) {
        t->course.progress.path = paths->v[i];
        liz_course_tell(&t->course, LIZ_TRAIN_READING);
        status = liz_tokens_add(tokens, t->course.files, paths->v[i], t->vocab, err);
    }
    return status;
}

static liz_status read_data(trainer *t, liz_error *err)
{
    liz_status status = read_files(t, &t->tokens, &t->opts->data, err);
    if (status == LIZ_OK)
        status = read_files(t, &t->valid_tokens, &t->opts->valid, err);
    if (status != LIZ_OK)
        return status;
    t->feed = liz_row_feed_of(&t->rows, &t->tokens, t->n_ctx);
    t->valid = liz_row_feed_of(&t->valid_rows, &t->valid_tokens, t->n_ctx);
    if (t->feed.n_items > UINT32_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "the data are more than %u rows of %zu tokens", UINT32_MAX, t->n_ctx);
    liz_train_progress *p = &t->course.progress;
    p->n_documents = t->tokens.n_documents;
    p->n_data_tokens = t->tokens.n;
    p->n_data_bytes = t->tokens.n_bytes;
    p->n_valid_tokens = t->valid_tokens.n;
    p->bytes_per_token = t->valid.bytes_per_token;
    p->words_per_token = t->valid.words_per_token;
    return LIZ_OK;
}

/* ---- Settings ---- */

static liz_status set_hash(trainer *t, const char *name, liz_hash hash, liz_error *err)
{
    char hex[33];
    liz_hash_hex(hash, hex);
    return liz_job_setting(&t->course.job, err, name, "%s", hex);
}

/* Settings that are known before anything is read. */
static liz_status add_first_settings(trainer *t, liz_error *err)
{
    const liz_train_opts *o = t->opts;
    const liz_model_shape *s = &o->shape;
    liz_job *job = &t->course.job;
    liz_status status = liz_job_setting(job, err, "command", "train");
    if (status == LIZ_OK && o->init == NULL)
        status = liz_job_setting(job, err, "shape", "%s %d %d %d %d %d %d %d%s %g",
                                 o->shape_name != NULL ? o->shape_name : "-", s->n_layer, s->n_embd, s->n_ff, s->n_head,
                                 s->n_head_kv, s->n_embd_head, s->n_vocab, s->qk_norm ? " qk-norm" : "",
                                 (double)s->rope_base);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "context", "%d", s->n_ctx);
    if (status == LIZ_OK && o->init == NULL && o->tokenizer == NULL)
        status = liz_job_setting(job, err, "pre-tokenizer", "%s", o->pre != NULL ? o->pre : "qwen2");
    for (size_t i = 0; i < o->specials.n && status == LIZ_OK; i++)
        status = liz_job_setting(job, err, "special", "%s", o->specials.v[i]);
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "dtype", "%s", o->dtype != NULL ? o->dtype : "bf16");
    if (status == LIZ_OK)
        status = liz_job_setting(job, err, "part", "%d", o->n_part);
    return status;
}

static liz_status add_settings(trainer *t, liz_error *err)
{
    liz_status status = set_hash(t, "model", liz_gguf_hash(t->gguf, SIZE_MAX), err);
    if (status == LIZ_OK)
        status = set_hash(t, "data", liz_hash_bytes(t->tokens.v, t->tokens.n * sizeof *t->tokens.v), err);
    if (status == LIZ_OK && t->opts->common.patience > 0)
        status =
            set_hash(t, "valid", liz_hash_bytes(t->valid_tokens.v, t->valid_tokens.n * sizeof *t->valid_tokens.v), err);
    return status;
}

/* ---- Samples ---- */

static int32_t draw(trainer *t, const int32_t *tokens, size_t n)
{
    size_t n_vocab = (size_t)liz_text_vocab_size(t->vocab);
    const float *p = liz_tape_next(t->tape, tokens, n);
    for (size_t i = 0; i < n_vocab; i++)
        t->logits[i] = p[i] > 1e-30f ? (float)liz_angle_log((double)p[i]) : -INFINITY;
    liz_sampling sampling = {.temperature = 0.7f, .min_p = 0.05f, .seed = t->opts->common.seed};
    liz_history history = {tokens, NULL, n};
    return liz_sampler_choose(t->sampler, &sampling, t->logits, &history, n);
}

/* Continues the sample's text, as `lizzie run` would by default. */
static liz_status on_valid(void *user, liz_course *course, liz_error *err)
{
    trainer *t = user;
    int32_t tokens[SAMPLE_MAX], *ids = NULL, next = 0;
    size_t n_ids, n = 1;
    if (t->opts->sample == NULL)
        return LIZ_OK;
    liz_status status = liz_text_encode(t->vocab, liz_str_of(t->opts->sample), 0, &ids, &n_ids, err);
    if (status != LIZ_OK)
        return status;
    size_t most = t->n_ctx < SAMPLE_MAX ? t->n_ctx : SAMPLE_MAX;
    tokens[0] = t->tokens.begin;
    for (size_t i = 0; i < n_ids && n + 1 < most; i++)
        tokens[n++] = ids[i];
    free(ids);
    for (int i = 0; i < SAMPLE_TOKENS && n < most && next >= 0; i++) {
        next = draw(t, tokens, n);
        if (next < 0 || liz_text_vocab_is_end(t->vocab, next))
            break;
        tokens[n++] = next;
    }
    liz_text_stream stream = {0};
    liz_buf bytes;
    liz_buf_init(&bytes, 1 << 16);
    for (size_t i = 1; i < n; i++)
        liz_text_decode_token(t->vocab, tokens[i], i == 1, false, &bytes);
    liz_buf_clear(&t->sample);
    liz_buf_puts(&t->sample, "");
    liz_text_stream_push(&stream, bytes.data != NULL ? bytes.data : "", bytes.len, &t->sample);
    liz_buf_free(&bytes);
    course->progress.sample = t->sample.data;
    return LIZ_OK;
}

static liz_status open_sampler(trainer *t, liz_error *err)
{
    int32_t n_vocab = liz_text_vocab_size(t->vocab);
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
    size_t n_part = t->opts->n_part > 0 ? (size_t)t->opts->n_part : PART_TOKENS;
    t->n_part = n_part > t->n_ctx ? n_part : t->n_ctx;
    if (t->n_part > t->course.loop_opts.batch * t->n_ctx)
        t->n_part = t->course.loop_opts.batch * t->n_ctx;
    liz_tape_opts opts = {.n_tok_max = t->n_part, .recompute = t->opts->recompute};
    liz_graph_opts graph_opts = {.seed = t->opts->common.seed, .n_ctx = (int32_t)t->n_ctx};
    liz_status status = liz_tape_open(&t->tape, t->course.team, t->course.tier, &opts, err);
    if (status == LIZ_OK)
        status = liz_graph_open(&t->graph, t->gguf, t->tape, &graph_opts, err);
    if (status == LIZ_OK)
        status = liz_rewrite_check(t->gguf, t->tape, err);
    if (status != LIZ_OK)
        return status;
    for (size_t i = 0; i < liz_tape_param_count(t->tape); i++)
        t->course.progress.n_params += liz_tape_param_at(t->tape, i)->n_out * liz_tape_param_at(t->tape, i)->n_in;
    t->course.progress.token_ops = liz_tape_token_ops(t->tape, t->n_ctx);
    t->course.progress.n_step_tokens = t->course.loop_opts.batch * t->n_ctx;
    return LIZ_OK;
}

static liz_status train(trainer *t, liz_error *err)
{
    liz_status status = add_first_settings(t, err);
    if (status == LIZ_OK && t->course.job.is_done) {
        t->course.progress.was_finished = true;
        liz_course_tell(&t->course, LIZ_TRAIN_FINISHED);
        return LIZ_OK;
    }
    if (status == LIZ_OK)
        status = open_start(t, err);
    if (status == LIZ_OK)
        status = read_data(t, err);
    if (status == LIZ_OK)
        status = add_settings(t, err);
    const liz_feed *valid = t->valid_tokens.n > 0 ? &t->valid : NULL;
    if (status == LIZ_OK)
        status = liz_course_settle(&t->course, &t->feed, valid, t->n_ctx, err);
    if (status == LIZ_OK)
        status = open_tape(t, err);
    if (status == LIZ_OK && t->opts->sample != NULL)
        status = open_sampler(t, err);
    if (status == LIZ_OK)
        status = liz_course_run(&t->course, t->tape, t->n_part, &t->feed, valid, err);
    if (status == LIZ_OK)
        status = liz_rewrite(t->gguf, t->tape, t->opts->out, t->dtype, err);
    return status == LIZ_OK ? liz_course_finish(&t->course, err) : status;
}

liz_status liz_train(const liz_train_opts *opts, const liz_files *files, liz_train_fn *on_event, void *user,
                     liz_error *err)
{
    trainer t = {.opts = opts};
    liz_buf_init(&t.sample, 1 << 16);
    liz_status status = check_options(&t, err);
    if (status == LIZ_OK)
        status = liz_course_open(&t.course, &opts->common, files, opts->out, on_event, user, err);
    if (status == LIZ_OK)
        status = train(&t, err);
    liz_sampler_close(t.sampler);
    free(t.logits);
    liz_buf_free(&t.sample);
    liz_graph_close(t.graph);
    liz_tape_close(t.tape);
    liz_tokens_free(&t.tokens);
    liz_tokens_free(&t.valid_tokens);
    liz_text_vocab_close(t.vocab);
    liz_gguf_close(t.gguf);
    liz_course_close(&t.course);
    return status;
}
