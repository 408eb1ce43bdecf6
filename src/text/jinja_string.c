/* jinja_string.c - characters, and the functions that make text of text: methods of strings and the filters like them,
 * and the two ways to fill in a format. */
#include "text/jinja_impl.h"
#include "text/text_unicode.h"

#include <utf8proc.h>

/* ---- Characters --------------------------------------------------------------------------------- */

uint32_t liz_jinja_char(const char *s, size_t n, size_t *len, unsigned *code)
{
    return liz_text_char(liz_text_unicode_get(), s, n, len, code);
}

bool liz_jinja_is_space(const char *s, size_t n, size_t *len)
{
    unsigned code;
    return (liz_jinja_char(s, n, len, &code) & LIZ_CHAR_SPACE) || (code >= 0x1C && code <= 0x1F);
}

static bool begins_char(char c) { return ((unsigned char)c & 0xC0) != 0x80; }

size_t liz_jinja_n_chars(jinja *j, jinja_str s)
{
    liz_jinja_work(j, s.n / 16);
    return liz_utf8_count((liz_str){s.p, s.n});
}

size_t liz_jinja_char_at(jinja *j, jinja_str s, size_t index)
{
    size_t at = 0;
    for (; at < s.n; at++)
        if (begins_char(s.p[at]) && index-- == 0)
            break;
    liz_jinja_work(j, at / 16);
    return at;
}

/* Which characters go: those of `chars`, of which ASCII ones are looked up in `ascii`; NULL: white space. */
typedef struct stripped {
    jinja *j;
    const jinja_str *chars;
    bool ascii[128];
} stripped;

static bool strips(const stripped *set, jinja_str s, size_t at, size_t n)
{
    liz_jinja_work(set->j, 1);
    if (set->chars == NULL)
        return liz_jinja_is_space(s.p + at, n, &n);
    if (n == 1 && (unsigned char)s.p[at] < 128)
        return set->ascii[(unsigned char)s.p[at]];
    return liz_jinja_search(set->j, *set->chars, liz_jinja_cut(s, at, at + n), false) < SIZE_MAX;
}

jinja_str liz_jinja_strip(jinja *j, jinja_str s, const jinja_str *chars, int sides)
{
    stripped set = {.j = j, .chars = chars};
    size_t begin = 0, end = s.n;
    for (size_t i = 0; chars != NULL && i < chars->n; i++)
        if ((unsigned char)chars->p[i] < 128)
            set.ascii[(unsigned char)chars->p[i]] = true;
    for (size_t n; (sides & JINJA_LEFT) && begin < end; begin += n) {
        for (n = 1; begin + n < end && !begins_char(s.p[begin + n]);)
            n++;
        if (!strips(&set, s, begin, n))
            break;
    }
    for (size_t n; (sides & JINJA_RIGHT) && begin < end; end -= n) {
        for (n = 1; n < end - begin && !begins_char(s.p[end - n]);)
            n++;
        if (!strips(&set, s, end - n, n))
            break;
    }
    return liz_jinja_cut(s, begin, end);
}

static jinja_str want_str(jinja *j, jinja_value v)
{
    if (v.type != JINJA_STRING)
        liz_jinja_fail(j, LIZ_E_FORMAT, "expected str instance, %s found", liz_jinja_type_name(v));
    return v.str;
}

/* memmem may look at a short needle again at every place, so a place counts for more than in a copy. */
size_t liz_jinja_search(jinja *j, jinja_str s, jinja_str part, bool last)
{
    enum { PLACES = 4 }; /* to a step */
    if (part.n > s.n)
        return SIZE_MAX;
    if (!last) {
        const char *at = memmem(s.p, s.n, part.p, part.n);
        liz_jinja_work(j, (at ? (size_t)(at - s.p) : s.n) / PLACES + part.n / 64);
        return at ? (size_t)(at - s.p) : SIZE_MAX;
    }
    size_t i = s.n - part.n + 1, n_compared = 0;
    while (i > 0 && memcmp(s.p + i - 1, part.p, part.n) != 0)
        n_compared += s.p[--i] == (part.n > 0 ? *part.p : '\0');
    liz_jinja_work(j, (s.n + 1 - i) / PLACES + n_compared * (part.n / 64));
    return i > 0 ? i - 1 : SIZE_MAX;
}

