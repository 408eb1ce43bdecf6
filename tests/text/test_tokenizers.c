/* test_tokenizers.c - every reference case gives the expected ids, and decodes back as it should.
 *
 * ../shared/reference/tokenizers holds vocabularies and, for each, lines of {"text", "ids", "special"} and
 * sometimes "alt_ids": what the model's own published rules give where llama.cpp differs. Either is right; they are
 * counted apart. */
#include "base/json.h"
#include "text/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DIR "../shared/reference/tokenizers/"

typedef enum decoding {
    EXACT,
    SPACED,   /* with a space in front */
    SWALLOWS, /* the same, and special tokens take white space with them */
    LOSSY
} decoding;

typedef struct reference {
    const char *name;
    decoding decoding;
    int n_min;      /* lines the file has at least */
    bool all_bytes; /* the vocabulary has a token for every byte */
} reference;

static const reference references[] = {
    {"gpt-2", EXACT, 393, true},    {"llama-bpe", EXACT, 425, true},     {"qwen2", EXACT, 412, true},
    {"mpt", EXACT, 406, false},     {"deepseek-llm", EXACT, 405, false}, {"starcoder", EXACT, 463, false},
    {"phi-3", SWALLOWS, 459, true}, {"llama-spm", SPACED, 407, true},    {"bert-bge", LOSSY, 419, false},
};

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    char *text = malloc(1 << 22);
    *n = fread(text, 1, 1 << 22, f);
    fclose(f);
    return text;
}

static bool same_ids(const liz_json *list, const int32_t *ids, size_t n)
{
    if (list == NULL || list->n_children != n)
        return false;
    const liz_json *want = list->first_child;
    for (size_t i = 0; i < n; i++, want = want->next) {
        int64_t id;
        if (!liz_json_int64(want, &id) || id != ids[i])
            return false;
    }
    return true;
}

/* What the tokens give back when their bytes are joined, special tokens printed. */
static void decode(const liz_text_vocab *vocab, const int32_t *ids, size_t n, bool start_rule, liz_buf *out)
{
    liz_buf_clear(out);
    for (size_t i = 0; i < n; i++)
        liz_text_decode_token(vocab, ids[i], start_rule && i == 0, true, out);
}

