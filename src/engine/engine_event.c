/* engine_event.c - what a sequence says: its tokens as text, and its end.
 *
 * A token's bytes pass two filters. The first holds back a character until it is whole; the second holds back what may
 * become a stop string. At the end both let go, unless a stop string ended the text. A token that ends the text is
 * neither reported nor counted. The buffers between the filters belong to the engine and are used for one token at a
 * time. */
#include "engine/engine_core.h"

#include "sys/clock.h"

#include <math.h>

static void text_begin(liz_engine *engine)
{
    liz_buf_clear(&engine->chars);
    liz_buf_clear(&engine->text);
}

/* Sends `chars` past the stop strings into `text`; true when one appeared. */
static bool chars_push(liz_engine *engine, liz_seq *seq)
{
    liz_str chars = liz_buf_str(&engine->chars);
    if (seq->stop != NULL)
        return liz_stop_push(seq->stop, chars, &engine->text);
    liz_buf_append_str(&engine->text, chars);
    return false;
}

/* A model may have more logits than its vocabulary has tokens. */
static bool token_is_spelt(const liz_engine *engine, int32_t token)
{
    return engine->parts.vocab != NULL && token < liz_vocab_size(engine->parts.vocab);
}

bool liz_engine_token_breaks(liz_seq *seq, int32_t token, liz_buf *bytes)
{
    liz_buf_clear(bytes);
    if (token_is_spelt(seq->engine, token))
        liz_text_decode_token(seq->engine->parts.vocab->text, token, false, true, bytes);
    return liz_stop_watch(seq->breakers, liz_buf_str(bytes));
}

static bool token_text(liz_engine *engine, liz_seq *seq, int32_t token)
{
    text_begin(engine);
    if (!token_is_spelt(engine, token))
        return false;
    liz_buf_clear(&engine->bytes);
    liz_text_decode_token(engine->parts.vocab->text, token, false, false, &engine->bytes);
    liz_text_stream_push(&seq->stream, engine->bytes.data, engine->bytes.len, &engine->chars);
    return chars_push(engine, seq);
}

/* The text that was held back, at an end that no stop string made. */
static void rest_text(liz_engine *engine, liz_seq *seq)
{
    text_begin(engine);
    if (seq->is_stopped)
        return;
    liz_text_stream_finish(&seq->stream, &engine->chars);
    bool stopped = chars_push(engine, seq);
    if (seq->stop != NULL && !stopped)
        liz_stop_finish(seq->stop, &engine->text);
}

static void event_send(liz_engine *engine, liz_seq *seq, liz_event *event)
{
    LIZ_ASSERT(!liz_buf_failed(&engine->text) && !liz_buf_failed(&engine->chars)); /* sized for any token */
    event->text = engine->text.len > 0 ? engine->text.data : "";
    event->n_text = engine->text.len;
    if (seq->request.on_event != NULL)
        seq->request.on_event(seq->request.user, event);
}

/* The model ends the text with this token, or the caller wants it to. */
static bool token_ends(const liz_engine *engine, const liz_seq *seq, int32_t token)
{
    for (size_t i = 0; i < seq->request.n_stop_tokens; i++)
        if (seq->request.stop_tokens[i] == token)
            return true;
    return token_is_spelt(engine, token) && liz_vocab_is_end(engine->parts.vocab, token);
}

void liz_engine_prompt_tell(liz_engine *engine, liz_seq *seq, const liz_row *row)
{
    liz_event event = {.type = LIZ_EVENT_PROMPT, .token = seq->tokens[0], .logprob = NAN, .message = ""};
    text_begin(engine);
    if (row->position == 1)
        event_send(engine, seq, &event);
    event.token = seq->tokens[row->position];
    event.logprob = row->logprob;
    event.top = row->top;
    event.n_top = row->n_top;
    if (row->position < seq->n_prompt)
        event_send(engine, seq, &event);
}

bool liz_engine_token_accept(liz_engine *engine, liz_seq *seq, const liz_row *row)
{
    int32_t token = row->choice;
    if (seq->n_tokens == seq->n_prompt)
        seq->prefilled_us = liz_clock_us();
    if (token_ends(engine, seq, token)) {
        liz_engine_seq_end(engine, seq, LIZ_FINISH_STOP, NULL);
        return false;
    }
    if (seq->breaks != NULL)
        seq->breaks[seq->n_tokens] = liz_engine_token_breaks(seq, token, &engine->bytes);
    seq->tokens[seq->n_tokens++] = token;
    pthread_mutex_lock(&engine->lock);
    engine->stats.n_tokens_decoded++;
    pthread_mutex_unlock(&engine->lock);
    bool stopped = token_text(engine, seq, token);
    liz_event event = {.type = LIZ_EVENT_TOKEN,
                       .token = token,
                       .logprob = row->logprob,
                       .top = row->top,
                       .n_top = row->n_top,
                       .message = ""};
    event_send(engine, seq, &event);
    seq->is_stopped = stopped;
    bool ends = stopped || seq->n_tokens == seq->n_tokens_max;
    if (ends)
        liz_engine_seq_end(engine, seq, stopped ? LIZ_FINISH_STOP : LIZ_FINISH_LENGTH, NULL);
    return !ends;
}

/* A time that was never reached counts as the end. */
static liz_seq_stats stats_of(const liz_seq *seq)
{
    uint64_t now = liz_clock_us();
    uint64_t admitted = seq->admitted_us != 0 ? seq->admitted_us : now;
    uint64_t prefilled = seq->prefilled_us != 0 ? seq->prefilled_us : now;
    return (liz_seq_stats){.queue_us = admitted - seq->submitted_us,
                           .prefill_us = prefilled - admitted,
                           .decode_us = now - prefilled,
                           .n_prompt = (size_t)seq->n_prompt,
                           .n_prompt_reused = (size_t)seq->n_reused,
                           .n_completion = (size_t)(seq->n_tokens - seq->n_prompt)};
}

void liz_engine_seq_end(liz_engine *engine, liz_seq *seq, liz_finish finish, const liz_error *why)
{
    liz_engine_retire(engine, seq);
    rest_text(engine, seq);
    liz_event event = {.type = LIZ_EVENT_DONE,
                       .finish = finish,
                       .status = why != NULL ? why->code : LIZ_OK,
                       .message = why != NULL ? why->text : "",
                       .stats = stats_of(seq)};
    if (seq->answer >= 0) {
        event.choice = seq->answer;
        event.probs = seq->choose->probs;
        event.n_probs = seq->choose->trie.n_choices;
    }
    event_send(engine, seq, &event);
    pthread_mutex_lock(&seq->lock);
    if (why != NULL)
        seq->result = *why;
    seq->ended = true;
    pthread_cond_broadcast(&seq->changed);
    pthread_mutex_unlock(&seq->lock);
}