/* ---- Stripping and splitting -------------------------------------------------------------------- */

JINJA_FN(fn_strip)
{
    const jinja_str *chars = arg[1].type == JINJA_STRING ? &arg[1].str : NULL;
    return liz_jinja_string(liz_jinja_strip(j, liz_jinja_str(j, *arg), chars, how));
}

/* Where `s` is next cut, and how many bytes go: at `part`, or at white space where that is NULL; SIZE_MAX for nowhere.
 */
static size_t find_cut(jinja *j, jinja_str s, const jinja_str *part, bool right, size_t *n)
{
    if (part != NULL) {
        *n = part->n;
        return liz_jinja_search(j, s, *part, right);
    }
    for (size_t i = s.n; right && i > 0;) {
        for (i--; i > 0 && !begins_char(s.p[i]);)
            i--;
        if (liz_jinja_is_space(s.p + i, s.n - i, n))
            return i;
    }
    for (size_t i = 0; !right && i < s.n; i += *n)
        if (liz_jinja_is_space(s.p + i, s.n - i, n))
            return i;
    return SIZE_MAX;
}

JINJA_FN(fn_split)
{
    bool right = how == JINJA_RIGHT;
    int64_t max = liz_jinja_whole_or(j, arg[2], -1);
    jinja_str part = liz_jinja_given(arg[1]) ? want_str(j, arg[1]) : JINJA_STR(" ");
    const jinja_str *at = liz_jinja_given(arg[1]) ? &part : NULL;
    jinja_str s = at ? arg->str : liz_jinja_strip(j, arg->str, NULL, right ? JINJA_RIGHT : JINJA_LEFT);
    size_t n = 2, taken = 0;
    if (part.n == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "empty separator");
    for (size_t i = 0; i < s.n; i++)
        n += at == NULL || s.p[i] == *part.p;
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, n);
    for (size_t i; max != 0 && (i = find_cut(j, s, at, right, &taken)) < SIZE_MAX; max--) {
        jinja_str head = liz_jinja_cut(s, 0, i), tail = liz_jinja_cut(s, i + taken, s.n);
        liz_jinja_push(out, liz_jinja_string(right ? tail : head));
        s = right ? head : tail;
        s = at ? s : liz_jinja_strip(j, s, NULL, right ? JINJA_RIGHT : JINJA_LEFT);
        liz_jinja_work(j, 1 + (at ? 0 : (right ? tail.n : head.n) / 4));
    }
    liz_jinja_work(j, at ? 0 : s.n / 4);
    if (at != NULL || s.n > 0)
        liz_jinja_push(out, liz_jinja_string(s));
    if (!right)
        return out;
    jinja_value turned = liz_jinja_list(j, JINJA_PLAIN, out.list->n);
    for (size_t i = out.list->n; i-- > 0;)
        liz_jinja_push(turned, out.list->v[i]);
    return turned;
}

/* The bytes of a line end at `s`, 0 when there is none: \n, \r\n and the others that Python knows. */
static size_t line_end(const char *s, size_t n)
{
    size_t len;
    unsigned code;
    if (n > 1 && s[0] == '\r' && s[1] == '\n')
        return 2;
    liz_jinja_char(s, n, &len, &code);
    bool ends = (code >= '\n' && code <= '\r') || (code >= 0x1C && code <= 0x1E) || (code == 0x85 && len == 2) ||
                code == 0x2028 || code == 0x2029;
    return ends ? len : 0;
}

/* The next line end from `at` on, and its bytes; s.n where there is none. All begin with one of few bytes. */
static size_t find_line_end(jinja *j, jinja_str s, size_t at, size_t *n)
{
    size_t begin = at;
    for (*n = 0; at < s.n; at++) {
        unsigned char c = (unsigned char)s.p[at];
        if ((c < ' ' || c == 0xC2 || c == 0xE2) && (*n = line_end(s.p + at, s.n - at)) > 0)
            break;
    }
    liz_jinja_work(j, 1 + (at - begin) / 8);
    return at;
}

