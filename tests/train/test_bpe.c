/* test_bpe.c - the tokenizer's training against the plain algorithm, and the vocabulary it writes. */
#include "../lib/temp_dir.h"
#include "base/philox.h"
#include "text/vocab.h"
#include "train/bpe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_WORDS = 300, N_TOKENS = 256 + 120 };

/* Words of few letters with a space before each: pieces of the pre-tokenizer are then the words. */
static size_t make_text(uint64_t seed, char *text, size_t starts[N_WORDS + 1])
{
    size_t n = 0;
    for (int w = 0; w < N_WORDS; w++) {
        starts[w] = n;
        text[n++] = ' ';
        int length = 1 + (int)(liz_draw(seed, (uint64_t)w, 0) * 9);
        for (int i = 0; i < length; i++)
            text[n++] = (char)('a' + (int)(liz_draw(seed, (uint64_t)(w * 16 + i), 1) * 4));
    }
    starts[N_WORDS] = n;
    return n;
}

/* The plain way: count all pairs, take the best, replace it everywhere, again. */
static size_t merge_plainly(const char *text, const size_t starts[N_WORDS + 1], liz_bpe_merge *out, size_t n_max)
{
    static int32_t s[N_WORDS * 10], count[N_TOKENS][N_TOKENS];
    static size_t begin[N_WORDS], len[N_WORDS];
    for (int w = 0; w < N_WORDS; w++) {
        begin[w] = starts[w];
        len[w] = starts[w + 1] - starts[w];
        for (size_t i = 0; i < len[w]; i++)
            s[begin[w] + i] = (uint8_t)text[starts[w] + i];
    }
    for (size_t m = 0; m < n_max; m++) {
        int32_t best = 1, left = 0, right = 0, merged = (int32_t)(256 + m);
        memset(count, 0, sizeof count);
        for (int w = 0; w < N_WORDS; w++)
            for (size_t i = 0; i + 1 < len[w]; i++)
                count[s[begin[w] + i]][s[begin[w] + i + 1]]++;
        for (int32_t a = 0; a < N_TOKENS; a++)
            for (int32_t b = 0; b < N_TOKENS; b++)
                if (count[a][b] > best)
                    best = count[left = a][right = b];
        if (best < 2)
            return m;
        out[m] = (liz_bpe_merge){left, right};
        for (int w = 0; w < N_WORDS; w++) {
            size_t n = 0;
            for (size_t i = 0; i < len[w]; n++) {
                bool hit = i + 1 < len[w] && s[begin[w] + i] == left && s[begin[w] + i + 1] == right;
                s[begin[w] + n] = hit ? merged : s[begin[w] + i];
                i += hit ? 2 : 1;
            }
            len[w] = n;
        }
    }
    return n_max;
}

static void test_merges(void **state)
{
    (void)state;
    static char text[N_WORDS * 10];
    static size_t starts[N_WORDS + 1];
    static liz_bpe_merge plain[N_TOKENS - 256];
    for (uint64_t seed = 0; seed < 8; seed++) {
        size_t n = make_text(seed, text, starts), n_merges;
        liz_bpe *bpe;
        liz_error err;
        assert_int_equal(liz_bpe_open(&bpe, "gpt-2", &err), LIZ_OK);
        assert_int_equal(liz_bpe_count(bpe, (liz_str){text, n}, &err), LIZ_OK);
        assert_int_equal(liz_bpe_merge_all(bpe, N_TOKENS, &err), LIZ_OK);
        const liz_bpe_merge *merges = liz_bpe_merges(bpe, &n_merges);
        size_t n_plain = merge_plainly(text, starts, plain, N_TOKENS - 256);
        assert_int_equal(n_merges, n_plain);
        assert_true(n_merges > 50);
        assert_memory_equal(merges, plain, n_merges * sizeof *plain);
        liz_bpe_close(bpe);
    }
}

static void test_vocabulary(void **state)
{
    (void)state;
    static const char text[] = "the theatre there, the other weather; naïve Ünïcode and 1234 numbers the the then";
    static const char *const specials[] = {"<|endoftext|>", "<|user|>"};
    const char *path = temp_path("vocab.gguf");
    liz_bpe *bpe;
    liz_gguf_writer *writer;
    liz_gguf *gguf;
    liz_text_vocab *vocab;
    liz_error err;
    int32_t *ids;
    size_t n_ids, n_merges;
    assert_int_equal(liz_bpe_open(&bpe, "smollm", &err), LIZ_OK);
    assert_int_equal(liz_bpe_count(bpe, liz_str_of(text), &err), LIZ_OK);
    assert_int_equal(liz_bpe_merge_all(bpe, 300, &err), LIZ_OK);
    liz_bpe_merges(bpe, &n_merges);
    assert_int_equal(liz_gguf_writer_open(&writer, NULL, path, &err), LIZ_OK);
    liz_gguf_put_str(writer, "general.architecture", liz_str_of("llama"));
    assert_int_equal(liz_bpe_put(bpe, writer, specials, 2, 0, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_begin(writer, &err), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(writer, &err), LIZ_OK);
    liz_gguf_writer_close(writer);
    liz_bpe_close(bpe);

    assert_int_equal(liz_gguf_open(&gguf, path, &err), LIZ_OK);
    assert_int_equal(liz_text_vocab_open(&vocab, gguf, &err), LIZ_OK);
    assert_int_equal(liz_text_encode(vocab, liz_str_of(text), 0, &ids, &n_ids, &err), LIZ_OK);
    assert_true(n_ids + 20 < sizeof text); /* merges are used */
    liz_buf back;
    liz_buf_init(&back, 4096);
    for (size_t i = 0; i < n_ids; i++) {
        assert_true(ids[i] < (int32_t)(256 + n_merges));
        liz_text_decode_token(vocab, ids[i], i == 0, true, &back);
    }
    assert_string_equal(back.data, text);
    free(ids);
    liz_buf_free(&back);
    liz_text_vocab_close(vocab);
    liz_gguf_close(gguf);
}

static void test_refused(void **state)
{
    (void)state;
    liz_bpe *bpe;
    liz_error err;
    assert_int_equal(liz_bpe_open(&bpe, "no-such", &err), LIZ_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no-such"));
    assert_int_equal(liz_bpe_open(&bpe, "gpt-2", &err), LIZ_OK);
    assert_int_equal(liz_bpe_merge_all(bpe, 255, &err), LIZ_E_USAGE);
    assert_int_equal(liz_bpe_merge_all(bpe, 300, &err), LIZ_OK); /* of no text: bytes alone */
    size_t n;
    liz_bpe_merges(bpe, &n);
    assert_int_equal(n, 0);
    liz_bpe_close(bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_merges), cmocka_unit_test(test_vocabulary),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
