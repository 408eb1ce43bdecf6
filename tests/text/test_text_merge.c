/* test_text_merge.c - merging gives what the definition gives, whatever road it takes.
 *
 * Random vocabularies over two or three letters, full of ties and of priorities that run against the reading
 * direction; random words. The oracle works on strings and looks at every pair before each merge. Words are
 * merged with windows so short that borders fail and words start over, which the test asserts to have happened. */
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"
#include "text/text_merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TOKENS_MAX = 128, MERGES_MAX = 128, WORD_MAX = 320, TOKEN_LEN = 16 };

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

/* A vocabulary as the oracle knows it. An underscore stands for SentencePiece's space, U+2581. */
typedef struct plan {
    bool bpe;
    int n_tokens, n_merges;
    char token[TOKENS_MAX][TOKEN_LEN];
    float score[TOKENS_MAX];
    int left[MERGES_MAX], right[MERGES_MAX];
} plan;

static int plan_find(const plan *p, const char *text, size_t n)
{
    for (int i = 0; i < p->n_tokens; i++)
        if (strlen(p->token[i]) == n && memcmp(p->token[i], text, n) == 0)
            return i;
    return -1;
}

static void plan_add(plan *p, const char *text)
{
    if (p->n_tokens < TOKENS_MAX && plan_find(p, text, strlen(text)) < 0)
        snprintf(p->token[p->n_tokens++], TOKEN_LEN, "%s", text);
}

/* SentencePiece: any strings are tokens. Few distinct scores, so that ties are common. */
static void plan_spm(plan *p)
{
    *p = (plan){0};
    unsigned n_letters = 2 + draw(2);
    plan_add(p, "<unk>");
    for (unsigned c = 0; c < n_letters; c++)
        if (draw(8) > 0)
            plan_add(p, (char[]){(char)('a' + c), 0});
    unsigned n = 4 + draw(60);
    for (unsigned i = 0; i < n; i++) {
        char text[TOKEN_LEN] = "";
        unsigned len = 2 + draw(5);
        for (unsigned k = 0; k < len; k++)
            text[k] = (char)('a' + draw(n_letters));
        plan_add(p, text);
    }
    unsigned n_scores = 1 + draw(40);
    for (int i = 0; i < p->n_tokens; i++)
        p->score[i] = -(float)draw(n_scores) / 4;
}

/* SentencePiece with spaces; every other vocabulary has none inside its tokens. */
static void plan_spaces(plan *p)
{
    *p = (plan){0};
    bool inner = draw(2) == 0;
    plan_add(p, "<unk>");
    plan_add(p, "_");
    plan_add(p, "a");
    plan_add(p, "b");
    for (int i = 0; i < 60; i++) {
        char text[TOKEN_LEN] = "";
        unsigned len = 2 + draw(5);
        for (unsigned k = 0; k < len; k++)
            text[k] = "ab_"[k > 0 && !inner && text[k - 1] != '_' ? draw(2) : draw(3)];
        plan_add(p, text);
    }
    for (int i = 0; i < p->n_tokens; i++)
        p->score[i] = -(float)draw(20) / 4;
}

/* BPE: merges of tokens made so far; the order of ranks is shuffled, so that a product may merge before its parts. */
static void plan_bpe(plan *p)
{
    *p = (plan){.bpe = true};
    unsigned n_letters = 2 + draw(2), n = 4 + draw(60);
    for (unsigned c = 0; c < n_letters; c++)
        plan_add(p, (char[]){(char)('a' + c), 0});
    for (unsigned i = 0; i < n; i++) {
        int l = (int)draw((unsigned)p->n_tokens), r = (int)draw((unsigned)p->n_tokens);
        char text[2 * TOKEN_LEN];
        snprintf(text, sizeof text, "%s%s", p->token[l], p->token[r]);
        if (strlen(text) >= TOKEN_LEN)
            continue;
        plan_add(p, text);
        p->left[p->n_merges] = l;
        p->right[p->n_merges++] = r;
    }
    for (int i = p->n_merges - 1; i > 0; i--) {
        int k = (int)draw((unsigned)i + 1), l = p->left[i], r = p->right[i];
        p->left[i] = p->left[k], p->right[i] = p->right[k];
        p->left[k] = l, p->right[k] = r;
    }
}

