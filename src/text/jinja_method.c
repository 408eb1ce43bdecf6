/* jinja_method.c - methods of strings, lists and dicts, and the global functions.
 *
 * What would change a list or dict is no method here: the sandbox forbids it. Only cyclers and joiners have state. */
#include "text/jinja_impl.h"

#include <stdlib.h>
#include <utf8proc.h>

static jinja_value str_value(jinja_str s) { return liz_jinja_string(s); }

static jinja_str arg_str(jinja *j, jinja_value v)
{
    if (v.type != JINJA_STRING)
        liz_jinja_fail(j, LIZ_E_FORMAT, "expected str instance, %s found", liz_jinja_type_name(v));
    return v.str;
}

/* Where `part` next stands in `s`; s.n when nowhere. */
static size_t find(jinja_str s, jinja_str part)
{
    const char *at = memmem(s.p, s.n, part.p, part.n);
    return at ? (size_t)(at - s.p) : s.n;
}
static size_t find_last(jinja_str s, jinja_str part)
{
    for (size_t i = s.n - (part.n <= s.n ? part.n : s.n) + 1; part.n <= s.n && i-- > 0;)
        if (memcmp(s.p + i, part.p, part.n) == 0)
            return i;
    return s.n;
}

/* ---- Stripping and splitting -------------------------------------------------------------------- */

static jinja_value strip(jinja *j, const jinja_value *arg, bool left, bool right)
{
    bool given = arg[1].type == JINJA_STRING;
    liz_jinja_work(j, 1);
    return str_value(liz_jinja_strip(arg->str, given ? &arg[1].str : NULL, left, right));
}

JINJA_IS(m_strip, strip(j, arg, true, true))
JINJA_IS(m_lstrip, strip(j, arg, true, false))
JINJA_IS(m_rstrip, strip(j, arg, false, true))

/* Splitting at white space: from the left, or from the right with the list turned afterwards. */
static jinja_value split_space(jinja *j, jinja_str s, int64_t max, bool right)
{
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, s.n / 2 + 1);
    for (s = liz_jinja_strip(s, NULL, true, true); s.n > 0; max--) {
        size_t at = 0, n = 0, best = s.n, best_n = 0;
        unsigned code;
        for (; max != 0 && at < s.n; at += n) {
            if (!(liz_jinja_char(s.p + at, s.n - at, &n, &code) & JINJA_CHAR_SPACE))
                continue;
            best = at;
            best_n = n;
            if (!right)
                break;
        }
        jinja_str head = liz_jinja_cut(s, 0, best);
        jinja_str tail = liz_jinja_cut(s, best + best_n, s.n);
        liz_jinja_work(j, 1 + (right ? s.n : best) / 64);
        if (right && best < s.n) {
            liz_jinja_push(out, str_value(tail));
            s = liz_jinja_strip(head, NULL, false, true);
        } else {
            liz_jinja_push(out, str_value(head));
            s = liz_jinja_strip(tail, NULL, true, false);
        }
    }
    return out;
}

static jinja_value split_at(jinja *j, jinja_str s, jinja_str part, int64_t max, bool right)
{
    if (part.n == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "empty separator");
    size_t n = 1;
    for (jinja_str rest = s; find(rest, part) < rest.n; n++)
        rest = liz_jinja_cut(rest, find(rest, part) + part.n, rest.n);
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, n);
    for (; max != 0; max--) {
        size_t at = right ? find_last(s, part) : find(s, part);
        liz_jinja_work(j, 1);
        if (at == s.n)
            break;
        jinja_str head = liz_jinja_cut(s, 0, at), tail = liz_jinja_cut(s, at + part.n, s.n);
        liz_jinja_push(out, str_value(right ? tail : head));
        s = right ? head : tail;
    }
    liz_jinja_push(out, str_value(s));
    return out;
}