static jinja_value lines(jinja *j, jinja_str s)
{
    size_t n_lines = 1, end, n;
    for (size_t i = 0; (i = find_line_end(j, s, i, &n)) < s.n; i += n)
        n_lines++;
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, n_lines);
    for (; s.n > 0; s = liz_jinja_cut(s, end + n, s.n)) {
        end = find_line_end(j, s, 0, &n);
        liz_jinja_push(out, liz_jinja_string(liz_jinja_cut(s, 0, end)));
    }
    return out;
}
JINJA_FN(fn_splitlines) { return lines(j, arg->str); }

JINJA_FN(fn_indent)
{
    jinja_value space = liz_jinja_string(JINJA_STR(" "));
    jinja_value indent = arg[1].type == JINJA_STRING
                             ? arg[1]
                             : liz_jinja_binary(j, '*', space, liz_jinja_int(liz_jinja_whole_or(j, arg[1], 4)));
    liz_jinja_defined(j, *arg);
    jinja_value text = liz_jinja_binary(j, '+', *arg, liz_jinja_string(JINJA_STR("\n")));
    const jinja_list *all_lines = lines(j, text.str).list;
    jinja_text out = {0};
    for (size_t i = 0; i < all_lines->n; i++) {
        jinja_str line = all_lines->v[i].str;
        liz_jinja_puts(j, &out, i ? "\n" : "");
        if (i ? line.n > 0 || liz_jinja_truth(arg[3]) : liz_jinja_truth(arg[2]))
            liz_jinja_add(j, &out, indent.str);
        liz_jinja_add(j, &out, line);
    }
    return liz_jinja_text(&out);
}

