/* jinja_library.c - what templates call that is not about strings: filters, tests, methods of lists and dicts, global
 * functions.
 *
 * Filters that are generators in Jinja2 (map, select, items, ...) give a list here that counts as one: true even when
 * empty, without a length, and empty once it was walked. What would change a list or dict is no method here: the
 * sandbox forbids it. */
#include "text/jinja_impl.h"

/* ---- Values ------------------------------------------------------------------------------------- */

JINJA_FN(fn_default)
{
    bool use = arg->type == JINJA_UNDEFINED || (liz_jinja_truth(arg[2]) && !liz_jinja_truth(*arg));
    return !use ? *arg : all->n > 0 ? arg[1] : liz_jinja_string(JINJA_STR(""));
}
JINJA_FN(fn_string) { return liz_jinja_string(liz_jinja_str(j, *arg)); }
JINJA_FN(fn_length) { return liz_jinja_int((int64_t)liz_jinja_length(j, *arg)); }
JINJA_FN(fn_list)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, items->n);
    for (size_t i = 0; i < items->n; i++)
        liz_jinja_push(out, items->v[i]);
    return out;
}

/* ---- Lists -------------------------------------------------------------------------------------- */

JINJA_FN(fn_nth)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    return items->n ? items->v[how < 0 ? items->n - 1 : 0]
                    : liz_jinja_missing(JINJA_STR("item of an empty sequence"), NULL);
}

JINJA_FN(fn_reverse)
{
    if (arg->type == JINJA_STRING)
        return liz_jinja_slice(j, *arg, liz_jinja_none(), liz_jinja_none(), liz_jinja_int(-1));
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n);
    for (size_t i = items->n; i-- > 0;)
        liz_jinja_push(out, items->v[i]);
    return out;
}

/* The pairs of a dict: a filter's generator, or the method's view. */
JINJA_FN(fn_items)
{
    if (arg->type != JINJA_DICT && arg->type != JINJA_UNDEFINED)
        liz_jinja_fail(j, LIZ_E_FORMAT, "Can only get item pairs from a mapping.");
    size_t n = arg->type == JINJA_DICT ? arg->dict->n : 0;
    jinja_value out = liz_jinja_list(j, (jinja_list_kind)how, n);
    for (size_t i = 0; i < n; i++)
        liz_jinja_push(out, liz_jinja_pair(j, arg->dict->keys[i], arg->dict->values[i]));
    return out;
}

/* What an item is compared by: an attribute of it, without case unless that is asked for. */
static jinja_value key_of(jinja *j, jinja_value v, jinja_value attribute, jinja_value with_case)
{
    v = liz_jinja_given(attribute) ? liz_jinja_path(j, v, attribute, liz_jinja_none()) : v;
    return v.type == JINJA_STRING && !liz_jinja_truth(with_case) ? liz_jinja_lower(j, v.str) : v;
}

/* The key by which an item is sorted, a list, in which undefined ones are equal: of a text "a.b,c" the attributes a.b
 * and c. */
static jinja_value sort_key(jinja *j, jinja_value v, jinja_value attribute, jinja_value with_case)
{
    size_t n = 1, end = 0;
    jinja_str rest = attribute.type == JINJA_STRING ? attribute.str : JINJA_STR("");
    for (size_t i = 0; i < rest.n; i++)
        n += rest.p[i] == ',';
    liz_jinja_work(j, rest.n / 16);
    jinja_value key = liz_jinja_list(j, JINJA_PLAIN, n);
    for (size_t i = 0; i < n; i++, rest = liz_jinja_cut(rest, end + (end < rest.n), rest.n)) {
        const char *comma = memchr(rest.p, ',', rest.n);
        end = comma ? (size_t)(comma - rest.p) : rest.n;
        jinja_value part = liz_jinja_string(liz_jinja_cut(rest, 0, end));
        liz_jinja_push(key, key_of(j, v, attribute.type == JINJA_STRING ? part : attribute, with_case));
    }
    return key;
}

