/* text_pre.c - the matchers of text_pre.h.
 *
 * Each function is one published pattern (docs/tokenizers.md lists them) with the backtracking worked out by
 * hand: alternatives are tried in the pattern's order, and where a greedy part would have to give characters
 * back, the code goes straight to where it would have stopped. tests/text/test_text_pre.c holds every one of
 * them against PCRE2. A matcher is given text [pos, end) and returns the end of the match that begins at pos,
 * or pos when none does. ASCII letters and digits are what most text is made of, so the class of a character
 * below 128 is one load. */
#include "text/text_pre.h"

#include <stdio.h>

#define UPPERISH (LIZ_CHAR_LU | LIZ_CHAR_LT | LIZ_CHAR_LM | LIZ_CHAR_LO | LIZ_CHAR_M)
#define LOWERISH (LIZ_CHAR_LL | LIZ_CHAR_LM | LIZ_CHAR_LO | LIZ_CHAR_M)
#define WORDISH (LIZ_CHAR_L | LIZ_CHAR_M | LIZ_CHAR_ND | LIZ_CHAR_NL | LIZ_CHAR_PC) /* \w */

/* What a matcher sees of a piece. */
typedef struct view {
    const liz_text_unicode *unicode;
    const char *text;
    size_t end;
    liz_text_pre_walked *walked;
} view;

/* The mask of the character at `pos`, 0 at the end; its bytes in `*len`. */
static inline uint32_t mask_at(const view *v, size_t pos, size_t *len)
{
    unsigned code;
    if (pos >= v->end) {
        *len = 0;
        return 0;
    }
    return liz_text_char(v->unicode, v->text + pos, v->end - pos, len, &code);
}

static inline char byte_at(const view *v, size_t pos) { return pos < v->end ? v->text[pos] : '\0'; }

/* The end of the longest run of characters in `mask`. */
static inline size_t run_in(const view *v, size_t pos, uint32_t mask)
{
    size_t len;
    while (mask_at(v, pos, &len) & mask)
        pos += len;
    return pos;
}

/* The end of the longest run of characters outside `mask`. */
static size_t run_outside(const view *v, size_t pos, uint32_t mask)
{
    size_t len;
    for (uint32_t m; (m = mask_at(v, pos, &len)) != 0 && !(m & mask);)
        pos += len;
    return pos;
}

static inline bool is_line_end(char c) { return c == '\n' || c == '\r'; }

/* \s*[\r\n]+|\s+(?!\S)|\s+ where a white-space character stands at `pos`: through the last line end of the
 * run, else all of it at the end of the piece, else all but its last character. `lines` is false where the
 * first alternative is not in the pattern. */
static size_t match_space(const view *v, size_t pos, bool lines)
{
    size_t p = pos, len, last = pos, after_line = pos;
    for (; mask_at(v, p, &len) & LIZ_CHAR_SPACE; p += len) {
        last = p;
        if (is_line_end(v->text[p]))
            after_line = p + len;
    }
    if (lines && after_line > pos)
        return after_line;
    return p == v->end || last == pos ? p : last;
}

/* The end of `n` characters at `pos`, or of the piece. */
static size_t skip(const view *v, size_t pos, size_t n)
{
    size_t len;
    for (; n > 0 && pos < v->end; n--, pos += len)
        mask_at(v, pos, &len);
    return pos;
}

static bool is_walked(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    return v->walked->stage == stage && pos >= v->walked->begin && pos < v->walked->end;
}

/* \s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s where white space stands at `pos`. */
static size_t match_space_halves(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    enum { LONGEST = 512 };
    if (!is_walked(stage, v, pos)) {
        size_t after_line = pos, p = pos, len;
        for (; mask_at(v, p, &len) & LIZ_CHAR_SPACE; p += len)
            if (is_line_end(v->text[p]))
                after_line = p + len;
        if (after_line > pos)
            return after_line;
        *v->walked = (liz_text_pre_walked){stage, pos, p, 1};
    }
    size_t p = pos, n = 0;
    for (; n <= LONGEST && p < v->walked->end; n++)
        p = skip(v, p, 1);
    n -= p < v->end || n > LONGEST; /* the last one before something else stays */
    size_t take = LONGEST;
    while (take > n && take > 1)
        take /= 2;
    return skip(v, pos, take);
}