static jinja_value split(jinja *j, const jinja_value *arg, bool right)
{
    int64_t max = liz_jinja_whole_or(j, arg[2], -1);
    bool at_space = arg[1].type == JINJA_UNDEFINED || arg[1].type == JINJA_NONE;
    jinja_value out =
        at_space ? split_space(j, arg->str, max, right) : split_at(j, arg->str, arg_str(j, arg[1]), max, right);
    for (size_t i = 0, n = out.list->n; right && i < n / 2; i++) {
        jinja_value v = out.list->v[i];
        out.list->v[i] = out.list->v[n - 1 - i];
        out.list->v[n - 1 - i] = v;
    }
    return out;
}

JINJA_IS(m_split, split(j, arg, false))
JINJA_IS(m_rsplit, split(j, arg, true))

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

jinja_value liz_jinja_lines(jinja *j, jinja_str s, bool keep_ends)
{
    size_t n_lines = 1, end = 0, n = 0;
    for (size_t i = 0; i < s.n; i++)
        n_lines += line_end(s.p + i, s.n - i) > 0;
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, n_lines);
    for (; s.n > 0; s = liz_jinja_cut(s, end + n, s.n)) {
        for (end = 0, n = 0; end < s.n && (n = line_end(s.p + end, s.n - end)) == 0;)
            end++;
        liz_jinja_push(out, str_value(liz_jinja_cut(s, 0, end + (keep_ends ? n : 0))));
    }
    return out;
}
JINJA_IS(m_splitlines, liz_jinja_lines(j, arg->str, liz_jinja_truth(arg[1])))

static jinja_value partition(jinja *j, jinja_str s, jinja_str part, bool right)
{
    size_t at = part.n == 0 ? s.n : right ? find_last(s, part) : find(s, part);
    bool found = at < s.n;
    jinja_str empty = JINJA_STR("");
    jinja_value out = liz_jinja_list(j, JINJA_TUPLE, 3);
    liz_jinja_push(out, str_value(found ? liz_jinja_cut(s, 0, at) : right ? empty : s));
    liz_jinja_push(out, str_value(found ? liz_jinja_cut(s, at, at + part.n) : empty));
    liz_jinja_push(out, str_value(found ? liz_jinja_cut(s, at + part.n, s.n) : right ? s : empty));
    return out;
}
JINJA_IS(m_partition, partition(j, arg->str, arg_str(j, arg[1]), false))
JINJA_IS(m_rpartition, partition(j, arg->str, arg_str(j, arg[1]), true))

/* ---- Finding ------------------------------------------------------------------------------------ */

static bool has_end(jinja_str s, jinja_str part, bool at_start)
{
    return part.n <= s.n && memcmp(at_start ? s.p : s.p + s.n - part.n, part.p, part.n) == 0;
}

static jinja_value has_ends(jinja *j, const jinja_value *arg, bool at_start)
{
    jinja_value s = liz_jinja_slice(j, arg[0], arg[2], arg[3], liz_jinja_none());
    if (arg[1].type != JINJA_LIST)
        return liz_jinja_bool(has_end(s.str, arg_str(j, arg[1]), at_start));
    for (size_t i = 0; i < arg[1].list->n; i++)
        if (has_end(s.str, arg_str(j, arg[1].list->v[i]), at_start))
            return liz_jinja_bool(true);
    return liz_jinja_bool(false);
}
JINJA_IS(m_startswith, has_ends(j, arg, true))
JINJA_IS(m_endswith, has_ends(j, arg, false))

static jinja_value position(jinja *j, const jinja_value *arg, bool right, bool must)
{
    int64_t n = (int64_t)liz_jinja_n_chars(arg->str), begin = liz_jinja_whole_or(j, arg[2], 0);
    begin = begin < 0 ? (begin + n < 0 ? 0 : begin + n) : begin;
    jinja_str s = liz_jinja_slice(j, arg[0], arg[2], arg[3], liz_jinja_none()).str, part = arg_str(j, arg[1]);
    bool found = memmem(s.p, s.n, part.p, part.n) != NULL && begin <= n;
    if (!found && must)
        liz_jinja_fail(j, LIZ_E_FORMAT, "substring not found");
    size_t at = right ? find_last(s, part) : find(s, part);
    return liz_jinja_int(found ? begin + (int64_t)liz_jinja_n_chars(liz_jinja_cut(s, 0, at)) : -1);
}
JINJA_IS(m_find, position(j, arg, false, false))
JINJA_IS(m_rfind, position(j, arg, true, false))
JINJA_IS(m_index, position(j, arg, false, true))
JINJA_IS(m_rindex, position(j, arg, true, true))
JINJA_FN(m_count)
{
    jinja_str s = arg->str, part = arg_str(j, arg[1]);
    int64_t n = 0;
    if (part.n == 0)
        return liz_jinja_int((int64_t)liz_jinja_n_chars(s) + 1);
    for (size_t at; (at = find(s, part)) < s.n; n++)
        s = liz_jinja_cut(s, at + part.n, s.n);
    return liz_jinja_int(n);
}