/* The bytes of a special token of Llama's at the start of `text`; 0 for none. */
static size_t special_len(liz_str text)
{
    static const char *const tokens[] = {"<unk>", "<s>", "</s>"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (liz_str_starts(text, tokens[i]))
            return strlen(tokens[i]);
    return 0;
}

/* The text with U+2581 as a space, and a space before it where it is not empty; with `special`, the same for each
 * stretch between special tokens. */
static void spaced(liz_str text, bool special, liz_buf *out)
{
    liz_buf_clear(out);
    bool after_special = true;
    for (size_t i = 0; i < text.n;) {
        size_t n = special ? special_len((liz_str){text.p + i, text.n - i}) : 0;
        if (n > 0) {
            liz_buf_append(out, text.p + i, n);
            i += n;
            after_special = true;
            continue;
        }
        bool mark = text.n - i >= 3 && memcmp(text.p + i, "\xE2\x96\x81", 3) == 0;
        if (after_special)
            liz_buf_putc(out, ' ');
        after_special = false;
        liz_buf_putc(out, mark ? ' ' : text.p[i]);
        i += mark ? 3 : 1;
    }
}

static bool decodes_back(const reference *ref, const liz_text_vocab *vocab, liz_str text, bool special,
                         const int32_t *ids, size_t n)
{
    if (ref->decoding == LOSSY || (ref->decoding == SWALLOWS && special))
        return true;
    liz_buf got, want;
    liz_buf_init(&got, 1 << 20);
    liz_buf_init(&want, 1 << 20);
    if (ref->decoding == EXACT)
        liz_buf_append_str(&want, text);
    else
        spaced(text, special, &want);
    decode(vocab, ids, n, false, &got);
    bool same = liz_str_eq(liz_buf_str(&got), liz_buf_str(&want));
    if (ref->decoding != EXACT && !special && text.n > 0) { /* as a text of its own it has no space in front */
        decode(vocab, ids, n, true, &got);
        same = same && liz_str_eq(liz_buf_str(&got), (liz_str){want.data + 1, want.len - 1});
    }
    liz_buf_free(&got);
    liz_buf_free(&want);
    return same;
}

/* 1: as `ids`; 2: as one of `alt_ids`; 0: neither. */
static int judge(const liz_json *line, const int32_t *ids, size_t n)
{
    if (same_ids(liz_json_member(line, "ids"), ids, n))
        return 1;
    const liz_json *alt = liz_json_member(line, "alt_ids");
    for (const liz_json *list = alt != NULL ? alt->first_child : NULL; list != NULL; list = list->next)
        if (same_ids(list, ids, n))
            return 2;
    return 0;
}

static void explain(const reference *ref, const liz_json *line, const int32_t *ids, size_t n)
{
    fprintf(stderr, "# %s: %.*s\n#   got", ref->name, LIZ_STR_ARG(line->source));
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %d", ids[i]);
    fprintf(stderr, "\n");
}

static void run_line(const reference *ref, const liz_text_vocab *vocab, const liz_json *line, int n_as[3], int *n_lost)
{
    liz_str text = liz_json_member(line, "text")->string;
    bool special = liz_json_member(line, "special")->type == LIZ_JSON_TRUE;
    int32_t *ids;
    size_t n;
    assert_int_equal(liz_text_encode(vocab, text, special ? LIZ_TEXT_SPECIAL : 0, &ids, &n, NULL), LIZ_OK);
    int as = judge(line, ids, n);
    n_as[as]++;
    if (as == 0)
        explain(ref, line, ids, n);
    if (!decodes_back(ref, vocab, text, special, ids, n)) {
        ++*n_lost;
        fprintf(stderr, "# %s: decodes to something else: %.*s\n", ref->name, LIZ_STR_ARG(line->source));
    }
    free(ids);
}

/* Skips the test where there is no such file. */
static liz_text_vocab *open_reference(const reference *ref)
{
    char path[256];
    liz_gguf *gguf;
    liz_text_vocab *vocab;
    liz_error err = {0};
    snprintf(path, sizeof path, DIR "%s.gguf", ref->name);
    if (liz_gguf_open(&gguf, path, &err) != LIZ_OK) {
        fprintf(stderr, "# SKIPPED: %s\n", err.text);
        skip();
    }
    if (liz_text_vocab_open(&vocab, gguf, &err) != LIZ_OK)
        fail_msg("%s", err.text);
    liz_gguf_close(gguf);
    return vocab;
}

static void test_reference(void **state)
{
    const reference *ref = *state;
    char path[256];
    size_t n_text = 0;
    snprintf(path, sizeof path, DIR "%s.cases.jsonl", ref->name);
    char *text = read_file(path, &n_text);
    if (text == NULL) {
        fprintf(stderr, "# SKIPPED: %s is not there\n", path);
        skip();
    }
    liz_text_vocab *vocab = open_reference(ref);
    liz_error err = {0};
    liz_arena arena;
    liz_arena_init(&arena, 1 << 26);
    int n_lines = 0, n_as[3] = {0}, n_lost = 0;
    for (char *p = text, *end; p < text + n_text; p = end + 1, n_lines++) {
        end = memchr(p, '\n', (size_t)(text + n_text - p));
        assert_non_null(end);
        liz_json *line;
        assert_int_equal(liz_json_read(&line, (liz_str){p, (size_t)(end - p)}, &arena, &err), LIZ_OK);
        run_line(ref, vocab, line, n_as, &n_lost);
        liz_arena_reset(&arena);
    }
    printf("# %s: %d lines: %d as ids, %d as alt_ids, %d wrong; %d decode wrongly\n", ref->name, n_lines, n_as[1],
           n_as[2], n_as[0], n_lost);
    liz_arena_free(&arena);
    liz_text_vocab_close(vocab);
    free(text);
    assert_int_equal(n_as[0], 0);
    assert_int_equal(n_lost, 0);
    assert_true(n_lines >= ref->n_min);
}

/* Any bytes, UTF-8 or not, come back as they were. */
static void test_bytes_survive(void **state)
{
    const reference *ref = *state;
    liz_text_vocab *vocab = open_reference(ref);
    uint64_t seed = 11;
    for (int round = 0; round < 2000; round++) {
        char bytes[40];
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            unsigned draw = (unsigned)(seed >> 33);
            bytes[i] = draw % 3 == 0 ? (char)(draw >> 8) : "e \n1\xE2\x96\x81\xC3"[(draw >> 8) % 8];
        }
        liz_str text = {bytes, sizeof bytes};
        int32_t *ids;
        size_t n;
        assert_int_equal(liz_text_encode(vocab, text, 0, &ids, &n, NULL), LIZ_OK);
        if (!decodes_back(ref, vocab, text, false, ids, n))
            fail_msg("%s: round %d does not decode back", ref->name, round);
        free(ids);
    }
    liz_text_vocab_close(vocab);
}

int main(void)
{
    enum { N = sizeof references / sizeof *references };
    struct CMUnitTest tests[2 * N];
    int n = N;
    for (int i = 0; i < N; i++) {
        tests[i] = (struct CMUnitTest){references[i].name, test_reference, NULL, NULL, (void *)&references[i]};
        if (references[i].all_bytes)
            tests[n++] =
                (struct CMUnitTest){references[i].name, test_bytes_survive, NULL, NULL, (void *)&references[i]};
    }
    return _cmocka_run_group_tests("tokenizers", tests, (size_t)n, NULL, NULL);
}
