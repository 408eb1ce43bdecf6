/* text_pre.h - pre-tokenizers: how a byte-level BPE model cuts text before it merges.
 *
 * The models publish regular expressions (text_pattern.h), chosen by the name in tokenizer.ggml.pre. A pre-tokenizer is
 * a row of stages, a pattern each. A stage cuts the piece that the stage before it made, and what no match covers is a
 * piece too (the "isolated" split of the published files); an empty match is a cut. Everything a stage looks at lies
 * inside its piece: the piece's end is the end of the text to it.
 * A cursor walks a text once, in time linear in its length, and allocates nothing. */
#ifndef LIZ_TEXT_PRE_H
#define LIZ_TEXT_PRE_H

#include "text/text_pattern.h"

enum { LIZ_TEXT_PRE_STAGES_MAX = 6, LIZ_TEXT_PRE_NAME_MAX = 31 };

typedef struct liz_text_pre {
    const char *names;         /* as in tokenizer.ggml.pre, each between spaces */
    const char *const *stages; /* patterns, ended by NULL */
    bool ignore_merges;        /* a piece that is a token is that token, whatever the merges give */
    bool add_bos;              /* unless the file says otherwise */
    bool always_bos;           /* whatever the file says */
    bool spaced;               /* tokens are text with U+2581 for a space and bytes as <0x0A>, as in SentencePiece */
    bool whole_lines;          /* a run of line ends that is a token is that token */
    bool needs_no_merges;
} liz_text_pre;

/* NULL when the name is not known. "default" is llama.cpp's for a file that names none. */
const liz_text_pre *liz_text_pre_find(liz_str name);

/* All known, for those who list or test them. */
extern const liz_text_pre liz_text_pre_table[];
extern const size_t liz_text_pre_table_len;

typedef struct liz_text_pre_cursor {
    const liz_text_unicode *unicode;
    const liz_text_pattern *const *stages;
    const char *text;
    size_t pos;
    liz_text_memo memo[LIZ_TEXT_PRE_STAGES_MAX];
    size_t end[LIZ_TEXT_PRE_STAGES_MAX + 1]; /* end[k]: of the piece that stage k cuts; end[0]: of the text */
} liz_text_pre_cursor;

/* `pre` is of the table. */
void liz_text_pre_cursor_init(liz_text_pre_cursor *cursor, const liz_text_unicode *unicode, const liz_text_pre *pre,
                              liz_str text);

/* The next piece into `*piece`, never empty; false at the end. */
bool liz_text_pre_cursor_next(liz_text_pre_cursor *cursor, liz_str *piece);

#endif
