/* test_text_vocab.c - what a vocabulary says of itself, what it does at the edges, and what files it refuses. */
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

static void check_ids(const liz_text_vocab *vocab, const char *text, unsigned flags, const char *want)
{
    assert_string_equal(vocab_ids(vocab, liz_str_of(text), flags), want);
}

/* ---- files that are refused ---- */

static void put_nothing(liz_gguf_writer *w) { (void)w; }
static void put_none(liz_gguf_writer *w) { put_model(w, "none", "a"); }
static void put_no_vocab(liz_gguf_writer *w) { put_model(w, "no_vocab", "a"); }
static void put_test(liz_gguf_writer *w) { put_model(w, "test", "a"); }
static void put_plamo2(liz_gguf_writer *w) { put_model(w, "plamo2", "a"); }
static void put_no_tokens(liz_gguf_writer *w) { liz_gguf_put_str(w, KEY "model", liz_str_of("llama")); }

static void put_tokens_numbers(liz_gguf_writer *w)
{
    liz_gguf_put_str(w, KEY "model", liz_str_of("llama"));
    liz_gguf_put_array(w, KEY "tokens", LIZ_GGUF_I32, (int32_t[]){1, 2}, 2);
}

static void put_tokens_empty(liz_gguf_writer *w)
{
    liz_gguf_put_str(w, KEY "model", liz_str_of("llama"));
    liz_gguf_put_strs(w, KEY "tokens", NULL, 0);
}

static void put_token_long(liz_gguf_writer *w)
{
    static char text[5000];
    memset(text, 'a', sizeof text - 1);
    put_model(w, "llama", text);
}

static void put_kinds_short(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>;a;b");
    put_kinds(w, "21");
}

static void put_kinds_strings(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>;a");
    put_list(w, KEY "token_type", "1;1");
}

static void put_kinds_floats(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>;a");
    liz_gguf_put_array(w, KEY "token_type", LIZ_GGUF_F32, (float[]){2, 1}, 2);
}

static void put_kinds_truths(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>;a");
    liz_gguf_put_array(w, KEY "token_type", LIZ_GGUF_BOOL, (uint8_t[]){1, 1}, 2);
}

/* A list of one list of two numbers. */
static void put_kinds_arrays(liz_gguf_writer *w)
{
    static const uint8_t inner[14] = {LIZ_GGUF_U8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 1};
    put_model(w, "llama", "<unk>;a");
    liz_gguf_put_entry(w, &(liz_gguf_entry){.key = liz_str_of(KEY "token_type"),
                                            .type = LIZ_GGUF_ARRAY,
                                            .elem_type = LIZ_GGUF_ARRAY,
                                            .n = 1,
                                            .data = inner,
                                            .arrays_bytes = sizeof inner});
}

static void put_scores_long(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>;a");
    liz_gguf_put_array(w, KEY "scores", LIZ_GGUF_F32, (float[]){1, 2, 3}, 3);
}

static void put_scores_one(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>");
    liz_gguf_put_f32(w, KEY "scores", 1);
}

static void put_merges_absent(liz_gguf_writer *w)
{
    put_model(w, "gpt2", "a;b");
    liz_gguf_put_str(w, KEY "pre", liz_str_of("gpt-2"));
}

static void put_pre_unknown(liz_gguf_writer *w)
{
    put_model(w, "gpt2", "a;b;ab");
    put_list(w, KEY "merges", "a b");
    liz_gguf_put_str(w, KEY "pre", liz_str_of("martian-7b"));
}

static void put_bos_missing(liz_gguf_writer *w)
{
    put_model(w, "gpt2", "a;b;ab");
    put_list(w, KEY "merges", "a b");
    liz_gguf_put_bool(w, KEY "add_bos_token", true);
}