/* 's|'t|'re|'ve|'m|'ll|'d in lower case, as GPT-2 has it. */
static size_t match_contraction(const view *v, size_t pos)
{
    if (byte_at(v, pos) != '\'')
        return pos;
    char a = byte_at(v, pos + 1), b = byte_at(v, pos + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return pos + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return pos + 3;
    return pos;
}

/* The same with (?i:...): U+017F (long s) is an s to a pattern that ignores case. */
static size_t match_contraction_any_case(const view *v, size_t pos)
{
    if (byte_at(v, pos) != '\'')
        return pos;
    char a = byte_at(v, pos + 1), b = byte_at(v, pos + 2);
    if (a == '\xC5' && b == '\xBF')
        return pos + 3;
    a = (char)(a | 0x20), b = (char)(b | 0x20);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return pos + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return pos + 3;
    return pos;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t match_gpt2(const view *v, size_t pos)
{
    size_t p = match_contraction(v, pos);
    if (p > pos)
        return p;
    p = pos + (v->text[pos] == ' ');
    size_t len;
    uint32_t mask = mask_at(v, p, &len);
    if (mask & LIZ_CHAR_L)
        return run_in(v, p + len, LIZ_CHAR_L);
    if (mask & LIZ_CHAR_N)
        return run_in(v, p + len, LIZ_CHAR_N);
    if (mask != 0 && !(mask & LIZ_CHAR_SPACE))
        return run_outside(v, p + len, LIZ_CHAR_L | LIZ_CHAR_N | LIZ_CHAR_SPACE);
    return match_space(v, pos, false);
}

/* The mask of a character of a cased word; Han, where it stands for itself, is none. */
static inline uint32_t cased_at(const view *v, size_t pos, size_t *len, bool han)
{
    uint32_t mask = mask_at(v, pos, len);
    return han && (mask & LIZ_CHAR_HAN) ? 0 : mask;
}

static size_t run_cased(const view *v, size_t pos, uint32_t mask, bool han)
{
    size_t len;
    while (cased_at(v, pos, &len, han) & mask)
        pos += len;
    return pos;
}

/* [UPPERISH]*[LOWERISH]+ at `pos`. The first part takes all it can; when nothing in lower case follows, it gives
 * back as far as its last character that counts as both. */
static size_t match_cased_word(const view *v, size_t pos, bool han)
{
    size_t p = pos, len, both_end = pos;
    for (uint32_t m; (m = cased_at(v, p, &len, han)) & UPPERISH;) {
        p += len;
        if (m & LOWERISH)
            both_end = p;
    }
    size_t lower_end = run_cased(v, p, LOWERISH, han);
    return lower_end > p ? lower_end : both_end;
}

/* [UPPERISH]+[LOWERISH]* at `pos`. */
static size_t match_capitals(const view *v, size_t pos, bool han)
{
    size_t p = run_cased(v, pos, UPPERISH, han);
    return p == pos ? pos : run_cased(v, p, LOWERISH, han);
}

/* [^\r\n\p{L}\p{N}]?WORD for both forms of WORD, `mask` and `len` being those of the character at `pos`: a word
 * with the character before it is tried first, then the word alone. */
static size_t match_words_cased(const view *v, size_t pos, uint32_t mask, size_t len, bool han)
{
    bool prefix = !(mask & (LIZ_CHAR_L | LIZ_CHAR_N)) && !is_line_end(v->text[pos]);
    size_t (*const forms[])(const view *, size_t, bool) = {match_cased_word, match_capitals};
    for (int i = 0; i < 2; i++) {
        size_t end = prefix ? forms[i](v, pos + len, han) : pos + len;
        if (end > pos + len)
            return end;
        end = forms[i](v, pos, han);
        if (end > pos)
            return end;
    }
    return pos;
}

static size_t match_words_plain(const view *v, size_t pos, uint32_t mask, size_t len, uint32_t letters)
{
    if (mask & letters & LIZ_CHAR_L)
        return run_in(v, pos + len, letters);
    if ((mask & (LIZ_CHAR_L | LIZ_CHAR_N)) || is_line_end(v->text[pos]))
        return pos;
    size_t end = run_in(v, pos + len, letters);
    return end > pos + len || (mask & letters) ? end : pos;
}

/* (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ */
static size_t run_phrase(const view *v, size_t pos)
{
    size_t len;
    while (mask_at(v, pos, &len) & LIZ_CHAR_L) {
        pos = run_in(v, pos + len, LIZ_CHAR_L | LIZ_CHAR_M);
        if (byte_at(v, pos) != ' ' || !(mask_at(v, pos + 1, &len) & LIZ_CHAR_L))
            break;
        pos++;
    }
    return pos;
}

/* \p{N}{1,max}, or \p{N}+ where max is 0. */
static size_t match_number(const view *v, size_t pos, unsigned max)
{
    size_t len;
    for (unsigned n = 0; (max == 0 || n < max) && (mask_at(v, pos, &len) & LIZ_CHAR_N); n++)
        pos += len;
    return pos;
}

/* The words of a stage, `mask` and `len` being those of the character at `pos`. */
static size_t match_word(const liz_text_pre_stage *stage, const view *v, size_t pos, uint32_t mask, size_t len)
{
    if (stage->cased)
        return match_words_cased(v, pos, mask, len, stage->han);
    uint32_t letters = LIZ_CHAR_L | (stage->marks ? LIZ_CHAR_M : 0);
    if (!stage->phrase)
        return match_words_plain(v, pos, mask, len, letters);
    bool prefix = !(mask & (LIZ_CHAR_L | LIZ_CHAR_N)) && !is_line_end(v->text[pos]);
    size_t start = prefix ? pos + len : pos, end = run_phrase(v, start);
    return end > start ? end : pos;
}

/* What a run of signs that ends at `pos` takes with it. */
static size_t match_tail_of_signs(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    bool slash = stage->slash || stage->phrase;
    while (!stage->no_tail && (is_line_end(byte_at(v, pos)) || (slash && byte_at(v, pos) == '/'))) {
        pos++;
        if (stage->phrase)
            break;
    }
    return pos;
}

/* CONTRACTION|[^\r\n\p{L}\p{N}]?WORD|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ with the
 * parts that the stage asks for. */
static size_t match_words(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    size_t p = stage->contraction ? match_contraction_any_case(v, pos) : pos;
    if (p > pos)
        return p;
    size_t len;
    uint32_t mask = mask_at(v, pos, &len);
    if (stage->han && (mask & LIZ_CHAR_HAN))
        return run_in(v, pos, LIZ_CHAR_HAN);
    p = match_word(stage, v, pos, mask, len);
    if (p > pos)
        return stage->contraction_suffix ? match_contraction_any_case(v, p) : p;
    if (mask & LIZ_CHAR_N)
        return match_number(v, pos, stage->run_max);
    p = pos + (v->text[pos] == ' ');
    uint32_t others = LIZ_CHAR_L | LIZ_CHAR_N | LIZ_CHAR_SPACE | (stage->marks ? LIZ_CHAR_M : 0);
    size_t end = run_outside(v, p, others);
    if (end > p)
        return match_tail_of_signs(stage, v, end);
    return stage->halves ? match_space_halves(stage, v, pos) : match_space(v, pos, true);
}

static bool is_ascii_letter(char c) { return (unsigned char)((c | 0x20) - 'a') < 26; }

static bool is_ascii_punctuation(char c)
{
    return c > ' ' && c < 127 && !is_ascii_letter(c) && !(c >= '0' && c <= '9');
}

/* [ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * A character that none of them takes (a digit, a control) is left over. Without tails the alternatives for line ends
 * are \p{S}]+|[\r\n]|\s+(?!\S)|\s+. */
static size_t match_deepseek(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    const uint32_t letters = LIZ_CHAR_L | LIZ_CHAR_M, signs = LIZ_CHAR_P | LIZ_CHAR_S;
    char c = v->text[pos];
    size_t p = pos + 1;
    if (is_ascii_punctuation(c) && is_ascii_letter(byte_at(v, p))) {
        while (is_ascii_letter(byte_at(v, p)))
            p++;
        return p;
    }
    size_t len;
    uint32_t mask = mask_at(v, pos, &len);
    if (!(mask & (LIZ_CHAR_L | signs)) && !is_line_end(c)) {
        p = run_in(v, pos + len, letters);
        if (p > pos + len)
            return p;
    }
    if (mask & letters)
        return run_in(v, pos, letters);
    p = pos + (c == ' ');
    size_t end = run_in(v, p, signs);
    if (end > p)
        return match_tail_of_signs(stage, v, end);
    if (stage->no_tail && is_line_end(c))
        return pos + 1;
    return mask & LIZ_CHAR_SPACE ? match_space(v, pos, !stage->no_tail) : pos;
}

static bool set_has(const liz_text_pre_set *set, uint32_t mask, unsigned code)
{
    if (mask & set->mask)
        return !set->negated;
    if (mask & LIZ_CHAR_INVALID)
        return set->negated;
    size_t lo = 0, hi = set->n_ranges;
    while (code < 0x80 && lo < hi && set->ranges[lo].last < code)
        lo++; /* a step or two */
    while (code >= 0x80 && lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (set->ranges[mid].last < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (lo < set->n_ranges && set->ranges[lo].first <= code) != set->negated;
}

/* \s?[set]+ : the white space is left out again where nothing of the set follows it. */
static size_t match_run(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    size_t len, p = pos, start = pos;
    unsigned code;
    uint32_t first = mask_at(v, pos, &len);
    if (stage->lead == LIZ_TEXT_PRE_LEAD_BLANK ? v->text[pos] == ' ' : stage->lead && (first & LIZ_CHAR_SPACE))
        p = start = pos + len;
    for (unsigned n = 0; p < v->end && (stage->run_max == 0 || n < stage->run_max); n++) {
        uint32_t mask = liz_text_char(v->unicode, v->text + p, v->end - p, &len, &code);
        if (!set_has(&stage->set, mask, code))
            break;
        p += len;
    }
    if (p > start)
        return p;
    if (start == pos)
        return pos;
    uint32_t mask = liz_text_char(v->unicode, v->text + pos, v->end - pos, &len, &code);
    return set_has(&stage->set, mask, code) ? pos + len : pos;
}

static size_t match_digits3(const view *v, size_t pos)
{
    for (size_t i = pos; i < pos + 3; i++)
        if (byte_at(v, i) < '0' || byte_at(v, i) > '9')
            return pos;
    return pos + 3;
}

/* So many characters of the set, one to three, that those of its run after them go in threes. */
static size_t match_groups(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    size_t len;
    if (!(mask_at(v, pos, &len) & stage->set.mask))
        return pos;
    if (!is_walked(stage, v, pos)) {
        size_t p = pos, n = 0;
        for (; mask_at(v, p, &len) & stage->set.mask; p += len)
            n++;
        bool goes_on = stage->bounded && (mask_at(v, p, &len) & WORDISH);
        *v->walked = (liz_text_pre_walked){stage, pos, p, goes_on ? 0 : n};
    }
    size_t n = v->walked->n, odd = pos == v->walked->begin ? n % 3 : 0;
    return n == 0 ? pos : skip(v, pos, odd > 0 ? odd : 3);
}

/* The next place after `pos` where a multiple of three digits ends its run. */
static size_t thousands_end(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    for (size_t p = pos; p < v->end;) {
        size_t end = match_groups(stage, v, p);
        if (end > p && p > pos && v->walked->n % 3 == 0)
            return p;
        if (end > p && end < v->walked->end)
            return end;
        p = end > p ? end : skip(v, p, 1);
    }
    return v->end;
}

/* What is white space before something else is no tail, and neither is any part of it. */
static size_t match_tail(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    size_t p = run_in(v, pos, LIZ_CHAR_SPACE);
    if (p < v->end)
        *v->walked = (liz_text_pre_walked){stage, pos, p, 0};
    return p == v->end ? p : pos;
}

static size_t match_at(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    switch (stage->kind) {
    case LIZ_TEXT_PRE_RUN: return match_run(stage, v, pos);
    case LIZ_TEXT_PRE_DIGITS3: return match_digits3(v, pos);
    case LIZ_TEXT_PRE_GROUPS: return match_groups(stage, v, pos);
    case LIZ_TEXT_PRE_THOUSANDS: return thousands_end(stage, v, pos);
    case LIZ_TEXT_PRE_TAIL: return match_tail(stage, v, pos);
    case LIZ_TEXT_PRE_GPT2: return match_gpt2(v, pos);
    case LIZ_TEXT_PRE_WORDS: return match_words(stage, v, pos);
    case LIZ_TEXT_PRE_DEEPSEEK: return match_deepseek(stage, v, pos);
    }
    return pos;
}

/* The end of the piece that begins at `pos`: a match, or all up to the next one. */
static size_t piece_end(const liz_text_pre_stage *stage, const view *v, size_t pos)
{
    size_t end = match_at(stage, v, pos);
    if (end > pos)
        return end;
    for (size_t p = pos; p < v->end;) {
        p = is_walked(stage, v, p) && v->walked->n == 0 ? v->walked->end : skip(v, p, 1);
        if (p < v->end && match_at(stage, v, p) > p)
            return p;
    }
    return v->end;
}

void liz_text_pre_cursor_init(liz_text_pre_cursor *cursor, const liz_text_unicode *unicode, const liz_text_pre *pre,
                              liz_str text)
{
    *cursor = (liz_text_pre_cursor){.unicode = unicode, .pre = pre, .text = text.p};
    cursor->end[0] = text.n;
}

bool liz_text_pre_cursor_next(liz_text_pre_cursor *cursor, liz_str *piece)
{
    size_t pos = cursor->pos;
    if (pos == cursor->end[0])
        return false;
    int n = cursor->pre->n_stages, k = n;
    while (cursor->end[k] <= pos)
        k--;
    for (; k < n; k++) {
        view v = {cursor->unicode, cursor->text, cursor->end[k], &cursor->walked};
        cursor->end[k + 1] = piece_end(&cursor->pre->stages[k], &v, pos);
    }
    *piece = (liz_str){cursor->text + pos, cursor->end[n] - pos};
    cursor->pos = cursor->end[n];
    return true;
}

const liz_text_pre *liz_text_pre_find(liz_str name)
{
    char spaced[LIZ_TEXT_PRE_NAME_MAX + 3];
    if (name.n == 0 || name.n > LIZ_TEXT_PRE_NAME_MAX || memchr(name.p, ' ', name.n) != NULL)
        return NULL;
    snprintf(spaced, sizeof spaced, " %.*s ", (int)name.n, name.p);
    for (size_t i = 0; strlen(spaced) == name.n + 2 && i < liz_text_pre_table_len; i++)
        if (strstr(liz_text_pre_table[i].names, spaced) != NULL)
            return &liz_text_pre_table[i];
    return NULL;
}
