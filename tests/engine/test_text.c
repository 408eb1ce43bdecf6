/* test_text.c - generated text: whole characters, stop strings across token borders, tokens that end the text. A small
 * vocabulary is made, half of it single bytes of longer characters; what the fake model generates is random, so the
 * expected text is worked out from the tokens in one go and compared with what came out of the events. */
#include "../lib/engine_harness.h"
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_VOCAB = 64, N_PREDICT = 60, TOKEN_END = 2 };

/* SentencePiece: control tokens, bytes, pieces of every length. */
static const char *const pieces[] = {"a",
                                     "b",
                                     "ab",
                                     "\xE2\x96\x81",
                                     "\xE2\x96\x81the",
                                     "\xC3\xA9",
                                     "x\xC3\xA9",
                                     "\xE2\x82\xAC",
                                     "\xF0\x9F\x99\x82",
                                     "END",
                                     "EN",
                                     "D",
                                     "stop here",
                                     ".",
                                     "abab",
                                     "ba"};
static const unsigned char bytes[] = {0xE2, 0x82, 0xAC, 0xC3, 0xA9, 0xF0, 0x9F, 0x99, 0x82, 0x80, 0xFF, 'a', 'b', '\n'};

static liz_vocab *vocab_make(void)
{
    static char names[256][8];
    liz_str tokens[N_VOCAB + 256];
    float scores[N_VOCAB + 256];
    int32_t kinds[N_VOCAB + 256];
    size_t n = 0, n_bytes = sizeof bytes, n_pieces = sizeof pieces / sizeof *pieces;
    const char *control[] = {"<unk>", "<s>", "</s>"};
    for (size_t i = 0; i < 3; i++, n++) {
        tokens[n] = liz_str_of(control[i]);
        kinds[n] = i == 0 ? LIZ_TOKEN_UNKNOWN : LIZ_TOKEN_CONTROL;
    }
    for (int b = 0; b < 256; b++)
        snprintf(names[b], sizeof names[b], "<0x%02X>", b);
    for (size_t i = 0; i < n_bytes; i++, n++) {
        tokens[n] = liz_str_of(names[bytes[i]]);
        kinds[n] = LIZ_TOKEN_BYTE;
    }
    for (size_t i = 0; n < N_VOCAB; i++, n++) {
        static char extra[N_VOCAB][8];
        snprintf(extra[n], sizeof extra[n], "%c%c", (int)('c' + i % 20), (int)('c' + n % 23));
        tokens[n] = i < n_pieces ? liz_str_of(pieces[i]) : liz_str_of(extra[n]);
        kinds[n] = LIZ_TOKEN_NORMAL;
    }
    for (int b = 0; b < 256; b++) /* the other bytes follow: the model has no logits for them */
        if (memchr(bytes, b, n_bytes) == NULL) {
            tokens[n] = liz_str_of(names[b]);
            kinds[n++] = LIZ_TOKEN_BYTE;
        }
    for (size_t i = 0; i < n; i++)
        scores[i] = -(float)i;
    liz_gguf_writer *w;
    liz_error err;
    const char *path = temp_path("vocab.gguf");
    assert_int_equal(liz_gguf_writer_open(&w, NULL, path, &err), LIZ_OK);
    liz_gguf_put_str(w, "general.architecture", liz_str_of("none"));
    liz_gguf_put_str(w, "tokenizer.ggml.model", liz_str_of("llama"));
    liz_gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, n);
    liz_gguf_put_array(w, "tokenizer.ggml.scores", LIZ_GGUF_F32, scores, n);
    liz_gguf_put_array(w, "tokenizer.ggml.token_type", LIZ_GGUF_I32, kinds, n);
    liz_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    liz_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", TOKEN_END);
    liz_gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
    liz_gguf_writer_close(w);
    liz_vocab *vocab;
    if (liz_vocab_open(&vocab, path, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    return vocab;
}

/* The text of tokens [n] up to the end token, characters made whole. */
static void text_of(const liz_vocab *vocab, const int32_t *tokens, size_t n, liz_buf *out, size_t *n_before_end)
{
    liz_buf spelt;
    liz_buf_init(&spelt, 1 << 20);
    liz_buf_clear(out);
    size_t i = 0;
    for (; i < n && !liz_vocab_is_end(vocab, tokens[i]); i++)
        liz_text_decode_token(vocab->text, tokens[i], false, false, &spelt);
    *n_before_end = i;
    liz_text_stream stream = {{0}, 0};
    liz_text_stream_push(&stream, spelt.data != NULL ? spelt.data : "", spelt.len, out);
    liz_text_stream_finish(&stream, out);
    liz_buf_puts(out, "");
    liz_buf_free(&spelt);
}

/* Where a stop string that is complete first begins; n when none appears. */
static size_t stop_at(const char *text, size_t n, const char *const *stops, size_t n_stops)
{
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_stops; i++) {
            size_t len = strlen(stops[i]);
            if (len <= end && len > longest && memcmp(text + end - len, stops[i], len) == 0)
                longest = len;
        }
        if (longest > 0)
            return end - longest;
    }
    return n;
}