static const struct refused {
    put_file *put;
    liz_status status;
    const char *text; /* part of what is said */
} refused_files[] = {
    {put_nothing, LIZ_E_STATE, "holds no vocabulary"},
    {put_none, LIZ_E_STATE, "holds no vocabulary"},
    {put_no_vocab, LIZ_E_STATE, "holds no vocabulary"},
    {put_test, LIZ_E_STATE, "holds no vocabulary"},
    {put_plamo2, LIZ_E_UNSUPPORTED, "\"plamo2\""},
    {put_no_tokens, LIZ_E_FORMAT, "tokenizer.ggml.tokens"},
    {put_tokens_numbers, LIZ_E_FORMAT, "tokenizer.ggml.tokens"},
    {put_tokens_empty, LIZ_E_FORMAT, "tokenizer.ggml.tokens"},
    {put_token_long, LIZ_E_LIMIT, "token 0"},
    {put_kinds_short, LIZ_E_FORMAT, "2 entries for 3 tokens"},
    {put_kinds_strings, LIZ_E_FORMAT, "tokenizer.ggml.token_type"},
    {put_kinds_floats, LIZ_E_FORMAT, "tokenizer.ggml.token_type"},
    {put_kinds_arrays, LIZ_E_FORMAT, "tokenizer.ggml.token_type"},
    {put_kinds_truths, LIZ_E_FORMAT, "tokenizer.ggml.token_type"},
    {put_scores_long, LIZ_E_FORMAT, "3 entries for 2 tokens"},
    {put_scores_one, LIZ_E_FORMAT, "tokenizer.ggml.scores"},
    {put_merges_absent, LIZ_E_FORMAT, "tokenizer.ggml.merges"},
    {put_pre_unknown, LIZ_E_UNSUPPORTED, "\"martian-7b\""},
    {put_bos_missing, LIZ_E_FORMAT, "tokenizer.ggml.add_bos_token"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_files / sizeof *refused_files; i++) {
        const struct refused *r = &refused_files[i];
        liz_text_vocab *vocab = NULL;
        liz_error err = {0};
        if (vocab_open_file(&vocab, r->put, &err) != r->status || strstr(err.text, r->text) == NULL)
            fail_msg("case %zu: \"%s\" (%d) where \"%s\" (%d) was to be", i, err.text, err.code, r->text, r->status);
        assert_null(vocab);
        assert_non_null(strstr(err.text, "vocab.gguf"));
    }
    liz_text_vocab_close(NULL);
}

/* ---- files that are odd ---- */

static void put_odd_spm(liz_gguf_writer *w)
{
    put_model(w, "llama", "<unk>;<s>;</s>;a;b;ab;ab;;\xFF;ba;aa;<0x62>");
    put_kinds(w, "233111111916");
    liz_gguf_put_array(w, KEY "scores", LIZ_GGUF_F32,
                       (float[]){0, 0, 0, NAN, -INFINITY, NAN, 5, INFINITY, -0.0f, INFINITY, 0.0f, 1}, 12);
    liz_gguf_put_u32(w, KEY "eos_token_id", 4000000000u);
    liz_gguf_put_u32(w, KEY "unknown_token_id", UINT32_MAX);
    liz_gguf_put_bool(w, KEY "add_space_prefix", false);
}

/* Of equal tokens the first counts; NaN merges last; ids out of range are as good as none. */
static void test_odd_spm(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_odd_spm);
    check_ids(vocab, "ab", 0, "5");
    check_ids(vocab, "aba", 0, "3 9");
    check_ids(vocab, "aab", 0, "10 4");
    check_ids(vocab, "c", 0, "0");
    check_ids(vocab, "\xFF", 0, "8");
    check_ids(vocab, "\xFE\x80", 0, "0 0");
    check_ids(vocab, "", LIZ_TEXT_AFFIXES, "1");
    check_ids(vocab, "", 0, "");
    check_ids(vocab, "<0x62>", 0, "0 0 0 0 0 0"); /* byte tokens cannot be spelt */
    assert_int_equal(liz_text_vocab_eos(vocab), 2);
    assert_int_equal(liz_text_vocab_find(vocab, liz_str_of("ab")), 5);
    assert_int_equal(liz_text_vocab_find(vocab, liz_str_of("")), -1);
    assert_int_equal(liz_text_vocab_find(vocab, liz_str_of("zz")), -1);
    assert_int_equal(liz_text_vocab_token(vocab, -1).n, 0);
    assert_int_equal(liz_text_vocab_token(vocab, 12).n, 0);
    assert_false(liz_text_vocab_is_end(vocab, -1) || liz_text_vocab_is_end(vocab, 12));
    assert_true(liz_text_vocab_is_end(vocab, 2));
    assert_int_equal(liz_text_vocab_kind(vocab, 9), LIZ_TOKEN_NORMAL); /* 9 names no kind */
    liz_text_vocab_close(vocab);
}

