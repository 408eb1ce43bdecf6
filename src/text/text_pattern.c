/* text_pattern.c - reading patterns into rows of elements, and matching by walking them.
 *
 * An element is a set of characters with its repetition, a group, or a look ahead; `next` leads along a row,
 * `otherwise` from the first element of an alternative to that of the next one. ASCII letters and digits are what most
 * text is made of, so whether a character below 128 is in a set is one load. */
#include "text/text_pattern.h"

#include "base/status.h"

#include <stdlib.h>

enum { ELEMENTS_MAX = 1536, RANGES_MAX = 1536, MANY = INT32_MAX };

typedef struct range {
    unsigned first, last;
} range;

typedef enum kind { SET, GROUP, AHEAD, NOT_AHEAD, AT_END } kind;

struct liz_text_pattern {
    uint32_t ascii[4];    /* a bit for each character below 128 that is in the set */
    uint32_t starts[4];   /* and of the first of a row, for each that a match may begin with */
    uint32_t mask, minus; /* categories, and those that are left out of them */
    const range *ranges;  /* [n_ranges] ascending */
    int n_ranges;
    bool negated;
    kind kind;
    int run;                                            /* of the memo; 0: not kept */
    int unit, min, max;                                 /* characters of a turn; turns */
    struct liz_text_pattern *inside, *next, *otherwise; /* alternatives of a group; NULL: none */
};
typedef struct liz_text_pattern element;

static element elements[ELEMENTS_MAX];
static range ranges[RANGES_MAX];
static int n_elements, n_ranges;

/* ---- Sets ---- */

static bool set_has(const element *e, uint32_t mask, unsigned code)
{
    if ((mask & e->mask) && !(mask & e->minus))
        return !e->negated;
    int low = 0, high = mask & LIZ_CHAR_INVALID ? 0 : e->n_ranges;
    while (low < high) {
        int mid = (low + high) / 2;
        if (e->ranges[mid].last < code)
            low = mid + 1;
        else if (e->ranges[mid].first > code)
            high = mid;
        else
            return !e->negated;
    }
    return e->negated;
}

/* ---- Reading ---- */

typedef struct reader {
    const liz_text_unicode *unicode;
    const char *p;
    bool ignores_case;
    int n_runs;
} reader;

static bool take(reader *r, const char *text)
{
    bool is = strncmp(r->p, text, strlen(text)) == 0;
    r->p += is ? strlen(text) : 0;
    return is;
}

static element *element_new(void)
{
    LIZ_ASSERT(n_elements < ELEMENTS_MAX);
    elements[n_elements] = (element){.unit = 1, .min = 1, .max = 1};
    return &elements[n_elements++];
}

/* Behind "\p{". */
static uint32_t read_category(reader *r)
{
    static const struct {
        const char *name;
        uint32_t mask;
    } categories[] = {{"L}", LIZ_CHAR_L},   {"Lu}", LIZ_CHAR_LU},  {"Lt}", LIZ_CHAR_LT}, {"Lm}", LIZ_CHAR_LM},
                      {"Lo}", LIZ_CHAR_LO}, {"Ll}", LIZ_CHAR_LL},  {"M}", LIZ_CHAR_M},   {"N}", LIZ_CHAR_N},
                      {"Nd}", LIZ_CHAR_ND}, {"Nl}", LIZ_CHAR_NL},  {"P}", LIZ_CHAR_P},   {"Pc}", LIZ_CHAR_PC},
                      {"S}", LIZ_CHAR_S},   {"Han}", LIZ_CHAR_HAN}};
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (take(r, categories[i].name))
            return categories[i].mask;
    LIZ_ASSERT(!"a category that is known");
    return 0;
}

static unsigned read_code(reader *r)
{
    unsigned code;
    if (take(r, "\\n"))
        return '\n';
    if (take(r, "\\r"))
        return '\r';
    r->p += *r->p == '\\';
    size_t len = liz_utf8_decode(r->p, strlen(r->p), &code);
    LIZ_ASSERT(len > 0);
    r->p += len;
    return code;
}

static void add_range(element *e, unsigned first, unsigned last)
{
    LIZ_ASSERT(n_ranges < RANGES_MAX && first <= last);
    e->ranges = e->n_ranges > 0 ? e->ranges : &ranges[n_ranges];
    ranges[n_ranges++] = (range){first, last};
    e->n_ranges++;
}

/* A character, from one to another, or a class of them, for the set. */
static void read_part(reader *r, element *e)
{
    if (take(r, "\\p{")) {
        e->mask |= read_category(r);
    } else if (take(r, "\\s")) {
        e->mask |= LIZ_CHAR_SPACE;
    } else {
        unsigned first = read_code(r), last = *r->p == '-' && r->p[1] != ']' ? (r->p++, read_code(r)) : first;
        add_range(e, first, last);
        if (r->ignores_case && first >= 'a' && last <= 'z')
            add_range(e, first - 0x20, last - 0x20);
        if (r->ignores_case && first == 's')
            add_range(e, 0x017F, 0x017F); /* the long s is an s where case does not count */
    }
}

