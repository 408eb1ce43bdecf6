/* test_text_pre.c - every pre-tokenizer cuts text as its published pattern does in PCRE2.
 *
 * Each name's patterns run there (UTF, UCP) in the manner of the published files: a pattern cuts the pieces of the
 * one before it, and what it does not match is a piece too. Over random and nasty text both must agree.
 * Two things are mended in the patterns first. PCRE2's \s under UCP has one character more (U+180E) than the
 * White_Space of the models' engines, so \s and \S are spelt out. And PCRE2's Unicode may be older than ours: the text
 * only uses characters on which both agree, which is asserted to be nearly all of them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/text_pre.h"

#include "base/buf.h"

#include <pcre2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define PREFIX "[^\\r\\n\\p{L}\\p{N}]?"
#define LLAMA3 CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN2 CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define DEEPSEEK_LETTERS                                                                                               \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}"   \
    "\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}"     \
    "\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}"       \
    "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}"                  \
    "\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}"                  \
    "\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}" \
    "\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}"                  \
    "\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}" \
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}" \
    "\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}" \
    "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{"    \
    "FB06}"                                                                                                            \
    "\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"              \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"
#define DEEPSEEK_SIGNS "!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}"
#define DEEPSEEK_SCRIPTS "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define HAN_AND_KANA "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define DEEPSEEK_WORDS                                                                                                 \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "              \
    "?[\\p{P}\\p{S}]+"
/* tekken's with what may follow a word and the digits of a number. */
#define CASED(suffix, number)                                                                                          \
    PREFIX UPPER "*" LOWER "+" suffix "|" PREFIX UPPER "+" LOWER "*" suffix "|" number                                 \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define GPT4O CASED(CONTRACTIONS "?", "\\p{N}{1,3}")
/* tiktoken's [...&&[^\p{Han}]], which PCRE2 has not. */
#define UPPER_K2 "(?:(?!\\p{sc:Han})" UPPER ")"
#define LOWER_K2 "(?:(?!\\p{sc:Han})" LOWER ")"
#define BLOOM " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+"

typedef struct published {
    const char *names; /* between spaces */
    const char *patterns[LIZ_TEXT_PRE_STAGES_MAX];
} published;