/* The characters that HTML gives a meaning, as it writes them otherwise. */
JINJA_FN(fn_escape)
{
    static const char signs[] = "&<>'\"", *const written[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    jinja_str s = liz_jinja_str(j, *arg);
    jinja_text out = {0};
    for (size_t i = 0; i < s.n; i++) {
        const char *sign = memchr(signs, s.p[i], sizeof signs - 1);
        liz_jinja_add(j, &out, sign ? liz_jinja_literal(written[sign - signs]) : liz_jinja_cut(s, i, i + 1));
    }
    return liz_jinja_text(&out);
}

/* ---- Finding ------------------------------------------------------------------------------------ */

static bool has_end(jinja *j, jinja_str s, jinja_str part, int side)
{
    liz_jinja_work(j, 1 + part.n / 64);
    return part.n <= s.n && memcmp(side == JINJA_LEFT ? s.p : s.p + s.n - part.n, part.p, part.n) == 0;
}

JINJA_FN(fn_has_end)
{
    bool has = arg[1].type != JINJA_LIST && has_end(j, arg->str, want_str(j, arg[1]), how);
    for (size_t i = 0; arg[1].type == JINJA_LIST && i < arg[1].list->n && !has; i++)
        has = has_end(j, arg->str, want_str(j, arg[1].list->v[i]), how);
    return liz_jinja_bool(has);
}

JINJA_FN(fn_find)
{
    jinja_str s = arg->str, part = want_str(j, arg[1]);
    size_t at = liz_jinja_search(j, s, part, how == JINJA_RIGHT);
    return liz_jinja_int(at < SIZE_MAX ? (int64_t)liz_jinja_n_chars(j, liz_jinja_cut(s, 0, at)) : -1);
}

JINJA_FN(fn_count)
{
    jinja_str s = arg->str, part = want_str(j, arg[1]);
    int64_t n = part.n == 0 ? (int64_t)liz_jinja_n_chars(j, s) + 1 : 0;
    for (size_t at; part.n > 0 && (at = liz_jinja_search(j, s, part, false)) < SIZE_MAX; n++, liz_jinja_work(j, 1))
        s = liz_jinja_cut(s, at + part.n, s.n);
    return liz_jinja_int(n);
}

/* removeprefix and removesuffix. */
JINJA_FN(fn_without_end)
{
    jinja_str s = arg->str, part = want_str(j, arg[1]);
    size_t n = has_end(j, s, part, how) ? part.n : 0;
    return liz_jinja_string(how == JINJA_LEFT ? liz_jinja_cut(s, n, s.n) : liz_jinja_cut(s, 0, s.n - n));
}

/* Whether all characters are of one class, and there is one. */
enum { ALPHA = LIZ_CHAR_L, DIGIT = LIZ_CHAR_ND, SPACE = LIZ_CHAR_SPACE };
JINJA_FN(fn_all_are)
{
    jinja_str s = arg->str;
    unsigned code;
    bool all_are = s.n > 0;
    liz_jinja_work(j, s.n / 4);
    for (size_t i = 0, n; all_are && i < s.n; i += n) {
        bool is = liz_jinja_char(s.p + i, s.n - i, &n, &code) & (uint32_t)how;
        all_are = is || (how == SPACE && liz_jinja_is_space(s.p + i, s.n - i, &n));
    }
    return liz_jinja_bool(all_are);
}

JINJA_FN(fn_replace)
{
    jinja_str s = liz_jinja_str(j, arg[0]), old = liz_jinja_str(j, arg[1]), new = liz_jinja_str(j, arg[2]);
    jinja_text out = {0};
    for (int64_t max = liz_jinja_whole_or(j, arg[3], -1); max != 0; max--) {
        size_t at = liz_jinja_search(j, s, old, false), taken = old.n;
        if (at == SIZE_MAX)
            break;
        liz_jinja_add(j, &out, liz_jinja_cut(s, 0, at));
        liz_jinja_add(j, &out, new);
        liz_jinja_work(j, 1);
        if (old.n == 0) { /* it stands before every character and at the end */
            if (s.n == 0)
                break;
            taken = liz_jinja_char_at(j, s, 1);
            liz_jinja_add(j, &out, liz_jinja_cut(s, 0, taken));
            at = 0;
        }
        s = liz_jinja_cut(s, at + taken, s.n);
    }
    liz_jinja_add(j, &out, s);
    return liz_jinja_text(&out);
}

/* The filter join(items, d, attribute), and the method d.join(items), which takes strings alone. */
enum { BY_FILTER, BY_METHOD };
JINJA_FN(fn_join)
{
    const jinja_list *items = liz_jinja_items(j, arg[how == BY_METHOD]);
    jinja_value between = arg[how == BY_FILTER];
    jinja_text out = {0};
    for (size_t i = 0; i < items->n; i++) {
        bool by_path = how == BY_FILTER && liz_jinja_given(arg[2]);
        jinja_value v = by_path ? liz_jinja_path(j, items->v[i], arg[2], liz_jinja_none()) : items->v[i];
        if (i > 0 && liz_jinja_given(between))
            liz_jinja_add(j, &out, liz_jinja_str(j, between));
        liz_jinja_add(j, &out, how == BY_METHOD ? want_str(j, v) : liz_jinja_str(j, v));
    }
    return liz_jinja_text(&out);
}

/* ---- Case --------------------------------------------------------------------------------------- */

typedef enum casing {
    UPPER,
    LOWER,
    CAPITALIZE,
    TITLE,      /* str.title(): after everything but letters */
    TITLE_WORDS /* the filter: after spaces, hyphens and brackets */
} casing;

static void add_cased(jinja *j, jinja_text *out, jinja_str c, unsigned code, bool upper)
{
    bool doubled = upper && code == 0xDF && c.n == 2, is_code = c.n > 1 || code < 0x80;
    utf8proc_int32_t to = upper ? utf8proc_toupper((utf8proc_int32_t)code) : utf8proc_tolower((utf8proc_int32_t)code);
    char bytes[4] = "SS";
    uint8_t mask[4] = {1, 1, 1, 1};
    size_t n = doubled ? 2 : is_code ? liz_utf8_encode((unsigned)to, bytes) : 1;
    liz_jinja_add(j, out, (jinja_str){is_code ? bytes : c.p, c.mask && *c.mask ? mask : NULL, n});
}

static jinja_value cased(jinja *j, jinja_str s, casing how)
{
    jinja_text out = {0};
    bool begins = true;
    for (size_t i = 0, n; i < s.n; i += n) {
        unsigned code;
        uint32_t flags = liz_jinja_char(s.p + i, s.n - i, &n, &code);
        add_cased(j, &out, liz_jinja_cut(s, i, i + n), code, how == UPPER || (how != LOWER && begins));
        begins = how == TITLE         ? !(flags & LIZ_CHAR_L)
                 : how == TITLE_WORDS ? (flags & LIZ_CHAR_SPACE) || memchr("-([{<", s.p[i], 5) != NULL
                                      : false;
    }
    return liz_jinja_text(&out);
}
JINJA_FN(fn_case) { return cased(j, liz_jinja_str(j, *arg), (casing)how); }
jinja_value liz_jinja_lower(jinja *j, jinja_str s) { return cased(j, s, LOWER); }

/* Whether there are letters of one case and none of the other. */
JINJA_FN(fn_is_case)
{
    jinja_str s = liz_jinja_str(j, *arg);
    uint32_t seen = 0, upper = LIZ_CHAR_LU | LIZ_CHAR_LT, lower = LIZ_CHAR_LL;
    unsigned code;
    liz_jinja_work(j, s.n / 4);
    for (size_t i = 0, n; i < s.n; i += n)
        seen |= liz_jinja_char(s.p + i, s.n - i, &n, &code);
    return liz_jinja_bool((seen & (how == UPPER ? upper : lower)) && !(seen & (how == UPPER ? lower : upper)));
}

/* ---- Formats ------------------------------------------------------------------------------------ */

/* The argument that a field of a format asks for: {} the next one, {0} by its place, {name}. */
static jinja_value field_of(jinja *j, const jinja_args *all, jinja_str name, size_t *n_turns, bool *by_number)
{
    bool by_turn = name.n == 0, by_place = name.n == 1 && *name.p >= '0' && *name.p <= '9';
    if ((by_turn && *by_number) || (by_place && *n_turns > 0))
        liz_jinja_fail(j, LIZ_E_FORMAT,
                       "cannot switch between manual field specification and automatic field numbering");
    *by_number |= by_place;
    size_t at = by_turn ? (*n_turns)++ : by_place ? (size_t)(*name.p - '0') : all->n_positional;
    for (; !by_turn && !by_place && at < all->n && !liz_jinja_same(name, all->names[at]); at++)
        liz_jinja_work(j, 1);
    if (at >= (by_turn || by_place ? all->n_positional : all->n))
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "format: '{%.*s}' is no argument, or has a form that is not known",
                       LIZ_STR_ARG(name));
    return all->v[at];
}