typedef struct text_seen {
    int n_ended, n_stopped, n_full;
} text_seen;

/* Checks that each event's text is whole characters. */
static void on_event(void *user, const liz_event *event)
{
    LIZ_ASSERT(liz_utf8_valid_prefix(event->text, event->n_text) == event->n_text);
    LIZ_ASSERT(event->type != LIZ_EVENT_TOKEN || event->token != TOKEN_END);
    fake_on_event(user, event);
}

static void result_check(const fake_result *r, const liz_buf *text, size_t n_tokens, const char *const *stops,
                         size_t n_stops, text_seen *seen)
{
    size_t n_expected = stop_at(text->data, text->len, stops, n_stops);
    bool stopped = n_expected < text->len;
    assert_int_equal(r->n_done, 1);
    assert_int_equal(r->n_text, n_expected);
    assert_memory_equal(r->text, text->data, n_expected);
    bool ended = !stopped && n_tokens < N_PREDICT;
    assert_int_equal(r->finish, stopped || ended ? LIZ_FINISH_STOP : LIZ_FINISH_LENGTH);
    if (!stopped)
        assert_int_equal(r->n_tokens, n_tokens);
    else
        assert_true(r->n_tokens <= n_tokens);
    assert_int_equal(r->stats.n_completion, r->n_tokens);
    seen->n_stopped += stopped;
    seen->n_ended += ended;
    seen->n_full += !stopped && !ended;
}

/* A stop string of some characters of the text itself, so that it usually appears. */
static void stop_from(const liz_buf *text, uint64_t *random, char stop[32])
{
    size_t at = text->len > 0 ? fake_random(random) % text->len : 0, n = 1 + fake_random(random) % 12;
    while (at > 0 && (text->data[at] & 0xC0) == 0x80)
        at--;
    n = n > text->len - at ? text->len - at : n;
    while (at + n < text->len && (text->data[at + n] & 0xC0) == 0x80)
        n++;
    memcpy(stop, text->data + at, n);
    stop[n] = '\0';
    if (strlen(stop) == 0)
        strcpy(stop, "END");
}

static void one_text(liz_engine *engine, uint64_t seed, text_seen *seen)
{
    static fake_result result;
    int32_t prompt[3], expected[N_PREDICT];
    char stops_text[2][32];
    const char *stops[2] = {stops_text[0], stops_text[1]};
    uint64_t random = seed;
    liz_buf text;
    size_t n_tokens, n_stops = fake_random(&random) % 3;
    liz_buf_init(&text, 1 << 20);
    memset(&result, 0, sizeof result);
    for (int i = 0; i < 3; i++)
        prompt[i] = (int32_t)(fake_random(&random) % N_VOCAB);
    liz_request request = {.tokens = prompt,
                           .n_tokens = 3,
                           .sampling = {.temperature = 1, .seed = seed},
                           .n_predict_max = N_PREDICT,
                           .stop = stops,
                           .n_stop = n_stops,
                           .on_event = on_event,
                           .user = &result};
    fake_continue(prompt, 3, &request.sampling, expected, N_PREDICT);
    text_of(engine->parts.vocab, expected, N_PREDICT, &text, &n_tokens);
    for (int i = 0; i < 2; i++)
        stop_from(&text, &random, stops_text[i]);
    liz_seq *seq;
    assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    result_check(&result, &text, n_tokens, stops, n_stops, seen);
    liz_buf_free(&text);
}

static void test_random_texts(void **state)
{
    (void)state;
    text_seen seen = {0, 0, 0};
    fake_engine_opts opts = {.vocab = vocab_make()};
    liz_engine *engine = fake_engine_open(&opts);
    for (uint64_t seed = 1; seed <= 500; seed++)
        one_text(engine, seed, &seen);
    assert_true(seen.n_ended > 50 && seen.n_stopped > 50 && seen.n_full > 20);
    liz_engine_close(engine);
}