jinja_value liz_jinja_replace(jinja *j, jinja_value *arg, const jinja_args *all)
{
    (void)all;
    jinja_str s = liz_jinja_str(j, arg[0]), old = liz_jinja_str(j, arg[1]), new = liz_jinja_str(j, arg[2]);
    int64_t max = liz_jinja_whole_or(j, arg[3], -1);
    jinja_text out = {0};
    while (max != 0) {
        size_t at = find(s, old), taken = at + old.n;
        if (at == s.n && old.n > 0)
            break;
        liz_jinja_add(j, &out, old.n ? liz_jinja_cut(s, 0, at) : JINJA_STR(""));
        liz_jinja_add(j, &out, new);
        max--;
        liz_jinja_work(j, 1);
        if (old.n == 0) { /* it stands before every character and at the end */
            if (s.n == 0)
                break;
            taken = liz_jinja_char_at(s, 1);
            liz_jinja_add(j, &out, liz_jinja_cut(s, 0, taken));
        }
        s = liz_jinja_cut(s, taken, s.n);
    }
    liz_jinja_add(j, &out, s);
    return str_value(liz_jinja_text_str(&out));
}

JINJA_FN(m_removeprefix)
{
    jinja_str s = arg->str, part = arg_str(j, arg[1]);
    return str_value(has_end(s, part, true) ? liz_jinja_cut(s, part.n, s.n) : s);
}
JINJA_FN(m_removesuffix)
{
    jinja_str s = arg->str, part = arg_str(j, arg[1]);
    return str_value(has_end(s, part, false) ? liz_jinja_cut(s, 0, s.n - part.n) : s);
}

JINJA_FN(m_join)
{
    const jinja_list *items = liz_jinja_items(j, arg[1]);
    jinja_text out = {0};
    for (size_t i = 0; i < items->n; i++) {
        if (i > 0)
            liz_jinja_add(j, &out, arg->str);
        if (items->v[i].type != JINJA_STRING)
            liz_jinja_fail(j, LIZ_E_FORMAT, "sequence item %zu: expected str instance, %s found", i,
                           liz_jinja_type_name(items->v[i]));
        liz_jinja_add(j, &out, items->v[i].str);
    }
    return str_value(liz_jinja_text_str(&out));
}

/* ---- Case --------------------------------------------------------------------------------------- */

static void add_cased(jinja *j, jinja_text *out, jinja_str c, unsigned code, bool upper)
{
    static const char sharp_s[] = "\xC3\x9F";
    utf8proc_int32_t to = upper ? utf8proc_toupper((utf8proc_int32_t)code) : utf8proc_tolower((utf8proc_int32_t)code);
    char bytes[4];
    uint8_t mask[4] = {1, 1, 1, 1};
    bool doubled = upper && c.n == 2 && memcmp(c.p, sharp_s, 2) == 0, is_code = c.n > 1 || code < 0x80;
    size_t n = doubled ? 2 : is_code ? liz_utf8_encode((unsigned)to, bytes) : 1;
    memcpy(bytes, doubled ? "SS" : is_code ? bytes : c.p, n);
    liz_jinja_add(j, out, (jinja_str){bytes, c.mask && *c.mask ? mask : NULL, n});
}