static const published published_table[] = {
    {" default ", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {" falcon ", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {" gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat mellum modern-bert a.x-4.0 jina-es jina-de "
     "jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe ",
     {GPT2}},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ", {"\\p{N}", GPT2}},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe glm4 chatglm-bpe ",
     {LLAMA3}},
    {" minicpm5 ", {"\\p{N}{1,3}", CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" jais-2 ",
     {CONTRACTIONS "|" PREFIX
                   "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|"
                   "\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|"
                   "\\s{1,2}(?!\\S)|\\s{1}"}},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open grok-2 megrez ", {QWEN2}},
    {" bailingmoe bailingmoe2 llada-moe ",
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|"
      "\\s+(?!\\S)|\\s+"}},
    {" laguna ", {"[^\\n]+|[\\n]+", QWEN2}},
    {" ufakzeka ", {PREFIX "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" exaone-moe ",
     {CONTRACTIONS "|" PREFIX
                   "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|"
                   "\\s+(?!\\S)|\\s+"}},
    {" qwen35 ", {CONTRACTIONS "|" PREFIX "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" seed-coder ", {CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}},
    {" tekken ", {CASED("", "\\p{N}")}},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m ", {GPT4O}},
    {" kimi-k2 ",
     {"\\p{sc:Han}+|" PREFIX UPPER_K2 "*" LOWER_K2 "+" CONTRACTIONS "?|" PREFIX UPPER_K2 "+" LOWER_K2 "*" CONTRACTIONS
      "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" tiny_aya cohere2moe ", /* \b after a digit */
     {"\\p{Nd}{1,3}(?=(?:\\p{Nd}{3})*(?![\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}]))", GPT4O}},
    {" youtu ",
     {"[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C\u3001-\u303F\uFE30-"
      "\uFE4F]+|[\u3105-\u312F]+|" HAN_AND_KANA,
      CASED(CONTRACTIONS "?", "\\p{N}")}},
    {" deepseek-llm ",
     {"[\\r\\n]", "\\s?[" DEEPSEEK_LETTERS "]+", "\\s?[" DEEPSEEK_SIGNS "]+", "\\s+$", DEEPSEEK_SCRIPTS, "\\p{N}+"}},
    {" deepseek-coder ", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_SCRIPTS, "\\p{N}"}},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_WORDS "[\\r\\n]*|" SPACES}},
    {" spark2_5 ", {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_WORDS "|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}"}},
    {" afmoe ",
     {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
      "[\u4E00-\u9FFF\u3400-\u4DBF\uF900-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-\u0E7F"
      "\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+",
      DEEPSEEK_WORDS "[\\r\\n]*|" SPACES}},
    {" superbpe ", {"\\p{N}+", "(?=(\\p{Nd}{3})+(?!\\p{Nd}))"}},
    {" bloom poro-chat gpt3-finnish ", {BLOOM}},
    {" viking ", {BLOOM, "\\p{N}"}},
    {" gemma4 granite-embed-multi-311m sarvam-moe ", {"[^\\n]+|[\\n]+"}},
};

static const char white_space[] = "\\x{9}-\\x{D} \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"
                                  "\\x{205F}\\x{3000}";

/* ---- PCRE2 ---- */

static pcre2_code *compile(const char *pattern)
{
    liz_buf spelt;
    liz_buf_init(&spelt, 1 << 16);
    bool in_class = false;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '\\' && (p[1] == 's' || p[1] == 'S')) {
            assert_true(p[1] == 's' || !in_class);
            liz_buf_puts(&spelt, in_class ? "" : p[1] == 's' ? "[" : "[^");
            liz_buf_puts(&spelt, white_space);
            liz_buf_puts(&spelt, in_class ? "" : "]");
            p++;
            continue;
        }
        in_class = *p == '[' ? true : *p == ']' ? false : in_class;
        liz_buf_putc(&spelt, *p);
        if (*p == '\\')
            liz_buf_putc(&spelt, *++p);
    }
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)spelt.data, spelt.len, PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY,
                                   &code, &at, NULL);
    if (re == NULL)
        fail_msg("pattern does not compile at %zu: %s", (size_t)at, spelt.data);
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    liz_buf_free(&spelt);
    return re;
}

/* Marks where pieces begin: cuts [begin, end) by stage `k` and each part by the next. */
typedef struct splitter {
    pcre2_code *stages[LIZ_TEXT_PRE_STAGES_MAX];
    int n_stages;
    pcre2_match_data *match;
    const char *text;
    bool *begins; /* [n + 1] */
} splitter;

static void split(const splitter *s, int k, size_t begin, size_t end)
{
    if (begin == end)
        return;
    s->begins[begin] = true;
    if (k == s->n_stages)
        return;
    size_t at = begin;
    uint32_t options = PCRE2_NO_UTF_CHECK;
    while (at < end) {
        /* The piece is all that the pattern may see. */
        int rc =
            pcre2_match(s->stages[k], (PCRE2_SPTR)s->text + begin, end - begin, at - begin, options, s->match, NULL);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        assert_true(rc > 0);
        PCRE2_SIZE *at_of = pcre2_get_ovector_pointer(s->match);
        size_t from = begin + at_of[0], to = begin + at_of[1], gap = at;
        at = to;
        options = PCRE2_NO_UTF_CHECK | (to == from ? PCRE2_NOTEMPTY_ATSTART : 0); /* an empty match is a cut */
        split(s, k + 1, gap, from);
        split(s, k + 1, from, to);
    }
    split(s, k + 1, at, end);
}

/* ---- text ---- */

static uint64_t seed;

static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

static bool *agreed; /* [0x110000] both Unicodes give the character one category */

static bool is_match(const pcre2_code *class, pcre2_match_data *match, unsigned code)
{
    char text[4];
    size_t n = liz_utf8_encode(code, text);
    return pcre2_match(class, (PCRE2_SPTR)text, n, 0, PCRE2_NO_UTF_CHECK, match, NULL) > 0;
}