/* Kinds in each type of integer; the last three are no kinds, and those of 64 bits none by their upper half alone. */
static liz_gguf_type kinds_type;
static void put_kinds_of_type(liz_gguf_writer *w)
{
    static const uint64_t kinds[] = {2, 3, 1, 4, 0, 77, 3 | 1ull << 32};
    uint8_t bytes[sizeof kinds];
    size_t size = liz_gguf_type_size(kinds_type), n = size == 8 ? 7 : 6;
    for (size_t i = 0; i < n; i++)
        memcpy(bytes + i * size, &kinds[i], size); /* little-endian */
    put_model(w, "llama", size == 8 ? "<unk>;<s>;a;<t>;b;c;d" : "<unk>;<s>;a;<t>;b;c");
    liz_gguf_put_array(w, KEY "token_type", kinds_type, bytes, n);
}

static void test_kinds_of_every_type(void **state)
{
    (void)state;
    static const liz_gguf_type types[] = {LIZ_GGUF_U8,  LIZ_GGUF_I8,  LIZ_GGUF_U16, LIZ_GGUF_I16,
                                          LIZ_GGUF_U32, LIZ_GGUF_I32, LIZ_GGUF_U64, LIZ_GGUF_I64};
    static const liz_token_kind wanted[] = {LIZ_TOKEN_UNKNOWN,      LIZ_TOKEN_CONTROL, LIZ_TOKEN_NORMAL,
                                            LIZ_TOKEN_USER_DEFINED, LIZ_TOKEN_NORMAL,  LIZ_TOKEN_NORMAL,
                                            LIZ_TOKEN_NORMAL};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        kinds_type = types[i];
        liz_text_vocab *vocab = vocab_open(put_kinds_of_type);
        assert_int_equal(liz_text_vocab_size(vocab), liz_gguf_type_size(types[i]) == 8 ? 7 : 6);
        for (int32_t token = 0; token < liz_text_vocab_size(vocab); token++)
            assert_int_equal(liz_text_vocab_kind(vocab, token), wanted[token]);
        liz_text_vocab_close(vocab);
    }
}

static void put_odd_bpe(liz_gguf_writer *w)
{
    put_model(w, "gpt2", "a;b;c;ab;bc;abc;<;x;>;\xC4\xA0;long word");
    put_kinds(w, "11111131114");
    put_list(w, KEY "merges", "a b;a b;b c;nosuch a;ab c;a;; ;  ;a  b;ab nosuch;\xFF\xFE \xFD");
}

/* Merges that name no tokens are left out; a file that names no pre-tokenizer gets the default and says so. */
static void test_odd_bpe(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_odd_bpe);
    assert_string_equal(liz_text_vocab_model(vocab), "gpt2");
    assert_string_equal(liz_text_vocab_pre(vocab), "default");
    assert_true(liz_text_vocab_pre_assumed(vocab));
    check_ids(vocab, "abc", 0, "5");
    check_ids(vocab, "bcab", 0, "4 3");
    check_ids(vocab, "a!b", 0, "0 1"); /* no token for the sign, no unknown token */
    check_ids(vocab, "a b", 0, "0 9 1");
    check_ids(vocab, "along wordb", 0, "0 10 1");
    assert_int_equal(liz_text_vocab_bos(vocab), -1);
    assert_false(liz_text_vocab_add_bos(vocab));
    liz_text_vocab_close(vocab);
}

static void put_kimi(liz_gguf_writer *w)
{
    put_model(w, "gpt2", "a;b;ab");
    liz_gguf_put_str(w, KEY "pre", liz_str_of("kimi-k2"));
}

/* Kimi K2's files may hold no merges. */
static void test_no_merges(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_kimi);
    check_ids(vocab, "ab", 0, "0 1");
    liz_text_vocab_close(vocab);
}

/* ---- BPE whose tokens write a space as U+2581 ---- */

#define SPACED_TOKENS "<pad>;<bos>;a;b;ab;\u2581;\u2581a;\n;\n\n;<0xC3>;<0xA9>;<0x0A>;\u4E2D;b\u2581;b\u2581a;<turn|>"

static void put_spaced(liz_gguf_writer *w, const char *model, const char *merges)
{
    put_model(w, model, SPACED_TOKENS);
    put_kinds(w, "3311111116661113");
    put_list(w, KEY "merges", merges);
    liz_gguf_put_u32(w, KEY "bos_token_id", 1);
    liz_gguf_put_bool(w, KEY "add_bos_token", false);
}

static void put_gemma4(liz_gguf_writer *w) { put_spaced(w, "gemma4", "\u2581 a;a b"); }

