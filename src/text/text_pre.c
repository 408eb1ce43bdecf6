/* text_pre.c - cutting a text stage by stage. Patterns are compiled once in a process, on first use. */
#include "text/text_pre.h"

#include "base/status.h"

#include <pthread.h>
#include <stdio.h>

enum { ROWS_MAX = 40 };

static const liz_text_pattern *compiled[ROWS_MAX][LIZ_TEXT_PRE_STAGES_MAX + 1]; /* ended by NULL */
static pthread_once_t compiled_once = PTHREAD_ONCE_INIT;

static void compile_all(void)
{
    LIZ_ASSERT(liz_text_pre_table_len <= ROWS_MAX);
    for (size_t i = 0; i < liz_text_pre_table_len; i++)
        for (int k = 0; liz_text_pre_table[i].stages[k] != NULL; k++)
            compiled[i][k] = liz_text_pattern_compile(liz_text_unicode_get(), liz_text_pre_table[i].stages[k]);
}

void liz_text_pre_cursor_init(liz_text_pre_cursor *cursor, const liz_text_unicode *unicode, const liz_text_pre *pre,
                              liz_str text)
{
    pthread_once(&compiled_once, compile_all);
    *cursor = (liz_text_pre_cursor){.unicode = unicode, .stages = compiled[pre - liz_text_pre_table], .text = text.p};
    cursor->end[0] = text.n;
}

static bool match(liz_text_pre_cursor *c, int k, size_t pos, size_t *end)
{
    return liz_text_pattern_match(c->stages[k], c->unicode, &c->memo[k], c->text, pos, c->end[k], end);
}

/* The end of the piece of stage `k` that begins at `pos`: a match, or all up to the next one. */
static size_t piece_end(liz_text_pre_cursor *c, int k, size_t pos)
{
    size_t end = pos, len;
    unsigned code;
    if (match(c, k, pos, &end) && end > pos)
        return end;
    do {
        liz_text_char(c->unicode, c->text + pos, c->end[k] - pos, &len, &code);
        pos += len;
    } while (pos < c->end[k] && !match(c, k, pos, &end));
    return pos;
}

bool liz_text_pre_cursor_next(liz_text_pre_cursor *cursor, liz_str *piece)
{
    size_t pos = cursor->pos;
    int k = 0;
    if (pos == cursor->end[0])
        return false;
    while (cursor->stages[k] != NULL && cursor->end[k + 1] > pos)
        k++;
    for (; cursor->stages[k] != NULL; k++)
        cursor->end[k + 1] = piece_end(cursor, k, pos);
    *piece = (liz_str){cursor->text + pos, cursor->end[k] - pos};
    cursor->pos = cursor->end[k];
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