static jinja_value sorted(jinja *j, const jinja_list *items, jinja_value attribute, jinja_value with_case,
                          jinja_value reverse)
{
    size_t *order = liz_jinja_alloc(j, items->n, sizeof *order);
    jinja_value out = liz_jinja_list(j, JINJA_PLAIN, items->n), *keys = liz_jinja_alloc(j, items->n, sizeof *keys);
    for (size_t i = 0; i < items->n; i++)
        keys[i] = sort_key(j, items->v[i], attribute, with_case);
    liz_jinja_sort(j, keys, order, items->n, liz_jinja_truth(reverse));
    for (size_t i = 0; i < items->n; i++)
        liz_jinja_push(out, items->v[order[i]]);
    return out;
}

JINJA_FN(fn_sort) { return sorted(j, liz_jinja_items(j, *arg), arg[3], arg[2], arg[1]); }
JINJA_FN(fn_dictsort)
{
    jinja_value by = liz_jinja_absent(arg[2]) ? liz_jinja_string(JINJA_STR("key")) : arg[2];
    bool by_value = by.type == JINJA_STRING && liz_jinja_is(by.str, "value");
    if (!by_value && !(by.type == JINJA_STRING && liz_jinja_is(by.str, "key")))
        liz_jinja_fail(j, LIZ_E_FORMAT, "You can only sort by either \"key\" or \"value\"");
    const jinja_list *pairs = fn_items(j, arg, all, JINJA_GENERATOR).list;
    return sorted(j, pairs, liz_jinja_int(by_value), arg[1], arg[3]);
}

JINJA_FN(fn_unique)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n), seen = liz_jinja_list(j, JINJA_PLAIN, items->n);
    for (size_t i = 0; i < items->n; i++) {
        jinja_value key = key_of(j, items->v[i], arg[2], arg[1]);
        if (liz_jinja_compares(j, 'i', key, seen))
            continue;
        liz_jinja_push(seen, key);
        liz_jinja_push(out, items->v[i]);
    }
    return out;
}

/* min where `how` is below 0, max above. */
JINJA_FN(fn_extreme)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value best = liz_jinja_missing(JINJA_STR("item of an empty sequence"), NULL), best_key = best;
    for (size_t i = 0; i < items->n; i++) {
        jinja_value key = key_of(j, items->v[i], arg[2], arg[1]);
        if (i > 0 && how * liz_jinja_compare(j, key, best_key, 0) <= 0)
            continue;
        best = items->v[i];
        best_key = key;
    }
    return best;
}

JINJA_FN(fn_sum)
{
    const jinja_list *items = liz_jinja_items(j, *arg);
    jinja_value sum = liz_jinja_given(arg[2]) ? arg[2] : liz_jinja_int(0);
    for (size_t i = 0; i < items->n; i++) {
        bool by_path = liz_jinja_given(arg[1]);
        jinja_value v = by_path ? liz_jinja_path(j, items->v[i], arg[1], liz_jinja_none()) : items->v[i];
        liz_jinja_work(j, 1);
        sum = liz_jinja_binary(j, '+', sum, v);
    }
    return sum;
}

/* ---- Dicts -------------------------------------------------------------------------------------- */

JINJA_FN(fn_get)
{
    const jinja_value *there = liz_jinja_dict_get(j, arg->dict, arg[1]);
    return there ? *there : all->n > 1 ? arg[2] : liz_jinja_none();
}

/* The keys or values, as a view. */
JINJA_FN(fn_view)
{
    jinja_value out = liz_jinja_list(j, (jinja_list_kind)how, 0);
    out.list->v = how == JINJA_KEYS ? arg->dict->keys : arg->dict->values;
    out.list->n = arg->dict->n;
    return out;
}