static void put_gemma4_phrases(liz_gguf_writer *w) { put_spaced(w, "gemma4", "\u2581 a;a b;b \u2581;b\u2581 a"); }

static void put_sarvam(liz_gguf_writer *w)
{
    put_spaced(w, "gpt2", "\u2581 a;a b");
    liz_gguf_put_str(w, KEY "pre", liz_str_of("sarvam-moe"));
}

static void test_spaced(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_gemma4);
    assert_string_equal(liz_text_vocab_model(vocab), "gemma4");
    assert_string_equal(liz_text_vocab_pre(vocab), "gemma4");
    check_ids(vocab, "ab ab", 0, "4 6 3");
    check_ids(vocab,
              "ab\u2581"
              "ab",
              0, "4 6 3");
    check_ids(vocab, "ab\nb\n\n\n", 0, "4 7 3 7 7 7"); /* no token for three line ends */
    check_ids(vocab, "a\n\nb", 0, "2 8 3");
    check_ids(vocab, "\u00E9\u4E2D\u00E8", 0, "9 10 12 9");
    check_ids(vocab, "a<turn|>", LIZ_TEXT_AFFIXES | LIZ_TEXT_SPECIAL, "1 2 15"); /* BOS, whatever the file says */
    assert_true(liz_text_vocab_is_end(vocab, 15));
    liz_buf out;
    liz_buf_init(&out, 100);
    for (int32_t i = 4; i < 12; i++)
        liz_text_decode_token(vocab, i, i == 4, false, &out);
    assert_string_equal(out.data, "ab  a\n\n\n\xC3\xA9\n");
    liz_buf_free(&out);
    liz_text_vocab_close(vocab);
    vocab = vocab_open(put_gemma4_phrases); /* merges may hold a space after something else */
    check_ids(vocab, "b b", 0, "13 3");
    check_ids(vocab, "b a", 0, "3 6");
    liz_text_vocab_close(vocab);
    vocab = vocab_open(put_sarvam);
    check_ids(vocab, "a\n\nb", LIZ_TEXT_AFFIXES, "2 7 7 3"); /* nor line ends in one, nor BOS */
    liz_text_vocab_close(vocab);
}

/* ---- RWKV ---- */

static void put_rwkv(liz_gguf_writer *w)
{
    put_model(w, "rwkv", "<s>;a;ab;abcd;\\n;\\xe4\\xb8\\xad;\\\\;\\';\\t\\r;\\x4;b;x");
    put_kinds(w, "311111111111");
}

/* The longest token at each place; what begins none is nothing, as the file names no unknown token. */
static void test_rwkv(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_rwkv);
    check_ids(vocab, "abcabcd", 0, "2 3"); /* c is no token */
    check_ids(vocab, "\n\u4E2D\\'\t\r", 0, "4 5 6 7 8");
    check_ids(vocab, "x4", 0, "9"); /* an escape cut short is what it says */
    check_ids(vocab, "<s>a", 0, "1");
    check_ids(vocab, "<s>a", LIZ_TEXT_SPECIAL, "0 1");
    liz_buf out;
    liz_buf_init(&out, 100);
    for (int32_t i = 0; i < 9; i++)
        liz_text_decode_token(vocab, i, i == 0, false, &out);
    assert_string_equal(out.data, "aababcd\n\u4E2D\\'\t\r");
    liz_buf_free(&out);
    liz_text_vocab_close(vocab);
}

/* ---- special tokens ---- */

static void put_special(liz_gguf_writer *w)
{
    put_model(w, "llama",
              "<unk>;<s>;</s>;\xE2\x96\x81;a;<t>;<t>x;<t>xyz;z;x;y;\xE2\x96\x81"
              "a;<0x3C>;<0x3E>;t");
    put_kinds(w, "233114411111661");
}