/* '{} {0} {name}'.format(...), without what may follow a colon. */
JINJA_FN(fn_format)
{
    jinja_str s = arg->str;
    jinja_text out = {0};
    size_t n_turns = 0, begin = 0;
    bool by_number = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '{' && s.p[i] != '}')
            continue;
        liz_jinja_add(j, &out, liz_jinja_cut(s, begin, i));
        begin = i + 1;
        if (i + 1 < s.n && s.p[i + 1] == s.p[i]) { /* one of two stands for itself */
            i++;
            continue;
        }
        const char *close = memchr(s.p + i, '}', s.n - i);
        if (s.p[i] == '}' || close == NULL)
            liz_jinja_fail(j, LIZ_E_FORMAT, "Single '%c' encountered in format string", s.p[i]);
        jinja_str name = liz_jinja_cut(s, begin, (size_t)(close - s.p));
        liz_jinja_add(j, &out, liz_jinja_str(j, field_of(j, all, name, &n_turns, &by_number)));
        i = (size_t)(close - s.p);
        begin = i + 1;
    }
    liz_jinja_add(j, &out, liz_jinja_cut(s, begin, s.n));
    return liz_jinja_text(&out);
}

/* Places are %s and %d, with nothing between, and %% for a percent sign. */
jinja_value liz_jinja_percent(jinja *j, jinja_str format, jinja_value values)
{
    jinja_text out = {0};
    jinja_value one[] = {values};
    bool tuple = values.type == JINJA_LIST && values.list->kind == JINJA_TUPLE;
    const jinja_value *v = tuple ? values.list->v : one, *end = v + (tuple ? values.list->n : 1);
    for (size_t at = 0, n; (at = liz_jinja_search(j, format, JINJA_STR("%"), false)) < SIZE_MAX;
         format = liz_jinja_cut(format, n, format.n)) {
        liz_jinja_work(j, 2);
        liz_jinja_add(j, &out, liz_jinja_cut(format, 0, at++));
        char type = at < format.n ? format.p[at] : '\0';
        n = at;
        if (type != '%' && type != 's' && type != 'd')
            liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "format string: '%%%.*s' is not known", type != '\0', format.p + at);
        if (type != '%' && v == end)
            liz_jinja_fail(j, LIZ_E_FORMAT, "not enough arguments for format string");
        jinja_value shown = type == '%' ? liz_jinja_string(JINJA_STR("%")) : *v++;
        liz_jinja_add(j, &out, liz_jinja_str(j, type == 'd' ? liz_jinja_int(liz_jinja_whole(j, shown)) : shown));
        n++;
    }
    liz_jinja_add(j, &out, format);
    bool by_key = !tuple && (values.type == JINJA_UNDEFINED || values.type > JINJA_STRING); /* it may have been asked */
    if (!by_key && v < end)
        liz_jinja_fail(j, LIZ_E_FORMAT, "not all arguments converted during string formatting");
    return liz_jinja_text(&out);
}

