/* jinja_format.c - text with places to fill: "%s" % values, and "{}".format(values).
 *
 * A place is written the same in both: [align and flags][width][.precision][type]. Widths and precisions are bounded.
 */
#include "text/jinja_impl.h"

#include <inttypes.h>
#include <stdio.h>

enum { WIDTH_MAX = 1000, PRECISION_MAX = 100 };

typedef struct place {
    char align; /* < > ^ or 0 */
    char sign;  /* + - blank or 0 */
    bool zeros, alternate;
    int width, precision; /* -1: not given */
    char type;            /* 0: none */
} place;

static int read_count(jinja *j, const char **p, const char *end, int max)
{
    int n = -1;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
        if ((n = (n < 0 ? 0 : n) * 10 + **p - '0') > max)
            liz_jinja_fail(j, LIZ_E_FORMAT, "format string: a number is too large");
    return n;
}

/* Reads a place at `*p`, its type included. */
static place read_place(jinja *j, const char **p, const char *end, const char *flags)
{
    place at = {.precision = -1};
    for (; *p < end && **p != '\0' && strchr(flags, **p) != NULL; ++*p) {
        at.zeros |= **p == '0';
        at.alternate |= **p == '#';
        if (**p == '+' || **p == ' ')
            at.sign = **p;
        else if (**p == '-' || **p == '<' || **p == '>' || **p == '^')
            at.align = **p == '-' ? '<' : **p;
    }
    at.width = read_count(j, p, end, WIDTH_MAX);
    if (*p < end && **p == '.') {
        ++*p;
        at.precision = read_count(j, p, end, PRECISION_MAX);
        at.precision = at.precision < 0 ? 0 : at.precision;
    }
    at.type = *p < end ? *(*p)++ : '\0';
    return at;
}

static jinja_str repr_of(jinja *j, jinja_value v)
{
    jinja_text repr = {0};
    liz_jinja_repr(j, &repr, v, 0);
    return liz_jinja_text_str(&repr);
}

/* A number as its place wants it, but for the width. */
static jinja_str number_text(jinja *j, const place *at, jinja_value v)
{
    char *text = liz_jinja_alloc(j, 512, 1), spec[16], sign[2] = {at->sign, '\0'};
    char type = at->type == 'i' || at->type == 'u' ? 'd' : at->type;
    if (!liz_jinja_is_number(v))
        liz_jinja_fail(j, LIZ_E_FORMAT, "format: a number is required, not %s", liz_jinja_type_name(v));
    if (v.type == JINJA_BIG && type == 'd')
        return v.str;
    if (strchr("dxXo", type) != NULL) {
        int64_t n = v.type == JINJA_FLOAT ? (int64_t)(v.real < -9e18  ? -9e18
                                                      : v.real > 9e18 ? 9e18
                                                                      : v.real)
                                          : liz_jinja_whole(j, v);
        snprintf(spec, sizeof spec, "%%s%%%sl%c", at->alternate ? "#" : "", type == 'd' ? 'u' : type);
        snprintf(text, 512, spec, n < 0 ? "-" : sign, n < 0 ? -(uint64_t)n : (uint64_t)n);
    } else if (strchr("eEfFgG", type) != NULL) {
        snprintf(spec, sizeof spec, "%%%s%s.*%c", sign, at->alternate ? "#" : "", type);
        snprintf(text, 512, spec, at->precision < 0 ? 6 : at->precision, liz_jinja_real(j, v));
    } else {
        liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "format string: the type '%c' is not known", type);
    }
    return liz_jinja_literal(text);
}

static void add_place(jinja *j, jinja_text *out, const place *at, jinja_value v)
{
    bool number = at->type == 0 ? liz_jinja_is_number(v) && v.type != JINJA_BOOL : at->type != 's' && at->type != 'r';
    jinja_str s = number && at->type != 0 ? number_text(j, at, v)
                  : at->type == 'r'       ? repr_of(j, v)
                                          : liz_jinja_str(j, v);
    if (!number && at->precision >= 0)
        s = liz_jinja_cut(s, 0, liz_jinja_char_at(s, (size_t)at->precision));
    bool zeros = number && at->zeros && at->align == 0;
    size_t n_sign = zeros && s.n > 0 && strchr("+- ", *s.p) != NULL;
    int room = at->width - (int)liz_jinja_n_chars(s);
    char align = at->align ? at->align : number ? '>' : '<';
    int before = align == '<' ? 0 : align == '^' ? room / 2 : room;
    liz_jinja_add(j, out, liz_jinja_cut(s, 0, n_sign));
    for (int i = 0; i < before; i++)
        liz_jinja_puts(j, out, zeros ? "0" : " ");
    liz_jinja_add(j, out, liz_jinja_cut(s, n_sign, s.n));
    for (int i = before < 0 ? 0 : before; i < room; i++)
        liz_jinja_puts(j, out, " ");
}

