/* jinja_filter.c - filters: what stands after |.
 *
 * Those that are generators in Jinja2 (map, select, items, ...) give a list here that counts as one: true even when
 * empty, without a length, and empty once it was walked. */
#include "text/jinja_impl.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool given(jinja_value v) { return v.type != JINJA_UNDEFINED && v.type != JINJA_NONE; }
static jinja_value as_string(jinja *j, jinja_value v) { return liz_jinja_string(liz_jinja_str(j, v)); }

static jinja_value list_of(jinja *j, const jinja_list *items, jinja_list_kind kind)
{
    jinja_value out = liz_jinja_list(j, kind, items->n);
    for (size_t i = 0; i < items->n; i++)
        liz_jinja_push(out, items->v[i]);
    return out;
}

/* ---- Values ------------------------------------------------------------------------------------- */

JINJA_FN(f_default)
{
    bool use = arg->type == JINJA_UNDEFINED || (liz_jinja_truth(arg[2]) && !liz_jinja_truth(*arg));
    return !use ? *arg : all->n > 0 ? arg[1] : liz_jinja_string(JINJA_STR(""));
}
JINJA_IS(f_string, as_string(j, *arg))
JINJA_IS(f_safe, as_string(j, *arg))
JINJA_IS(f_length, liz_jinja_int((int64_t)liz_jinja_length(j, *arg)))
JINJA_IS(f_list, list_of(j, liz_jinja_items(j, *arg), JINJA_PLAIN))
JINJA_FN(f_attr)
{
    bool dict = arg->type == JINJA_DICT && !arg->dict->is_namespace;
    jinja_value empty = liz_jinja_dict(j, 0), own = liz_jinja_attr(j, dict ? empty : *arg, liz_jinja_str(j, arg[1]));
    if (dict && own.type == JINJA_CALLABLE)
        own.callable->self = *arg;
    return own;
}

JINJA_FN(f_abs)
{
    liz_jinja_defined(j, *arg);
    if (arg->type == JINJA_FLOAT)
        return liz_jinja_float(fabs(arg->real));
    int64_t x = liz_jinja_whole(j, *arg);
    return x < 0 ? liz_jinja_binary(j, '-', liz_jinja_int(0), liz_jinja_int(x)) : liz_jinja_int(x);
}

/* A NUL-terminated copy of a string's text without white space around it. */
static char *number_text(jinja *j, jinja_str s)
{
    s = liz_jinja_strip(s, NULL, true, true);
    char *copy = liz_jinja_alloc(j, s.n + 1, 1);
    return memcpy(copy, s.n ? s.p : "", s.n);
}

JINJA_FN(f_float)
{
    char *end;
    if (liz_jinja_is_number(*arg))
        return liz_jinja_float(liz_jinja_real(j, *arg));
    liz_jinja_defined(j, *arg);
    const char *text = arg->type == JINJA_STRING ? number_text(j, arg->str) : "";
    double x = strtod(text, &end);
    bool ok = *text != '\0' && *end == '\0' && strpbrk(text, "xXpP(") == NULL;
    return ok ? liz_jinja_float(x) : all->n > 0 ? arg[1] : liz_jinja_float(0);
}

static jinja_value truncated(jinja *j, double x, jinja_value otherwise)
{
    if (!isfinite(x))
        return otherwise;
    if (fabs(x) >= 9e18)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "an integer grows beyond 64 bits");
    return liz_jinja_int((int64_t)x);
}

JINJA_FN(f_int)
{
    char *end;
    jinja_value otherwise = given(arg[1]) ? arg[1] : liz_jinja_int(0);
    if (arg->type == JINJA_FLOAT)
        return truncated(j, arg->real, otherwise);
    if (arg->type == JINJA_INT || arg->type == JINJA_BIG)
        return *arg;
    if (arg->type == JINJA_BOOL)
        return liz_jinja_int(arg->truth);
    liz_jinja_defined(j, *arg);
    const char *text = arg->type == JINJA_STRING ? number_text(j, arg->str) : "";
    int base = (int)liz_jinja_whole_or(j, arg[2], 10);
    if (*text == '\0' || base < 0 || base > 36 || base == 1)
        return otherwise;
    bool decimal = base == 10 && strspn(text + (*text == '-' || *text == '+'), "0123456789") > 0;
    errno = 0;
    long long x = strtoll(text, &end, base);
    if (*end == '\0' && errno == 0)
        return liz_jinja_int(x);
    if (*end == '\0' && decimal)
        return liz_jinja_number(j, liz_str_of(text));
    double real = strtod(text, &end);
    return *end == '\0' && strpbrk(text, "xXpP(") == NULL ? truncated(j, real, otherwise) : otherwise;
}