/* A stop string that several tokens make up together. */
static void test_stop_across_tokens(void **state)
{
    (void)state;
    liz_vocab *vocab = vocab_make();
    int32_t en = liz_text_vocab_find(vocab->text, liz_str_of("EN"));
    int32_t d = liz_text_vocab_find(vocab->text, liz_str_of("D"));
    assert_true(en >= 0 && en < N_VOCAB && d >= 0 && d < N_VOCAB);
    static fake_result result;
    fake_engine_opts opts = {.vocab = vocab};
    liz_engine *engine = fake_engine_open(&opts);
    /* Bias makes the two by far the likeliest, and penalties keep both in play. */
    liz_logit_bias bias[] = {{en, 1000}, {d, 1000}};
    const char *stop = "NDE";
    int32_t prompt = 5;
    liz_request request = {.tokens = &prompt,
                           .n_tokens = 1,
                           .sampling = {.bias = bias, .n_bias = 2, .frequency_penalty = 100},
                           .n_predict_max = 50,
                           .stop = &stop,
                           .n_stop = 1,
                           .on_event = on_event,
                           .user = &result};
    liz_seq *seq;
    assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
    liz_seq_wait(seq);
    liz_seq_free(seq);
    assert_int_equal(result.finish, LIZ_FINISH_STOP);
    result.text[result.n_text] = '\0';
    assert_null(strstr(result.text, stop));
    assert_int_equal(result.text[result.n_text - 1], 'E'); /* of EN, whose N began the stop string */
    liz_engine_close(engine);
}

/* The model's own end is forbidden, and the text goes on to its limit. */
static void test_ignore_end(void **state)
{
    (void)state;
    static fake_result result;
    fake_engine_opts opts = {.vocab = vocab_make()};
    liz_engine *engine = fake_engine_open(&opts);
    liz_logit_bias likely_end = {TOKEN_END, 1000}, no_end = {TOKEN_END, -INFINITY};
    for (int ignored = 0; ignored < 2; ignored++) {
        int32_t prompt = 5, expected[N_PREDICT];
        liz_request request = {.tokens = &prompt,
                               .n_tokens = 1,
                               .sampling = {.temperature = 1, .seed = 4, .bias = &likely_end, .n_bias = 1},
                               .n_predict_max = N_PREDICT,
                               .ignore_end = ignored,
                               .on_event = on_event,
                               .user = &result};
        memset(&result, 0, sizeof result);
        liz_seq *seq;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        liz_seq_wait(seq);
        liz_seq_free(seq);
        assert_int_equal(result.finish, ignored ? LIZ_FINISH_LENGTH : LIZ_FINISH_STOP);
        assert_int_equal(result.n_tokens, ignored ? N_PREDICT : 0);
        fake_continue(&prompt, 1, &(liz_sampling){.temperature = 1, .seed = 4, .bias = &no_end, .n_bias = 1}, expected,
                      N_PREDICT);
        assert_memory_equal(result.tokens, expected, result.n_tokens * sizeof *expected);
    }
    liz_engine_close(engine);
}

/* Which of `tokens` [n] hold the last byte of a breaker, searched for in their text. */
static void breaks_of(const liz_vocab *vocab, const int32_t *tokens, size_t n, const char *const *breakers,
                      size_t n_breakers, uint8_t *breaks)
{
    liz_buf text;
    liz_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < n; i++) {
        size_t begin = text.len;
        liz_text_decode_token(vocab->text, tokens[i], false, true, &text);
        breaks[i] = 0;
        for (size_t end = begin + 1; end <= text.len; end++)
            for (size_t k = 0; k < n_breakers; k++) {
                size_t len = strlen(breakers[k]);
                breaks[i] |= len <= end && memcmp(text.data + end - len, breakers[k], len) == 0;
            }
    }
    liz_buf_free(&text);
}

