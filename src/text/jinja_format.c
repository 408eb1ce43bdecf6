/* jinja_format.c - text with places to fill: "%s" % values, and "{}".format(values).
 *
 * Both read their places into one description of how a value is to be written; widths and precisions are bounded. */
#include "text/jinja_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { WIDTH_MAX = 1000, PRECISION_MAX = 100 };

typedef struct place {
    jinja_str fill;
    char align; /* < > ^ = or 0 */
    char sign;  /* + - or blank */
    bool alternate, commas;
    int width, precision; /* -1: not given */
    char type;            /* 0: none */
} place;

static void fail_place(jinja *j, const char *what) { liz_jinja_fail(j, LIZ_E_FORMAT, "format string: %s", what); }

static int read_count(jinja *j, const char **p, const char *end, int max)
{
    int n = -1;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        n = (n < 0 ? 0 : n) * 10 + **p - '0';
        if (n > max)
            fail_place(j, "a width or precision is too large");
    }
    return n;
}

/* ---- Writing a value ---------------------------------------------------------------------------- */

static void add_commas(char *text, size_t size)
{
    char *digits = text + strcspn(text, "0123456789"), *end = digits + strspn(digits, "0123456789");
    for (char *p = end - 3; p > digits && strlen(text) + 1 < size; p -= 3) {
        memmove(p + 1, p, strlen(p) + 1);
        *p = ',';
    }
}

/* The digits of a number with its sign. */
static void number_text(jinja *j, const place *at, jinja_value v, char *text, size_t size)
{
    char spec[16], type = at->type ? at->type : v.type == JINJA_FLOAT ? 'r' : 'd';
    bool whole = strchr("diuxXo", type) != NULL;
    const char *sign = at->sign == '+' ? "+" : at->sign == ' ' ? " " : "", *hash = at->alternate ? "#" : "";
    int precision = at->precision < 0 ? 6 : at->precision;
    if (!liz_jinja_is_number(v))
        liz_jinja_fail(j, LIZ_E_FORMAT, "format: a real number is required, not %s", liz_jinja_type_name(v));
    if (type == 'r' || v.type == JINJA_BIG) {
        jinja_text out = {0};
        liz_jinja_repr(j, &out, v, 0);
        snprintf(text, size, "%s%.*s", *sign && *out.p != '-' ? sign : "", (int)out.n, out.p);
    } else if (whole) {
        int64_t n = v.type == JINJA_FLOAT ? (int64_t)fmax(-9e18, fmin(9e18, v.real)) : liz_jinja_whole(j, v);
        uint64_t size_of = n < 0 ? -(uint64_t)n : (uint64_t)n;
        snprintf(spec, sizeof spec, "%%s%%%s%s", hash,
                 type == 'x'   ? PRIx64
                 : type == 'X' ? PRIX64
                 : type == 'o' ? PRIo64
                               : PRIu64);
        snprintf(text, size, spec, n < 0 ? "-" : sign, size_of);
    } else {
        double x = liz_jinja_real(j, v) * (type == '%' ? 100 : 1);
        snprintf(spec, sizeof spec, "%%%s%s.*%c%s", sign, hash, type == '%' ? 'f' : type, type == '%' ? "%%" : "");
        snprintf(text, size, spec, precision, x);
    }
    if (at->commas)
        add_commas(text, size);
}

static void add_place(jinja *j, jinja_text *out, const place *at, jinja_value v)
{
    char text[512];
    bool as_text = at->type == 's' || (at->type == 0 && (v.type == JINJA_BOOL || !liz_jinja_is_number(v)));
    jinja_str s;
    if (as_text) {
        s = liz_jinja_str(j, v);
        s = at->precision >= 0 ? liz_jinja_cut(s, 0, liz_jinja_char_at(s, (size_t)at->precision)) : s;
    } else {
        if (strchr("diuxXofFeEgG%r", at->type ? at->type : 'r') == NULL)
            fail_place(j, "a type of value that is not known");
        number_text(j, at, v, text, sizeof text);
        char *copy = liz_jinja_alloc(j, strlen(text) + 1, 1);
        s = liz_jinja_literal(strcpy(copy, text));
    }
    char align = at->align ? at->align : as_text ? '<' : '>';
    size_t n_sign = align == '=' && s.n > 0 && strchr("+- ", *s.p) != NULL;
    int64_t width = at->width - (int64_t)n_sign;
    liz_jinja_add(j, out, liz_jinja_cut(s, 0, n_sign));
    s = liz_jinja_cut(s, n_sign, s.n);
    int64_t room = width - (int64_t)liz_jinja_n_chars(s), before = align == '<' ? 0 : align == '^' ? room / 2 : room;
    for (int64_t i = 0; i <= room || i == 0; i++) {
        if (i == before || room <= 0)
            liz_jinja_add(j, out, s);
        if (i < room)
            liz_jinja_add(j, out, at->fill);
    }
}

