/* test_text_unigram.c - Unigram vocabularies: the normal form, the likeliest row, maps that lie.
 *
 * The vocabularies are made here, the character map too. The likeliest row is held against a plain table over the whole
 * text, which is what the blocks of the real one must amount to. */
#include "../lib/charsmap_make.h"
#include "../lib/vocab_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define MARK "\u2581"

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

/* ---- a vocabulary ---- */

static const charsmap_entry entries[] = {
    {"\t", " "},           {"1", "a"},     {"12", "b"},     {"123", "ab"},   {"<\u0338", "b"},
    {"e\u0301", "\u00E9"}, {"\u00AD", ""}, {"\u3000", " "}, {"\uFF21", "a"}, {"\uFF22 ", "b b"},
};

static liz_buf map;                            /* of the file to be made; empty for none */
static int add_prefix = -1, joins_spaces = -1; /* -1: the file does not say */

static void put_unigram(liz_gguf_writer *w)
{
    static const float scores[] = {0, 0, 0, -3, -4, -4, -5, -5.5f, -6, -4.5f, 0, -7.75f, -5, 0};
    put_model(w, "t5", "<pad>;</s>;<unk>;" MARK ";a;b;ab;" MARK "ab;\u00E9;" MARK "a;[X];bb;" MARK MARK ";<mask>");
    put_kinds(w, "33211111114113");
    liz_gguf_put_array(w, KEY "scores", LIZ_GGUF_F32, scores, sizeof scores / sizeof *scores);
    if (map.len > 0)
        liz_gguf_put_array(w, KEY "precompiled_charsmap", LIZ_GGUF_I8, map.data, map.len);
    if (add_prefix >= 0)
        liz_gguf_put_bool(w, KEY "add_space_prefix", add_prefix);
    if (joins_spaces >= 0)
        liz_gguf_put_bool(w, KEY "remove_extra_whitespaces", joins_spaces);
}

static liz_text_vocab *open_with(bool with_map, int prefix, int joins)
{
    liz_buf_free(&map);
    liz_buf_init(&map, 1 << 20);
    if (with_map)
        charsmap_make(&map, entries, sizeof entries / sizeof *entries);
    add_prefix = prefix;
    joins_spaces = joins;
    return vocab_open(put_unigram);
}

static void check_ids(const liz_text_vocab *vocab, const char *text, unsigned flags, const char *want)
{
    assert_string_equal(vocab_ids(vocab, liz_str_of(text), flags), want);
}

static void test_rows(void **state)
{
    (void)state;
    liz_text_vocab *vocab = open_with(false, -1, -1);
    assert_string_equal(liz_text_vocab_model(vocab), "t5");
    assert_string_equal(liz_text_vocab_pre(vocab), "");
    check_ids(vocab, "", 0, "");
    check_ids(vocab, "ab", 0, "6");
    check_ids(vocab, "abb", 0, "6 5"); /* -5 - 4, not -4 - 7.75 */
    check_ids(vocab, "bb", 0, "11");
    check_ids(vocab, "a b", 0, "4 3 5"); /* as it stands: neither a space before it nor one taken away */
    check_ids(vocab, "a  ab", 0, "4 3 7");
    check_ids(vocab, "cc\u4E2Dc", 0, "2"); /* unknown neighbours are one */
    check_ids(vocab, "cac", 0, "2 4 2");
    check_ids(vocab, "c c", 0, "2 3 2");
    check_ids(vocab, "\xFF\xC3", 0, "2");
    check_ids(vocab, "a\xC3\xA9", 0, "4 8");
    check_ids(vocab, "a[X]b[Xa", 0, "4 10 5 2 4"); /* user-defined tokens always */
    check_ids(vocab, "<unk>", 0, "2"); /* no such token in plain text; none of its letters is one either */
    liz_text_vocab_close(vocab);
}

static void test_spaces(void **state)
{
    (void)state;
    liz_text_vocab *vocab = open_with(false, true, true);
    check_ids(vocab, "ab", 0, "7");
    check_ids(vocab, "  ab   a ", 0, "7 9");
    check_ids(vocab, "   ", 0, "");
    check_ids(vocab, "a [X] ab", 0, "9 10 7"); /* each stretch for itself */
    check_ids(vocab, "a" MARK "b", 0, "9 3 5");
    liz_text_vocab_close(vocab);
    vocab = open_with(false, true, false);
    check_ids(vocab, " a  b", 0, "3 9 12 5"); /* two spaces and its own */
    liz_text_vocab_close(vocab);
    vocab = open_with(false, false, true);
    check_ids(vocab, "a", 0, "9"); /* joined spaces begin a word anyway */
    liz_text_vocab_close(vocab);
}

