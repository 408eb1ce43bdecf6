/* text_pre_data.c - the pre-tokenizers by name, as rows of patterns.
 *
 * Names are those that the published converters write into tokenizer.ggml.pre; several models share patterns, which
 * stand here as they are published (docs/tokenizers.md lists them too). To add one: a row here, its pattern in
 * tests/text/test_text_pre.c, which proves that it cuts as PCRE2 does, its names and flags in test_text_pre_names.c. */
#include "text/text_pre.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LINES "\\s*[\\r\\n]+|"
#define PREFIX "[^\\r\\n\\p{L}\\p{N}]?"
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" SIGNS "|" SPACES
/* The pattern of cl100k and its children, with what they differ in. */
#define WORDS(letters, number) PREFIX letters "|" number "|" SIGNS "[\\r\\n]*|" LINES SPACES
#define LLAMA3 CONTRACTIONS "|" WORDS("\\p{L}+", "\\p{N}{1,3}")
#define QWEN2 CONTRACTIONS "|" WORDS("\\p{L}+", "\\p{N}")
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix, number)                                                                                          \
    PREFIX UPPER "*" LOWER "+" suffix "|" PREFIX UPPER "+" LOWER "*" suffix "|" number "|" SIGNS                       \
                 "[\\r\\n/]*|" LINES SPACES
#define GPT4O CASED(CONTRACTIONS "?", "\\p{N}{1,3}")
#define UPPER_K2 "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LOWER_K2 "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define DEEPSEEK "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define DEEPSEEK_SCRIPTS "[\u0800-\u9FA5\uAC00-\uD7FF]+"
#define HAN_AND_KANA "[\u3040-\u30FF\u4E00-\u9FA5]+"

typedef const char *const patterns[LIZ_TEXT_PRE_STAGES_MAX + 1];

static patterns gpt2 = {GPT2};
static patterns digits_gpt2 = {"\\p{N}", GPT2};
static patterns fallback = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"};
static patterns falcon = {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"};
static patterns llama3 = {LLAMA3};
static patterns minicpm5 = {"\\p{N}{1,3}", CONTRACTIONS "|" WORDS("\\p{L}+", "\\p{N}+")};
static patterns jais2 = {CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}{1,3}|" SIGNS "[\\r\\n]*|" LINES
                                      "\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|"
                                      "\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s"};
static patterns qwen2 = {QWEN2};
static patterns laguna = {"[\\n]+", QWEN2};
static patterns ufakzeka = {WORDS("\\p{L}+", "\\p{N}")};
static patterns exaone_moe = {CONTRACTIONS "|" PREFIX "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" SIGNS
                                           "[\\r\\n/]?|" LINES SPACES};
static patterns qwen35 = {CONTRACTIONS "|" PREFIX
                                       "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES SPACES};
static patterns seed_coder = {CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}|" SIGNS "|" LINES SPACES};
static patterns tekken = {CASED("", "\\p{N}")};
static patterns gpt4o = {GPT4O};
static patterns kimi_k2 = {"\\p{Han}+|" PREFIX UPPER_K2 "*" LOWER_K2 "+" CONTRACTIONS "?|" PREFIX UPPER_K2 "+" LOWER_K2
                           "*" CONTRACTIONS "?|\\p{N}{1,3}|" SIGNS "[\\r\\n]*|" LINES SPACES};
/* \b after a digit */
static patterns tiny_aya = {"\\p{Nd}{1,3}(?=(?:\\p{Nd}{3})*(?![\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}]))", GPT4O};
static patterns youtu = {"[\u3131-\u318E\uAC00-\uD7A3]+|[\u2014\u2018\u2019\u201C\u201D\u2026\u3001-\u303F\uFE30-\uFE4F"
                         "\uFF01\uFF0C\uFF1A\uFF1B]+|[\u3105-\u312F]+|" HAN_AND_KANA,
                         CASED(CONTRACTIONS "?", "\\p{N}")};
/* The cased letters are those of Unicode 11, with gaps. */
static patterns deepseek_llm = {
    "[\\r\\n]",
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376"
    "\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F"
    "\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"
    "\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
    "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D"
    "\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A"
    "\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+",
    "\\s?[!-/:-~\u2018-\u201F\u3000-\u3002\uFF01-\uFF0F\uFF1A-\uFF5E]+",
    "\\s+$",
    DEEPSEEK_SCRIPTS,
    "\\p{N}+"};
static patterns deepseek_coder = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_SCRIPTS, "\\p{N}"};
static patterns deepseek_v3 = {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK "[\\r\\n]*|" LINES SPACES};
static patterns spark2_5 = {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK "|[\\r\\n]|" SPACES, "\\p{N}"};
/* Scripts that are written without spaces, Hangul too. */
static patterns afmoe = {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
                         "[\u0E40-\u0EFF\u1000-\u109F\u1100-\u11FF\u1780-\u17FF\u2F00-\u2FDF\u3040-\u30FF\u3400-\u4DBF"
                         "\u4E00-\u9FFF\uA9E0-\uA9FF\uAA60-\uAA7F\uAC00-\uD7AF\uF900-\uFAFF\uFF65-\uFF9F]+",
                         DEEPSEEK "[\\r\\n]*|" LINES SPACES};
static patterns superbpe = {"\\p{N}+", "(?=(?:\\p{Nd}{3})+(?!\\p{Nd}))"};
#define BLOOM " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+"
static patterns bloom = {BLOOM};
static patterns viking = {BLOOM, "\\p{N}"};
/* Words are not cut at all: their merges see to that. */
static patterns lines = {"[\\n]+"};

const liz_text_pre liz_text_pre_table[] = {
    {" default ", .stages = fallback},
    {" gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat mellum modern-bert a.x-4.0 jina-es jina-de "
     "jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe ",
     .stages = gpt2},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ", .stages = digits_gpt2},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ", .stages = llama3,
     .ignore_merges = true, .add_bos = true},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", .stages = llama3},
    {" minicpm5 ", .stages = minicpm5, .ignore_merges = true},
    {" jais-2 ", .stages = jais2},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open grok-2 megrez bailingmoe bailingmoe2 "
     "llada-moe ",
     .stages = qwen2},
    {" laguna ", .stages = laguna},
    {" ufakzeka ", .stages = ufakzeka},
    {" exaone-moe ", .stages = exaone_moe},
    {" qwen35 ", .stages = qwen35},
    {" seed-coder ", .stages = seed_coder},
    {" tekken ", .stages = tekken, .ignore_merges = true, .add_bos = true},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ", .stages = gpt4o},
    {" granite-embed-multi-97m ", .stages = gpt4o, .ignore_merges = true},
    {" kimi-k2 ", .stages = kimi_k2, .needs_no_merges = true},
    {" tiny_aya cohere2moe ", .stages = tiny_aya},
    {" youtu ", .stages = youtu, .ignore_merges = true},
    {" deepseek-llm ", .stages = deepseek_llm},
    {" deepseek-coder ", .stages = deepseek_coder},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", .stages = deepseek_v3},
    {" spark2_5 ", .stages = spark2_5},
    {" afmoe ", .stages = afmoe},
    {" superbpe ", .stages = superbpe},
    {" bloom poro-chat gpt3-finnish ", .stages = bloom},
    {" viking ", .stages = viking},
    {" falcon ", .stages = falcon},
    {" gemma4 granite-embed-multi-311m ", .stages = lines, .spaced = true, .whole_lines = true, .always_bos = true},
    {" sarvam-moe ", .stages = lines, .spaced = true},
};

const size_t liz_text_pre_table_len = sizeof liz_text_pre_table / sizeof *liz_text_pre_table;