JINJA_FN(f_round)
{
    liz_jinja_defined(j, *arg);
    int64_t digits = liz_jinja_whole_or(j, arg[1], 0);
    liz_str method = liz_jinja_plain(liz_jinja_str_or(arg[2], "common"));
    bool ceils = liz_str_is(method, "ceil"), floors = liz_str_is(method, "floor");
    if (!ceils && !floors && !liz_str_is(method, "common"))
        liz_jinja_fail(j, LIZ_E_FORMAT, "method must be common, ceil or floor");
    if (!ceils && !floors && arg->type != JINJA_FLOAT && digits >= 0)
        return liz_jinja_int(liz_jinja_whole(j, *arg));
    double x = liz_jinja_real(j, *arg), scale = pow(10, (double)digits);
    char text[400];
    if (ceils || floors)
        return liz_jinja_float((ceils ? ceil(x * scale) : floor(x * scale)) / scale);
    if (digits < 0 || digits > 30)
        return liz_jinja_float(digits < 0 ? nearbyint(x * scale) / scale : x);
    snprintf(text, sizeof text, "%.*f", (int)digits, x);
    return liz_jinja_float(strtod(text, NULL));
}

/* ---- Strings ------------------------------------------------------------------------------------ */

JINJA_IS(f_upper, liz_jinja_case(j, liz_jinja_str(j, *arg), JINJA_UPPER))
JINJA_IS(f_lower, liz_jinja_case(j, liz_jinja_str(j, *arg), JINJA_LOWER))
JINJA_IS(f_capitalize, liz_jinja_case(j, liz_jinja_str(j, *arg), JINJA_CAPITALIZE))
JINJA_IS(f_title, liz_jinja_case(j, liz_jinja_str(j, *arg), JINJA_TITLE_WORDS))
JINJA_FN(f_trim)
{
    const jinja_str *chars = arg[1].type == JINJA_STRING ? &arg[1].str : NULL;
    return liz_jinja_string(liz_jinja_strip(liz_jinja_str(j, *arg), chars, true, true));
}
JINJA_FN(f_escape)
{
    static const struct {
        char c;
        const char *text;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    jinja_str s = liz_jinja_str(j, *arg);
    jinja_text out = {0};
    size_t begin = 0;
    for (size_t i = 0; i < s.n; i++)
        for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++)
            if (s.p[i] == escapes[k].c) {
                liz_jinja_add(j, &out, liz_jinja_cut(s, begin, i));
                liz_jinja_puts(j, &out, escapes[k].text);
                begin = i + 1;
            }
    liz_jinja_add(j, &out, liz_jinja_cut(s, begin, s.n));
    return liz_jinja_string(liz_jinja_text_str(&out));
}

JINJA_FN(f_indent)
{
    jinja_value space = liz_jinja_string(JINJA_STR(" "));
    jinja_str indent = arg[1].type == JINJA_STRING
                           ? arg[1].str
                           : liz_jinja_binary(j, '*', space, liz_jinja_int(liz_jinja_whole_or(j, arg[1], 4))).str;
    jinja_value text = liz_jinja_binary(j, '~', *arg, liz_jinja_string(JINJA_STR("\n")));
    const jinja_list *lines = liz_jinja_lines(j, text.str, false).list;
    jinja_text out = {0};
    for (size_t i = 0; i < lines->n; i++) {
        liz_jinja_puts(j, &out, i ? "\n" : "");
        if (i ? lines->v[i].str.n > 0 || liz_jinja_truth(arg[3]) : liz_jinja_truth(arg[2]))
            liz_jinja_add(j, &out, indent);
        liz_jinja_add(j, &out, lines->v[i].str);
    }
    return liz_jinja_string(liz_jinja_text_str(&out));
}