/* ---- The table ---------------------------------------------------------------------------------- */

enum { S = JINJA_OF_STRING, F = JINJA_FILTER, BOTH = JINJA_OF_STRING | JINJA_FILTER };
enum { LEFT = JINJA_LEFT, RIGHT = JINJA_RIGHT, AROUND = JINJA_LEFT | JINJA_RIGHT };

const jinja_function liz_jinja_strings[] = {{"strip", S, "chars", fn_strip, AROUND},
                                            {"trim", F, "chars", fn_strip, AROUND},
                                            {"lstrip", S, "chars", fn_strip, LEFT},
                                            {"rstrip", S, "chars", fn_strip, RIGHT},
                                            {"split", S, "sep maxsplit", fn_split, LEFT},
                                            {"rsplit", S, "sep maxsplit", fn_split, RIGHT},
                                            {"splitlines", S, "", fn_splitlines, 0},
                                            {"e escape forceescape", F, "", fn_escape, 0},
                                            {"indent", F, "width first blank", fn_indent, 0},
                                            {"startswith", S, "prefix!", fn_has_end, LEFT},
                                            {"endswith", S, "suffix!", fn_has_end, RIGHT},
                                            {"find", S, "sub!", fn_find, LEFT},
                                            {"rfind", S, "sub!", fn_find, RIGHT},
                                            {"count", S, "sub!", fn_count, 0},
                                            {"removeprefix", S, "prefix!", fn_without_end, LEFT},
                                            {"removesuffix", S, "suffix!", fn_without_end, RIGHT},
                                            {"isalpha", S, "", fn_all_are, ALPHA},
                                            {"isdigit isdecimal", S, "", fn_all_are, DIGIT},
                                            {"isalnum", S, "", fn_all_are, ALPHA | DIGIT},
                                            {"isspace", S, "", fn_all_are, SPACE},
                                            {"isupper", S, "", fn_is_case, UPPER},
                                            {"islower", S, "", fn_is_case, LOWER},
                                            {"upper", JINJA_TEST, "", fn_is_case, UPPER},
                                            {"lower", JINJA_TEST, "", fn_is_case, LOWER},
                                            {"replace", BOTH, "old! new! count", fn_replace, 0},
                                            {"join", F, "d attribute", fn_join, BY_FILTER},
                                            {"join", S, "iterable!", fn_join, BY_METHOD},
                                            {"upper", BOTH, "", fn_case, UPPER},
                                            {"lower", BOTH, "", fn_case, LOWER},
                                            {"capitalize", BOTH, "", fn_case, CAPITALIZE},
                                            {"title", S, "", fn_case, TITLE},
                                            {"title", F, "", fn_case, TITLE_WORDS},
                                            {"format", S, "*", fn_format, 0},
                                            {0}};