jinja_value liz_jinja_percent(jinja *j, jinja_str format, jinja_value values)
{
    jinja_text out = {0};
    bool tuple = values.type == JINJA_LIST && values.list->kind == JINJA_TUPLE;
    size_t n = 0, n_values = tuple ? values.list->n : 1, begin = 0;
    const char *end = format.p + format.n;
    for (const char *p; begin < format.n && (p = memchr(format.p + begin, '%', format.n - begin)) != NULL;) {
        liz_jinja_add(j, &out, liz_jinja_cut(format, begin, (size_t)(p - format.p)));
        p++;
        jinja_value v = tuple && n < n_values ? values.list->v[n] : values;
        bool named = p < end && *p == '(' && values.type == JINJA_DICT;
        if (named) {
            const char *close = memchr(p, ')', (size_t)(end - p));
            jinja_str key = {p + 1, NULL, close ? (size_t)(close - p) - 1 : 0};
            v = liz_jinja_item(j, values, liz_jinja_string(key));
            liz_jinja_defined(j, v);
            p = close ? close + 1 : end;
        }
        place at = read_place(j, &p, end, "-+ #0");
        if (at.type == '\0')
            liz_jinja_fail(j, LIZ_E_FORMAT, "incomplete format");
        begin = (size_t)(p - format.p);
        if (at.type == '%') {
            liz_jinja_puts(j, &out, "%");
            continue;
        }
        if (!named && n++ >= n_values)
            liz_jinja_fail(j, LIZ_E_FORMAT, "not enough arguments for format string");
        at.align = at.align ? at.align : at.zeros ? 0 : '>';
        add_place(j, &out, &at, v);
    }
    liz_jinja_add(j, &out, liz_jinja_cut(format, begin, format.n));
    if (values.type != JINJA_DICT && n < n_values)
        liz_jinja_fail(j, LIZ_E_FORMAT, "not all arguments converted during string formatting");
    return liz_jinja_string(liz_jinja_text_str(&out));
}

/* The argument of a place by its name, its number, or where nothing is written its turn. */
static jinja_value field_value(jinja *j, jinja_str name, const jinja_args *all, size_t *turn)
{
    const char *p = name.p;
    int index = read_count(j, &p, name.p + name.n, 255);
    size_t i = name.n == 0 ? (*turn)++ : index >= 0 && p == name.p + name.n ? (size_t)index : all->n_positional;
    if (name.n > 0 && i == all->n_positional)
        while (i < all->n && !liz_str_eq(liz_jinja_plain(all->names[i]), liz_jinja_plain(name)))
            i++;
    else if (i >= all->n_positional)
        i = all->n;
    if (i == all->n)
        liz_jinja_fail(j, LIZ_E_FORMAT, "format: there is no argument '%.*s'", (int)name.n, name.p);
    return all->v[i];
}

jinja_value liz_jinja_format(jinja *j, jinja_value *arg, const jinja_args *all)
{
    jinja_str s = arg->str;
    jinja_text out = {0};
    size_t turn = 0, begin = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '{' && s.p[i] != '}')
            continue;
        liz_jinja_add(j, &out, liz_jinja_cut(s, begin, i));
        begin = i + 1;
        if (i + 1 < s.n && s.p[i + 1] == s.p[i]) { /* one of two stands for itself */
            i++;
            continue;
        }
        const char *p = s.p + i + 1, *close = memchr(p, '}', s.n - i - 1);
        if (s.p[i] == '}' || close == NULL)
            liz_jinja_fail(j, LIZ_E_FORMAT, "Single '%c' encountered in format string", s.p[i]);
        const char *colon = memchr(p, ':', (size_t)(close - p));
        jinja_str name = {p, NULL, (size_t)((colon ? colon : close) - p)};
        jinja_value v = field_value(j, name, all, &turn);
        p = colon ? colon + 1 : close;
        place at = read_place(j, &p, close, "<>^+- #0");
        if (p != close)
            liz_jinja_fail(j, LIZ_E_UNSUPPORTED, "format string: a place has a form that is not known");
        add_place(j, &out, &at, v);
        i = (size_t)(close - s.p);
        begin = i + 1;
    }
    liz_jinja_add(j, &out, liz_jinja_cut(s, begin, s.n));
    return liz_jinja_string(liz_jinja_text_str(&out));
}