static void test_special_tokens(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_special);
    /* The leftmost, and of those the longest of its kind; a near miss is text. */
    check_ids(vocab, "<t>", 0, "5");
    check_ids(vocab, "<t>x", 0, "6");
    check_ids(vocab, "<t>xy", 0, "6 3 10");
    check_ids(vocab, "<t><t>xa", 0, "5 6 11");
    /* Control tokens only where they are asked for. */
    check_ids(vocab, "<s>a", LIZ_TEXT_SPECIAL, "1 11");
    check_ids(vocab, "a<s>", LIZ_TEXT_SPECIAL | LIZ_TEXT_AFFIXES, "1 11 1");
    check_ids(vocab, "<t", 0, "3 12 14");
    check_ids(vocab, "<t<t>", 0, "3 12 14 5");
    check_ids(vocab, "a", LIZ_TEXT_AFFIXES, "1 11");
    liz_buf out;
    liz_buf_init(&out, 100);
    liz_text_decode_token(vocab, 1, false, false, &out);
    assert_int_equal(out.len, 0);
    liz_text_decode_token(vocab, 1, false, true, &out);
    liz_text_decode_token(vocab, 5, false, false, &out);
    liz_text_decode_token(vocab, 11, false, false, &out);
    liz_text_decode_token(vocab, 11, true, false, &out);
    liz_text_decode_token(vocab, 12, false, false, &out);
    liz_text_decode_token(vocab, 99, false, true, &out);
    assert_string_equal(out.data, "<s><t> aa<");
    liz_buf_free(&out);
    liz_text_vocab_close(vocab);
}

/* A control token with a byte in data is text; user-defined tokens are tokens everywhere. */
static void test_marked_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t data[4], n_data;
        const char *same; /* as this text, plain */
        int32_t n_before; /* after so many control tokens <s> */
    } cases[] = {{"<s>a", {0, 3}, 1, "<s>a", 0},
                 {"<s><s>", {3, 6}, 1, "<s>", 1},
                 {"<s>", {2, 3}, 1, "<s>", 0},
                 {"<s>", {0, 1}, 1, "<s>", 0},
                 {"<s>a", {3, 4}, 1, "a", 1},
                 {"<s><s>a", {0, 0}, 0, "a", 2},
                 {"<s><t>a", {3, 7}, 1, "<t>a", 1},
                 {"<s>a<s>", {3, 4, 5, 6}, 2, "a<s>", 1},
                 {"<s><s><t", {3, 4, 6, 8}, 2, "<s><t", 1}};
    liz_text_vocab *vocab = vocab_open(put_special);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t *ids, *same;
        size_t n, n_same, n_before = (size_t)cases[i].n_before;
        assert_int_equal(liz_text_encode_marked(vocab, liz_str_of(cases[i].text), LIZ_TEXT_SPECIAL, cases[i].data,
                                                cases[i].n_data, &ids, &n, NULL),
                         LIZ_OK);
        assert_int_equal(liz_text_encode(vocab, liz_str_of(cases[i].same), 0, &same, &n_same, NULL), LIZ_OK);
        assert_int_equal(n, n_before + n_same);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(ids[k], k < n_before ? 1 : same[k - n_before]);
        free(ids);
        free(same);
    }
    liz_text_vocab_close(vocab);
}

static void put_phi3(liz_gguf_writer *w)
{
    put_model(w, "llama",
              "<unk>;<s>;</s>;\xE2\x96\x81;a;<|user|>;<|end|>;\xE2\x96\x81"
              "a;<|endoftext|>");
    put_kinds(w, "234113313");
    liz_gguf_put_str(w, "general.name", liz_str_of("My Phi-3 mini"));
}

static void test_phi3_swallows_space(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_phi3);
    check_ids(vocab, "<|user|> \n\ta<|end|>\n", LIZ_TEXT_SPECIAL, "5 7 6");
    check_ids(vocab, "</s> a<s> a", LIZ_TEXT_SPECIAL, "2 7 1 3 7");
    assert_int_equal(liz_text_vocab_kind(vocab, 2), LIZ_TOKEN_CONTROL);
    assert_true(liz_text_vocab_is_end(vocab, 6) && liz_text_vocab_is_end(vocab, 8));
    assert_false(liz_text_vocab_is_end(vocab, 5));
    liz_text_vocab_close(vocab);
}

static void put_harmony(liz_gguf_writer *w)
{
    put_model(w, "gpt2", "a;<|end|>;<|return|>;<|call|>;<|start|>;<|eot_id|>;b;</s>;<EOT>");
    put_kinds(w, "133331113");
    put_list(w, KEY "merges", "a b");
    liz_gguf_put_u32(w, KEY "eos_token_id", 2);
    liz_gguf_put_u32(w, KEY "eot_token_id", 6);
    liz_gguf_put_u32(w, KEY "eom_token_id", 1); /* overruled */
}