/* How each character is to be, given whether it begins the text or a word. */
jinja_value liz_jinja_case(jinja *j, jinja_str s, jinja_case how)
{
    jinja_text out = {0};
    bool begins = true;
    for (size_t i = 0, n; i < s.n; i += n) {
        unsigned code, flags = liz_jinja_char(s.p + i, s.n - i, &n, &code);
        bool upper = how == JINJA_UPPER || begins;
        add_cased(j, &out, liz_jinja_cut(s, i, i + n), code, how != JINJA_LOWER && upper);
        begins = how == JINJA_TITLE         ? !(flags & JINJA_CHAR_ALPHA)
                 : how == JINJA_TITLE_WORDS ? (flags & JINJA_CHAR_SPACE) || memchr("-([{<", s.p[i], 5) != NULL
                                            : false;
    }
    return str_value(liz_jinja_text_str(&out));
}
JINJA_IS(m_upper, liz_jinja_case(j, arg->str, JINJA_UPPER))
JINJA_IS(m_lower, liz_jinja_case(j, arg->str, JINJA_LOWER))
JINJA_IS(m_title, liz_jinja_case(j, arg->str, JINJA_TITLE))
JINJA_IS(m_capitalize, liz_jinja_case(j, arg->str, JINJA_CAPITALIZE))

/* Whether all characters have one of the flags, and there is one. */
static jinja_value all_are(jinja_str s, unsigned flags)
{
    unsigned code;
    for (size_t i = 0, n; i < s.n; i += n)
        if (!(liz_jinja_char(s.p + i, s.n - i, &n, &code) & flags))
            return liz_jinja_bool(false);
    return liz_jinja_bool(s.n > 0);
}
JINJA_IS(m_isdigit, all_are(arg->str, JINJA_CHAR_DIGIT))
JINJA_IS(m_isalpha, all_are(arg->str, JINJA_CHAR_ALPHA))
JINJA_IS(m_isalnum, all_are(arg->str, JINJA_CHAR_ALPHA | JINJA_CHAR_DIGIT))
JINJA_IS(m_isspace, all_are(arg->str, JINJA_CHAR_SPACE))
JINJA_IS(m_isupper, liz_jinja_call_function(j, liz_jinja_test(JINJA_STR("upper")), *arg, all))
JINJA_IS(m_islower, liz_jinja_call_function(j, liz_jinja_test(JINJA_STR("lower")), *arg, all))

/* ---- Lists and dicts ---------------------------------------------------------------------------- */

JINJA_FN(m_list_index)
{
    for (size_t i = 0; i < arg->list->n; i++)
        if (liz_jinja_equal(j, arg->list->v[i], arg[1], 0))
            return liz_jinja_int((int64_t)i);
    liz_jinja_fail(j, LIZ_E_FORMAT, "the item is not in the list");
}
JINJA_FN(m_list_count)
{
    int64_t n = 0;
    for (size_t i = 0; i < arg->list->n; i++)
        n += liz_jinja_equal(j, arg->list->v[i], arg[1], 0);
    return liz_jinja_int(n);
}
JINJA_IS(m_copy, *arg)
JINJA_FN(m_mutates)
{
    liz_jinja_fail(j, LIZ_E_FORMAT, "a method that would change a %s is unsafe", liz_jinja_type_name(*arg));
}

JINJA_FN(m_get)
{
    const jinja_value *there = liz_jinja_dict_get(j, arg->dict, arg[1]);
    return there ? *there : all->n > 1 ? arg[2] : liz_jinja_none();
}

static jinja_value view(jinja *j, jinja_value *v, size_t n, jinja_list_kind kind)
{
    jinja_value out = liz_jinja_list(j, kind, 0);
    *out.list = (jinja_list){.v = v, .n = n, .kind = kind};
    return out;
}
JINJA_IS(m_keys, view(j, arg->dict->keys, arg->dict->n, JINJA_KEYS))
JINJA_IS(m_values, view(j, arg->dict->values, arg->dict->n, JINJA_VALUES))
JINJA_FN(m_items)
{
    jinja_value out = liz_jinja_list(j, JINJA_ITEMS, arg->dict->n);
    for (size_t i = 0; i < arg->dict->n; i++)
        liz_jinja_push(out, liz_jinja_pair(j, arg->dict->keys[i], arg->dict->values[i]));
    return out;
}

