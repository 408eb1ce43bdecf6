/* stop.c - one Knuth-Morris-Pratt automaton for each stop string.
 *
 * An automaton's state is how many bytes of its string the text ends with. The longest state says how much must be held
 * back; and since those bytes are the beginning of that very string, they need not be stored. With at most 16 strings a
 * step of all automata for each byte is cheap, and each does amortised constant work for a byte. */
#include "decode/stop.h"

#include <stdint.h>
#include <stdlib.h>

typedef struct automaton {
    const char *text; /* [len] */
    uint16_t len;
    uint16_t n_matched;
    uint16_t
        fallback[LIZ_STOP_LEN_MAX]; /* after a mismatch behind the first i + 1 bytes: the longest border of those */
} automaton;

struct liz_stop {
    size_t n;
    size_t n_held;        /* bytes held back, */
    const char *held;     /* the first of this string */
    automaton automata[]; /* [n], and behind them the strings */
};

static liz_status strings_check(const char *what, const char *const *strings, size_t n, size_t *total, liz_error *err)
{
    *total = 0;
    if (n > LIZ_STOP_MAX)
        return liz_fail(err, LIZ_E_LIMIT, "%ss: %zu given: at most %d are possible", what, n, LIZ_STOP_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(strings[i]);
        if (len == 0)
            return liz_fail(err, LIZ_E_USAGE, "%s %zu: it is empty: leave it out", what, i + 1);
        if (len > LIZ_STOP_LEN_MAX)
            return liz_fail(err, LIZ_E_LIMIT, "%s %zu: it has %zu bytes: at most %d are possible", what, i + 1, len,
                            LIZ_STOP_LEN_MAX);
        if (liz_utf8_valid_prefix(strings[i], len) != len)
            return liz_fail(err, LIZ_E_USAGE, "%s %zu: it is not UTF-8: it could never appear", what, i + 1);
        *total += len;
    }
    return LIZ_OK;
}

static void automaton_init(automaton *a, const char *text, size_t len)
{
    *a = (automaton){.text = text, .len = (uint16_t)len};
    for (size_t i = 1, border = 0; i < len; i++) {
        while (border > 0 && text[i] != text[border])
            border = a->fallback[border - 1];
        border += text[i] == text[border];
        a->fallback[i] = (uint16_t)border;
    }
}

liz_status liz_stop_open(liz_stop **out, const char *what, const char *const *strings, size_t n, liz_error *err)
{
    size_t total;
    LIZ_TRY(strings_check(what, strings, n, &total, err));
    liz_stop *stop = calloc(1, sizeof *stop + n * sizeof *stop->automata + total);
    if (stop == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%ss: no memory", what);
    stop->n = n;
    char *at = (char *)&stop->automata[n];
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(strings[i]);
        memcpy(at, strings[i], len);
        automaton_init(&stop->automata[i], at, len);
        at += len;
    }
    *out = stop;
    return LIZ_OK;
}

void liz_stop_close(liz_stop *stop) { free(stop); }

static void automaton_step(automaton *a, char c)
{
    while (a->n_matched > 0 && a->text[a->n_matched] != c)
        a->n_matched = a->fallback[a->n_matched - 1];
    a->n_matched = (uint16_t)(a->n_matched + (a->text[a->n_matched] == c));
}

/* The text is what was held and then `c`; all but its last `n_kept` bytes are certain. */
static void certain_append(const liz_stop *stop, char c, size_t n_kept, liz_buf *out)
{
    size_t n_certain = stop->n_held + 1 - n_kept;
    liz_buf_append(out, stop->held, n_certain < stop->n_held ? n_certain : stop->n_held);
    if (n_certain > stop->n_held)
        liz_buf_putc(out, c);
}

bool liz_stop_push(liz_stop *stop, liz_str text, liz_buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        const automaton *longest = NULL, *complete = NULL;
        for (size_t j = 0; j < stop->n; j++) {
            automaton *a = &stop->automata[j];
            automaton_step(a, text.p[i]);
            if (longest == NULL || a->n_matched > longest->n_matched)
                longest = a;
            if (a->n_matched == a->len && (complete == NULL || a->len > complete->len))
                complete = a;
        }
        const automaton *kept = complete != NULL ? complete : longest;
        certain_append(stop, text.p[i], kept == NULL ? 0 : kept->n_matched, out);
        stop->n_held = complete != NULL || kept == NULL ? 0 : kept->n_matched;
        stop->held = kept == NULL ? NULL : kept->text;
        if (complete != NULL)
            return true;
    }
    return false;
}

void liz_stop_finish(liz_stop *stop, liz_buf *out)
{
    liz_buf_append(out, stop->held, stop->n_held);
    stop->n_held = 0;
}

bool liz_stop_watch(liz_stop *stop, liz_str text)
{
    bool seen = false;
    for (size_t i = 0; i < text.n; i++)
        for (size_t j = 0; j < stop->n; j++) {
            automaton *a = &stop->automata[j];
            automaton_step(a, text.p[i]);
            if (a->n_matched < a->len)
                continue;
            seen = true;
            a->n_matched = a->fallback[a->len - 1];
        }
    return seen;
}
