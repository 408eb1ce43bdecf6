/* cli_progress.c - the progress line and the summary of a line, all on standard error.
 *
 * Rates are of the rows that this run made; those of earlier runs, and those that a retry keeps, count only towards the
 * whole. The remaining time is judged by bytes of input, which are known before its rows are, unless --limit counts. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool line_shown;

static bool on_terminal(void) { return isatty(STDERR_FILENO) == 1; }

static const char *red(bool begin)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if ((no_color != NULL && *no_color != '\0') || term == NULL || strcmp(term, "dumb") == 0)
        return "";
    return begin ? "\x1b[31m" : "\x1b[0m";
}

void cli_progress_clear(void)
{
    if (line_shown)
        fputs("\r\x1b[K", stderr);
    line_shown = false;
}

void cli_progress_line(const char *text)
{
    if (!on_terminal())
        return;
    struct winsize size = {0};
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    fprintf(stderr, "\r\x1b[K%.*s", known ? size.ws_col - 1 : 79, text); /* a line that wraps cannot be cleared */
    fflush(stderr);
    line_shown = true;
}

void cli_progress_open(void *user, uint64_t done, uint64_t total)
{
    char text[128];
    const char *doing = user != NULL ? (const char *)user : "reading the model";
    if (done >= total) {
        cli_progress_clear();
        return;
    }
    snprintf(text, sizeof text, "%s: %.0f %%", doing, 100 * (double)done / (double)total);
    cli_progress_line(text);
}

static double seconds_of(const liz_line_progress *p) { return (double)p->elapsed_us * 1e-6; }

const char *cli_duration(double s, char *out, size_t size)
{
    if (s >= 3600)
        snprintf(out, size, "%.0f h %02d min", (double)(long)(s / 3600), (int)((long)s % 3600 / 60));
    else if (s >= 60)
        snprintf(out, size, "%ld min %02d s", (long)s / 60, (int)((long)s % 60));
    else
        snprintf(out, size, "%.1f s", s);
    return out;
}

/* By rows where --limit says how many, by bytes of the input else. */
static void show_remaining(const liz_line_progress *p, double s)
{
    char text[32];
    uint64_t done = p->n_rows_max ? p->n_rows : p->in_bytes, total = p->n_rows_max ? p->n_rows_max : p->in_bytes_total;
    uint64_t before = p->n_rows_max ? p->n_rows_before : p->in_bytes_before;
    if (done <= before || done > total || s < 1)
        return;
    double left = (double)(total - done) * s / (double)(done - before);
    fprintf(stderr, ", %.0f %%, %s left", 100 * (double)done / (double)total, cli_duration(left, text, sizeof text));
}

void cli_progress_show(void *user, const liz_line_progress *p)
{
    (void)user;
    double s = seconds_of(p), rows = (double)p->n_made;
    if (!on_terminal() || s <= 0)
        return;
    double tokens = (double)(p->n_prompt_tokens + p->n_completion_tokens);
    fprintf(stderr, "\r\x1b[K%" PRIu64 " rows, %.1f rows/s, %.0f tokens/s", p->n_rows, rows / s, tokens / s);
    show_remaining(p, s);
    if (p->n_failed > 0)
        fprintf(stderr, ", %s%" PRIu64 " failed%s", red(true), p->n_failed, red(false));
    fflush(stderr);
    line_shown = true;
}

static void print_energy(const liz_line_progress *p, const cli_args *args, double rows)
{
    if (p->joules < 0)
        return;
    double kwh_million = p->joules / rows * 1e6 / 3.6e6;
    fprintf(stderr, "energy: %.1f J%s, %.3f J a row; a million rows: %.2f kWh, %.2f at %.2f a kWh\n", p->joules,
            args->line.watts > 0 ? " (by --watts)" : "", p->joules / rows, kwh_million, kwh_million * args->price_kwh,
            args->price_kwh);
}

enum { CHOICES_SHOWN = 20 };

/* The choices of this run's rows, the most frequent first, and how likely each was where it was the answer. */
static void print_choices(const liz_line_report *report, const liz_line_opts *opts, double rows)
{
    size_t n_left = 0;
    for (size_t i = 0; i < opts->n_choices; i++)
        n_left += report->choices[i].n > 0;
    for (int shown = 0; n_left > 0 && shown < CHOICES_SHOWN; shown++, n_left--) {
        size_t best = 0;
        for (size_t i = 1; i < opts->n_choices; i++)
            if (report->choices[i].n > report->choices[best].n)
                best = i;
        liz_line_tally *t = &report->choices[best];
        fprintf(stderr, "%s %8" PRIu64 "  %5.1f %%  mean probability %.2f  %s\n", shown ? "        " : "choices:", t->n,
                100 * (double)t->n / rows, t->sum / (double)t->n, opts->choices[best]);
        t->n = 0;
    }
    if (n_left > 0)
        fprintf(stderr, "         %8zu  others\n", n_left);
}

void cli_summary_print(const liz_line_report *report, const cli_args *args)
{
    const liz_line_progress *p = &report->progress;
    double s = seconds_of(p), rows = (double)p->n_made;
    char text[32];
    cli_progress_clear();
    fprintf(stderr, "rows: %" PRIu64, p->n_rows);
    if (p->n_rows_before > 0)
        fprintf(stderr, " (%" PRIu64 " of them from before)", p->n_rows_before);
    fprintf(stderr, ", %" PRIu64 " failed", p->n_failed);
    if (p->n_truncated > 0)
        fprintf(stderr, ", %" PRIu64 " shortened by --truncate", p->n_truncated);
    fputc('\n', stderr);
    if (rows <= 0 || s <= 0)
        return;
    fprintf(stderr, "tokens: %" PRIu64 " in (%" PRIu64 " of them saved by the prefix cache), %" PRIu64 " out\n",
            p->n_prompt_tokens, p->n_reused_tokens, p->n_completion_tokens);
    fprintf(stderr, "time: %s, %.1f rows/s, %.0f tokens/s\n", cli_duration(s, text, sizeof text), rows / s,
            (double)(p->n_prompt_tokens + p->n_completion_tokens) / s);
    fprintf(stderr, "speed: %.0f words a minute read, %.0f written (a person reads 250)\n",
            (double)p->n_words_read / s * 60, (double)p->n_words_written / s * 60);
    print_choices(report, &args->line, rows);
    print_energy(p, args, rows);
}