static liz_text_vocab *plan_open(const plan *p)
{
    liz_gguf_writer *w;
    liz_gguf *gguf;
    liz_text_vocab *vocab;
    liz_error err = {0};
    liz_str tokens[TOKENS_MAX], merges[MERGES_MAX];
    char merge_text[MERGES_MAX][2 * TOKEN_LEN], token_text[TOKENS_MAX][3 * TOKEN_LEN];
    const char *path = temp_path("plan.gguf");
    assert_int_equal(liz_gguf_writer_open(&w, NULL, path, &err), LIZ_OK);
    for (int i = 0; i < p->n_tokens; i++) {
        char *out = token_text[i];
        for (const char *c = p->token[i]; *c != '\0'; c++)
            out += sprintf(out, *c == '_' ? "\xE2\x96\x81" : "%c", *c);
        tokens[i] = (liz_str){token_text[i], (size_t)(out - token_text[i])};
    }
    for (int i = 0; i < p->n_merges; i++) {
        snprintf(merge_text[i], sizeof merge_text[i], "%s %s", p->token[p->left[i]], p->token[p->right[i]]);
        merges[i] = liz_str_of(merge_text[i]);
    }
    liz_gguf_put_str(w, "tokenizer.ggml.model", liz_str_of(p->bpe ? "gpt2" : "llama"));
    liz_gguf_put_str(w, "tokenizer.ggml.pre", liz_str_of("gpt-2"));
    liz_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
    liz_gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, (size_t)p->n_tokens);
    liz_gguf_put_array(w, "tokenizer.ggml.scores", LIZ_GGUF_F32, p->score, (size_t)p->n_tokens);
    liz_gguf_put_strs(w, "tokenizer.ggml.merges", merges, (size_t)p->n_merges);
    assert_int_equal(liz_gguf_writer_begin(w, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, &err), LIZ_OK);
    liz_gguf_writer_close(w);
    assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_OK);
    if (liz_text_vocab_open(&vocab, gguf, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    liz_gguf_close(gguf);
    return vocab;
}

/* How soon `a` [n_a] and `b` [n_b], neighbours, merge: lower is sooner; INFINITY: never. */
static double oracle_order(const plan *p, const char *a, size_t n_a, const char *b, size_t n_b)
{
    if (!p->bpe) {
        int id = plan_find(p, a, n_a + n_b); /* they are neighbours in memory too */
        return id <= 0 ? 1e30 : -(double)p->score[id];
    }
    int l = plan_find(p, a, n_a), r = plan_find(p, b, n_b);
    for (int i = 0; i < p->n_merges; i++)
        if (p->left[i] == l && p->right[i] == r)
            return i;
    return 1e30;
}

static size_t oracle(const plan *p, const char *word, size_t n, int32_t *ids)
{
    size_t len[WORD_MAX], n_symbols = n;
    for (size_t i = 0; i < n; i++)
        len[i] = 1;
    for (;;) {
        size_t best = 0, at = 0;
        double best_order = 1e30;
        for (size_t i = 0; i + 1 < n_symbols; at += len[i++]) {
            double order = oracle_order(p, word + at, len[i], word + at + len[i], len[i + 1]);
            if (order < best_order)
                best_order = order, best = i;
        }
        if (best_order == 1e30)
            break;
        len[best] += len[best + 1];
        memmove(&len[best + 1], &len[best + 2], (n_symbols - best - 2) * sizeof *len);
        n_symbols--;
    }
    size_t at = 0, n_ids = 0;
    for (size_t i = 0; i < n_symbols; at += len[i++]) {
        int id = plan_find(p, word + at, len[i]);
        if (id >= 0)
            ids[n_ids++] = id;
        else if (!p->bpe)
            ids[n_ids++] = 0; /* the unknown token, which the BPE files here do not have */
    }
    return n_ids;
}

static size_t compare(const plan *p, const liz_text_vocab *vocab, const char *word, size_t n, size_t window)
{
    int32_t want[WORD_MAX];
    size_t n_want = oracle(p, word, n, want);
    liz_text_ids got = {0};
    liz_text_merger merger = {.vocab = vocab, .out = &got, .window_min = window};
    liz_text_merge_word(&merger, (liz_str){word, n}, word + n);
    assert_false(merger.failed);
    bool same = got.n == n_want && (n_want == 0 || memcmp(got.v, want, n_want * sizeof *want) == 0);
    if (!same)
        fail_msg("%s, window %zu: %.*s", p->bpe ? "bpe" : "spm", window, (int)n, word);
    liz_text_merger_free(&merger);
    free(got.v);
    return merger.n_restarts;
}

static void run(void (*make)(plan *), int n_plans)
{
    size_t n_restarts = 0;
    for (int i = 0; i < n_plans; i++) {
        plan p;
        make(&p);
        liz_text_vocab *vocab = plan_open(&p);
        for (int k = 0; k < 8; k++) {
            char word[WORD_MAX];
            size_t n = 1 + draw(k < 4 ? 70 : WORD_MAX - 1);
            unsigned period = 1 + draw(12); /* repeats make long chains of ties */
            for (size_t c = 0; c < n; c++)
                word[c] = k % 2 == 1 && c >= period ? word[c - period] : (char)('a' + draw(3));
            n_restarts += compare(&p, vocab, word, n, 2 + draw(30));
        }
        liz_text_vocab_close(vocab);
    }
    printf("# %zu restarts\n", n_restarts);
    assert_true(n_restarts > 0);
}

static void test_spm(void **state)
{
    (void)state;
    seed = 1;
    run(plan_spm, 300);
}

static void test_bpe(void **state)
{
    (void)state;
    seed = 2;
    run(plan_bpe, 300);
}

/* Cutting the text before its spaces gives what merging all of it gives, where it is done. */
static void test_spaces(void **state)
{
    (void)state;
    seed = 4;
    int n_split = 0, n_whole = 0;
    for (int i = 0; i < 200; i++) {
        plan p;
        plan_spaces(&p);
        liz_text_vocab *vocab = plan_open(&p);
        n_split += vocab->splits_at_space;
        n_whole += !vocab->splits_at_space;
        for (int k = 0; k < 8; k++) {
            char word[WORD_MAX], text[WORD_MAX];
            int32_t want[WORD_MAX], *got;
            size_t n = 1 + draw(60), n_got;
            for (size_t c = 0; c < n; c++) {
                word[c] = "ab__"[draw(4)];
                text[c] = word[c] == '_' ? ' ' : word[c];
            }
            size_t n_want = oracle(&p, word, n, want);
            assert_int_equal(liz_text_encode(vocab, (liz_str){text, n}, 0, &got, &n_got, NULL), LIZ_OK);
            assert_int_equal(n_got, n_want);
            assert_memory_equal(got, want, n_want * sizeof *want);
            free(got);
        }
        liz_text_vocab_close(vocab);
    }
    printf("# %d cut at spaces, %d whole\n", n_split, n_whole);
    assert_true(n_split > 20 && n_whole > 20);
}

/* The vocabulary in which every decision waits for the one to its right: "ab" by itself, but a chain of letters
 * whose pairs merge the sooner the further right they stand. */
static void test_chain(void **state)
{
    (void)state;
    plan p = {0};
    plan_add(&p, "<unk>");
    for (char c = 'a'; c <= 'z'; c++)
        plan_add(&p, (char[]){c, 0});
    for (char c = 'a'; c < 'z'; c++) {
        plan_add(&p, (char[]){c, (char)(c + 1), 0});
        p.score[p.n_tokens - 1] = (float)c;
    }
    liz_text_vocab *vocab = plan_open(&p);
    char word[260];
    for (int i = 0; i < 260; i++)
        word[i] = (char)('a' + i % 26);
    size_t n_restarts = 0;
    for (size_t window = 2; window < 64; window++)
        n_restarts += compare(&p, vocab, word, 260, window);
    assert_true(n_restarts > 0);
    liz_text_vocab_close(vocab);
}

/* The cache must not mix up words: equal beginnings, lengths around its limits, zero bytes. */
static void test_cache(void **state)
{
    (void)state;
    seed = 3;
    plan p;
    plan_spm(&p);
    liz_text_vocab *vocab = plan_open(&p);
    liz_text_ids cached = {0}, plain = {0};
    assert_true(liz_text_ids_reserve(&cached, 1) && liz_text_ids_reserve(&plain, 1));
    liz_text_merger with = {.vocab = vocab, .out = &cached, .window_min = LIZ_TEXT_WINDOW};
    liz_text_merger without = {.vocab = vocab, .out = &plain, .window_min = LIZ_TEXT_WINDOW};
    liz_text_merger_open_cache(&with, 1);
    assert_non_null(with.cache);
    for (int i = 0; i < 20000; i++) {
        size_t n = 1 + draw(26), room = n + draw(30);
        char *word = malloc(room);
        memset(word, 'a', room);
        for (int k = 0; k < 3; k++)
            word[draw((unsigned)n)] = "ab\0"[draw(3)];
        liz_text_merge_word(&with, (liz_str){word, n}, word + room);
        liz_text_merge_word(&without, (liz_str){word, n}, word + room);
        assert_int_equal(cached.n, plain.n);
        assert_memory_equal(cached.v, plain.v, plain.n * sizeof *plain.v);
        free(word);
    }
    liz_text_merger_free(&with);
    liz_text_merger_free(&without);
    free(cached.v);
    free(plain.v);
    liz_text_vocab_close(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm),   cmocka_unit_test(test_bpe),   cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_chain), cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