static void test_affixes(void **state)
{
    (void)state;
    liz_text_vocab *vocab = open_with(false, true, true);
    assert_int_equal(liz_text_vocab_bos(vocab), -1);
    assert_int_equal(liz_text_vocab_eos(vocab), 1);
    assert_true(liz_text_vocab_add_eos(vocab) && !liz_text_vocab_add_bos(vocab));
    check_ids(vocab, "ab", LIZ_TEXT_AFFIXES, "7 1");
    check_ids(vocab, "</s><unk>ab", LIZ_TEXT_SPECIAL, "1 2 7");
    liz_buf out;
    liz_buf_init(&out, 100);
    liz_text_decode_token(vocab, 7, true, false, &out);
    liz_text_decode_token(vocab, 9, false, false, &out);
    liz_text_decode_token(vocab, 2, false, false, &out);
    liz_text_decode_token(vocab, 8, false, false, &out);
    assert_string_equal(out.data, "ab a\u00E9");
    liz_buf_free(&out);
    liz_text_vocab_close(vocab);
}

static void test_map(void **state)
{
    (void)state;
    liz_text_vocab *vocab = open_with(true, true, true);
    check_ids(vocab, "1", 0, "9");
    check_ids(vocab, "12", 0, "3 5"); /* the longest entry */
    check_ids(vocab, "123", 0, "7");
    check_ids(vocab, "1213", 0, "3 5 4 2");
    check_ids(vocab, "e\u0301", 0, "3 8");
    check_ids(vocab, "e", 0, "3 2"); /* an entry begun is none */
    check_ids(vocab,
              "a\u00AD"
              "b",
              0, "7");
    check_ids(vocab, "\u00AD", 0, "");
    check_ids(vocab,
              "a\tb\u3000"
              "a",
              0, "9 3 5 9");
    check_ids(vocab, "\uFF21", 0, "9");
    check_ids(vocab, "\uFF22 a", 0, "3 5 3 5 4"); /* replacements are spaced too, and not looked at again */
    check_ids(vocab, "<\u0338", 0, "3 5");
    assert_string_equal(vocab_ids(vocab,
                                  (liz_str){"1\0"
                                            "2",
                                            3},
                                  0),
                        "9 2");
    liz_text_vocab_close(vocab);
}

/* ---- maps that lie ---- */

static liz_status open_map(liz_error *err)
{
    liz_text_vocab *vocab = NULL;
    liz_status status = vocab_open_file(&vocab, put_unigram, err);
    for (int i = 0; status == LIZ_OK && i < 8; i++) {
        char text[40];
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = draw(2) ? "\t123<e\xAD\xC2\xE3\x80\xCC"[draw(11)] : (char)draw(256);
        (void)vocab_ids(vocab, (liz_str){text, sizeof text}, 0);
    }
    liz_text_vocab_close(vocab);
    return status;
}

static void test_hostile_maps(void **state)
{
    (void)state;
    liz_buf whole;
    liz_buf_init(&whole, 1 << 20);
    charsmap_make(&whole, entries, sizeof entries / sizeof *entries);
    seed = 11;
    int n_open = 0;
    for (int round = 0; round < 600; round++) {
        liz_error err = {0};
        liz_buf_clear(&map);
        liz_buf_append(&map, whole.data, round % 4 == 0 ? 1 + draw((unsigned)whole.len) : whole.len);
        for (unsigned n = draw(64); n > 0; n--)
            map.data[draw((unsigned)map.len)] = (char)(draw(3) ? draw(256) : 0xFF);
        liz_status status = open_map(&err);
        n_open += status == LIZ_OK;
        if (status != LIZ_OK)
            assert_non_null(strstr(err.text, "precompiled_charsmap"));
    }
    assert_true(n_open > 100);
    static const struct {
        const char *bytes;
        size_t n;
    } refused[] = {
        {"abc", 3}, {"\0\0\0\0", 4}, {"\4\0\0\0\0\0\0\0", 8}, {"\xFF\xFF\xFF\xFF\0\0\0\0\0", 9}, {"\0\0\0\0x", 5}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        liz_error err = {0};
        liz_buf_clear(&map);
        liz_buf_append(&map, refused[i].bytes, refused[i].n);
        assert_int_equal(open_map(&err), LIZ_E_FORMAT);
    }
    liz_buf_clear(&map);
    liz_buf_append(&map, "\0\0\0\0", 4);
    for (int i = 0; i < 5000; i++)
        liz_buf_putc(&map, 'x');
    liz_buf_putc(&map, '\0');
    liz_error err = {0};
    assert_int_equal(open_map(&err), LIZ_E_LIMIT);
    liz_buf_free(&whole);
}

/* ---- the likeliest row, held against a plain table ---- */

enum { N_RANDOM = 40, N_FIRST = 4 };
static char random_tokens[N_RANDOM][8];
static float random_scores[N_RANDOM + N_FIRST];

