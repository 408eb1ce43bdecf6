/* engine_core.c - putting an engine together, its thread, and taking it apart.
 *
 * Everything a step touches is allocated here or when a sequence is submitted; the buffers for text are made as large
 * as the vocabulary's longest token needs, so that even a hostile one cannot make a step allocate. */
#include "engine/engine_core.h"

#include "sys/cpu.h"

#include <math.h>
#include <stdlib.h>

uint64_t liz_engine_own_bytes(int32_t n_vocab, int n_threads, int n_parallel, int32_t n_logits_max)
{
    return (uint64_t)n_threads * liz_sampler_bytes(n_vocab) + (uint64_t)n_logits_max * sizeof(liz_row) +
           (uint64_t)(n_parallel + n_logits_max) * (sizeof(liz_batch_seq) + 16 * sizeof(void *));
}

/* Bytes of the longest token as it is spelt in a text. */
static bool token_bytes_max(const liz_vocab *vocab, size_t *n_max)
{
    liz_buf buf = {.len_max = SIZE_MAX / 4};
    *n_max = 0;
    int32_t n = vocab == NULL ? 0 : liz_text_vocab_size(vocab->text);
    for (int32_t token = 0; token < n && !liz_buf_failed(&buf); token++) {
        buf.len = 0;
        liz_text_decode_token(vocab->text, token, false, true, &buf);
        *n_max = buf.len > *n_max ? buf.len : *n_max;
    }
    bool ok = !liz_buf_failed(&buf);
    liz_buf_free(&buf);
    return ok;
}

static bool buf_fix(liz_buf *buf, size_t size)
{
    liz_buf_init(buf, size);
    return liz_buf_reserve(buf, size);
}

/* A byte becomes at most three (U+FFFD), and each buffer may receive what the one before it held back. */
static bool text_buffers_make(liz_engine *engine)
{
    size_t n_bytes;
    if (!token_bytes_max(engine->parts.vocab, &n_bytes))
        return false;
    size_t n_chars = 3 * (n_bytes + sizeof(liz_text_stream));
    return buf_fix(&engine->bytes, n_bytes + 1) && buf_fix(&engine->chars, n_chars) &&
           buf_fix(&engine->text, n_chars + 2 * LIZ_STOP_LEN_MAX);
}

static bool arrays_make(liz_engine *engine)
{
    const liz_vocab *vocab = engine->parts.vocab;
    liz_arena *arena = &engine->arena;
    int32_t n_tokens = vocab == NULL ? 0 : liz_vocab_size(vocab);
    n_tokens = n_tokens < engine->n_vocab ? n_tokens : engine->n_vocab;
    for (int32_t token = 0; token < n_tokens; token++)
        engine->n_no_end += liz_vocab_is_end(vocab, token);
    size_t n_parallel = (size_t)engine->parts.n_parallel, n_queue = (size_t)engine->n_queue_max;
    size_t n_parts = n_parallel + (size_t)engine->parts.n_logits_max;
    engine->running = liz_arena_array(arena, n_parallel, sizeof(liz_seq *));
    engine->batch = liz_arena_array(arena, n_parts, sizeof *engine->batch);
    engine->batch_seqs = liz_arena_array(arena, n_parts, sizeof(liz_seq *));
    engine->batch_nodes = liz_arena_array(arena, n_parts, sizeof *engine->batch_nodes);
    engine->rows = liz_arena_array(arena, (size_t)engine->parts.n_logits_max, sizeof *engine->rows);
    engine->queue = liz_arena_array(arena, n_queue, sizeof(liz_seq *));
    engine->dropped = liz_arena_array(arena, n_queue, sizeof(liz_seq *));
    engine->no_end = liz_arena_array(arena, engine->n_no_end, sizeof *engine->no_end);
    engine->samplers = liz_arena_array(arena, (size_t)liz_team_size(engine->parts.team), sizeof(liz_sampler *));
    for (int32_t token = 0, i = 0; token < n_tokens && engine->no_end != NULL; token++)
        if (liz_vocab_is_end(vocab, token))
            engine->no_end[i++] = (liz_logit_bias){token, -INFINITY};
    return engine->running && engine->batch && engine->batch_seqs && engine->batch_nodes && engine->rows &&
           engine->queue && engine->dropped && engine->no_end && engine->samplers;
}

static liz_status samplers_open(liz_engine *engine, liz_error *err)
{
    liz_tier_id tier;
    liz_status status = liz_cpu_tier(&tier, err);
    int n_lanes = status != LIZ_OK || tier == LIZ_TIER_C ? 4 : tier == LIZ_TIER_AVX2 ? 8 : 16;
    for (int i = 0; i < liz_team_size(engine->parts.team) && status == LIZ_OK; i++)
        status = liz_sampler_open(&engine->samplers[i], engine->n_vocab, n_lanes, err);
    return status;
}

/* Steps while there is something to do, waits while there is nothing, and ends when there will never be again. */
static void *engine_main(void *arg)
{
    liz_engine *engine = arg;
    for (bool more = true; more;) {
        pthread_mutex_lock(&engine->lock);
        while (!engine->closing && engine->n_queue == 0 && engine->n_running == 0)
            pthread_cond_wait(&engine->wake, &engine->lock);
        more = engine->n_queue > 0 || engine->n_running > 0;
        pthread_mutex_unlock(&engine->lock);
        if (more)
            liz_engine_step(engine);
    }
    return NULL;
}