/* dict(...) and namespace(...), of a dict or pairs and of named arguments. */
JINJA_FN(fn_dict)
{
    jinja_value out = liz_jinja_dict(j, all->n), from = all->n_positional > 0 ? all->v[0] : (jinja_value){0};
    const jinja_list *pairs =
        from.type == JINJA_DICT ? fn_items(j, &from, all, JINJA_PLAIN).list : liz_jinja_items(j, from);
    for (size_t i = 0; i < pairs->n; i++) {
        const jinja_list *pair = liz_jinja_items(j, pairs->v[i]);
        if (pair->n != 2)
            liz_jinja_fail(j, LIZ_E_FORMAT, "dict() wants pairs");
        liz_jinja_dict_set(j, out.dict, pair->v[0], pair->v[1]);
    }
    for (size_t i = all->n_positional; i < all->n; i++)
        liz_jinja_dict_set(j, out.dict, liz_jinja_string(all->names[i]), all->v[i]);
    out.type = (jinja_type)how;
    return out;
}

/* ---- Filters that take filters and tests --------------------------------------------------------- */

/* What map, select and their kin walk: nothing where there is nothing, be it none or 0. */
static const jinja_list *items_if_any(jinja *j, jinja_value v)
{
    return liz_jinja_items(j, liz_jinja_truth(v) ? v : (jinja_value){0});
}

/* The function that the n-th argument names, NULL where there is none; `rest` are those after it. */
static const jinja_function *named(jinja *j, unsigned of, const jinja_args *all, size_t n, jinja_args *rest)
{
    *rest = *all;
    if (n >= all->n_positional)
        return NULL;
    *rest = (jinja_args){all->v + n + 1, all->names + n + 1, all->n - n - 1, all->n_positional - n - 1};
    jinja_str s = liz_jinja_str(j, all->v[n]);
    const jinja_function *f = liz_jinja_find(of, s);
    if (f == NULL)
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "No %s named '%.*s'", of == JINJA_TEST ? "test" : "filter",
                       LIZ_STR_ARG(s));
    return f;
}

JINJA_FN(fn_map)
{
    const jinja_list *items = items_if_any(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n), own[2] = {{0}}; /* attribute, default */
    bool given[2] = {false};
    jinja_args rest;
    const jinja_function *f = named(j, JINJA_FILTER, all, 0, &rest);
    if (f == NULL)
        liz_jinja_bind(j, JINJA_STR("map"), (jinja_str[]){JINJA_STR("attribute"), JINJA_STR("default")}, 2, all, own,
                       given);
    if (f == NULL && !given[0])
        liz_jinja_fail(j, LIZ_E_FORMAT, "map requires a filter argument");
    for (size_t i = 0; i < items->n; i++) {
        jinja_value item = items->v[i];
        liz_jinja_push(out, f ? liz_jinja_call_function(j, f, item, &rest) : liz_jinja_path(j, item, own[0], own[1]));
    }
    return out;
}

/* select, reject and those with attr: the items, or those with an attribute, that pass a test, or do not; that are
 * true, where none is named. */
enum { KEEP = 1, BY_ATTRIBUTE = 2 };
JINJA_FN(fn_choose)
{
    const jinja_list *items = items_if_any(j, *arg);
    jinja_value out = liz_jinja_list(j, JINJA_GENERATOR, items->n);
    bool by_attribute = how & BY_ATTRIBUTE, keep = how & KEEP;
    jinja_args rest;
    if (by_attribute && all->n_positional == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "Missing parameter for attribute name");
    const jinja_function *f = named(j, JINJA_TEST, all, by_attribute, &rest);
    for (size_t i = 0; i < items->n; i++) {
        jinja_value item = items->v[i];
        jinja_value v = by_attribute ? liz_jinja_path(j, item, all->v[0], liz_jinja_none()) : item;
        liz_jinja_work(j, 1);
        if (liz_jinja_truth(f ? liz_jinja_call_function(j, f, v, &rest) : v) == keep)
            liz_jinja_push(out, items->v[i]);
    }
    return out;
}

/* ---- Tests -------------------------------------------------------------------------------------- */

/* Whether a value is of one of the types of the mask `how`. Only lists that can be indexed are sequences. */
enum { SEQUENCE = 1 << 20 };
#define OF(type) (1 << JINJA_##type)
JINJA_FN(fn_is_type)
{
    bool indexed = arg->type != JINJA_LIST || arg->list->kind <= JINJA_RANGE;
    return liz_jinja_bool((how >> arg->type & 1) && (indexed || !(how & SEQUENCE)));
}
JINJA_FN(fn_is_truth) { return liz_jinja_bool(arg->type == JINJA_BOOL && arg->truth == how); }
JINJA_FN(fn_compares) { return liz_jinja_bool(liz_jinja_compares(j, how, arg[0], arg[1])); }

