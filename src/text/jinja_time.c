/* jinja_time.c - strftime_now: the clock as a format wants it.
 *
 * The format is walked here and the C library sees one directive at a time: so texts may be of any length, bytes of the
 * format keep their marks of data, and what Python makes otherwise of a time without a zone and a fraction is done as
 * Python does. */
#include "text/jinja_impl.h"

#include <stdio.h>

/* The bytes of the directive at `s`, which begins with a percent sign: flags, a width and a modifier may stand in it.
 */
static size_t directive_len(jinja_str s)
{
    enum { WIDTH_MOST = 3 };
    size_t n = 1, n_width = 0;
    while (n < s.n && s.p[n] != '\0' && strchr("-_0^#", s.p[n]) != NULL)
        n++;
    for (; n < s.n && s.p[n] >= '0' && s.p[n] <= '9' && n_width < WIDTH_MOST; n_width++)
        n++;
    n += n < s.n && (s.p[n] == 'E' || s.p[n] == 'O');
    return n < s.n ? n + 1 : n;
}

/* What a directive becomes: six zeros for a fraction that the clock has not, nothing for its zone. It stands as it is
 * where it is none. */
static void add_directive(jinja *j, jinja_text *out, jinja_str directive)
{
    enum { FORMAT_MOST = 32, TEXT_MOST = 1536 }; /* a width has three digits */
    char format[FORMAT_MOST] = "", text[TEXT_MOST];
    uint8_t mask[TEXT_MOST];
    char kind = directive.p[directive.n - 1];
    bool known = directive.n > 1 && directive.n < FORMAT_MOST && memchr(directive.p, '\0', directive.n) == NULL &&
                 (unsigned char)kind < 128;
    if (!known) {
        liz_jinja_add(j, out, directive);
        return;
    }
    memcpy(format, directive.p, directive.n);
    size_t n = kind == 'z' || kind == 'Z' ? 0
               : kind == 'f'              ? (size_t)snprintf(text, sizeof text, "000000")
                                          : strftime(text, sizeof text, format, j->now);
    bool marked = directive.mask != NULL && memchr(directive.mask, 1, directive.n) != NULL;
    memset(mask, 1, n);
    liz_jinja_work(j, 16);
    liz_jinja_add(j, out, (jinja_str){text, marked ? mask : NULL, n});
}

jinja_value liz_jinja_strftime(jinja *j, const jinja_value *arg, JINJA_UNUSED const jinja_args *all,
                               JINJA_UNUSED int how)
{
    jinja_str rest = liz_jinja_str(j, arg[1]);
    jinja_text out = {0};
    while (rest.n > 0) {
        const char *sign = memchr(rest.p, '%', rest.n);
        size_t begin = sign ? (size_t)(sign - rest.p) : rest.n;
        liz_jinja_add(j, &out, liz_jinja_cut(rest, 0, begin));
        rest = liz_jinja_cut(rest, begin, rest.n);
        size_t n = rest.n > 0 ? directive_len(rest) : 0;
        if (n > 0)
            add_directive(j, &out, liz_jinja_cut(rest, 0, n));
        rest = liz_jinja_cut(rest, n, rest.n);
    }
    return liz_jinja_text(&out);
}
