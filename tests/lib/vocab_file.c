/* vocab_file.c - see vocab_file.h. */
#include "vocab_file.h"

#include "temp_dir.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 1000 };

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "vocab_file: %s\n", what);
    abort();
}

static size_t cut_list(const char *list, liz_str out[LIST_MAX])
{
    size_t n = 0;
    for (const char *p = list; n < LIST_MAX; p++) {
        size_t len = strcspn(p, ";");
        out[n++] = (liz_str){p, len};
        p += len;
        if (*p == '\0')
            break;
    }
    return n;
}

void put_list(liz_gguf_writer *w, const char *key, const char *list)
{
    liz_str strings[LIST_MAX];
    size_t n = cut_list(list, strings);
    liz_gguf_put_strs(w, key, strings, n);
}

void put_model(liz_gguf_writer *w, const char *model, const char *tokens)
{
    liz_gguf_put_str(w, KEY "model", liz_str_of(model));
    put_list(w, KEY "tokens", tokens);
}

void put_kinds(liz_gguf_writer *w, const char *digits)
{
    int32_t kinds[LIST_MAX];
    size_t n = strlen(digits) < LIST_MAX ? strlen(digits) : LIST_MAX;
    for (size_t i = 0; i < n; i++)
        kinds[i] = digits[i] - '0';
    liz_gguf_put_array(w, KEY "token_type", LIZ_GGUF_I32, kinds, n);
}

liz_status vocab_open_file(liz_text_vocab **out, put_file *put, liz_error *err)
{
    liz_gguf_writer *w;
    liz_gguf *gguf;
    const char *path = temp_path("vocab.gguf");
    must(liz_gguf_writer_open(&w, NULL, path, err) == LIZ_OK, err->text);
    put(w);
    must(liz_gguf_writer_begin(w, err) == LIZ_OK, err->text);
    must(liz_gguf_writer_finish(w, err) == LIZ_OK, err->text);
    liz_gguf_writer_close(w);
    must(liz_gguf_open(&gguf, path, err) == LIZ_OK, err->text);
    liz_status status = liz_text_vocab_open(out, gguf, err);
    liz_gguf_close(gguf);
    return status;
}

liz_text_vocab *vocab_open(put_file *put)
{
    liz_text_vocab *vocab;
    liz_error err;
    must(vocab_open_file(&vocab, put, &err) == LIZ_OK, err.text);
    return vocab;
}

const char *vocab_ids(const liz_text_vocab *vocab, liz_str text, unsigned flags)
{
    static char shown[8192];
    int32_t *ids;
    size_t n, at = 0;
    must(liz_text_encode(vocab, text, flags, &ids, &n, NULL) == LIZ_OK && ids != NULL, "a text is not encoded");
    shown[0] = '\0';
    for (size_t i = 0; i < n && at < sizeof shown - 16; i++)
        at += (size_t)sprintf(shown + at, i == 0 ? "%d" : " %d", ids[i]);
    free(ids);
    return shown;
}