/* Whether the value divided by `how`, or by an argument where that is 0, leaves nothing; 1 where `how` is below 0. */
JINJA_FN(fn_divides)
{
    jinja_value by = how ? liz_jinja_int(2) : arg[1], rest = liz_jinja_binary(j, '%', arg[0], by);
    return liz_jinja_bool(liz_jinja_equal(j, rest, liz_jinja_int(how < 0), 0));
}

JINJA_FN(fn_is_same)
{
    bool same_type = arg[0].type == arg[1].type, has_place = arg->type == JINJA_LIST || arg->type == JINJA_DICT;
    return liz_jinja_bool(same_type &&
                          (has_place ? arg[0].list == arg[1].list : liz_jinja_equal(j, arg[0], arg[1], 0)));
}

/* ---- Globals ------------------------------------------------------------------------------------ */

JINJA_FN(fn_range)
{
    bool one = all->n < 2;
    int64_t begin = one ? 0 : liz_jinja_whole(j, arg[1]), end = liz_jinja_whole(j, arg[one ? 1 : 2]);
    int64_t step = liz_jinja_whole_or(j, arg[3], 1);
    if (step == 0)
        liz_jinja_fail(j, LIZ_E_FORMAT, "range() arg 3 must not be zero");
    __int128 span = step > 0 ? (__int128)end - begin : (__int128)begin - end, by = step > 0 ? step : -(__int128)step;
    span = span <= 0 ? 0 : (span + by - 1) / by;
    if (span > JINJA_RANGE_MAX)
        liz_jinja_fail(j, LIZ_E_LIMIT, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                       JINJA_RANGE_MAX);
    jinja_value out = liz_jinja_list(j, JINJA_RANGE, (size_t)span);
    for (int64_t i = 0; i < (int64_t)span; i++)
        liz_jinja_push(out, liz_jinja_int(begin + i * step));
    out.list->range = liz_jinja_range(j, begin, end, step);
    return out;
}

/* The message is as long as an error's text may be, in whole characters; a NUL would end it. */
JINJA_FN(fn_raise)
{
    jinja_str text = liz_jinja_str(j, arg[1]);
    size_t n = strnlen(text.p, text.n < LIZ_ERROR_TEXT_MAX ? text.n : LIZ_ERROR_TEXT_MAX - 1);
    liz_jinja_fail(j, LIZ_E_CANCELLED, "%.*s", (int)(n < text.n ? liz_utf8_valid_prefix(text.p, n) : n), text.p);
}

/* ---- The table ---------------------------------------------------------------------------------- */

enum {
    F = JINJA_FILTER,
    T = JINJA_TEST,
    G = JINJA_GLOBAL,
    D = JINJA_OF_DICT,
    DEFINED = (OF(CALLABLE) << 1) - 1 - OF(UNDEFINED),
    INTEGER = OF(INT) | OF(BIG),
    NUMBER = OF(BOOL) | INTEGER | OF(FLOAT),
    ITERABLE = OF(UNDEFINED) | OF(STRING) | OF(LIST) | OF(DICT), /* undefined has a length and items */
    CALLABLE = OF(UNDEFINED) | OF(LOOP) | OF(CALLABLE),
    EQ = JINJA_OP('=', '='),
    NE = JINJA_OP('!', '='),
    LE = JINJA_OP('<', '='),
    GE = JINJA_OP('>', '=')
};