/* Ends by key and by text, and the exceptions. */
static void test_ends(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_harmony);
    static const bool ends[] = {false, false, true, true, false, true, true, false, true};
    for (int32_t i = 0; i < 9; i++)
        assert_int_equal(liz_text_vocab_is_end(vocab, i), ends[i]);
    assert_int_equal(liz_text_vocab_kind(vocab, 1), LIZ_TOKEN_USER_DEFINED);
    assert_int_equal(liz_text_vocab_kind(vocab, 4), LIZ_TOKEN_USER_DEFINED);
    assert_int_equal(liz_text_vocab_kind(vocab, 5), LIZ_TOKEN_CONTROL);
    assert_int_equal(liz_text_vocab_kind(vocab, 7), LIZ_TOKEN_NORMAL);
    liz_text_vocab_close(vocab);
}

/* What becomes of tokens known by their text where the file calls them normal, and where control or user-defined. */
static const struct known {
    const char *texts;
    liz_token_kind if_normal, if_marked;
    bool ends_if_normal, ends_if_marked;
} known_table[] = {
    {"<|eot_id|>;<|eom_id|>;<|im_end|>;<|return|>;<|call|>;<|flush|>;<|calls|>;<end_of_turn>;<|endoftext|>;"
     "<|end_of_text|>;<end_of_utterance>;<turn|>;<|tool_response>;<\uFF5Cend\u2581of\u2581sentence\uFF5C>;<|fim_pad|>;"
     "<fim-pad>;<fim_pad>;<|fim_repo|>;<|repo_name|>;<fim-repo>;<reponame>;<|file_sep|>",
     LIZ_TOKEN_CONTROL, LIZ_TOKEN_CONTROL, true, true},
    {"<|end|>", LIZ_TOKEN_CONTROL, LIZ_TOKEN_CONTROL, true, true},
    {"</s>;<EOT>;_<EOT>;[EOT];[EOS];<eos>;[e~[;<PAD>;[PAD];<REPO>", LIZ_TOKEN_NORMAL, LIZ_TOKEN_CONTROL, false, true},
    {"<|fim_prefix|>;<fim-prefix>;<fim_prefix>;<|fim_suffix|>;<fim-suffix>;<fim_suffix>;<|fim_middle|>;<fim-middle>;"
     "<fim_middle>;<\uFF5Cfim\u2581begin\uFF5C>;<\uFF5Cfim\u2581hole\uFF5C>;<\uFF5Cfim\u2581end\uFF5C>;"
     "<|code_prefix|>;<|code_suffix|>;<|code_middle|>",
     LIZ_TOKEN_CONTROL, LIZ_TOKEN_CONTROL, false, false},
    {"<PRE>;<SUF>;<MID>;\u2581<PRE>;\u2581<SUF>;\u2581<MID>;<|prefix|>;<|suffix|>;<|middle|>", LIZ_TOKEN_NORMAL,
     LIZ_TOKEN_CONTROL, false, false},
    {"<|channel|>;<|message|>;<|start|>;<|constrain|>", LIZ_TOKEN_USER_DEFINED, LIZ_TOKEN_USER_DEFINED, false, false},
};

static const struct known *known; /* of the vocabulary that is written next */
static char known_kind;           /* what the file calls them */

static void put_known(liz_gguf_writer *w)
{
    char kinds[64] = "";
    put_model(w, "rwkv", known->texts);
    for (const char *p = known->texts; p != NULL; p = strchr(p + 1, ';'))
        kinds[strlen(kinds)] = known_kind;
    put_kinds(w, kinds);
}

static void test_known_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known_table / sizeof *known_table; i++)
        for (const char *kind = "134"; *kind != '\0'; kind++) {
            known = &known_table[i];
            known_kind = *kind;
            bool normal = *kind == '0' + LIZ_TOKEN_NORMAL,
                 ends = normal ? known->ends_if_normal : known->ends_if_marked;
            liz_text_vocab *vocab = vocab_open(put_known);
            for (int32_t id = 0; id < liz_text_vocab_size(vocab); id++)
                if (liz_text_vocab_kind(vocab, id) != (normal ? known->if_normal : known->if_marked) ||
                    liz_text_vocab_is_end(vocab, id) != ends)
                    fail_msg("%.*s, of kind %c in the file, is of kind %d, an end: %d",
                             LIZ_STR_ARG(liz_text_vocab_token(vocab, id)), *kind, liz_text_vocab_kind(vocab, id),
                             liz_text_vocab_is_end(vocab, id));
            liz_text_vocab_close(vocab);
        }
}