/* Whether PCRE2 gives `code` the category that we do. */
static bool in_category(pcre2_code *const *classes, pcre2_match_data *match, const liz_text_unicode *unicode,
                        unsigned code)
{
    int category = __builtin_ctz(liz_text_code_mask(unicode, code) & ~(LIZ_CHAR_SPACE | LIZ_CHAR_HAN));
    return is_match(classes[category], match, code);
}

static int find_agreed(void **state)
{
    (void)state;
    static const char *const names[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                        "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                        "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
    pcre2_code *classes[30];
    for (int i = 0; i < 30; i++) {
        char pattern[16];
        snprintf(pattern, sizeof pattern, "\\p{%s}", names[i]);
        classes[i] = compile(pattern);
    }
    const liz_text_unicode *unicode = liz_text_unicode_get();
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    pcre2_code *han = compile("\\p{sc:Han}");
    agreed = calloc(0x110000, 1);
    unsigned n_differ = 0;
    for (unsigned code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        bool is_han = liz_text_code_mask(unicode, code) & LIZ_CHAR_HAN;
        agreed[code] = in_category(classes, match, unicode, code) && is_match(han, match, code) == is_han;
        n_differ += !agreed[code];
    }
    printf("# PCRE2 and utf8proc differ on %u code points\n", n_differ);
    for (int i = 0; i < 30; i++)
        pcre2_code_free(classes[i]);
    pcre2_code_free(han);
    pcre2_match_data_free(match);
    return n_differ < 15000 ? 0 : -1;
}

static int drop_agreed(void **state)
{
    (void)state;
    free(agreed);
    return 0;
}

/* What patterns treat specially, and the borders of what they list. */
static const char *const nasty[] = {
    " ",         "  ",     "   ",        "\n",         "\r\n",
    "\r",        "\t",     "\v",         "\f",         "\xC2\x85",
    "\u00A0",    "\u180E", "\u2028",     "\u3000",     "\u200B",
    "'s",        "'S",     "'t",         "'re",        "'RE",
    "'vE",       "'m",     "'ll",        "'Ll",        "'d",
    "'",         "''",     "'\u017F",    "'l",         "'r",
    "K\u212A",   "\u017F", "1",          "12",         "123",
    "1234",      "\u0660", "\u00BD",     "\u2160",     "\u4E00",
    "\u9FA5",    "\u9FA6", "\u0800",     "\u07FF",     "\uAC00",
    "\uD7A3",    "\u3041", "\u30FF",     "\u3040",     "\u01C5",
    "\u02B0",    "\u00AA", "\u0301",     "\u0903",     "\u20DD",
    "A",         "b",      "Ab",         "AB",         "aB",
    "\u00C9",    "\u00E9", "\u0416",     "\u0436",     "\u10D0",
    "\u1C90",    "/",      "//",         "\n/",        "$",
    "+",         "<",      "`",          "~",          "^",
    "|",         "_",      "!",          ".",          "\uFF01",
    "\uFF5E",    "\u2018", "\u201F",     "\u3002",     "\U0001F600",
    "\u200D",    "\uFE0F", "\U00010400", "\U0001E943", "\u0378",
    "\x01",      "\u00AD", "\u20AC",     "\u1F7D",     "\u3005",
    "\u3007",    "\u2E80", "\u3021",     "\u0964",     "\u06D4",
    "1 \u20281", "\u2026", "(",          ")",          ",",
    "?",         "\u3105", "\u3131",     "\u303F",     "\u0E40",
    "\u0EFF",    "\uFF65", "        ",   "1234567",    "\u0663\u0664\u0665",
};

static void append_code(liz_buf *out, unsigned code)
{
    char text[4];
    if (code >= 0xD800 && code <= 0xDFFF)
        code = 'x';
    liz_buf_append(out, text, liz_utf8_encode(agreed[code] ? code : 'x', text));
}

static void random_text(liz_buf *out, unsigned n_parts)
{
    liz_buf_clear(out);
    for (unsigned i = 0; i < n_parts; i++) {
        unsigned how = draw(10);
        if (how < 6)
            liz_buf_puts(out, nasty[draw(sizeof nasty / sizeof *nasty)]);
        else if (how < 8)
            append_code(out, draw(0x80));
        else
            append_code(out, how == 8 ? draw(0x3100) : draw(0x110000));
    }
}

/* ---- the comparison ---- */

static void compare(const splitter *s, const liz_text_pre *pre, liz_str text)
{
    memset(s->begins, 0, text.n + 1);
    split(s, 0, 0, text.n);
    liz_text_pre_cursor cursor;
    liz_text_pre_cursor_init(&cursor, liz_text_unicode_get(), pre, text);
    size_t at = 0;
    for (liz_str piece; liz_text_pre_cursor_next(&cursor, &piece);) {
        assert_true(piece.n > 0 && piece.p == text.p + at);
        bool same = s->begins[at];
        for (size_t i = at + 1; i < at + piece.n; i++)
            same = same && !s->begins[i];
        if (!same) {
            for (size_t i = 0; i < text.n; i++)
                fprintf(stderr, "%s%02X", s->begins[i] ? " " : "", (unsigned char)text.p[i]);
            fail_msg("%s: differs at byte %zu, piece of %zu", pre->names, at, piece.n);
        }
        at += piece.n;
    }
    assert_true(at == text.n);
}

static void test_published(void **state)
{
    const published *p = *state;
    splitter s = {.match = pcre2_match_data_create(8, NULL)};
    for (; s.n_stages < LIZ_TEXT_PRE_STAGES_MAX && p->patterns[s.n_stages] != NULL; s.n_stages++)
        s.stages[s.n_stages] = compile(p->patterns[s.n_stages]);
    char name[32];
    sscanf(p->names, " %31s", name);
    const liz_text_pre *pre = liz_text_pre_find(liz_str_of(name));
    assert_non_null(pre);
    liz_buf text;
    liz_buf_init(&text, 1 << 16);
    s.begins = malloc(1 << 16);
    seed = 20260101;
    for (int i = 0; i < 20000; i++) {
        random_text(&text, 1 + draw(i % 100 == 0 ? 400 : 24));
        for (unsigned n = i % 50 == 0 ? draw(1200) : 0; n > 0; n--)
            liz_buf_putc(&text, i % 100 == 0 ? ' ' : '7');
        liz_buf_puts(&text, nasty[draw(sizeof nasty / sizeof *nasty)]);
        s.text = text.data;
        compare(&s, pre, liz_buf_str(&text));
    }
    liz_buf_free(&text);
    free(s.begins);
    for (int i = 0; i < s.n_stages; i++)
        pcre2_code_free(s.stages[i]);
    pcre2_match_data_free(s.match);
}

/* Worked out by hand from the patterns: what tells the names apart. */
static const struct by_hand {
    const char *name, *pieces; /* the text is the pieces without the bars */
} by_hand_table[] = {
    {"default", "a\u00A6,\u00A6 \u00A6123\u00A64"},
    {"falcon", "a\u00A6,\u00A6 \u00A6123\u00A64"},
    {"gpt-2", "I\u00A6'\u00A6LL\u00A6 we\u00A6'll\u00A6 \u00A6 x\u00A6 12"},
    {"refact", "a\u00A6 \u00A61\u00A62\u00A6  "},
    {"command-r", "a\u00A6 \u00A61\u00A62"},
    {"olmo", "a\u00A6 12\u00A6\n"},
    {"smollm", "x\u00A61\u00A62\u00A6!!"},
    {"llama-bpe", "I\u00A6'LL\u00A6 \u00A6123\u00A64\u00A6 \u00A6 x\u00A6\n\n"},
    {"minicpm5", "123\u00A645"},
    {"jais-2", "a\u00A6    \u00A6  \u00A6 b"},
    {"qwen2", "1\u00A62\u00A6 a\u00A6!\n\n\u00A6e\u00A6\u0301t\u00A6 O\u00A6'S\u00A6a"},
    {"qwen35", "1\u00A62\u00A6 e\u0301t\u00A6 \u0E01\u0E33"},
    {"laguna", "a\u00A6!\u00A6\n\n\u00A6b"},
    {"ufakzeka", "O\u00A6'Sa"},
    {"exaone-moe", "the cat sat\u00A6.\n\u00A6\n"},
    {"seed-coder", "a\u00A6!\u00A6\n"},
    {"tekken", "Hello\u00A6World\u00A6 a\u00A6B\u00A6's\u00A61\u00A62"},
    {"gpt-4o", "a\u00A6B's\u00A6 x\u00A6//\n/\u00A6y\u00A6123\u00A64"},
    {"llama4", "\u0926\u0940\u00A6 \u041C\u0438\u00A6\u041C\u0438"},
    {"kimi-k2", "abc\u00A6\u4E2D\u6587\u00A6ab\u00A6\u3007\u00A61\u00A6 \u00A6\u4E2D\u00A6a\u00A6B's"},
    {"tiny_aya", "1\u00A6234\u00A6567\u00A6 \u00A6123\u00A64\u00A6a"},
    {"youtu", "\uAC00\u3131\u00A6\u3002\u00A6a\u00A6B\u00A6\u4E2D"},
    {"deepseek-llm", "Hi\u00A6 \u00A6\u4E2D\u6587\u00A612"},
    {"deepseek-coder", "ab\u00A6 \u00A61\u00A62\u00A6,."},
    {"deepseek-v3", "f\u00A6(x\u00A6)\u00A6 \u00A6123\u00A64\u00A6\u4E2D\u30AB"},
    {"spark2_5", "1\u00A62\u00A63\u00A64\u00A6\n\u00A6\n"},
    {"afmoe", "x\u00A612\u00A6345\u00A6 \u00A6\u0E44\u00A6\u0E17\u0E22"},
    {"superbpe", "the cat \u00A61\u00A6234\u00A6567\u00A6x y"},
    {"bloom", " ab\u00A6,\u00A6 c\u00A6(\u00A6x12"},
    {"viking", "ab\u00A61\u00A62"},
    {"gemma4", "a b\u00A6\n\n\u00A6c"},
};

static void test_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof by_hand_table / sizeof *by_hand_table; i++) {
        const struct by_hand *hand = &by_hand_table[i];
        const char *bar = "\u00A6";
        liz_buf text, pieces;
        liz_buf_init(&text, 1000);
        liz_buf_init(&pieces, 1000);
        for (const char *p = hand->pieces; *p != '\0';)
            if (strncmp(p, bar, 2) == 0)
                p += 2;
            else
                liz_buf_putc(&text, *p++);
        liz_text_pre_cursor cursor;
        liz_text_pre_cursor_init(&cursor, liz_text_unicode_get(), liz_text_pre_find(liz_str_of(hand->name)),
                                 liz_buf_str(&text));
        for (liz_str piece; liz_text_pre_cursor_next(&cursor, &piece);) {
            liz_buf_puts(&pieces, pieces.len > 0 ? bar : "");
            liz_buf_append_str(&pieces, piece);
        }
        if (strcmp(pieces.data, hand->pieces) != 0)
            fail_msg("%s: %s where %s was to be", hand->name, pieces.data, hand->pieces);
        liz_buf_free(&text);
        liz_buf_free(&pieces);
    }
}

