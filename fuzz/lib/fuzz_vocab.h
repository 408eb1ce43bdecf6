/* fuzz_vocab.h - what the tokenizer targets share: an input becomes a vocabulary file and a text, which must go
 * through.
 *
 * An input has parts, separated by lines "====" (fuzz_part): the vocabulary, for Unigram its character map, the text. A
 * line of the vocabulary is a token "KIND SCORE TEXT" (the kind a digit, the score an integer), a merge "+LEFT RIGHT",
 * a number
 * "#key 7", a switch "?key 1" or a text "$key value"; keys stand without tokenizer.ggml. A vocabulary without tokens is
 * replaced by the target's own, so that the text alone may be fuzzed. */
#ifndef LIZ_FUZZ_FUZZ_VOCAB_H
#define LIZ_FUZZ_FUZZ_VOCAB_H

#include "../fuzz.h"
#include "base/buf.h"
#include "text/vocab.h"

#include <string.h>

enum { VOCAB_FILE_MAX = 1 << 22, VOCAB_STRING = 8, VOCAB_ARRAY = 9 };

typedef struct vocab_file {
    liz_buf file, tokens, kinds, scores, merges;
    uint64_t n_keys, n_tokens, n_merges;
} vocab_file;

static void put_number(liz_buf *out, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        liz_buf_putc(out, (char)(value >> 8 * i));
}

static void put_text(liz_buf *out, liz_str text)
{
    put_number(out, text.n, 8);
    liz_buf_append_str(out, text);
}

static void put_key(vocab_file *v, const char *prefix, liz_str name, unsigned type)
{
    v->n_keys++;
    put_number(&v->file, strlen(prefix) + name.n, 8);
    liz_buf_puts(&v->file, prefix);
    liz_buf_append_str(&v->file, name);
    put_number(&v->file, type, 4);
}

static void put_array(vocab_file *v, const char *name, unsigned type, uint64_t n, const liz_buf *items)
{
    put_key(v, "tokenizer.ggml.", liz_str_of(name), VOCAB_ARRAY);
    put_number(&v->file, type, 4);
    put_number(&v->file, n, 8);
    liz_buf_append_str(&v->file, liz_buf_str(items));
}

/* The part of `*rest` before `stop` (or all of it), which is taken off with it. */
static liz_str take_to(liz_str *rest, char stop)
{
    const char *at = rest->n > 0 ? memchr(rest->p, stop, rest->n) : NULL;
    liz_str part = {rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};
    size_t n = part.n + (at != NULL);
    *rest = (liz_str){rest->p + n, rest->n - n};
    return part;
}

static long number_of(liz_str text)
{
    char digits[24] = "";
    memcpy(digits, text.p, text.n < sizeof digits ? text.n : sizeof digits - 1);
    return strtol(digits, NULL, 10);
}

static void put_line(vocab_file *v, liz_str line)
{
    char kind = line.n > 0 ? *line.p : '\0';
    liz_str rest = {line.p + 1, line.n - 1};
    if (kind == '+') {
        v->n_merges++;
        put_text(&v->merges, rest);
    } else if (kind == '#' || kind == '?' || kind == '$') {
        liz_str name = take_to(&rest, ' ');
        put_key(v, "tokenizer.ggml.", name, kind == '#' ? 4 : kind == '?' ? 7 : VOCAB_STRING);
        if (kind == '$')
            put_text(&v->file, rest);
        else
            put_number(&v->file, (uint64_t)number_of(rest), kind == '#' ? 4 : 1);
    } else if (kind != '\0') {
        (void)take_to(&line, ' ');
        float score = (float)number_of(take_to(&line, ' '));
        uint32_t bits;
        memcpy(&bits, &score, sizeof bits);
        v->n_tokens++;
        put_number(&v->kinds, (uint64_t)(kind - '0'), 4);
        put_number(&v->scores, bits, 4);
        put_text(&v->tokens, line);
    }
}

