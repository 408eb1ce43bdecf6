/* text_pre_data.c - the pre-tokenizers by name, as rows of stages.
 *
 * Names are those that the published converters write into tokenizer.ggml.pre; several models share a
 * pattern. The patterns themselves stand in docs/tokenizers.md. To add one: a row here and, for a new form,
 * a matcher in text_pre.c; its pattern in tests/text/test_text_pre.c, which proves the two equal. */
#include "text/text_pre.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The cased letters that DeepSeek LLM's first pattern lists (code points of Unicode 11, with gaps). */
static const liz_text_pre_range deepseek_letters[] = {
    {0x0041, 0x005A},   {0x0061, 0x007A},   {0x00B5, 0x00B5},   {0x00C0, 0x00D6},   {0x00D8, 0x00F6},
    {0x00F8, 0x01BA},   {0x01BC, 0x01BF},   {0x01C4, 0x0293},   {0x0295, 0x02AF},   {0x0370, 0x0373},
    {0x0376, 0x0377},   {0x037B, 0x037D},   {0x037F, 0x037F},   {0x0386, 0x0386},   {0x0388, 0x038A},
    {0x038C, 0x038C},   {0x038E, 0x03A1},   {0x03A3, 0x03F5},   {0x03F7, 0x0481},   {0x048A, 0x052F},
    {0x0531, 0x0556},   {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

static const liz_text_pre_range deepseek_signs[] = {
    {0x0021, 0x002F}, {0x003A, 0x007E}, {0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E},
};

/* 0800 to 4E00 and the ideographs of 4E00 to 9FA5, which touch; Hangul syllables. */
static const liz_text_pre_range deepseek_scripts[] = {{0x0800, 0x9FA5}, {0xAC00, 0xD7FF}};

static const liz_text_pre_range han_and_kana[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};

static const liz_text_pre_range line_ends[] = {{0x000A, 0x000A}, {0x000D, 0x000D}};

static const liz_text_pre_range newlines[] = {{0x000A, 0x000A}};

/* Youtu's: Hangul, East Asian punctuation, Bopomofo. */
static const liz_text_pre_range youtu_hangul[] = {{0x3131, 0x318E}, {0xAC00, 0xD7A3}};
static const liz_text_pre_range youtu_signs[] = {
    {0x2014, 0x2014}, {0x2018, 0x2019}, {0x201C, 0x201D}, {0x2026, 0x2026}, {0x3001, 0x303F},
    {0xFE30, 0xFE4F}, {0xFF01, 0xFF01}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B},
};
static const liz_text_pre_range bopomofo[] = {{0x3105, 0x312F}};

/* AFMoE's: scripts written without spaces, Hangul too. */
static const liz_text_pre_range afmoe_scripts[] = {
    {0x0E40, 0x0EFF}, {0x1000, 0x109F}, {0x1100, 0x11FF}, {0x1780, 0x17FF}, {0x2F00, 0x2FDF},
    {0x3040, 0x30FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xA9E0, 0xA9FF}, {0xAA60, 0xAA7F},
    {0xAC00, 0xD7AF}, {0xF900, 0xFAFF}, {0xFF65, 0xFF9F},
};

/* What ends a word of BLOOM beside white space. */
static const liz_text_pre_range bloom_ends[] = {
    {'!', '!'},       {'(', ')'},       {',', ','},       {'.', '.'},       {'?', '?'},       {'|', '|'},
    {0x060C, 0x060C}, {0x06D4, 0x06D4}, {0x0964, 0x0964}, {0x2026, 0x2026}, {0x3001, 0x3002}, {0xFF0C, 0xFF0C},
};

/* The ASCII signs outside \p{P} that count as punctuation; Falcon's has the grave accent too. */
static const liz_text_pre_range default_signs[] = {
    {'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'}, {'|', '|'}, {'~', '~'},
};
static const liz_text_pre_range falcon_signs[] = {
    {'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'}, {'`', '`'}, {'|', '|'}, {'~', '~'},
};

#define SET(ranges_)                                                                                                   \
    {                                                                                                                  \
        .ranges = ranges_, .n_ranges = COUNT(ranges_)                                                                  \
    }
#define SET_AND(mask_, ranges_)                                                                                        \
    {                                                                                                                  \
        .mask = mask_, .ranges = ranges_, .n_ranges = COUNT(ranges_)                                                   \
    }
#define RUN_OF(ranges_)                                                                                                \
    {                                                                                                                  \
        .kind = LIZ_TEXT_PRE_RUN, .set = SET(ranges_)                                                                  \
    }
#define NUMBERS(max)                                                                                                   \
    {                                                                                                                  \
        .kind = LIZ_TEXT_PRE_RUN, .run_max = (max), .set = {.mask = LIZ_CHAR_N }                                       \
    }

static const liz_text_pre_stage gpt2[] = {{.kind = LIZ_TEXT_PRE_GPT2}};

static const liz_text_pre_stage digits_gpt2[] = {NUMBERS(1), {.kind = LIZ_TEXT_PRE_GPT2}};

static const liz_text_pre_stage llama3[] = {{.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 3}};

static const liz_text_pre_stage minicpm5[] = {NUMBERS(3), {.kind = LIZ_TEXT_PRE_WORDS, .contraction = true}};

static const liz_text_pre_stage jais2[] = {
    {.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 3, .halves = true}};

static const liz_text_pre_stage qwen2[] = {{.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 1}};

static const liz_text_pre_stage laguna[] = {RUN_OF(newlines),
                                            {.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 1}};

static const liz_text_pre_stage ufakzeka[] = {{.kind = LIZ_TEXT_PRE_WORDS, .run_max = 1}};

static const liz_text_pre_stage exaone_moe[] = {
    {.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 1, .phrase = true}};

static const liz_text_pre_stage qwen35[] = {
    {.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 1, .marks = true}};

static const liz_text_pre_stage seed_coder[] = {
    {.kind = LIZ_TEXT_PRE_WORDS, .contraction = true, .run_max = 1, .no_tail = true}};

static const liz_text_pre_stage tekken[] = {{.kind = LIZ_TEXT_PRE_WORDS, .cased = true, .run_max = 1, .slash = true}};

static const liz_text_pre_stage gpt4o[] = {
    {.kind = LIZ_TEXT_PRE_WORDS, .cased = true, .contraction_suffix = true, .run_max = 3, .slash = true},
};

static const liz_text_pre_stage kimi_k2[] = {
    {.kind = LIZ_TEXT_PRE_WORDS, .cased = true, .han = true, .contraction_suffix = true, .run_max = 3},
};

static const liz_text_pre_stage tiny_aya[] = {
    {.kind = LIZ_TEXT_PRE_GROUPS, .set = {.mask = LIZ_CHAR_ND}, .bounded = true},
    {.kind = LIZ_TEXT_PRE_WORDS, .cased = true, .contraction_suffix = true, .run_max = 3, .slash = true},
};

static const liz_text_pre_stage youtu[] = {
    RUN_OF(youtu_hangul),
    RUN_OF(youtu_signs),
    RUN_OF(bopomofo),
    RUN_OF(han_and_kana),
    {.kind = LIZ_TEXT_PRE_WORDS, .cased = true, .contraction_suffix = true, .run_max = 1, .slash = true},
};

static const liz_text_pre_stage deepseek_llm[] = {
    {.kind = LIZ_TEXT_PRE_RUN, .run_max = 1, .set = SET(line_ends)},
    {.kind = LIZ_TEXT_PRE_RUN, .lead = LIZ_TEXT_PRE_LEAD_SPACE, .set = SET(deepseek_letters)},
    {.kind = LIZ_TEXT_PRE_RUN, .lead = LIZ_TEXT_PRE_LEAD_SPACE, .set = SET(deepseek_signs)},
    {.kind = LIZ_TEXT_PRE_TAIL},
    RUN_OF(deepseek_scripts),
    NUMBERS(0),
};

static const liz_text_pre_stage deepseek_coder[] = {
    {.kind = LIZ_TEXT_PRE_RUN, .run_max = 1, .set = SET(line_ends)},
    {.kind = LIZ_TEXT_PRE_RUN, .lead = LIZ_TEXT_PRE_LEAD_SPACE, .set = {.mask = LIZ_CHAR_L}},
    {.kind = LIZ_TEXT_PRE_RUN, .lead = LIZ_TEXT_PRE_LEAD_SPACE, .set = {.mask = LIZ_CHAR_P}},
    RUN_OF(deepseek_scripts),
    NUMBERS(1),
};

static const liz_text_pre_stage deepseek_v3[] = {
    NUMBERS(3),
    RUN_OF(han_and_kana),
    {.kind = LIZ_TEXT_PRE_DEEPSEEK},
};

static const liz_text_pre_stage spark2_5[] = {
    NUMBERS(3),
    RUN_OF(han_and_kana),
    {.kind = LIZ_TEXT_PRE_DEEPSEEK, .no_tail = true},
    NUMBERS(1),
};

static const liz_text_pre_stage afmoe[] = {
    {.kind = LIZ_TEXT_PRE_GROUPS, .set = {.mask = LIZ_CHAR_N}},
    RUN_OF(afmoe_scripts),
    {.kind = LIZ_TEXT_PRE_DEEPSEEK},
};

static const liz_text_pre_stage superbpe[] = {NUMBERS(0),
                                              {.kind = LIZ_TEXT_PRE_THOUSANDS, .set = {.mask = LIZ_CHAR_ND}}};

#define BLOOM                                                                                                          \
    {                                                                                                                  \
        .kind = LIZ_TEXT_PRE_RUN, .lead = LIZ_TEXT_PRE_LEAD_BLANK,                                                     \
        .set = {LIZ_CHAR_SPACE, bloom_ends, COUNT(bloom_ends), true},                                                  \
    }

static const liz_text_pre_stage bloom[] = {BLOOM};

static const liz_text_pre_stage viking[] = {BLOOM, NUMBERS(1)};

/* Words are not cut at all: their merges see to that. */
static const liz_text_pre_stage lines[] = {RUN_OF(newlines)};

static const liz_text_pre_stage falcon[] = {
    {.kind = LIZ_TEXT_PRE_RUN, .set = SET_AND(LIZ_CHAR_P, falcon_signs)},
    {.kind = LIZ_TEXT_PRE_GPT2},
    {.kind = LIZ_TEXT_PRE_DIGITS3},
};

static const liz_text_pre_stage fallback[] = {
    {.kind = LIZ_TEXT_PRE_RUN, .set = SET_AND(LIZ_CHAR_P, default_signs)},
    {.kind = LIZ_TEXT_PRE_GPT2},
    NUMBERS(0),
    {.kind = LIZ_TEXT_PRE_DIGITS3},
};

#define STAGES(array) .n_stages = COUNT(array), .stages = (array)

const liz_text_pre liz_text_pre_table[] = {
    {" default ", STAGES(fallback)},
    {" gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat mellum modern-bert a.x-4.0 jina-es jina-de "
     "jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe ",
     STAGES(gpt2)},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ", STAGES(digits_gpt2)},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ", STAGES(llama3),
     .ignore_merges = true, .add_bos = true},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", STAGES(llama3)},
    {" minicpm5 ", STAGES(minicpm5), .ignore_merges = true},
    {" jais-2 ", STAGES(jais2)},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open grok-2 megrez bailingmoe bailingmoe2 "
     "llada-moe ",
     STAGES(qwen2)},
    {" laguna ", STAGES(laguna)},
    {" ufakzeka ", STAGES(ufakzeka)},
    {" exaone-moe ", STAGES(exaone_moe)},
    {" qwen35 ", STAGES(qwen35)},
    {" seed-coder ", STAGES(seed_coder)},
    {" tekken ", STAGES(tekken), .ignore_merges = true, .add_bos = true},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ", STAGES(gpt4o)},
    {" granite-embed-multi-97m ", STAGES(gpt4o), .ignore_merges = true},
    {" kimi-k2 ", STAGES(kimi_k2), .needs_no_merges = true},
    {" tiny_aya cohere2moe ", STAGES(tiny_aya)},
    {" youtu ", STAGES(youtu), .ignore_merges = true},
    {" deepseek-llm ", STAGES(deepseek_llm)},
    {" deepseek-coder ", STAGES(deepseek_coder)},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", STAGES(deepseek_v3)},
    {" spark2_5 ", STAGES(spark2_5)},
    {" afmoe ", STAGES(afmoe)},
    {" superbpe ", STAGES(superbpe)},
    {" bloom poro-chat gpt3-finnish ", STAGES(bloom)},
    {" viking ", STAGES(viking)},
    {" falcon ", STAGES(falcon)},
    {" gemma4 granite-embed-multi-311m ", STAGES(lines), .spaced = true, .whole_lines = true, .always_bos = true},
    {" sarvam-moe ", STAGES(lines), .spaced = true},
};

const size_t liz_text_pre_table_len = COUNT(liz_text_pre_table);
