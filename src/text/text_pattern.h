/* text_pattern.h - the regular expressions by which pre-tokenizers are published.
 *
 * What they are made of and no more: characters, sets ([...], \p{..}, \s and the like, [..&&[^..]]), ? * + {n} {n,m},
 * |, (?:..), (?i:..), (?=..), (?!..) and $. Alternatives are tried in their order; a repeated character gives back what
 * it took until the rest matches, a group never does. The text is [pos, end): nothing outside is looked at. `\s` is
 * White_Space; categories are those of text_unicode.h; a byte that is not UTF-8 is a character of no category.
 *
 * A match costs time in proportion to what it walks over, and walking over a text again and again is spared by a memo:
 * where a run of characters led nowhere, none that begins within it will. So a text is cut in linear time. */
#ifndef LIZ_TEXT_PATTERN_H
#define LIZ_TEXT_PATTERN_H

#include "text/text_unicode.h"

typedef struct liz_text_pattern liz_text_pattern;

/* What one text taught about one pattern so far. A zeroed struct knows nothing. */
enum { LIZ_TEXT_MEMO_RUNS = 8, LIZ_TEXT_MEMO_TURNS = 3 };
typedef struct liz_text_memo {
    struct {
        size_t begin, end;
    } failed[LIZ_TEXT_MEMO_RUNS]; /* by repeated characters of the pattern: no match goes through from there */
    struct {
        size_t at, end;
        bool matches;
    } turns[LIZ_TEXT_MEMO_TURNS]; /* whether groups of equal length, counted on from `at`, lead to a match */
    unsigned n_turns;
} liz_text_memo;

/* Of our own making: a mistake in it, or too many, is a programmer's error. Lives as long as the process; one caller at
 * a time. */
const liz_text_pattern *liz_text_pattern_compile(const liz_text_unicode *unicode, const char *source);

/* Whether a match begins at text[pos], and where it ends. Of calls with one memo `pos` never falls. */
bool liz_text_pattern_match(const liz_text_pattern *pattern, const liz_text_unicode *unicode, liz_text_memo *memo,
                            const char *text, size_t pos, size_t end, size_t *match_end);

#endif
