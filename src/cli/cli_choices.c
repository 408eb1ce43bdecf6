/* cli_choices.c - the answers there are, from --choices or a file.
 *
 * A list is written as a row of CSV: commas between them, quotes around one that holds commas, quotes (doubled), or
 * spaces at its ends, which are left out otherwise. A file has one a line. */
#include "cli/cli.h"

#include <stdlib.h>

static const char *skip_spaces(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

/* Appends the text in quotes that begins behind `p`; gives what follows, NULL when it is not closed. */
static const char *take_quoted(const char *p, liz_buf *out)
{
    for (; *p != '\0'; p++) {
        if (*p == '"' && *++p != '"')
            return skip_spaces(p);
        liz_buf_putc(out, *p);
    }
    return NULL;
}

static const char *take_plain(const char *p, liz_buf *out)
{
    size_t n = strcspn(p, ","), n_text = n;
    while (n_text > 0 && p[n_text - 1] == ' ')
        n_text--;
    liz_buf_append(out, p, n_text);
    return p + n;
}

/* Texts one after another, each with its NUL. */
static liz_status list_split(const char *list, liz_buf *out, size_t *n, liz_error *err)
{
    const char *p = list;
    for (*n = 0;; p++, ++*n) {
        p = skip_spaces(p);
        p = *p == '"' ? take_quoted(p + 1, out) : take_plain(p, out);
        liz_buf_putc(out, '\0');
        if (p == NULL || (*p != ',' && *p != '\0'))
            return liz_fail(err, LIZ_E_USAGE,
                            "--choices %.200s: a quote is not closed, or something follows it: write a,b or \"a,b\",c",
                            list);
        if (*p == '\0') {
            ++*n;
            return LIZ_OK;
        }
    }
}

static void lines_split(const char *text, liz_buf *out, size_t *n)
{
    for (*n = 0; *text != '\0'; text += *text == '\n') {
        size_t n_line = strcspn(text, "\n"), n_text = n_line;
        if (n_text > 0 && text[n_text - 1] == '\r')
            n_text--;
        if (n_text > 0) {
            liz_buf_append(out, text, n_text);
            liz_buf_putc(out, '\0');
            ++*n;
        }
        text += n_line;
    }
}

liz_status cli_choices_read(cli_args *args, liz_error *err)
{
    bool of_file = args->choices_text != NULL;
    size_t n = 0;
    if (of_file && args->choices_list != NULL)
        return liz_fail(err, LIZ_E_USAGE, "--choices and --choices-file: both are given: leave one out");
    if (!of_file && args->choices_list == NULL)
        return LIZ_OK;
    if (args->line.max_tokens >= 0)
        return liz_fail(err, LIZ_E_USAGE, "--max-tokens: an answer is as long as its choice: leave it out");
    liz_status status = LIZ_OK;
    liz_buf_init(&args->choices, 64u << 20);
    if (of_file)
        lines_split(args->choices_text, &args->choices, &n);
    else
        status = list_split(args->choices_list, &args->choices, &n, err);
    if (status == LIZ_OK && n == 0)
        status = liz_fail(err, LIZ_E_USAGE, "--choices-file: holds no choice: write one a line");
    const char **choices = status == LIZ_OK ? calloc(n, sizeof *choices) : NULL;
    if (status == LIZ_OK && (choices == NULL || liz_buf_failed(&args->choices)))
        status = liz_fail(err, LIZ_E_MEMORY, "--choices: no memory for %zu", n);
    const char *at = args->choices.data;
    for (size_t i = 0; status == LIZ_OK && i < n; i++, at += strlen(at) + 1)
        choices[i] = at;
    args->line.choices = choices;
    args->line.n_choices = choices != NULL ? n : 0;
    return status ?: liz_line_choices_check(&args->line, err);
}