/* Everything but the parts. */
static void engine_free(liz_engine *engine)
{
    if (engine->samplers != NULL)
        for (int i = 0; i < liz_team_size(engine->parts.team); i++)
            liz_sampler_close(engine->samplers[i]);
    liz_buf_free(&engine->bytes);
    liz_buf_free(&engine->chars);
    liz_buf_free(&engine->text);
    liz_arena_free(&engine->arena);
    pthread_cond_destroy(&engine->space);
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

liz_status liz_engine_start(liz_engine **out, const liz_engine_parts *parts, liz_error *err)
{
    LIZ_ASSERT(parts->n_parallel >= 1 && parts->n_prefill_chunk >= 1 && parts->n_logits_max >= parts->n_parallel);
    liz_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "engine: no memory");
    liz_arena_init(&engine->arena, SIZE_MAX / 2);
    engine->parts = *parts;
    engine->n_vocab = liz_model_params_get(parts->model)->n_vocab;
    engine->n_queue_max = 4 * parts->n_parallel;
    engine->stats.n_pages = liz_cache_pages_total(parts->cache);
    if (parts->profile)
        liz_model_profile_into(parts->model, &engine->profiling.model);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->wake, NULL);
    pthread_cond_init(&engine->space, NULL);
    liz_status status = LIZ_OK;
    if (!arrays_make(engine) || !text_buffers_make(engine))
        status = liz_fail(err, LIZ_E_MEMORY, "engine: no memory for %d sequences", parts->n_parallel);
    status = status ?: samplers_open(engine, err);
    if (status == LIZ_OK && !parts->is_manual) {
        engine->has_thread = pthread_create(&engine->thread, NULL, engine_main, engine) == 0;
        if (!engine->has_thread)
            status = liz_fail(err, LIZ_E_MEMORY, "engine: the system starts no further thread");
    }
    if (status != LIZ_OK)
        engine_free(engine);
    else
        *out = engine;
    return status;
}

void liz_engine_parts_close(liz_engine_parts *parts)
{
    liz_cache_close(parts->cache);
    liz_model_close(parts->model);
    liz_engine_loras_drop(&parts->loras);
    liz_team_close(parts->team);
    liz_vocab_close(parts->vocab);
    liz_gguf_close(parts->gguf);
    free(parts->chat_template);
    free(parts->name);
}

void liz_engine_close(liz_engine *engine)
{
    if (engine == NULL)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->closing = true;
    pthread_cond_signal(&engine->wake);
    pthread_cond_broadcast(&engine->space);
    pthread_mutex_unlock(&engine->lock);
    if (engine->has_thread)
        pthread_join(engine->thread, NULL);
    else
        while (liz_engine_step(engine))
            ;
    liz_engine_parts parts = engine->parts;
    engine_free(engine);
    liz_engine_parts_close(&parts);
}

const liz_vocab *liz_engine_vocab(const liz_engine *engine) { return engine->parts.vocab; }

void liz_engine_info_get(const liz_engine *engine, liz_engine_info *info) { *info = engine->parts.info; }

void liz_engine_stats_get(liz_engine *engine, liz_engine_stats *stats)
{
    pthread_mutex_lock(&engine->lock);
    *stats = engine->stats;
    pthread_mutex_unlock(&engine->lock);
}

size_t liz_engine_profile_get(liz_engine *engine, liz_profile_part *parts)
{
    static const char *const names[] = {[LIZ_PART_EMBED] = "embedding",
                                        [LIZ_PART_PREPARE] = "norms, rounding",
                                        [LIZ_PART_QKV] = "queries, keys, values",
                                        [LIZ_PART_POSITION] = "positions, cache",
                                        [LIZ_PART_ATTENTION] = "attention",
                                        [LIZ_PART_ATTENTION_OUT] = "attention's output",
                                        [LIZ_PART_ROUTE] = "routing",
                                        [LIZ_PART_GATE_UP] = "gate and up",
                                        [LIZ_PART_ACTIVATE] = "activation, rounding",
                                        [LIZ_PART_DOWN] = "down",
                                        [LIZ_PART_RESIDUAL] = "residual",
                                        [LIZ_PART_OUTPUT] = "logits"};
    _Static_assert(LIZ_PART_COUNT + 2 <= LIZ_PROFILE_PARTS_MAX, "a caller has room for all");
    if (!engine->parts.profile)
        return 0;
    pthread_mutex_lock(&engine->lock);
    liz_engine_profile p = engine->profile;
    pthread_mutex_unlock(&engine->lock);
    for (int i = 0; i < LIZ_PART_COUNT; i++)
        parts[i] = (liz_profile_part){names[i], p.model.us[i], p.model.bytes[i]};
    parts[LIZ_PART_COUNT] = (liz_profile_part){"choosing tokens", p.choose_us, 0};
    parts[LIZ_PART_COUNT + 1] = (liz_profile_part){"telling them", p.tell_us, 0};
    return LIZ_PART_COUNT + 2;
}
