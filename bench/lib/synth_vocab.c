/* synth_vocab.c - tokens and merges, generated side by side.
 *
 * Every merge joins two tokens that exist already, and no two merges give the same token: a pair is letter + letter, a
 * four is pair + pair, and a space stands before a letter, a pair, or the first pair of a four. */
#include "synth_vocab.h"

#include "base/arena.h"
#include "base/str.h"

#include <stdio.h>

enum { N_BYTES = 256, N_LETTERS = 26, N_PAIRS = N_LETTERS * N_LETTERS, TEXT_MAX = 48 };
#define ARENA_BYTES_MAX ((size_t)1 << 30)
#define SPACE "\xC4\xA0" /* U+0120, the byte 0x20 */

typedef struct vocab {
    liz_str *tokens, *merges;
    uint32_t n_tokens, n_merges, n_tokens_max; /* before the control tokens */
    liz_arena arena;
    bool failed;
} vocab;

static liz_str keep(vocab *v, const char *text)
{
    size_t n = strlen(text);
    char *copy = liz_arena_strdup(&v->arena, text, n);
    v->failed |= copy == NULL;
    return (liz_str){copy, copy != NULL ? n : 0};
}

static void add_merge(vocab *v, const char *left, const char *right)
{
    if (v->n_tokens == v->n_tokens_max || v->failed)
        return;
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "%s %s", left, right);
    v->merges[v->n_merges++] = keep(v, text);
    snprintf(text, sizeof text, "%s%s", left, right);
    v->tokens[v->n_tokens++] = keep(v, text);
}

/* GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the others for U+0100 onwards. */
static void add_bytes(vocab *v)
{
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < N_BYTES; byte++) {
        bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
        char text[8] = {0};
        liz_utf8_encode(printable ? byte : next++, text);
        v->tokens[v->n_tokens++] = keep(v, text);
    }
}

/* The pair of that rank: letters by frequency, pairs along the diagonals of their table. */
static void pairs_rank(char pairs[N_PAIRS][3])
{
    static const char letters[N_LETTERS + 1] = "etaoinshrdlcumwfgypbvkjxqz";
    int n = 0;
    for (int sum = 0; sum <= 2 * (N_LETTERS - 1); sum++)
        for (int a = 0; a < N_LETTERS; a++)
            if (sum - a >= 0 && sum - a < N_LETTERS) {
                pairs[n][0] = letters[a];
                pairs[n][1] = letters[sum - a];
                pairs[n++][2] = '\0';
            }
}

static void add_merges(vocab *v)
{
    char pairs[N_PAIRS][3];
    char spaced[N_PAIRS][sizeof SPACE + 2];
    pairs_rank(pairs);
    for (int i = 0; i < N_PAIRS; i++) {
        snprintf(spaced[i], sizeof spaced[i], SPACE "%.2s", pairs[i]);
        add_merge(v, (char[]){pairs[i][0], '\0'}, (char[]){pairs[i][1], '\0'});
        add_merge(v, SPACE, pairs[i]);
    }
    for (char c = 'a'; c <= 'z'; c++)
        add_merge(v, SPACE, (char[]){c, '\0'});
    for (int sum = 0; sum <= 2 * (N_PAIRS - 1) && v->n_tokens < v->n_tokens_max && !v->failed; sum++)
        for (int i = 0; i < N_PAIRS; i++)
            if (sum - i >= 0 && sum - i < N_PAIRS) {
                add_merge(v, pairs[i], pairs[sum - i]);
                add_merge(v, spaced[i], pairs[sum - i]);
            }
}

static void add_control(vocab *v, uint32_t n_control)
{
    for (uint32_t i = 0; i < n_control; i++) {
        char text[TEXT_MAX];
        snprintf(text, sizeof text, i == 0 ? "<|begin|>" : i == 1 ? "<|end|>" : "<|reserved_%u|>", i);
        v->tokens[v->n_tokens++] = keep(v, text);
    }
}

static void put(liz_gguf_writer *writer, const vocab *v, const int32_t *types, const char *pre, bool add_bos)
{
    liz_gguf_put_str(writer, "tokenizer.ggml.model", liz_str_of("gpt2"));
    liz_gguf_put_str(writer, "tokenizer.ggml.pre", liz_str_of(pre));
    liz_gguf_put_strs(writer, "tokenizer.ggml.tokens", v->tokens, v->n_tokens);
    liz_gguf_put_array(writer, "tokenizer.ggml.token_type", LIZ_GGUF_I32, types, v->n_tokens);
    liz_gguf_put_strs(writer, "tokenizer.ggml.merges", v->merges, v->n_merges);
    liz_gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", v->n_tokens_max);
    liz_gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", v->n_tokens_max + 1);
    liz_gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", add_bos);
}

bool bench_vocab_put(liz_gguf_writer *writer, const char *pre, uint32_t n_vocab, uint32_t n_control, bool add_bos)
{
    enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, N_PLAIN_MAX = 900000 };
    if (n_control < 2 || n_vocab < n_control + N_BYTES || n_vocab - n_control > N_PLAIN_MAX)
        return false;
    vocab v = {.n_tokens_max = n_vocab - n_control};
    liz_arena_init(&v.arena, ARENA_BYTES_MAX);
    v.tokens = liz_arena_array(&v.arena, n_vocab, sizeof *v.tokens);
    v.merges = liz_arena_array(&v.arena, n_vocab, sizeof *v.merges);
    int32_t *types = liz_arena_array(&v.arena, n_vocab, sizeof *types);
    bool ok = v.tokens != NULL && v.merges != NULL && types != NULL;
    if (ok) {
        add_bytes(&v);
        add_merges(&v);
        add_control(&v, n_control);
        for (uint32_t i = 0; i < n_vocab; i++)
            types[i] = i < v.n_tokens_max ? TYPE_NORMAL : TYPE_CONTROL;
        ok = !v.failed && v.n_tokens == n_vocab;
        if (ok)
            put(writer, &v, types, pre, add_bos);
    }
    liz_arena_free(&v.arena);
    return ok;
}