/* A row's names are those of one pattern, or some of them where flags differ: one of them proves all. */
static void test_every_name_is_proven(void **state)
{
    (void)state;
    for (size_t i = 0; i < liz_text_pre_table_len; i++) {
        const liz_text_pre *pre = &liz_text_pre_table[i];
        char name[LIZ_TEXT_PRE_NAME_MAX + 1], first[LIZ_TEXT_PRE_NAME_MAX + 1];
        int n = 0;
        for (const char *p = pre->names; sscanf(p, " %31s%n", name, &n) == 1; p += n) {
            assert_ptr_equal(liz_text_pre_find(liz_str_of(name)), pre);
            char spaced[sizeof name + 2];
            snprintf(spaced, sizeof spaced, " %s ", name);
            first[0] = '\0';
            for (size_t k = 0; k < sizeof published_table / sizeof *published_table; k++)
                if (strstr(published_table[k].names, spaced) != NULL)
                    sscanf(published_table[k].names, " %31s", first);
            if (first[0] == '\0')
                fail_msg("%s: no published pattern", name);
            assert_ptr_equal(liz_text_pre_find(liz_str_of(first))->stages, pre->stages);
        }
    }
    static const char *const unknown[] = {
        "no-such-thing", "", " ", "gpt-2 ", "phi-2 mpt", "pt-2", "a name of more than thirty-one bytes"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_null(liz_text_pre_find(liz_str_of(unknown[i])));
    assert_null(liz_text_pre_find((liz_str){"gpt-2\0x", 7}));
}

/* Bytes that are not UTF-8 are cut like signs, and nothing is lost. */
static void test_invalid_bytes(void **state)
{
    (void)state;
    seed = 7;
    for (size_t i = 0; i < liz_text_pre_table_len; i++) {
        for (int round = 0; round < 200; round++) {
            char *text = malloc(64); /* of its own, so that reading past the end is seen */
            for (int k = 0; k < 64; k++)
                text[k] = (char)(draw(3) == 0 ? ' ' : draw(256));
            liz_text_pre_cursor cursor;
            liz_text_pre_cursor_init(&cursor, liz_text_unicode_get(), &liz_text_pre_table[i], (liz_str){text, 64});
            size_t at = 0;
            for (liz_str piece; liz_text_pre_cursor_next(&cursor, &piece); at += piece.n)
                assert_true(piece.n > 0 && piece.p == text + at);
            assert_int_equal(at, 64);
            free(text);
        }
    }
}

/* Long runs with something else behind them, which a pattern may walk through again and again: processor time for
 * 64 KiB is hundredths of a second where they are walked through once, many seconds where they are not. */
static void test_slow_texts(void **state)
{
    (void)state;
    static const char *const turns[] = {" ", "7", "A", "a\u0301", " \n", "\u3000", "\u0663"};
    enum { N_BYTES = 1 << 16, SECONDS_MAX = 2 };
    char *text = malloc(N_BYTES);
    for (size_t i = 0; i < liz_text_pre_table_len; i++)
        for (size_t k = 0; k < sizeof turns / sizeof *turns; k++) {
            size_t n_turn = strlen(turns[k]);
            for (size_t at = 0; at < N_BYTES - 1; at++)
                text[at] = turns[k][at % n_turn];
            text[N_BYTES - 1] = 'x';
            liz_text_pre_cursor cursor;
            clock_t begin = clock();
            liz_text_pre_cursor_init(&cursor, liz_text_unicode_get(), &liz_text_pre_table[i], (liz_str){text, N_BYTES});
            for (liz_str piece; liz_text_pre_cursor_next(&cursor, &piece);)
                if ((clock() - begin) / CLOCKS_PER_SEC >= SECONDS_MAX)
                    fail_msg("%s: takes too long over \"%s\"", liz_text_pre_table[i].names, turns[k]);
        }
    free(text);
}

int main(void)
{
    enum { N = sizeof published_table / sizeof *published_table };
    struct CMUnitTest tests[N + 4];
    for (int i = 0; i < N; i++)
        tests[i] =
            (struct CMUnitTest){published_table[i].names + 1, test_published, NULL, NULL, (void *)&published_table[i]};
    tests[N] = (struct CMUnitTest)cmocka_unit_test(test_every_name_is_proven);
    tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(test_invalid_bytes);
    tests[N + 2] = (struct CMUnitTest)cmocka_unit_test(test_by_hand);
    tests[N + 3] = (struct CMUnitTest)cmocka_unit_test(test_slow_texts);
    return cmocka_run_group_tests(tests, find_agreed, drop_agreed);
}
