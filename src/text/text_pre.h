/* text_pre.h - pre-tokenizers: how a byte-level BPE model cuts text before it merges.
 *
 * The models publish regular expressions; here each is a hand-written matcher, chosen by the name in
 * tokenizer.ggml.pre. A pre-tokenizer is a row of stages. A stage cuts the piece that the stage before it
 * made, and what no match covers is a piece too (the "isolated" split of the published files). Everything a
 * stage looks at lies inside its piece: the piece's end is the end of the text to it.
 * A cursor walks a text once, in time linear in its length, and holds no memory of its own. */
#ifndef LIZ_TEXT_PRE_H
#define LIZ_TEXT_PRE_H

#include "text/text_unicode.h"

enum { LIZ_TEXT_PRE_STAGES_MAX = 6 };

typedef struct liz_text_pre_range {
    unsigned first, last;
} liz_text_pre_range;

/* A set of characters: categories, and ranges of code points. */
typedef struct liz_text_pre_set {
    uint32_t mask;
    const liz_text_pre_range *ranges; /* ascending */
    size_t n_ranges;
} liz_text_pre_set;

typedef enum liz_text_pre_kind {
    LIZ_TEXT_PRE_RUN,     /* \s?[set]{1,run_max}: `lead_space`, `set`, `run_max` (0: no limit) */
    LIZ_TEXT_PRE_DIGITS3, /* [0-9][0-9][0-9] */
    LIZ_TEXT_PRE_TAIL,    /* \s+$ */
    LIZ_TEXT_PRE_GPT2,    /* the pattern of GPT-2 */
    LIZ_TEXT_PRE_WORDS,   /* the pattern of cl100k and its children: the fields under "words" */
    LIZ_TEXT_PRE_DEEPSEEK /* the last pattern of DeepSeek-V3 */
} liz_text_pre_kind;

typedef struct liz_text_pre_stage {
    liz_text_pre_kind kind;
    bool lead_space;
    unsigned run_max; /* of a run, or the digits of a number in "words"; 0: no limit */
    liz_text_pre_set set;
    /* words */
    bool contraction;        /* (?i:'s|'t|'re|'ve|'m|'ll|'d) as the first alternative */
    bool contraction_suffix; /* the same, optional, after a word */
    bool cased;              /* a word is [\p{Lu}...]*[\p{Ll}...]+ or [\p{Lu}...]+[\p{Ll}...]* */
    bool marks;              /* \p{M} counts as a letter */
    bool slash;              /* a run of other characters also takes the slashes after it */
    bool no_tail;            /* nor does it take line ends */
} liz_text_pre_stage;

typedef struct liz_text_pre {
    const char *name;   /* as in tokenizer.ggml.pre */
    bool ignore_merges; /* a piece that is a token is that token, whatever the merges give */
    bool add_bos;       /* unless the file says otherwise */
    int n_stages;
    const liz_text_pre_stage *stages;
} liz_text_pre;

/* NULL when the name is not known. "default" is llama.cpp's for a file that names none. */
const liz_text_pre *liz_text_pre_find(liz_str name);

/* All known, for those who list or test them. */
extern const liz_text_pre liz_text_pre_table[];
extern const size_t liz_text_pre_table_len;

typedef struct liz_text_pre_cursor {
    const liz_text_unicode *unicode;
    const liz_text_pre *pre;
    const char *text;
    size_t pos;
    size_t end[LIZ_TEXT_PRE_STAGES_MAX + 1]; /* end[k]: of the piece that stage k cuts; end[0]: of the text */
} liz_text_pre_cursor;

void liz_text_pre_cursor_init(liz_text_pre_cursor *cursor, const liz_text_unicode *unicode, const liz_text_pre *pre,
                              liz_str text);

/* The next piece into `*piece`, never empty; false at the end. */
bool liz_text_pre_cursor_next(liz_text_pre_cursor *cursor, liz_str *piece);

#endif
