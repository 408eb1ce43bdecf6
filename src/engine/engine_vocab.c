/* engine_vocab.c - the public face of a vocabulary: a file opened for its tokenizer alone, text to tokens and back. */
#include "engine/engine_core.h"

#include <stdlib.h>

/* Detokenised text beyond this is taken for a mistake. */
static const size_t text_bytes_max = (size_t)1 << 32;

liz_status liz_vocab_open(liz_vocab **out, const char *path, liz_error *err)
{
    liz_gguf *gguf;
    liz_status status = liz_gguf_open(&gguf, path, err);
    if (status != LIZ_OK)
        return status;
    liz_vocab *vocab = calloc(1, sizeof *vocab);
    if (vocab == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its vocabulary", path);
    else
        status = liz_text_vocab_open(&vocab->text, gguf, err);
    liz_gguf_close(gguf);
    if (status != LIZ_OK)
        free(vocab);
    else
        *out = vocab;
    return status;
}

void liz_vocab_close(liz_vocab *vocab)
{
    if (vocab == NULL)
        return;
    liz_text_vocab_close(vocab->text);
    free(vocab);
}

int32_t liz_vocab_size(const liz_vocab *vocab) { return liz_text_vocab_size(vocab->text); }

bool liz_vocab_is_end(const liz_vocab *vocab, int32_t token) { return liz_text_vocab_is_end(vocab->text, token); }

_Static_assert((int)LIZ_TOKENIZE_AFFIXES == (int)LIZ_TEXT_AFFIXES, "the flags are passed on as they are");
_Static_assert((int)LIZ_TOKENIZE_SPECIAL == (int)LIZ_TEXT_SPECIAL, "the flags are passed on as they are");

liz_status liz_tokenize(const liz_vocab *vocab, const char *text, size_t n_text, unsigned flags, int32_t **tokens,
                        size_t *n_tokens, liz_error *err)
{
    return liz_text_encode(vocab->text, (liz_str){text, n_text}, flags, tokens, n_tokens, err);
}

liz_status liz_detokenize(const liz_vocab *vocab, const int32_t *tokens, size_t n_tokens, unsigned flags, char **text,
                          size_t *n_text, liz_error *err)
{
    liz_buf buf;
    int32_t n_vocab = liz_vocab_size(vocab);
    liz_buf_init(&buf, text_bytes_max);
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || tokens[i] >= n_vocab) {
            liz_buf_free(&buf);
            return liz_fail(err, LIZ_E_USAGE, "token %d at position %zu: the vocabulary has %d tokens", tokens[i], i,
                            n_vocab);
        }
        liz_text_decode_token(vocab->text, tokens[i], i == 0, (flags & LIZ_TOKENIZE_SPECIAL) != 0, &buf);
    }
    *n_text = buf.len;
    *text = liz_buf_take(&buf);
    if (*text == NULL) {
        liz_buf_free(&buf);
        return liz_fail(err, LIZ_E_MEMORY, "text of %zu tokens: no memory", n_tokens);
    }
    return LIZ_OK;
}