/* What the first token is beside the others, which tell of models where its text is not an end. */
static const struct beside {
    const char *texts;
    bool is_eos; /* the file says so, which the exceptions overrule */
    liz_token_kind kind;
    bool ends;
} beside_table[] = {
    {"<|end|>;<|return|>;<|call|>", true, LIZ_TOKEN_USER_DEFINED, false},
    {"<|end|>;<|flush|>;<|calls|>", true, LIZ_TOKEN_USER_DEFINED, false},
    {"<|end|>;<|return|>;<|flush|>", false, LIZ_TOKEN_CONTROL, true},
    {"<|end|>;<|call|>;<|calls|>", false, LIZ_TOKEN_CONTROL, true},
    {"</s>;<|tool_response>;<turn|>", true, LIZ_TOKEN_NORMAL, false},
    {"</s>;<turn|>;<end_of_turn>", false, LIZ_TOKEN_CONTROL, true},
};

static const struct beside *beside; /* of the vocabulary that is written next */

static void put_beside(liz_gguf_writer *w)
{
    put_model(w, "rwkv", beside->texts);
    put_kinds(w, "333");
    if (beside->is_eos)
        liz_gguf_put_u32(w, KEY "eos_token_id", 0);
}

static void test_exceptions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof beside_table / sizeof *beside_table; i++) {
        beside = &beside_table[i];
        liz_text_vocab *vocab = vocab_open(put_beside);
        if (liz_text_vocab_kind(vocab, 0) != beside->kind || liz_text_vocab_is_end(vocab, 0) != beside->ends)
            fail_msg("%s: the first is of kind %d, an end: %d", beside->texts, liz_text_vocab_kind(vocab, 0),
                     liz_text_vocab_is_end(vocab, 0));
        liz_text_vocab_close(vocab);
    }
}

/* ---- tokens that take the white space before them ---- */

static const struct mask {
    const char *key, *value; /* what the model is known by */
    const char *token;
    bool takes;
} mask_table[] = {
    {"general.architecture", "nomic-bert-moe", "<mask>", true},
    {"general.architecture", "jina-bert-v3", "<mask>", true},
    {"general.architecture", "jina-bert-v3", "[MASK]", false},
    {"general.architecture", "bert", "<mask>", false},
    {KEY "pre", "jina-v2-de", "<mask>", true},
    {KEY "pre", "jina-v2-es", "<mask>", true},
    {KEY "pre", "jina-v2-code", "<mask>", true},
    {KEY "pre", "jina-de", "<mask>", false},
    {"general.name", "My Modern-BERT", "[MASK]", true},
    {"general.name", "My Modern-BERT", "<mask>", false},
    {"general.name", "My BERT", "[MASK]", false},
};

static const struct mask *mask; /* of the vocabulary that is written next */

static void put_mask(liz_gguf_writer *w)
{
    char tokens[64];
    snprintf(tokens, sizeof tokens, "a;\u0120;\u010A;%s;<s>", mask->token);
    put_model(w, "gpt2", tokens);
    put_kinds(w, "11133");
    put_list(w, KEY "merges", "a a");
    liz_gguf_put_str(w, mask->key, liz_str_of(mask->value));
}

/* The file does not say which of its tokens do, so models are known by name. */
static void test_mask_swallows_space(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mask_table / sizeof *mask_table; i++) {
        mask = &mask_table[i];
        char text[64];
        snprintf(text, sizeof text, "a \n%s a <s> %s", mask->token, mask->token);
        liz_text_vocab *vocab = vocab_open(put_mask);
        const char *want = mask->takes ? "0 3 1 0 1 4 3" : "0 1 2 3 1 0 1 4 1 3";
        if (strcmp(vocab_ids(vocab, liz_str_of(text), LIZ_TEXT_SPECIAL), want) != 0)
            fail_msg("%s of %s: not %s", mask->token, mask->value, want);
        liz_text_vocab_close(vocab);
    }
}

/* ---- WordPiece ---- */

static void put_bert(liz_gguf_writer *w)
{
    put_model(w, "bert",
              "[PAD];[UNK];[CLS];[SEP];\xE2\x96\x81"
              "un;able;\xE2\x96\x81"
              "a;\xE2\x96\x81,;\xE2\x96\x81\xE4\xB8\x80");
    put_kinds(w, "333311111");
}