JINJA_FN(f_format)
{
    jinja_value values =
        all->n_positional < all->n ? liz_jinja_dict(j, all->n) : liz_jinja_list(j, JINJA_TUPLE, all->n);
    for (size_t i = 0; i < all->n; i++)
        if (values.type == JINJA_LIST)
            liz_jinja_push(values, all->v[i]);
        else if (all->names[i].p != NULL)
            liz_jinja_dict_set(j, values.dict, liz_jinja_string(all->names[i]), all->v[i]);
    return liz_jinja_percent(j, liz_jinja_str(j, *arg), values);
}

JINJA_FN(f_join)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_text out = {0};
    for (size_t i = 0; i < items->n; i++) {
        if (i > 0 && given(arg[1]))
            liz_jinja_add(j, &out, liz_jinja_str(j, arg[1]));
        jinja_value v = given(arg[2]) ? liz_jinja_path(j, items->v[i], arg[2]) : items->v[i];
        liz_jinja_add(j, &out, liz_jinja_str(j, v));
    }
    return liz_jinja_string(liz_jinja_text_str(&out));
}

/* ---- Lists -------------------------------------------------------------------------------------- */

static jinja_value nth(jinja *j, jinja_value v, bool last)
{
    const jinja_list *items = liz_jinja_items(j, v);
    return items->n ? items->v[last ? items->n - 1 : 0] : liz_jinja_missing("item of an empty sequence", 25, NULL);
}
JINJA_IS(f_first, nth(j, *arg, false))
JINJA_IS(f_last, nth(j, *arg, true))
JINJA_FN(f_reverse)
{
    jinja_value none = liz_jinja_none();
    if (arg->type == JINJA_STRING)
        return liz_jinja_slice(j, *arg, none, none, liz_jinja_int(-1));
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n);
    for (size_t i = items->n; i-- > 0;)
        liz_jinja_push(out, items->v[i]);
    return out;
}

JINJA_FN(f_items)
{
    if (arg->type == JINJA_UNDEFINED)
        return liz_jinja_list(j, JINJA_GENERATOR, 0);
    if (arg->type != JINJA_DICT || arg->dict->is_namespace)
        liz_jinja_fail(j, LIZ_E_FORMAT, "Can only get item pairs from a mapping.");
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, arg->dict->n);
    for (size_t i = 0; i < arg->dict->n; i++)
        liz_jinja_push(out, liz_jinja_pair(j, arg->dict->keys[i], arg->dict->values[i]));
    return out;
}

/* What an item is compared by: an attribute of it, without case unless that is asked for. */
static jinja_value key_of(jinja *j, jinja_value v, jinja_value attribute, bool with_case)
{
    v = given(attribute) ? liz_jinja_path(j, v, attribute) : v;
    return v.type == JINJA_STRING && !with_case ? liz_jinja_case(j, v.str, JINJA_LOWER) : v;
}

/* Several attributes with commas between them are compared in turn. */
static jinja_value sort_key(jinja *j, jinja_value v, jinja_value attribute, bool with_case)
{
    if (attribute.type != JINJA_STRING || memchr(attribute.str.p, ',', attribute.str.n) == NULL)
        return key_of(j, v, attribute, with_case);
    jinja_args comma = {
        .v = (jinja_value[]){liz_jinja_string(JINJA_STR(","))}, .names = &(jinja_str){0}, .n = 1, .n_positional = 1};
    jinja_value parts = liz_jinja_call_function(j, liz_jinja_method(attribute, JINJA_STR("split")), attribute, &comma);
    jinja_value key = liz_jinja_list(j, JINJA_PLAIN, parts.list->n);
    for (size_t i = 0; i < parts.list->n; i++)
        liz_jinja_push(key, key_of(j, v, parts.list->v[i], with_case));
    return key;
}