static void put_random(liz_gguf_writer *w)
{
    liz_str tokens[N_RANDOM + N_FIRST] = {liz_str_of("<pad>"), liz_str_of("</s>"), liz_str_of("<unk>"),
                                          liz_str_of(MARK)};
    int32_t kinds[N_RANDOM + N_FIRST] = {3, 3, 2, 1};
    for (int i = 0; i < N_RANDOM; i++) {
        tokens[N_FIRST + i] = liz_str_of(random_tokens[i]);
        kinds[N_FIRST + i] = 1;
    }
    liz_gguf_put_str(w, KEY "model", liz_str_of("t5"));
    liz_gguf_put_strs(w, KEY "tokens", tokens, N_RANDOM + N_FIRST);
    liz_gguf_put_array(w, KEY "token_type", LIZ_GGUF_I32, kinds, N_RANDOM + N_FIRST);
    liz_gguf_put_array(w, KEY "scores", LIZ_GGUF_F32, random_scores, N_RANDOM + N_FIRST);
}

/* Tokens of one to seven letters, a and b among them, c unknown; few different scores, so that rows are often equal. */
static void draw_tokens(void)
{
    random_scores[3] = -2;
    for (int i = 0; i < N_RANDOM; i++) {
        unsigned n = i < 2 ? 1 : 2 + draw(6);
        for (unsigned k = 0; k <= n; k++)
            random_tokens[i][k] = k == n ? '\0' : i < 2 ? (char)('a' + i) : (char)('a' + draw(k == 0 ? 3 : 2));
        random_scores[N_FIRST + i] = -1 - (float)draw(12) / 4;
    }
}

/* The ids of `text` [n] from a table over all its places. */
static size_t plain_row(const liz_text_vocab *vocab, const char *text, size_t n, int32_t *ids)
{
    double *best = malloc((n + 1) * sizeof *best);
    int32_t *last = malloc((n + 1) * sizeof *last);
    float worst = 0;
    for (int i = 3; i < N_RANDOM + N_FIRST; i++)
        worst = fminf(worst, random_scores[i]);
    best[0] = 0;
    for (size_t end = 1; end <= n; end++) {
        best[end] = -HUGE_VAL;
        /* The longest token first: it comes from further left. */
        for (size_t len = end < 7 ? end : 7; len > 0; len--) {
            int32_t id = liz_text_vocab_find(vocab, (liz_str){text + end - len, len});
            bool known = id >= N_FIRST;
            if (!known && len > 1)
                continue;
            double score = best[end - len] + (double)(known ? random_scores[id] : worst - 10);
            if (score > best[end]) {
                best[end] = score;
                last[end] = known ? id : 2;
            }
        }
    }
    size_t n_ids = 0;
    for (size_t end = n; end > 0; end -= last[end] == 2 ? 1 : liz_text_vocab_token(vocab, last[end]).n)
        if (n_ids == 0 || ids[n_ids - 1] != 2 || last[end] != 2)
            ids[n_ids++] = last[end];
    for (size_t i = 0; i < n_ids / 2; i++) {
        int32_t t = ids[i];
        ids[i] = ids[n_ids - 1 - i];
        ids[n_ids - 1 - i] = t;
    }
    free(best);
    free(last);
    return n_ids;
}

static void test_likeliest(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    char *text = malloc(LONG);
    int32_t *want = malloc(LONG * sizeof *want), *ids;
    for (int round = 0; round < 12; round++) {
        seed = 1000 + (uint64_t)round;
        draw_tokens();
        liz_text_vocab *vocab = vocab_open(put_random);
        for (int i = 0; i < 40; i++) {
            /* Up to 23 bytes the cache answers, past 65,536 the blocks do. */
            size_t n = i < 3 ? LONG - draw(100000) : i < 6 ? 65530 + draw(12) : 1 + draw(60), n_ids;
            for (size_t k = 0; k < n; k++)
                text[k] = (char)('a' + draw(i == 0 ? 1 : i % 2 ? 2 : 40) % 3);
            size_t n_want = plain_row(vocab, text, n, want);
            assert_int_equal(liz_text_encode(vocab, (liz_str){text, n}, 0, &ids, &n_ids, NULL), LIZ_OK);
            assert_int_equal(n_ids, n_want);
            assert_memory_equal(ids, want, n_want * sizeof *want);
            free(ids);
        }
        liz_text_vocab_close(vocab);
    }
    free(text);
    free(want);
}

/* 4 MB of one word, of words, of what the map knows. The bound is generous: quadratic work would take hours. */
static void test_linear(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "ab", " ", "c", "ab ", "\xFF", "12", "[", "[X]", "e\u0301", MARK};
    liz_text_vocab *vocab = open_with(true, true, true);
    size_t n = 4 << 20;
    char *text = malloc(n);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i]), n_ids;
        for (size_t k = 0; k < n; k++)
            text[k] = units[i][k % len];
        int32_t *ids;
        clock_t start = clock();
        assert_int_equal(liz_text_encode(vocab, (liz_str){text, n}, 0, &ids, &n_ids, NULL), LIZ_OK);
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 30);
        free(ids);
    }
    free(text);
    liz_text_vocab_close(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_spaces),       cmocka_unit_test(test_affixes),
        cmocka_unit_test(test_map),    cmocka_unit_test(test_hostile_maps), cmocka_unit_test(test_likeliest),
        cmocka_unit_test(test_linear),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    liz_buf_free(&map);
    return failed;
}
