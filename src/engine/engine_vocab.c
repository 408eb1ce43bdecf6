/* engine_vocab.c - the public face of a vocabulary: a file opened for its tokenizer or its chat template alone, text to
 * tokens and back. */
#include "base/log.h"
#include "engine/engine_core.h"
#include "engine/engine_template.h"
#include "sys/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Detokenised text beyond this is taken for a mistake. */
static const size_t text_bytes_max = (size_t)1 << 32;

liz_status liz_engine_vocab_new(liz_vocab **out, const liz_gguf *gguf, liz_error *err)
{
    liz_vocab *vocab = calloc(1, sizeof *vocab);
    if (vocab == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its vocabulary", liz_gguf_path(gguf));
    liz_status status = liz_text_vocab_open(&vocab->text, gguf, err);
    if (status != LIZ_OK) {
        free(vocab);
        return status;
    }
    if (liz_text_vocab_pre_assumed(vocab->text))
        liz_log(LIZ_LOG_WARN, "tokenizer", "%s: names no pre-tokenizer: llama.cpp's default pattern is taken",
                liz_gguf_path(gguf));
    *out = vocab;
    return LIZ_OK;
}

liz_status liz_vocab_open(liz_vocab **out, const char *path, liz_error *err)
{
    liz_gguf *gguf;
    LIZ_TRY(liz_gguf_open(&gguf, path, err));
    liz_status status = liz_engine_vocab_new(out, gguf, err);
    liz_gguf_close(gguf);
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
    liz_buf buf = {.len_max = text_bytes_max};
    int32_t n_vocab = liz_vocab_size(vocab);
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

liz_status liz_tokenize_rendered(const liz_vocab *vocab, const liz_rendered *rendered, int32_t **tokens,
                                 size_t *n_tokens, liz_error *err)
{
    return liz_text_encode_marked(vocab->text, (liz_str){rendered->text, rendered->n_text}, LIZ_TEXT_SPECIAL,
                                  rendered->data, rendered->n_data, tokens, n_tokens, err);
}

/* ---- Templates of files -------------------------------------------------------------------------- */

static bool is_gguf(const char *path)
{
    char magic[4];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && pread(fd, magic, sizeof magic, 0) == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

/* The text of the token whose id stands under `key`; empty where there is none. */
static liz_str token_text(const liz_gguf *gguf, const char *key)
{
    const liz_gguf_entry *tokens = liz_gguf_find(gguf, "tokenizer.ggml.tokens");
    uint64_t id;
    if (tokens == NULL || tokens->elem_type != LIZ_GGUF_STRING || !liz_gguf_u64(gguf, key, &id) || id >= tokens->n)
        return (liz_str){"", 0};
    return tokens->strings[id];
}

static liz_status open_of_model(liz_template **out, const char *path, liz_error *err)
{
    liz_gguf *gguf;
    liz_str source, with_tools = {"", 0};
    liz_status status = LIZ_OK;
    LIZ_TRY(liz_gguf_open(&gguf, path, err));
    if (liz_gguf_str(gguf, "tokenizer.chat_template", &source)) {
        liz_gguf_str(gguf, "tokenizer.chat_template.tool_use", &with_tools);
        const liz_str bos_eos[] = {token_text(gguf, "tokenizer.ggml.bos_token_id"),
                                   token_text(gguf, "tokenizer.ggml.eos_token_id")};
        status = liz_engine_template_new(out, source, with_tools, bos_eos, err);
        status = status != LIZ_OK ? liz_fail_within(err, status, "%s", path) : LIZ_OK;
    }
    liz_gguf_close(gguf);
    return status;
}

liz_status liz_template_open(liz_template **out, const char *path, liz_error *err)
{
    liz_buf text = {.len_max = text_bytes_max};
    *out = NULL;
    bool of_model = is_gguf(path);
    liz_status status =
        of_model ? open_of_model(out, path, err) : liz_file_read_whole(liz_files_system(), path, &text, err);
    if (status == LIZ_OK && !of_model)
        status =
            liz_engine_template_new(out, (liz_str){text.data ? text.data : "", text.len}, (liz_str){"", 0}, NULL, err);
    liz_buf_free(&text);
    return status != LIZ_OK && !of_model ? liz_fail_within(err, status, "%s", path) : status;
}