void liz_jinja_sort(jinja *j, const jinja_value *keys, size_t *order, size_t n, bool reverse)
{
    size_t *from = order, *to = liz_jinja_alloc(j, n, sizeof *to);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t a = begin, mid = begin + width < n ? begin + width : n, b = mid;
            size_t end = mid + width < n ? mid + width : n;
            for (size_t k = begin; k < end; k++) {
                int c = a < mid && b < end ? liz_jinja_compare(j, keys[from[a]], keys[from[b]], 0) : 0;
                to[k] = b == end || (a < mid && (reverse ? c >= 0 : c <= 0)) ? from[a++] : from[b++];
            }
        }
        size_t *swap = from;
        from = to;
        to = swap;
    }
    if (n > 0 && from != order)
        memcpy(order, from, n * sizeof *order);
}

/* Items in the order of their keys. */
static jinja_value sorted(jinja *j, const jinja_list *items, const jinja_value *keys, bool reverse)
{
    size_t *order = liz_jinja_alloc(j, items->n, sizeof *order);
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, items->n);
    liz_jinja_sort(j, keys, order, items->n, reverse);
    for (size_t i = 0; i < items->n; i++)
        liz_jinja_push(out, items->v[order[i]]);
    return out;
}

JINJA_FN(f_sort)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value *keys = liz_jinja_alloc(j, items->n, sizeof *keys);
    for (size_t i = 0; i < items->n; i++)
        keys[i] = sort_key(j, items->v[i], arg[3], liz_jinja_truth(arg[2]));
    return sorted(j, items, keys, liz_jinja_truth(arg[1]));
}

JINJA_FN(f_dictsort)
{
    bool by_value = liz_str_is(liz_jinja_plain(liz_jinja_str_or(arg[2], "key")), "value");
    jinja_value pairs = f_items(j, arg, all), *keys = liz_jinja_alloc(j, pairs.list->n, sizeof *keys);
    for (size_t i = 0; i < pairs.list->n; i++)
        keys[i] = key_of(j, pairs.list->v[i], liz_jinja_int(by_value), liz_jinja_truth(arg[1]));
    return sorted(j, pairs.list, keys, liz_jinja_truth(arg[3]));
}

JINJA_FN(f_unique)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n), seen = liz_jinja_list(j, JINJA_PLAIN, items->n);
    for (size_t i = 0; i < items->n; i++) {
        jinja_value key = key_of(j, items->v[i], arg[2], liz_jinja_truth(arg[1]));
        if (liz_jinja_contains(j, seen, key))
            continue;
        liz_jinja_push(seen, key);
        liz_jinja_push(out, items->v[i]);
    }
    return out;
}

static jinja_value extreme(jinja *j, const jinja_value *arg, int sign)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    size_t best = 0;
    jinja_value best_key = liz_jinja_none();
    for (size_t i = 0; i < items->n; i++) {
        jinja_value key = key_of(j, items->v[i], arg[2], liz_jinja_truth(arg[1]));
        if (i > 0 && sign * liz_jinja_compare(j, key, best_key, 0) <= 0)
            continue;
        best = i;
        best_key = key;
    }
    return items->n ? items->v[best] : liz_jinja_missing("item of an empty sequence", 25, NULL);
}
JINJA_IS(f_min, extreme(j, arg, -1))
JINJA_IS(f_max, extreme(j, arg, 1))
JINJA_FN(f_sum)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value sum = given(arg[2]) ? arg[2] : liz_jinja_int(0);
    for (size_t i = 0; i < items->n; i++)
        sum = liz_jinja_binary(j, '+', sum, given(arg[1]) ? liz_jinja_path(j, items->v[i], arg[1]) : items->v[i]);
    return sum;
}

/* ---- Filters that take filters and tests --------------------------------------------------------- */

/* The arguments from the n-th on. */
static jinja_args rest_of(const jinja_args *all, size_t n)
{
    n = n < all->n_positional ? n : all->n_positional;
    if (n == 0)
        return *all;
    return (jinja_args){all->v + n, all->names + n, all->n - n, all->n_positional - n};
}

static const jinja_function *named(jinja *j, jinja_value name, bool test)
{
    jinja_str s = liz_jinja_str(j, name);
    const jinja_function *f = test ? liz_jinja_test(s) : liz_jinja_filter(s);
    if (f == NULL)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "No %s named '%.*s'", test ? "test" : "filter", (int)s.n, s.p);
    return f;
}