static int by_first(const void *a, const void *b)
{
    unsigned x = ((const range *)a)->first, y = ((const range *)b)->first;
    return (x > y) - (x < y);
}

static void read_set(reader *r, element *e)
{
    if (take(r, "\\S")) {
        e->negated = true;
        e->mask = LIZ_CHAR_SPACE;
    } else if (take(r, "[")) {
        e->negated = take(r, "^");
        while (!take(r, "]")) {
            if (!take(r, "&&[^\\p{")) {
                read_part(r, e);
                continue;
            }
            e->minus = read_category(r);
            LIZ_ASSERT(take(r, "]"));
        }
    } else {
        read_part(r, e);
    }
    qsort(&ranges[n_ranges - e->n_ranges], (size_t)e->n_ranges, sizeof *ranges, by_first);
    for (unsigned code = 0; code < 128; code++)
        e->ascii[code / 32] |= (uint32_t)set_has(e, r->unicode->ascii[code], code) << code % 32;
}

static void read_turns(reader *r, element *e)
{
    char *end;
    if (take(r, "{")) {
        e->min = e->max = (int)strtol(r->p, &end, 10);
        if (*end == ',')
            e->max = (int)strtol(end + 1, &end, 10);
        r->p = end;
        LIZ_ASSERT(take(r, "}"));
    } else if (*r->p == '?' || *r->p == '*' || *r->p == '+') {
        e->min = *r->p == '+';
        e->max = *r->p == '?' ? 1 : MANY;
        r->p++;
    }
}

static element *read_any(reader *r);

static element *read_element(reader *r)
{
    element *e = element_new();
    bool ignored_case = r->ignores_case;
    r->ignores_case |= strncmp(r->p, "(?i:", 4) == 0;
    e->kind = take(r, "(?:") || take(r, "(?i:") ? GROUP
              : take(r, "(?=")                  ? AHEAD
              : take(r, "(?!")                  ? NOT_AHEAD
              : take(r, "$")                    ? AT_END
                                                : SET;
    if (e->kind == SET)
        read_set(r, e);
    else if (e->kind != AT_END)
        e->inside = read_any(r);
    LIZ_ASSERT(e->inside == NULL || take(r, ")"));
    r->ignores_case = ignored_case;
    read_turns(r, e);
    const element *in = e->inside;
    if (e->max == MANY && in != NULL && in->kind == SET && in->min == in->max && !in->next && !in->otherwise) {
        int min = e->min;
        *e = *in; /* (?:x{3})* is x in turns of three */
        e->unit = in->min;
        e->min = min;
        e->max = MANY;
    }
    return e;
}

/* What a match of the row may begin with: anything, where all of it may be left out or it looks ahead first. */
static void find_starts(element *row)
{
    const element *e = row;
    for (; e != NULL && (e->kind == SET || e->kind == GROUP); e = e->next) {
        for (int i = 0; i < 4; i++)
            row->starts[i] |= e->ascii[i];
        for (const element *in = e->inside; in != NULL; in = in->otherwise)
            for (int i = 0; i < 4; i++)
                row->starts[i] |= in->starts[i];
        if (e->min > 0)
            return;
    }
    memset(row->starts, 0xFF, sizeof row->starts);
}

static element *read_row(reader *r)
{
    element *first = NULL, **last = &first;
    while (*r->p != '\0' && *r->p != '|' && *r->p != ')') {
        *last = read_element(r);
        last = &(*last)->next;
    }
    for (element *e = first; e != NULL; e = e->next)
        if (e->kind == SET && e->max == MANY && e->unit == 1 && e->next != NULL)
            e->run = ++r->n_runs;
    LIZ_ASSERT(first != NULL && r->n_runs < LIZ_TEXT_MEMO_RUNS);
    find_starts(first);
    return first;
}

static element *read_any(reader *r)
{
    element *first = read_row(r);
    for (element *e = first; take(r, "|"); e = e->otherwise)
        e->otherwise = read_row(r);
    return first;
}

const liz_text_pattern *liz_text_pattern_compile(const liz_text_unicode *unicode, const char *source)
{
    reader r = {.unicode = unicode, .p = source};
    const element *first = read_any(&r);
    LIZ_ASSERT(*r.p == '\0');
    return first;
}

/* ---- Matching ---- */

typedef struct walk {
    const liz_text_unicode *unicode;
    liz_text_memo *memo;
    const char *text;
    size_t end;
} walk;

static bool match_row(const walk *w, const element *e, size_t pos, size_t *end);