jinja_value liz_jinja_pair(jinja *j, jinja_value a, jinja_value b)
{
    jinja_value pair = liz_jinja_list(j, JINJA_TUPLE, 2);
    liz_jinja_push(pair, a);
    liz_jinja_push(pair, b);
    return pair;
}

/* ---- Loops and cyclers -------------------------------------------------------------------------- */

JINJA_FN(m_loop_cycle)
{
    if (all->n_positional == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "no items for cycling given");
    return all->v[arg->loop->i % all->n_positional];
}
JINJA_FN(m_loop_changed)
{
    jinja_value now = liz_jinja_list(j, JINJA_TUPLE, all->n);
    for (size_t i = 0; i < all->n; i++)
        liz_jinja_push(now, all->v[i]);
    bool changed = !liz_jinja_equal(j, arg->loop->changed, now, 0);
    arg->loop->changed = now;
    return liz_jinja_bool(changed);
}
/* ---- Globals ------------------------------------------------------------------------------------ */

JINJA_FN(g_range)
{
    bool one = all->n < 2;
    int64_t begin = one ? 0 : liz_jinja_whole(j, arg[1]), end = liz_jinja_whole(j, arg[one ? 1 : 2]);
    int64_t step = liz_jinja_whole_or(j, arg[3], 1), n;
    if (step == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "range() arg 3 must not be zero");
    __int128 span = step > 0 ? (__int128)end - begin : (__int128)begin - end, by = step > 0 ? step : -(__int128)step;
    span = span <= 0 ? 0 : (span + by - 1) / by;
    if (span > JINJA_RANGE_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                       JINJA_RANGE_MAX);
    n = (int64_t)span;
    jinja_value out = liz_jinja_list(j, JINJA_RANGE, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        liz_jinja_push(out, liz_jinja_int(begin + i * step));
    return out;
}

JINJA_FN(g_dict)
{
    jinja_value out = liz_jinja_dict(j, all->n);
    if (all->n_positional > 0 && all->v[0].type == JINJA_DICT)
        for (size_t i = 0; i < all->v[0].dict->n; i++)
            liz_jinja_dict_set(j, out.dict, all->v[0].dict->keys[i], all->v[0].dict->values[i]);
    else if (all->n_positional > 0)
        for (const jinja_list *l = liz_jinja_items(j, all->v[0]); out.dict->n < l->n;) {
            const jinja_list *pair = liz_jinja_items(j, l->v[out.dict->n]);
            if (pair->n != 2 || liz_jinja_dict_get(j, out.dict, pair->v[0]) != NULL)
                liz_jinja_fail(j, LIZ_E_FORMAT, "dict() wants pairs of different keys");
            liz_jinja_dict_set(j, out.dict, pair->v[0], pair->v[1]);
        }
    for (size_t i = all->n_positional; i < all->n; i++)
        liz_jinja_dict_set(j, out.dict, str_value(all->names[i]), all->v[i]);
    return out;
}

JINJA_FN(g_namespace)
{
    jinja_value out = g_dict(j, arg, all);
    out.dict->is_namespace = true;
    return out;
}

/* A joiner is a function whose subject is a list of what it has said before: nothing, then its separator. */
JINJA_FN(joiner_next) { return arg->list->at++ == 0 ? str_value(JINJA_STR("")) : arg->list->v[0]; }
JINJA_FN(g_joiner)
{
    static const jinja_function function = {"joiner", "", joiner_next};
    jinja_callable *callable = liz_jinja_alloc(j, 1, sizeof *callable);
    *callable = (jinja_callable){.function = &function, .self = liz_jinja_list(j, JINJA_PLAIN, 1)};
    liz_jinja_push(callable->self, str_value(liz_jinja_str_or(arg[1], ", ")));
    return (jinja_value){JINJA_CALLABLE, {.callable = callable}};
}

JINJA_FN(g_raise)
{
    jinja_str text = liz_jinja_str(j, arg[1]);
    liz_jinja_fail(j, LIZ_E_CANCELLED, "%.*s", (int)(text.n < LIZ_ERROR_TEXT_MAX ? text.n : LIZ_ERROR_TEXT_MAX),
                   text.p);
}

JINJA_FN(g_strftime)
{
    char text[512], format[256];
    jinja_str s = arg_str(j, arg[1]);
    if (s.n >= sizeof format || memchr(s.p, '\0', s.n) != NULL)
        liz_jinja_fail(j, LIZ_E_LIMIT, "strftime_now: the format is longer than 255 bytes");
    memcpy(format, s.p, s.n);
    format[s.n] = '\0';
    size_t n = s.n ? strftime(text, sizeof text, format, j->now) : 0;
    char *copy = memcpy(liz_jinja_alloc(j, n + 1, 1), text, n);
    return str_value((jinja_str){copy, NULL, n});
}

/* ---- The tables --------------------------------------------------------------------------------- */

static const jinja_function string_methods[] = {
    {"strip", "chars", m_strip},
    {"lstrip", "chars", m_lstrip},
    {"rstrip", "chars", m_rstrip},
    {"split", "sep maxsplit", m_split},
    {"rsplit", "sep maxsplit", m_rsplit},
    {"splitlines", "keepends", m_splitlines},
    {"partition", "sep!", m_partition},
    {"rpartition", "sep!", m_rpartition},
    {"startswith", "prefix! start end", m_startswith},
    {"endswith", "suffix! start end", m_endswith},
    {"find", "sub! start end", m_find},
    {"rfind", "sub! start end", m_rfind},
    {"index", "sub! start end", m_index},
    {"rindex", "sub! start end", m_rindex},
    {"count", "sub!", m_count},
    {"replace", "old! new! count", liz_jinja_replace},
    {"removeprefix", "prefix!", m_removeprefix},
    {"removesuffix", "suffix!", m_removesuffix},
    {"join", "iterable!", m_join},
    {"format", "*", liz_jinja_format},
    {"upper", "", m_upper},
    {"lower", "", m_lower},
    {"title", "", m_title},
    {"capitalize", "", m_capitalize},
    {"isdigit", "", m_isdigit},
    {"isalpha", "", m_isalpha},
    {"isalnum", "", m_isalnum},
    {"isspace", "", m_isspace},
    {"isupper", "", m_isupper},
    {"islower", "", m_islower},
    {0},
};

static const jinja_function list_methods[] = {
    {"index", "item!", m_list_index}, {"count", "item!", m_list_count}, {"copy", "", m_copy},
    {"append", "*", m_mutates},       {"extend", "*", m_mutates},       {"insert", "*", m_mutates},
    {"pop", "*", m_mutates},          {"remove", "*", m_mutates},       {"reverse", "*", m_mutates},
    {"sort", "*", m_mutates},         {"clear", "*", m_mutates},        {0},
};

static const jinja_function dict_methods[] = {
    {"get", "key! default", m_get},
    {"items", "", m_items},
    {"keys", "", m_keys},
    {"values", "", m_values},
    {"copy", "", m_copy},
    {"pop", "*", m_mutates},
    {"update", "*", m_mutates},
    {"setdefault", "*", m_mutates},
    {"popitem", "*", m_mutates},
    {"clear", "*", m_mutates},
    {0},
};

static const jinja_function loop_methods[] = {{"cycle", "*", m_loop_cycle}, {"changed", "*", m_loop_changed}, {0}};

static const jinja_function globals[] = {
    {"range", "start! stop step", g_range},
    {"dict", "*", g_dict},
    {"namespace", "*", g_namespace},
    {"joiner", "sep", g_joiner},
    {"raise_exception", "message!", g_raise},
    {"strftime_now", "format!", g_strftime},
    {0},
};

const jinja_function *liz_jinja_method(jinja_value v, jinja_str name)
{
    switch (v.type) {
    case JINJA_STRING: return liz_jinja_find(string_methods, name);
    case JINJA_LIST: return v.list->kind <= JINJA_TUPLE ? liz_jinja_find(list_methods, name) : NULL;
    case JINJA_DICT: return v.dict->is_namespace ? NULL : liz_jinja_find(dict_methods, name);
    case JINJA_LOOP: return liz_jinja_find(loop_methods, name);
    default: return NULL;
    }
}

const jinja_function *liz_jinja_global(jinja_str name) { return liz_jinja_find(globals, name); }