const jinja_function liz_jinja_library[] = {
    {"count length", F, "", fn_length, 0},
    {"d default", F, "default_value boolean", fn_default, 0},
    {"dictsort", F, "case_sensitive by reverse", fn_dictsort, 0},
    {"first", F, "", fn_nth, 0},
    {"float", F, "default", liz_jinja_to_number, JINJA_FLOAT},
    {"int", F, "default", liz_jinja_to_number, JINJA_INT},
    {"items", F, "", fn_items, JINJA_GENERATOR},
    {"last", F, "", fn_nth, -1},
    {"list", F, "", fn_list, 0},
    {"map", F, "*", fn_map, 0},
    {"max", F, "case_sensitive attribute", fn_extreme, 1},
    {"min", F, "case_sensitive attribute", fn_extreme, -1},
    {"reject", F, "*", fn_choose, 0},
    {"rejectattr", F, "*", fn_choose, BY_ATTRIBUTE},
    {"reverse", F, "", fn_reverse, 0},
    {"select", F, "*", fn_choose, KEEP},
    {"selectattr", F, "*", fn_choose, KEEP | BY_ATTRIBUTE},
    {"sort", F, "reverse case_sensitive attribute", fn_sort, 0},
    {"string safe", F, "", fn_string, 0},
    {"sum", F, "attribute start", fn_sum, 0},
    {"tojson", F, "ensure_ascii indent separators sort_keys", liz_jinja_tojson, 0},
    {"unique", F, "case_sensitive attribute", fn_unique, 0},
    {"defined", T, "", fn_is_type, DEFINED},
    {"undefined", T, "", fn_is_type, OF(UNDEFINED)},
    {"none", T, "", fn_is_type, OF(NONE)},
    {"boolean", T, "", fn_is_type, OF(BOOL)},
    {"integer", T, "", fn_is_type, INTEGER},
    {"float", T, "", fn_is_type, OF(FLOAT)},
    {"number", T, "", fn_is_type, NUMBER},
    {"string", T, "", fn_is_type, OF(STRING)},
    {"mapping", T, "", fn_is_type, OF(DICT)},
    {"sequence", T, "", fn_is_type, ITERABLE | SEQUENCE},
    {"iterable", T, "", fn_is_type, ITERABLE | OF(LOOP)},
    {"callable", T, "", fn_is_type, CALLABLE},
    {"true", T, "", fn_is_truth, true},
    {"false", T, "", fn_is_truth, false},
    {"sameas", T, "other!", fn_is_same, 0},
    {"odd", T, "", fn_divides, -1},
    {"even", T, "", fn_divides, 1},
    {"divisibleby", T, "num!", fn_divides, 0},
    {"in", T, "seq!", fn_compares, 'i'},
    {"eq equalto ==", T, "other!", fn_compares, EQ},
    {"ne !=", T, "other!", fn_compares, NE},
    {"lt lessthan <", T, "other!", fn_compares, '<'},
    {"le <=", T, "other!", fn_compares, LE},
    {"gt greaterthan >", T, "other!", fn_compares, '>'},
    {"ge >=", T, "other!", fn_compares, GE},
    {"get", D, "key! default", fn_get, 0},
    {"items", D, "", fn_items, JINJA_ITEMS},
    {"keys", D, "", fn_view, JINJA_KEYS},
    {"values", D, "", fn_view, JINJA_VALUES},
    {"range", G, "start! stop step", fn_range, 0},
    {"dict", G, "*", fn_dict, JINJA_DICT},
    {"namespace", G, "*", fn_dict, JINJA_NAMESPACE},
    {"raise_exception", G, "message!", fn_raise, 0},
    {"strftime_now", G, "format!", liz_jinja_strftime, 0},
    {0}};

bool liz_jinja_among(jinja_str name, const char *names)
{
    size_t n = 0;
    for (const char *p = names; *p != '\0'; p += n + (p[n] == ' ')) {
        n = strcspn(p, " ");
        if (n == name.n && memcmp(p, name.p, n) == 0)
            return true;
    }
    return false;
}

const jinja_function *liz_jinja_find(unsigned of, jinja_str name)
{
    const jinja_function *tables[] = {liz_jinja_library, liz_jinja_strings};
    for (size_t i = 0; i < 2; i++)
        for (const jinja_function *f = tables[i]; f->name != NULL; f++)
            if ((f->of & of) && liz_jinja_among(name, f->name))
                return f;
    return NULL;
}