/* The bytes of the character at `pos` if it is in the set, else 0. */
static inline size_t len_in(const walk *w, const element *e, size_t pos)
{
    size_t len;
    unsigned code;
    if (pos >= w->end)
        return 0;
    unsigned char c = (unsigned char)w->text[pos];
    if (c < 0x80)
        return e->ascii[c / 32] >> c % 32 & 1;
    uint32_t mask = liz_text_char(w->unicode, w->text + pos, w->end - pos, &len, &code);
    return set_has(e, mask, code) ? len : 0;
}

/* Where the character that ends at `pos` begins. */
static size_t before(const walk *w, size_t pos)
{
    for (size_t n = 2; n <= 4 && n <= pos; n++)
        if (((unsigned char)w->text[pos - n] & 0xC0) == 0xC0)
            return liz_utf8_decode(w->text + pos - n, n, NULL) == n ? pos - n : pos - 1;
    return pos - 1;
}

/* As many characters as there are, or fewer until the rest of the row matches. */
static bool match_set(const walk *w, const element *e, size_t pos, size_t *end)
{
    size_t p = pos;
    int n = 0;
    if (pos >= w->memo->failed[e->run].begin && pos < w->memo->failed[e->run].end)
        return false;
    for (size_t len; n < e->max && (len = len_in(w, e, p)) > 0; n++)
        p += len;
    if (e->next == NULL && n >= e->min) {
        *end = p;
        return true;
    }
    size_t run_end = p;
    for (; n >= e->min; n--, p = before(w, p)) {
        if (match_row(w, e->next, p, end))
            return true;
        if (n == 0)
            break;
    }
    if (e->run > 0) {
        w->memo->failed[e->run].begin = pos;
        w->memo->failed[e->run].end = run_end;
    }
    return false;
}

static bool match_turns_anew(const walk *w, const element *e, size_t pos, size_t *run_end)
{
    size_t end, p = pos;
    int n = 0;
    for (*run_end = pos;; *run_end = p, n++) {
        size_t len = 1;
        for (int i = 0; i < e->unit && len > 0; i++)
            p += len = len_in(w, e, p);
        if (len == 0)
            break;
    }
    return n >= e->min && match_row(w, e->next, *run_end, &end);
}

/* Turns of several characters, of which none is given back: whatever leads to a match, or does not, from one place does
 * so from every turn after it. What was found out for a few such chains, one place apart, is kept. */
static bool match_turns(const walk *w, const element *e, size_t pos)
{
    enum { NEAR = 64 };
    size_t run_end;
    for (int i = 0; i < LIZ_TEXT_MEMO_TURNS; i++) {
        size_t p = w->memo->turns[i].at;
        if (pos < p || pos - p > NEAR || pos >= w->memo->turns[i].end)
            continue;
        for (int k = 0; p < pos || k % e->unit != 0; k++)
            p += len_in(w, e, p);
        if (p == pos) {
            w->memo->turns[i].at = pos;
            return w->memo->turns[i].matches;
        }
    }
    bool matches = match_turns_anew(w, e, pos, &run_end);
    unsigned i = w->memo->n_turns++ % LIZ_TEXT_MEMO_TURNS;
    w->memo->turns[i].at = pos;
    w->memo->turns[i].end = run_end;
    w->memo->turns[i].matches = matches;
    return matches;
}

static bool match_any(const walk *w, const element *e, size_t pos, size_t *end)
{
    unsigned char c = pos < w->end ? (unsigned char)w->text[pos] : 0xFF;
    while (e != NULL && ((c < 0x80 && !(e->starts[c / 32] >> c % 32 & 1)) || !match_row(w, e, pos, end)))
        e = e->otherwise;
    return e != NULL;
}

static bool match_row(const walk *w, const element *e, size_t pos, size_t *end)
{
    size_t p = pos;
    int n = 0;
    if (e == NULL) {
        *end = pos;
        return true;
    }
    switch (e->kind) {
    case SET: return e->unit > 1 ? match_turns(w, e, pos) : match_set(w, e, pos, end);
    case AHEAD:
    case NOT_AHEAD: return match_any(w, e->inside, pos, &p) == (e->kind == AHEAD) && match_row(w, e->next, pos, end);
    case AT_END: return pos == w->end && match_row(w, e->next, pos, end);
    case GROUP: break;
    }
    while (n < e->max && match_any(w, e->inside, p, &p))
        n++;
    return n >= e->min && match_row(w, e->next, p, end);
}

bool liz_text_pattern_match(const liz_text_pattern *pattern, const liz_text_unicode *unicode, liz_text_memo *memo,
                            const char *text, size_t pos, size_t end, size_t *match_end)
{
    walk w = {unicode, memo, text, end};
    return match_any(&w, pattern, pos, match_end);
}