/* Writes the file of the vocabulary; gives its path, NULL where it is too long. */
static const char *write_vocab(const char *model, liz_str lines, const char *own, liz_str map)
{
    vocab_file v = {0};
    liz_buf *const bufs[] = {&v.file, &v.tokens, &v.kinds, &v.scores, &v.merges};
    for (size_t i = 0; i < 5; i++)
        liz_buf_init(bufs[i], VOCAB_FILE_MAX);
    put_key(&v, "tokenizer.ggml.", liz_str_of("model"), VOCAB_STRING);
    put_text(&v.file, liz_str_of(model));
    while (lines.n > 0)
        put_line(&v, take_to(&lines, '\n'));
    for (liz_str rest = v.n_tokens == 0 ? liz_str_of(own) : lines; rest.n > 0;)
        put_line(&v, take_to(&rest, '\n'));
    put_array(&v, "tokens", VOCAB_STRING, v.n_tokens, &v.tokens);
    put_array(&v, "token_type", 5, v.n_tokens, &v.kinds);
    put_array(&v, "scores", 6, v.n_tokens, &v.scores);
    put_array(&v, "merges", VOCAB_STRING, v.n_merges, &v.merges);
    if (map.n > 0) {
        liz_buf bytes = {.data = (char *)(uintptr_t)map.p, .len = map.n};
        put_array(&v, "precompiled_charsmap", 0, map.n, &bytes);
    }
    liz_buf whole;
    liz_buf_init(&whole, VOCAB_FILE_MAX);
    liz_buf_puts(&whole, "GGUF");
    put_number(&whole, 3, 4);
    put_number(&whole, 0, 8);
    put_number(&whole, v.n_keys, 8);
    liz_buf_append_str(&whole, liz_buf_str(&v.file));
    bool ok = !liz_buf_failed(&whole);
    for (size_t i = 0; i < 5; i++) {
        ok = ok && !liz_buf_failed(bufs[i]);
        liz_buf_free(bufs[i]);
    }
    const char *path = ok ? fuzz_file(whole.data, whole.len, 0) : NULL;
    liz_buf_free(&whole);
    return path;
}

/* The ids are tokens, the same ones each time, and what they say streams out as whole characters. */
static void check_text(const liz_text_vocab *vocab, liz_str text, unsigned flags)
{
    int32_t *ids, *again;
    size_t n, n_again;
    liz_error err;
    FUZZ_CHECK(liz_text_encode(vocab, text, flags, &ids, &n, &err) == LIZ_OK);
    FUZZ_CHECK(liz_text_encode(vocab, text, flags, &again, &n_again, &err) == LIZ_OK);
    FUZZ_CHECK(n == n_again && (n == 0 || memcmp(ids, again, n * sizeof *ids) == 0));
    liz_buf raw, whole;
    liz_buf_init(&raw, SIZE_MAX / 2);
    liz_buf_init(&whole, SIZE_MAX / 2);
    liz_text_stream stream = {0};
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(ids[i] >= 0 && ids[i] < liz_text_vocab_size(vocab));
        liz_buf_clear(&raw);
        liz_text_decode_token(vocab, ids[i], i == 0, true, &raw);
        liz_text_stream_push(&stream, raw.data, raw.len, &whole);
    }
    liz_text_stream_finish(&stream, &whole);
    FUZZ_CHECK(!liz_buf_failed(&whole));
    FUZZ_CHECK(whole.len == 0 || liz_utf8_valid_prefix(whole.data, whole.len) == whole.len);
    liz_buf_free(&raw);
    liz_buf_free(&whole);
    free(ids);
    free(again);
}

/* `own` is the vocabulary of an input that names no tokens. */
static int fuzz_vocab(const char *model, const char *own, bool with_map, const uint8_t *data, size_t size)
{
    liz_str rest = fuzz_text(data, size), lines = fuzz_part(&rest), map = {NULL, 0};
    if (with_map)
        map = fuzz_part(&rest);
    const char *path = write_vocab(model, lines, own, map);
    liz_gguf *gguf = NULL;
    liz_text_vocab *vocab = NULL;
    liz_error err = {0};
    if (path == NULL || liz_gguf_open(&gguf, path, &err) != LIZ_OK)
        return 0; /* a key given twice */
    liz_status status = liz_text_vocab_open(&vocab, gguf, &err);
    liz_gguf_close(gguf);
    FUZZ_CHECK(status == LIZ_OK ? vocab != NULL : vocab == NULL && err.text[0] != '\0' && err.code == status);
    for (unsigned flags = 0; status == LIZ_OK && flags < 4; flags++)
        check_text(vocab, rest, flags);
    liz_text_vocab_close(vocab);
    return 0;
}

#endif
