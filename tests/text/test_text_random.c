/* test_text_random.c - no vocabulary and no text makes the tokenizers stumble.
 *
 * Vocabularies of random bytes, kinds, scores of any bit pattern and merges of anything; texts of any bytes. They
 * open or are refused; every id that comes out is one of the vocabulary, and every id can be decoded. Run under
 * the sanitizers this is the fuzzer's short form. */
#include "../lib/temp_dir.h"
#include "format/gguf_write.h"
#include "text/text_pre.h"
#include "text/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_VOCABULARIES = 400, N_TEXTS = 12, TOKENS_MAX = 300, TEXT_MAX = 700 };

static uint64_t seed = 20260202;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

/* Bytes that meet often, with the marks that the algorithms look for. */
static void draw_bytes(liz_buf *out, unsigned n_parts)
{
    static const char *const parts[] = {
        "a",        "b",        "ab",   "\xE2\x96\x81", "\xC4\xA0", " ",  "<",  "|>",  "\xE4\xB8\x80",
        "e",        "\xCC\x81", "\xFF", "\xE2\x96",     "1",        "\n", "'s", "<0x", "A",
        "\xC3\x84", ".",        "</s>", "<0x61>",       "[UNK]"};
    for (unsigned i = 0; i < n_parts; i++) {
        if (draw(6) == 0)
            liz_buf_putc(out, (char)draw(256));
        else
            liz_buf_puts(out, parts[draw(sizeof parts / sizeof *parts)]);
    }
}

static liz_str draw_text(liz_buf *out, unsigned n_parts)
{
    liz_buf_clear(out);
    liz_buf_putc(out, '\0');
    draw_bytes(out, n_parts);
    return (liz_str){out->data + 1, out->len - 1};
}

/* Token texts behind one another in `bytes`, as slices. */
static size_t draw_tokens(liz_buf *bytes, liz_str *tokens)
{
    size_t off[TOKENS_MAX + 1], n = 1 + draw(TOKENS_MAX - 1);
    liz_buf_clear(bytes);
    for (size_t i = 0; i < n; i++) {
        off[i] = bytes->len;
        draw_bytes(bytes, draw(5));
    }
    off[n] = bytes->len;
    for (size_t i = 0; i < n; i++)
        tokens[i] = (liz_str){bytes->data + off[i], off[i + 1] - off[i]};
    return n;
}

static void put_lists(liz_gguf_writer *w, const liz_str *tokens, size_t n)
{
    int32_t kinds[TOKENS_MAX];
    float scores[TOKENS_MAX];
    liz_str merges[TOKENS_MAX];
    static char merge_text[TOKENS_MAX][256];
    for (size_t i = 0; i < n; i++) {
        kinds[i] = draw(3) > 0 ? 1 : (int32_t)draw(9) - 1;
        uint32_t bits = draw(4) > 0 ? 0xC0000000u + draw(8) * 0x800000u : draw(0xFFFFFFFFu);
        memcpy(&scores[i], &bits, 4);
        liz_str l = tokens[draw((unsigned)n)], r = tokens[draw((unsigned)n)];
        int len = snprintf(merge_text[i], sizeof merge_text[i], "%.*s %.*s", LIZ_STR_ARG(l), LIZ_STR_ARG(r));
        merges[i] = (liz_str){merge_text[i], (size_t)len < sizeof merge_text[i] ? (size_t)len : 0};
    }
    liz_gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, n);
    liz_gguf_put_array(w, "tokenizer.ggml.token_type", LIZ_GGUF_I32, kinds, n);
    liz_gguf_put_array(w, "tokenizer.ggml.scores", LIZ_GGUF_F32, scores, n);
    liz_gguf_put_strs(w, "tokenizer.ggml.merges", merges, n);
}

static const char *write_vocabulary(liz_buf *bytes)
{
    static const char *const models[] = {"llama", "gpt2", "bert", "t5", "gemma4", "rwkv"};
    char pre[LIZ_TEXT_PRE_NAME_MAX + 1];
    sscanf(liz_text_pre_table[draw((unsigned)liz_text_pre_table_len)].names, " %31s", pre);
    liz_gguf_writer *w;
    liz_str tokens[TOKENS_MAX];
    const char *path = temp_path("random.gguf");
    size_t n = draw_tokens(bytes, tokens);
    assert_int_equal(liz_gguf_writer_open(&w, NULL, path, NULL), LIZ_OK);
    liz_gguf_put_str(w, "general.name", liz_str_of(draw(2) ? "phi-3" : "other"));
    liz_gguf_put_str(w, "tokenizer.ggml.model", liz_str_of(models[draw(6)]));
    liz_gguf_put_str(w, "tokenizer.ggml.pre", liz_str_of(pre));
    liz_gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", draw(2 * (unsigned)n));
    liz_gguf_put_i32(w, "tokenizer.ggml.bos_token_id", (int32_t)draw(2 * (unsigned)n) - 2);
    liz_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", draw(2 * (unsigned)n));
    if (draw(4) == 0)
        liz_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
    put_lists(w, tokens, n);
    assert_int_equal(liz_gguf_writer_begin(w, NULL), LIZ_OK);
    assert_int_equal(liz_gguf_writer_finish(w, NULL), LIZ_OK);
    liz_gguf_writer_close(w);
    return path;
}

static void try_text(const liz_text_vocab *vocab, liz_str text, liz_buf *decoded)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *ids;
        size_t n;
        assert_int_equal(liz_text_encode(vocab, text, flags, &ids, &n, NULL), LIZ_OK);
        liz_buf_clear(decoded);
        for (size_t i = 0; i < n; i++) {
            assert_true(ids[i] >= 0 && ids[i] < liz_text_vocab_size(vocab));
            liz_text_decode_token(vocab, ids[i], i == 0, flags & 1, decoded);
        }
        free(ids);
    }
}

static void test_random(void **state)
{
    (void)state;
    int n_opened = 0;
    liz_buf bytes, text, decoded;
    liz_buf_init(&bytes, 1 << 20);
    liz_buf_init(&text, 1 << 20);
    liz_buf_init(&decoded, 1 << 20);
    for (int i = 0; i < N_VOCABULARIES; i++) {
        liz_gguf *gguf;
        liz_text_vocab *vocab;
        liz_error err = {0};
        assert_int_equal(liz_gguf_open(&gguf, write_vocabulary(&bytes), &err), LIZ_OK);
        liz_status status = liz_text_vocab_open(&vocab, gguf, &err);
        liz_gguf_close(gguf);
        if (status != LIZ_OK) {
            assert_true(vocab == NULL && err.text[0] != '\0');
            continue;
        }
        n_opened++;
        for (int k = 0; k < N_TEXTS; k++) {
            liz_str slice = draw_text(&text, draw(k % 4 == 0 ? TEXT_MAX : 20));
            char *own = malloc(slice.n + 1); /* its end is the end of memory to the sanitizer */
            memcpy(own, slice.p, slice.n);
            own = realloc(own, slice.n > 0 ? slice.n : 1);
            try_text(vocab, (liz_str){own, slice.n}, &decoded);
            free(own);
        }
        liz_text_vocab_close(vocab);
    }
    printf("# %d of %d vocabularies opened\n", n_opened, N_VOCABULARIES);
    assert_true(n_opened > N_VOCABULARIES / 2);
    liz_buf_free(&bytes);
    liz_buf_free(&text);
    liz_buf_free(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
