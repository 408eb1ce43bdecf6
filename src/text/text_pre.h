/* text_pre.h - pre-tokenizers: how a byte-level BPE model cuts text before it merges.
 *
 * The models publish regular expressions; here each is a hand-written matcher, chosen by the name in
 * tokenizer.ggml.pre. A pre-tokenizer is a row of stages. A stage cuts the piece that the stage before it
 * made, and what no match covers is a piece too (the "isolated" split of the published files). Everything a
 * stage looks at lies inside its piece: the piece's end is the end of the text to it.
 * A cursor walks a text once, in time linear in its length, and allocates nothing. */
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
    bool negated;
} liz_text_pre_set;

typedef enum liz_text_pre_kind {
    LIZ_TEXT_PRE_RUN,       /* \s?[set]{1,run_max}: `lead`, `set`, `run_max` (0: no limit) */
    LIZ_TEXT_PRE_DIGITS3,   /* [0-9][0-9][0-9] */
    LIZ_TEXT_PRE_GROUPS,    /* runs of `set.mask` in threes counted from their end: `bounded` */
    LIZ_TEXT_PRE_THOUSANDS, /* (?=(\d{3})+(?!\d)): a cut, no match */
    LIZ_TEXT_PRE_TAIL,      /* \s+$ */
    LIZ_TEXT_PRE_GPT2,      /* the pattern of GPT-2 */
    LIZ_TEXT_PRE_WORDS,     /* the pattern of cl100k and its children: the fields under "words" */
    LIZ_TEXT_PRE_DEEPSEEK   /* the last pattern of DeepSeek-V3: `no_tail` */
} liz_text_pre_kind;

typedef struct liz_text_pre_stage {
    liz_text_pre_kind kind;
    enum { LIZ_TEXT_PRE_NO_LEAD, LIZ_TEXT_PRE_LEAD_SPACE, LIZ_TEXT_PRE_LEAD_BLANK } lead; /* none, \s?, ' '? */
    unsigned run_max; /* of a run, or the digits of a number in "words"; 0: no limit */
    liz_text_pre_set set;
    bool bounded; /* only where no letter or digit follows the run */
    /* words */
    bool contraction;        /* (?i:'s|'t|'re|'ve|'m|'ll|'d) as the first alternative */
    bool contraction_suffix; /* the same, optional, after a word */
    bool cased;              /* a word is [\p{Lu}...]*[\p{Ll}...]+ or [\p{Lu}...]+[\p{Ll}...]* */
    bool marks;              /* \p{M} counts as a letter */
    bool han;                /* runs of \p{Han} first; no word holds one */
    bool phrase;             /* a word goes on after a single space; one line end or slash follows signs */
    bool slash;              /* a run of other characters also takes the slashes after it */
    bool no_tail;            /* nor does it take line ends */
    bool halves;             /* white space goes in 512, 256 ... 4, 2 and 1 characters */
} liz_text_pre_stage;

typedef struct liz_text_pre {
    const char *names;  /* as in tokenizer.ggml.pre, each between spaces */
    bool ignore_merges; /* a piece that is a token is that token, whatever the merges give */
    bool add_bos;       /* unless the file says otherwise */
    bool always_bos;    /* whatever the file says */
    bool spaced;        /* tokens are text with U+2581 for a space and bytes as <0x0A>, as in SentencePiece */
    bool whole_lines;   /* a run of line ends that is a token is that token */
    bool needs_no_merges;
    int n_stages;
    const liz_text_pre_stage *stages;
} liz_text_pre;

/* NULL when the name is not known. "default" is llama.cpp's for a file that names none. */
const liz_text_pre *liz_text_pre_find(liz_str name);

/* The longest of all names. */
enum { LIZ_TEXT_PRE_NAME_MAX = 31 };

/* All known, for those who list or test them. */
extern const liz_text_pre liz_text_pre_table[];
extern const size_t liz_text_pre_table_len;

/* A run that a stage has walked through and need not walk again: `n` characters, 0 where nothing matches in it. */
typedef struct liz_text_pre_walked {
    const liz_text_pre_stage *stage;
    size_t begin, end, n;
} liz_text_pre_walked;

typedef struct liz_text_pre_cursor {
    const liz_text_unicode *unicode;
    const liz_text_pre *pre;
    const char *text;
    size_t pos;
    liz_text_pre_walked walked;
    size_t end[LIZ_TEXT_PRE_STAGES_MAX + 1]; /* end[k]: of the piece that stage k cuts; end[0]: of the text */
} liz_text_pre_cursor;

void liz_text_pre_cursor_init(liz_text_pre_cursor *cursor, const liz_text_unicode *unicode, const liz_text_pre *pre,
                              liz_str text);

/* The next piece into `*piece`, never empty; false at the end. */
bool liz_text_pre_cursor_next(liz_text_pre_cursor *cursor, liz_str *piece);

#endif
