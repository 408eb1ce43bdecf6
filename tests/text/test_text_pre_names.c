/* test_text_pre_names.c - every name in tokenizer.ggml.pre is known and does what the others of its group do.
 *
 * The groups below are written down once more, not taken from the table of the source, so that a name that goes
 * missing there, moves to other patterns or loses a flag is seen. Each name opens a vocabulary of its own. Its merges
 * can make any part of the hard text of up to PART_MAX bytes one token, whatever the order, so that the tokens show
 * where pieces end. That the first name of a group cuts rightly is test_text_pre.c's to show. */
#include "../lib/vocab_file.h"
#include "text/text_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WHOLE_PIECES = 1, ADDS_BOS = 2, ALWAYS_BOS = 4, NEEDS_NO_MERGES = 8, SPACED = 16, WHOLE_LINES = 32 };

static const struct group {
    const char *names; /* between spaces */
    unsigned flags;
} groups[] = {
    {" default ", 0},
    {" gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat mellum modern-bert a.x-4.0 jina-v1-en "
     "jina-es jina-de jina-v2-es jina-v2-de jina-v2-code roberta-bpe ",
     0},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ", 0},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ", WHOLE_PIECES | ADDS_BOS},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", 0},
    {" minicpm5 ", WHOLE_PIECES},
    {" jais-2 ", 0},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open grok-2 megrez bailingmoe bailingmoe2 "
     "llada-moe ",
     0},
    {" laguna ", 0},
    {" ufakzeka ", 0},
    {" exaone-moe ", 0},
    {" qwen35 ", 0},
    {" seed-coder ", 0},
    {" tekken ", WHOLE_PIECES | ADDS_BOS},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ", 0},
    {" granite-embed-multi-97m ", WHOLE_PIECES},
    {" kimi-k2 ", NEEDS_NO_MERGES},
    {" tiny_aya cohere2moe ", 0},
    {" youtu ", WHOLE_PIECES},
    {" deepseek-llm ", 0},
    {" deepseek-coder ", 0},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", 0},
    {" spark2_5 ", 0},
    {" afmoe ", 0},
    {" superbpe ", 0},
    {" bloom poro-chat gpt3-finnish ", 0},
    {" viking ", 0},
    {" falcon ", 0},
    {" gemma4 granite-embed-multi-311m ", ADDS_BOS | ALWAYS_BOS | SPACED | WHOLE_LINES},
    {" sarvam-moe ", SPACED},
};

enum { N_GROUPS = sizeof groups / sizeof *groups };

/* What the patterns differ on: contractions, runs of digits and of spaces, line ends after signs, letters' case,
 * marks, scripts. */
static const char hard_text[] = "O'Sa we'll aB's  x12 1234  1 1234567,`!`a\t\n\nb!\n\n./\nc       d(e "
                                "e\u0301t\u3002 \uAC00\u3131a\u4E2D\u30ABb\u0E44\u0E17.";

/* ---- the vocabulary ---- */

enum { PART_MAX = 8, STRINGS_MAX = 8000 };

/* Strings behind one another. */
typedef struct strings {
    liz_buf bytes;
    size_t end[STRINGS_MAX], n;
} strings;

static strings tokens, merges;

static void strings_end(strings *s)
{
    assert_true(s->n < STRINGS_MAX && !liz_buf_failed(&s->bytes));
    s->end[s->n++] = s->bytes.len;
}

/* As byte-level vocabularies write it. */
static void spell(strings *s, liz_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned code = 0;
        char c[4];
        while (liz_text_bpe_byte(code) != (unsigned char)text.p[i])
            code++;
        liz_buf_append(&s->bytes, c, liz_utf8_encode(code, c));
    }
}

/* A part of the text as a token, and every way to put it together. */
static void add_part(liz_str part)
{
    spell(&tokens, part);
    strings_end(&tokens);
    for (size_t k = 1; k < part.n; k++) {
        spell(&merges, (liz_str){part.p, k});
        liz_buf_putc(&merges.bytes, ' ');
        spell(&merges, (liz_str){part.p + k, part.n - k});
        strings_end(&merges);
    }
}

/* BOS; a word that no merge makes; line ends and a space as spaced vocabularies write them; the parts of the text. */
static int write_lists(void **state)
{
    (void)state;
    static const char *const own[] = {"<bos>", "z", "q", "zq", "\n", "\n\n", "\u2581"};
    liz_buf_init(&tokens.bytes, 1 << 20);
    liz_buf_init(&merges.bytes, 1 << 20);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        liz_buf_puts(&tokens.bytes, own[i]);
        strings_end(&tokens);
    }
    for (size_t n = 1; n <= PART_MAX; n++)
        for (size_t i = 0; i + n < sizeof hard_text; i++)
            add_part((liz_str){hard_text + i, n});
    return 0;
}

static int drop_lists(void **state)
{
    (void)state;
    liz_buf_free(&tokens.bytes);
    liz_buf_free(&merges.bytes);
    return 0;
}

static void put_strings(liz_gguf_writer *w, const char *key, const strings *s)
{
    static liz_str slices[STRINGS_MAX];
    for (size_t i = 0; i < s->n; i++) {
        size_t begin = i > 0 ? s->end[i - 1] : 0;
        slices[i] = (liz_str){s->bytes.data + begin, s->end[i] - begin};
    }
    liz_gguf_put_strs(w, key, slices, s->n);
}