/* ---- % ------------------------------------------------------------------------------------------ */

/* The value of the next place; `*n` counts those taken from a tuple, or the one value. */
static jinja_value next_value(jinja *j, jinja_value values, size_t *n)
{
    bool tuple = values.type == JINJA_LIST && values.list->kind == JINJA_TUPLE;
    if (*n >= (tuple ? values.list->n : 1))
        liz_jinja_fail(j, LIZ_E_FORMAT, "not enough arguments for format string");
    ++*n;
    return tuple ? values.list->v[*n - 1] : values;
}

static const char *percent_place(jinja *j, jinja_text *out, const char *p, const char *end, jinja_value values,
                                 size_t *n)
{
    place at = {.fill = JINJA_STR(" "), .align = '>'};
    jinja_value v = {0};
    bool has_key = *p == '(';
    if (has_key) {
        const char *close = memchr(p, ')', (size_t)(end - p));
        if (close == NULL || values.type != JINJA_DICT)
            liz_jinja_fail(j, LIZ_E_FORMAT, "format requires a mapping");
        jinja_value key = liz_jinja_string((jinja_str){p + 1, NULL, (size_t)(close - p - 1)});
        const jinja_value *there = liz_jinja_dict_get(j, values.dict, key);
        if (there == NULL)
            liz_jinja_fail(j, LIZ_E_FORMAT, "format: there is no key '%.*s'", (int)key.str.n, key.str.p);
        v = *there;
        *n = 1;
        p = close + 1;
    }
    bool zero = false;
    for (; p < end && strchr("-+ #0", *p) != NULL && *p != '\0'; p++) {
        at.align = *p == '-' ? '<' : at.align;
        at.sign = *p == '+' || (*p == ' ' && at.sign == 0) ? *p : at.sign;
        at.alternate |= *p == '#';
        zero |= *p == '0';
    }
    at.width = read_count(j, &p, end, WIDTH_MAX);
    at.precision = -1;
    if (p < end && *p == '.') {
        p++;
        at.precision = read_count(j, &p, end, PRECISION_MAX);
        at.precision = at.precision < 0 ? 0 : at.precision;
    }
    if (p >= end)
        liz_jinja_fail(j, LIZ_E_FORMAT, "incomplete format");
    at.type = *p;
    v = has_key ? v : next_value(j, values, n);
    if (*p == 'r' || *p == 's') {
        jinja_text repr = {0};
        if (*p == 'r')
            liz_jinja_repr(j, &repr, v, 0);
        v = *p == 'r' ? liz_jinja_string(liz_jinja_text_str(&repr)) : v;
        at.type = 's';
    } else if (zero && at.align != '<') {
        at.align = '=';
        at.fill = JINJA_STR("0");
    }
    if (at.type == '%')
        fail_place(j, "a type of value that is not known");
    add_place(j, out, &at, v);
    return p + 1;
}

jinja_value liz_jinja_percent(jinja *j, jinja_str format, jinja_value values)
{
    jinja_text out = {0};
    size_t n = 0, begin = 0;
    const char *end = format.p + format.n;
    for (const char *p; begin < format.n && (p = memchr(format.p + begin, '%', format.n - begin)) != NULL;) {
        liz_jinja_add(j, &out, liz_jinja_cut(format, begin, (size_t)(p - format.p)));
        if (p + 1 < end && p[1] == '%') {
            liz_jinja_add(j, &out, liz_jinja_cut(format, (size_t)(p - format.p), (size_t)(p + 1 - format.p)));
            p += 2;
        } else if (p + 1 < end) {
            p = percent_place(j, &out, p + 1, end, values, &n);
        } else {
            liz_jinja_fail(j, LIZ_E_FORMAT, "incomplete format");
        }
        begin = (size_t)(p - format.p);
    }
    liz_jinja_add(j, &out, liz_jinja_cut(format, begin, format.n));
    bool tuple = values.type == JINJA_LIST && values.list->kind == JINJA_TUPLE;
    if (values.type != JINJA_DICT && n < (tuple ? values.list->n : 1))
        liz_jinja_fail(j, LIZ_E_FORMAT, "not all arguments converted during string formatting");
    return liz_jinja_string(liz_jinja_text_str(&out));
}

/* ---- format() ----------------------------------------------------------------------------------- */

