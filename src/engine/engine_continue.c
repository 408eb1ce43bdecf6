/* engine_continue.c - the tokens by which a text continues a prompt.
 *
 * Tokenised alone a text need not have the tokens that it has behind another: a vocabulary may put a space before it,
 * or none, or join its beginning to what came before. So the end of the prompt, which is given in tokens, is spelt out,
 * as many of its tokens as give themselves again when their text is tokenised; the text is put behind them, and what
 * follows those tokens is the text's. Where they do not come out again, since the text would have changed them, or none
 * of them do, it is tokenised alone: the prompt stands as it is. */
#include "engine/engine_core.h"

#include <stdlib.h>
#include <string.h>

static const size_t text_bytes_max = (size_t)1 << 30;

/* The end of a prompt. */
typedef struct tail {
    const int32_t *tokens; /* [n], 0: none that can be spelt out */
    size_t n;
    liz_buf text;    /* of them */
    bool wants_word; /* a word that follows it stands behind a space */
} tail;

static bool is_text(const liz_text_vocab *vocab, int32_t token)
{
    liz_token_kind kind = liz_text_vocab_kind(vocab, token);
    return kind == LIZ_TOKEN_NORMAL || kind == LIZ_TOKEN_BYTE;
}

/* Whether `text` begins with `tokens` [n] when it is tokenised; then what follows them is appended to `rest`. */
static liz_status encode_behind(const liz_text_vocab *vocab, const liz_buf *text, const int32_t *tokens, size_t n,
                                bool *fits, liz_buf *rest, liz_error *err)
{
    int32_t *all;
    size_t n_all;
    if (liz_buf_failed(text))
        return liz_fail(err, LIZ_E_MEMORY, "choices: no memory for their text");
    LIZ_TRY(liz_text_encode(vocab, (liz_str){text->len ? text->data : "", text->len}, 0, &all, &n_all, err));
    *fits = n == 0 || (n_all >= n && memcmp(all, tokens, n * sizeof *all) == 0);
    if (*fits && rest != NULL)
        liz_buf_append(rest, (const char *)(all + n), (n_all - n) * sizeof *all);
    free(all);
    return LIZ_OK;
}

/* Letters, digits, and the marks that close something. */
static bool wants_word(char last)
{
    return (last >= 'a' && last <= 'z') || (last >= 'A' && last <= 'Z') || (last >= '0' && last <= '9') ||
           (last != '\0' && strchr(".,:;?!)]}", last) != NULL);
}

static liz_status tail_find(tail *t, const liz_text_vocab *vocab, const int32_t *prompt, size_t n_prompt,
                            liz_error *err)
{
    bool fits = false;
    for (size_t k = 1; k <= LIZ_CHOICES_TAIL && k <= n_prompt && is_text(vocab, prompt[n_prompt - k]); k++) {
        liz_buf_clear(&t->text);
        for (size_t i = n_prompt - k; i < n_prompt; i++)
            liz_text_decode_token(vocab, prompt[i], i == n_prompt - k, false, &t->text);
        t->wants_word = t->text.len > 0 && wants_word(t->text.data[t->text.len - 1]);
        LIZ_TRY(encode_behind(vocab, &t->text, prompt + n_prompt - k, k, &fits, NULL, err));
        if (fits) {
            t->tokens = prompt + n_prompt - k;
            t->n = k;
            return LIZ_OK;
        }
    }
    liz_buf_clear(&t->text);
    return LIZ_OK;
}

/* Appends the tokens of `text` behind the tail. */
static liz_status append_one(tail *t, const liz_text_vocab *vocab, const char *text, liz_buf *tokens, liz_error *err)
{
    size_t n_tail = t->text.len, n_before = tokens->len;
    bool fits = true;
    if (t->wants_word && strchr(" \t\r\n", *text) == NULL)
        liz_buf_putc(&t->text, ' ');
    liz_buf_puts(&t->text, text);
    liz_status status = encode_behind(vocab, &t->text, t->tokens, t->n, &fits, tokens, err);
    if (status == LIZ_OK && (!fits || tokens->len == n_before)) {
        liz_buf alone = {.data = t->text.data + n_tail, .len = t->text.len - n_tail};
        status = encode_behind(vocab, &alone, NULL, 0, &fits, tokens, err);
    }
    t->text.len = n_tail < t->text.len ? n_tail : t->text.len;
    return status;
}

/* One block: the choices, and behind them all their tokens. */
static liz_choice *choices_make(const liz_buf *tokens, const size_t *ends, size_t n)
{
    liz_choice *choices = malloc(n * sizeof *choices + tokens->len);
    if (choices == NULL)
        return NULL;
    int32_t *at = (int32_t *)(void *)(choices + n);
    if (tokens->len > 0)
        memcpy(at, tokens->data, tokens->len);
    for (size_t i = 0; i < n; i++) {
        size_t begin = i > 0 ? ends[i - 1] : 0;
        choices[i] = (liz_choice){at + begin, ends[i] - begin};
    }
    return choices;
}

liz_status liz_tokenize_choices(const liz_vocab *vocab, const int32_t *prompt, size_t n_prompt,
                                const char *const *texts, size_t n_texts, liz_choice **choices, liz_error *err)
{
    liz_buf tokens = {.len_max = text_bytes_max};
    tail t = {0};
    size_t *ends = calloc(n_texts + 1, sizeof *ends);
    liz_buf_init(&t.text, text_bytes_max);
    liz_status status = ends == NULL ? liz_fail(err, LIZ_E_MEMORY, "choices: no memory")
                                     : tail_find(&t, vocab->text, prompt, n_prompt, err);
    for (size_t i = 0; status == LIZ_OK && i < n_texts; i++) {
        status = append_one(&t, vocab->text, texts[i], &tokens, err);
        ends[i] = tokens.len / sizeof(int32_t);
    }
    if (status == LIZ_OK && (liz_buf_failed(&tokens) || (*choices = choices_make(&tokens, ends, n_texts)) == NULL))
        status = liz_fail(err, LIZ_E_MEMORY, "choices: no memory for their tokens");
    liz_buf_free(&t.text);
    liz_buf_free(&tokens);
    free(ends);
    return status;
}