static void test_wordpiece(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_bert);
    check_ids(vocab, "UnAble, \xC3\x80", LIZ_TEXT_AFFIXES, "2 4 5 7 6 3");
    check_ids(vocab, "unablex a", 0, "1 6");
    check_ids(vocab, "a\xE4\xB8\x80un", 0, "6 8 4");
    check_ids(vocab, "a\xFF a", 0, "1 6");
    check_ids(vocab, "a\xEF\xBF\xBD", 0, "6");
    check_ids(vocab, "[CLS]a", LIZ_TEXT_SPECIAL, "2 6");
    check_ids(vocab, "[CLS]", 0, "1 1 1"); /* the brackets and the word have no tokens of their own */
    liz_text_vocab_close(vocab);
}

/* What the file says of letters' case and accents, and what becomes of a capital with an accent. */
static const struct normalizer {
    const char *lowercase, *strip_accents; /* "" where the key is absent */
    const char *want;
} normalizer_table[] = {
    {"", "", "1"},       {"", "no", "2"}, {"", "yes", "1"},  {"yes", "", "1"},   {"yes", "no", "2"},
    {"yes", "yes", "1"}, {"no", "", "4"}, {"no", "no", "4"}, {"no", "yes", "3"},
};

static const struct normalizer *normalizer; /* of the vocabulary that is written next */

static void put_normalizer(liz_gguf_writer *w)
{
    put_model(w, "bert", "[UNK];\u2581e;\u2581\u00E9;\u2581E;\u2581\u00C9");
    if (normalizer->lowercase[0] != '\0')
        liz_gguf_put_bool(w, KEY "normalizer.lowercase", strcmp(normalizer->lowercase, "yes") == 0);
    if (normalizer->strip_accents[0] != '\0')
        liz_gguf_put_bool(w, KEY "normalizer.strip_accents", strcmp(normalizer->strip_accents, "yes") == 0);
}

/* Letters are lowered unless the file says no; accents go with case unless it speaks of them. */
static void test_wordpiece_normalizer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof normalizer_table / sizeof *normalizer_table; i++) {
        normalizer = &normalizer_table[i];
        liz_text_vocab *vocab = vocab_open(put_normalizer);
        check_ids(vocab, "\u00C9", 0, normalizer->want);
        liz_text_vocab_close(vocab);
    }
}

/* ---- hostile texts ---- */

static double seconds_for(const liz_text_vocab *vocab, liz_str text)
{
    struct timespec a, b;
    int32_t *ids;
    size_t n;
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(liz_text_encode(vocab, text, LIZ_TEXT_SPECIAL, &ids, &n, NULL), LIZ_OK);
    clock_gettime(CLOCK_MONOTONIC, &b);
    free(ids);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

static void put_runs(liz_gguf_writer *w)
{
    put_model(w, "llama",
              "<unk>;<s>;</s>;a;aa;aaaa;aaaaaaaa;b;ab;ba;<|;<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab>;<<;<<<<;<<<<<<<<<");
    put_kinds(w, "233111111143333");
}

/* 4 MB of one word, of near misses, of special tokens. The bound is generous: quadratic work would take hours. */
static void test_linear(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "ab", "<", "<|", "<s>", "\xFF", " ", "\xCC\x81", "<<<<<<<<"};
    liz_text_vocab *vocab = vocab_open(put_runs);
    size_t n = 4 << 20;
    char *text = malloc(n);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i]);
        for (size_t k = 0; k < n; k++)
            text[k] = units[i][k % len];
        assert_true(seconds_for(vocab, (liz_str){text, n}) < 30);
    }
    free(text);
    liz_text_vocab_close(vocab);
}

static void test_limits(void **state)
{
    (void)state;
    liz_text_vocab *vocab = vocab_open(put_special);
    int32_t *ids;
    size_t n;
    liz_error err;
    assert_int_equal(liz_text_encode(vocab, (liz_str){"", (size_t)INT32_MAX + 1}, 0, &ids, &n, &err), LIZ_E_LIMIT);
    assert_null(ids);
    liz_text_vocab_close(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_odd_spm),
        cmocka_unit_test(test_kinds_of_every_type),
        cmocka_unit_test(test_odd_bpe),
        cmocka_unit_test(test_no_merges),
        cmocka_unit_test(test_spaced),
        cmocka_unit_test(test_rwkv),
        cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_marked_text),
        cmocka_unit_test(test_phi3_swallows_space),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_known_tokens),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_mask_swallows_space),
        cmocka_unit_test(test_wordpiece),
        cmocka_unit_test(test_wordpiece_normalizer),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