JINJA_FN(f_map)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n), attribute = {0}, otherwise = {0};
    for (size_t i = all->n_positional; i < all->n; i++)
        if (liz_str_is(liz_jinja_plain(all->names[i]), "attribute"))
            attribute = all->v[i];
        else if (liz_str_is(liz_jinja_plain(all->names[i]), "default"))
            otherwise = all->v[i];
    if (all->n_positional == 0 && attribute.type == JINJA_UNDEFINED)
        liz_jinja_fail(j, LIZ_E_FORMAT, "map requires a filter argument");
    jinja_args rest = rest_of(all, 1);
    const jinja_function *f = all->n_positional > 0 ? named(j, all->v[0], false) : NULL;
    for (size_t i = 0; i < items->n; i++) {
        jinja_value v =
            f ? liz_jinja_call_function(j, f, items->v[i], &rest) : liz_jinja_path(j, items->v[i], attribute);
        liz_jinja_push(out, v.type == JINJA_UNDEFINED && f == NULL ? otherwise : v);
    }
    return out;
}

/* The items, or those with an attribute, that pass a test (that are true, where none is named), or do not. */
static jinja_value choose(jinja *j, const jinja_value *arg, const jinja_args *all, bool by_attribute, bool keep)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n);
    size_t first = by_attribute;
    if (all->n_positional < first)
        liz_jinja_fail(j, LIZ_E_FORMAT, "Missing parameter for attribute name");
    const jinja_function *f = all->n_positional > first ? named(j, all->v[first], true) : NULL;
    jinja_args rest = rest_of(all, first + 1);
    for (size_t i = 0; i < items->n; i++) {
        jinja_value v = by_attribute ? liz_jinja_path(j, items->v[i], all->v[0]) : items->v[i];
        if (liz_jinja_truth(f ? liz_jinja_call_function(j, f, v, &rest) : v) == keep)
            liz_jinja_push(out, items->v[i]);
    }
    return out;
}
JINJA_IS(f_select, choose(j, arg, all, false, true))
JINJA_IS(f_reject, choose(j, arg, all, false, false))
JINJA_IS(f_selectattr, choose(j, arg, all, true, true))
JINJA_IS(f_rejectattr, choose(j, arg, all, true, false))

static const jinja_function filters[] = {
    {"abs", "", f_abs},
    {"attr", "name!", f_attr},
    {"capitalize", "", f_capitalize},
    {"count", "", f_length},
    {"d", "default_value boolean", f_default},
    {"default", "default_value boolean", f_default},
    {"dictsort", "case_sensitive by reverse", f_dictsort},
    {"e", "", f_escape},
    {"escape", "", f_escape},
    {"first", "", f_first},
    {"float", "default", f_float},
    {"format", "*", f_format},
    {"indent", "width first blank", f_indent},
    {"int", "default base", f_int},
    {"items", "", f_items},
    {"join", "d attribute", f_join},
    {"last", "", f_last},
    {"length", "", f_length},
    {"list", "", f_list},
    {"lower", "", f_lower},
    {"map", "*", f_map},
    {"max", "case_sensitive attribute", f_max},
    {"min", "case_sensitive attribute", f_min},
    {"reject", "*", f_reject},
    {"rejectattr", "*", f_rejectattr},
    {"replace", "old! new! count", liz_jinja_replace},
    {"reverse", "", f_reverse},
    {"round", "precision method", f_round},
    {"safe", "", f_safe},
    {"select", "*", f_select},
    {"selectattr", "*", f_selectattr},
    {"sort", "reverse case_sensitive attribute", f_sort},
    {"string", "", f_string},
    {"sum", "attribute start", f_sum},
    {"title", "", f_title},
    {"tojson", "ensure_ascii indent separators sort_keys", liz_jinja_tojson},
    {"trim", "chars", f_trim},
    {"unique", "case_sensitive attribute", f_unique},
    {"upper", "", f_upper},
    {0},
};

const jinja_function *liz_jinja_filter(jinja_str name) { return liz_jinja_find(filters, name); }