/* DRY with breakers that are a token, lie within one, or are made up by several, in the prompt and in what follows. */
static void test_dry_breakers(void **state)
{
    (void)state;
    enum { N_PROMPT = 40, N_MADE = 40 };
    static fake_result result;
    static const char *const breakers[] = {"b", "NDE", "</s>"}, *const standard[] = {"\n", ":", "\"", "*"};
    fake_engine_opts opts = {.vocab = vocab_make()};
    liz_engine *engine = fake_engine_open(&opts);
    int n_breaks = 0, n_other = 0;
    static const char *const likely[] = {"a", "b", "EN", "D", "<0x0A>"};
    enum { N_LIKELY = sizeof likely / sizeof *likely };
    liz_logit_bias bias[N_LIKELY + 1] = {{TOKEN_END, -INFINITY}}; /* few kinds, so that much repeats itself */
    for (int i = 0; i < N_LIKELY; i++)
        bias[i + 1] = (liz_logit_bias){liz_text_vocab_find(engine->parts.vocab->text, liz_str_of(likely[i])), 1000};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        int32_t tokens[N_PROMPT + N_MADE];
        uint8_t breaks[N_PROMPT + N_MADE];
        float logits[N_VOCAB];
        uint64_t random = seed;
        bool own = seed % 3 != 0;
        for (int i = 0; i < N_PROMPT; i++)
            tokens[i] = bias[fake_random(&random) % (N_LIKELY + 1)].token;
        liz_request request = {.tokens = tokens,
                               .n_tokens = N_PROMPT,
                               .sampling = {.temperature = 0.3f,
                                            .seed = seed,
                                            .dry_multiplier = 1,
                                            .dry_base = 2,
                                            .dry_allowed_length = 1,
                                            .dry_breakers = own ? breakers : NULL,
                                            .n_dry_breakers = own ? seed % 4 : 0,
                                            .bias = bias + 1,
                                            .n_bias = N_LIKELY},
                               .n_predict_max = N_MADE,
                               .ignore_end = true,
                               .on_event = on_event,
                               .user = &result};
        memset(&result, 0, sizeof result);
        liz_seq *seq;
        assert_int_equal(liz_submit(engine, &request, &seq, NULL), LIZ_OK);
        liz_seq_wait(seq);
        liz_seq_free(seq);
        liz_sampler *sampler;
        assert_int_equal(liz_sampler_open(&sampler, N_VOCAB, 4, NULL), LIZ_OK);
        for (size_t n = N_PROMPT; n < N_PROMPT + N_MADE; n++) {
            int32_t without;
            liz_sampling sampling = request.sampling;
            sampling.bias = bias;
            sampling.n_bias = N_LIKELY + 1;
            breaks_of(engine->parts.vocab, tokens, n, own ? breakers : standard, own ? seed % 4 : 4, breaks);
            fake_model_logits(tokens, n, logits);
            without = liz_sampler_choose(sampler, &sampling, logits, &(liz_history){tokens, NULL, n}, n);
            tokens[n] = liz_sampler_choose(sampler, &sampling, logits, &(liz_history){tokens, breaks, n}, n);
            n_breaks += breaks[n - 1];
            n_other += tokens[n] != without;
        }
        liz_sampler_close(sampler);
        assert_int_equal(result.n_tokens, N_MADE);
        assert_memory_equal(result.tokens, tokens + N_PROMPT, N_MADE * sizeof *tokens);
    }
    assert_true(n_breaks > 50 && n_other > 20);
    liz_engine_close(engine);
}

static void test_detokenize(void **state)
{
    (void)state;
    liz_vocab *vocab = vocab_make();
    int32_t tokens[3] = {liz_text_vocab_find(vocab->text, liz_str_of("EN")), TOKEN_END,
                         liz_text_vocab_find(vocab->text, liz_str_of("D"))};
    char *text;
    size_t n;
    assert_int_equal(liz_detokenize(vocab, tokens, 3, 0, &text, &n, NULL), LIZ_OK);
    assert_string_equal(text, "END");
    assert_int_equal(n, 3);
    liz_free(text);
    assert_int_equal(liz_detokenize(vocab, tokens, 3, LIZ_TOKENIZE_SPECIAL, &text, &n, NULL), LIZ_OK);
    assert_string_equal(text, "EN</s>D");
    liz_free(text);
    assert_int_equal(liz_detokenize(vocab, NULL, 0, 0, &text, &n, NULL), LIZ_OK);
    assert_int_equal(n, 0);
    assert_string_equal(text, "");
    liz_free(text);
    tokens[1] = liz_vocab_size(vocab);
    liz_error err;
    assert_int_equal(liz_detokenize(vocab, tokens, 3, 0, &text, &n, &err), LIZ_E_USAGE);
    int32_t *ids;
    assert_int_equal(liz_tokenize(vocab, "END", 3, 0, &ids, &n, NULL), LIZ_OK);
    assert_int_equal(liz_detokenize(vocab, ids, n, 0, &text, &n, NULL), LIZ_OK);
    assert_string_equal(text, "END");
    liz_free(text);
    liz_free(ids);
    liz_vocab_close(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_texts), cmocka_unit_test(test_stop_across_tokens),
        cmocka_unit_test(test_ignore_end),   cmocka_unit_test(test_dry_breakers),
        cmocka_unit_test(test_detokenize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