/* What stands before "!" and ":" in a place: a number, a name, nothing; then .name and [key]. */
static jinja_value field_value(jinja *j, liz_str field, const jinja_args *all, size_t *n)
{
    size_t len = 0;
    while (len < field.n && field.p[len] != '.' && field.p[len] != '[')
        len++;
    const char *p = field.p, *end = field.p + len, *rest = end, *stop = field.p + field.n;
    jinja_value v = {0};
    int index = read_count(j, &p, end, 255);
    if (len == 0)
        index = (int)(*n)++;
    if (len == 0 || (p == end && index >= 0)) {
        if ((size_t)index >= all->n_positional)
            liz_jinja_fail(j, LIZ_E_FORMAT, "Replacement index %d out of range for positional args tuple", index);
        v = all->v[index];
    } else {
        size_t i = all->n_positional;
        while (i < all->n && !liz_str_eq(liz_jinja_plain(all->names[i]), (liz_str){field.p, len}))
            i++;
        if (i == all->n)
            liz_jinja_fail(j, LIZ_E_FORMAT, "format: there is no '%.*s'", (int)len, field.p);
        v = all->v[i];
    }
    while (rest < stop) {
        bool item = *rest++ == '[';
        const char *close = rest;
        while (close < stop && (item ? *close != ']' : *close != '.' && *close != '['))
            close++;
        jinja_str name = {rest, NULL, (size_t)(close - rest)};
        p = rest;
        index = read_count(j, &p, close, INT32_MAX / 16);
        v = !item                      ? liz_jinja_attr(j, v, name)
            : p == close && index >= 0 ? liz_jinja_item(j, v, liz_jinja_int(index))
                                       : liz_jinja_item(j, v, liz_jinja_string(name));
        rest = close + item;
    }
    return v;
}

static place read_spec(jinja *j, liz_str spec)
{
    place at = {.fill = JINJA_STR(" "), .precision = -1};
    const char *p = spec.p, *end = spec.p + spec.n;
    size_t n;
    unsigned code;
    if (spec.n > 0)
        liz_jinja_char(p, spec.n, &n, &code);
    if (spec.n > 0 && p + n < end && strchr("<>^=", p[n]) != NULL) {
        at.fill = (jinja_str){p, NULL, n};
        at.align = p[n];
        p += n + 1;
    } else if (p < end && strchr("<>^=", *p) != NULL) {
        at.align = *p++;
    }
    if (p < end && strchr("+- ", *p) != NULL)
        at.sign = *p++;
    at.alternate = p < end && *p == '#';
    p += at.alternate;
    if (p < end && *p == '0' && at.align == 0) {
        at.fill = JINJA_STR("0");
        at.align = '=';
        p++;
    }
    at.width = read_count(j, &p, end, WIDTH_MAX);
    at.commas = p < end && *p == ',';
    p += at.commas;
    if (p < end && *p == '.') {
        p++;
        at.precision = read_count(j, &p, end, PRECISION_MAX);
    }
    at.type = p < end ? *p++ : 0;
    if (p != end)
        fail_place(j, "a place has a form that is not known");
    return at;
}

static void format_place(jinja *j, jinja_text *out, liz_str inside, const jinja_args *all, size_t *n)
{
    const char *colon = memchr(inside.p, ':', inside.n);
    liz_str field = {inside.p, colon ? (size_t)(colon - inside.p) : inside.n};
    liz_str spec = colon ? (liz_str){colon + 1, inside.n - field.n - 1} : (liz_str){inside.p, 0};
    char conversion = '\0';
    if (field.n > 1 && field.p[field.n - 2] == '!') {
        conversion = field.p[field.n - 1];
        field.n -= 2;
    }
    jinja_value v = field_value(j, field, all, n);
    if (conversion == 'r') {
        jinja_text repr = {0};
        liz_jinja_repr(j, &repr, v, 0);
        v = liz_jinja_string(liz_jinja_text_str(&repr));
    } else if (conversion == 's') {
        v = liz_jinja_string(liz_jinja_str(j, v));
    }
    place at = read_spec(j, spec);
    add_place(j, out, &at, v);
}

jinja_value liz_jinja_format(jinja *j, jinja_value *arg, const jinja_args *all)
{
    jinja_str s = arg->str;
    jinja_text out = {0};
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        size_t begin = i;
        while (i < s.n && s.p[i] != '{' && s.p[i] != '}')
            i++;
        liz_jinja_add(j, &out, liz_jinja_cut(s, begin, i));
        if (i == s.n)
            break;
        if (i + 1 < s.n && s.p[i + 1] == s.p[i]) {
            liz_jinja_add(j, &out, liz_jinja_cut(s, i, i + 1));
            i += 2;
            continue;
        }
        const char *close = s.p[i] == '{' ? memchr(s.p + i, '}', s.n - i) : NULL;
        if (close == NULL)
            liz_jinja_fail(j, LIZ_E_FORMAT, "Single '%c' encountered in format string", s.p[i]);
        format_place(j, &out, (liz_str){s.p + i + 1, (size_t)(close - s.p) - i - 1}, all, &n);
        i = (size_t)(close - s.p) + 1;
    }
    return liz_jinja_string(liz_jinja_text_str(&out));
}