static const char *pre; /* of the vocabulary that is written next */

static void put_no_merges(liz_gguf_writer *w)
{
    liz_gguf_put_str(w, KEY "model", liz_str_of("gpt2"));
    liz_gguf_put_str(w, KEY "pre", liz_str_of(pre));
    liz_gguf_put_u32(w, KEY "bos_token_id", 0);
    put_strings(w, KEY "tokens", &tokens);
}

static void put_vocabulary(liz_gguf_writer *w)
{
    put_no_merges(w);
    put_strings(w, KEY "merges", &merges);
}

static void put_wants_no_bos(liz_gguf_writer *w)
{
    put_vocabulary(w);
    liz_gguf_put_bool(w, KEY "add_bos_token", false);
}

/* ---- what a name does ---- */

/* The tokens of the hard text between bars. */
static void show_tokens(const liz_text_vocab *vocab, liz_buf *out)
{
    int32_t *ids;
    size_t n;
    assert_int_equal(liz_text_encode(vocab, liz_str_of(hard_text), 0, &ids, &n, NULL), LIZ_OK);
    for (size_t i = 0; i < n; i++) {
        liz_text_decode_token(vocab, ids[i], false, false, out);
        liz_buf_puts(out, "\u00A6");
    }
    free(ids);
}

static bool gives(const liz_text_vocab *vocab, const char *text, const char *ids)
{
    return strcmp(vocab_ids(vocab, liz_str_of(text), 0), ids) == 0;
}

/* Opens `name` as it is, with BOS declined and without merges. Gives the flags; the tokens go to `out`. */
static unsigned observe(const char *name, liz_buf *out)
{
    liz_text_vocab *vocab;
    liz_error err = {0};
    unsigned flags = 0;
    pre = name;
    if (vocab_open_file(&vocab, put_vocabulary, &err) != LIZ_OK)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(liz_text_vocab_pre(vocab), name);
    flags |= gives(vocab, "zq", "3") ? WHOLE_PIECES : 0;
    flags |= liz_text_vocab_add_bos(vocab) ? ADDS_BOS : 0;
    flags |= gives(vocab, " ", "6") ? SPACED : 0;
    flags |= gives(vocab, "\n\n", "5") && (flags & SPACED) ? WHOLE_LINES : 0;
    show_tokens(vocab, out);
    liz_text_vocab_close(vocab);
    vocab = vocab_open(put_wants_no_bos);
    flags |= liz_text_vocab_add_bos(vocab) ? ALWAYS_BOS : 0;
    liz_text_vocab_close(vocab);
    if (vocab_open_file(&vocab, put_no_merges, &err) == LIZ_OK)
        flags |= NEEDS_NO_MERGES;
    liz_text_vocab_close(vocab);
    return flags;
}

/* ---- the tests ---- */

static void check_name(const struct group *group, const char *name, const char *want)
{
    liz_buf shown;
    liz_buf_init(&shown, 1 << 16);
    unsigned flags = observe(name, &shown);
    if (flags != group->flags)
        fail_msg("%s: flags %x where %x were to be", name, flags, group->flags);
    if (strcmp(shown.data, want) != 0)
        fail_msg("%s cuts not as%s:\n%s\nwhere it was to be\n%s", name, group->names, shown.data, want);
    liz_buf_free(&shown);
}

static void test_names_do_as_their_group(void **state)
{
    (void)state;
    liz_buf first[N_GROUPS];
    for (size_t i = 0; i < N_GROUPS; i++) {
        char name[LIZ_TEXT_PRE_NAME_MAX + 1];
        int n = 0;
        liz_buf_init(&first[i], 1 << 16);
        for (const char *p = groups[i].names; sscanf(p, " %31s%n", name, &n) == 1; p += n) {
            if (p == groups[i].names)
                (void)observe(name, &first[i]);
            check_name(&groups[i], name, first[i].data);
        }
        for (size_t k = 0; k < i; k++)
            if (groups[k].flags == groups[i].flags && strcmp(first[k].data, first[i].data) == 0)
                fail_msg("nothing tells%sfrom%s", groups[k].names, groups[i].names);
    }
    for (size_t i = 0; i < N_GROUPS; i++)
        liz_buf_free(&first[i]);
}

static void test_no_name_is_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < liz_text_pre_table_len; i++) {
        char name[LIZ_TEXT_PRE_NAME_MAX + 1], spaced[sizeof name + 2];
        int n = 0;
        for (const char *p = liz_text_pre_table[i].names; sscanf(p, " %31s%n", name, &n) == 1; p += n) {
            size_t n_groups = 0;
            snprintf(spaced, sizeof spaced, " %s ", name);
            for (size_t k = 0; k < N_GROUPS; k++)
                n_groups += strstr(groups[k].names, spaced) != NULL;
            if (n_groups != 1)
                fail_msg("%s: in %zu groups of this test", name, n_groups);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_do_as_their_group),
        cmocka_unit_test(test_no_name_is_left_out),
    };
    return cmocka_run_group_tests(tests, write_lists, drop_lists);
}
