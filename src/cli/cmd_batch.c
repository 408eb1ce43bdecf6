/* cmd_batch.c - lizzie batch: options to a job, its outcome to words and an exit code. */
#include "cli/cli.h"

#include <inttypes.h>

/* Says how a line ended; gives the exit code. */
static int tell_outcome(const cli_args *args, const liz_line_report *report)
{
    const char *again = report->resumable ? "run the same command again to go on" : "- cannot be resumed";
    const char *out = args->line.out_path;
    uint64_t n_rows = report->progress.n_rows;
    switch (report->outcome) {
    case LIZ_LINE_NOTHING: fprintf(stderr, "lizzie: %s: is finished: nothing was left to do\n", out); break;
    case LIZ_LINE_LIMITED:
        fprintf(stderr, "lizzie: %s: holds %" PRIu64 " rows, as many as --limit wants: run without it for the rest\n",
                out, n_rows);
        break;
    case LIZ_LINE_STRICT:
        fprintf(stderr, "lizzie: --strict: stopped before %s: mend the row and %s\n", report->message, again);
        return EXIT_FAILED;
    case LIZ_LINE_INTERRUPTED:
        if (args->line.retry_failed)
            fprintf(stderr, "lizzie: interrupted: the retry of %s is at row %" PRIu64 ": %s\n", out, n_rows, again);
        else
            fprintf(stderr, "lizzie: interrupted: %" PRIu64 " rows are in %s: %s\n", n_rows, out, again);
        return cli_exit_interrupted();
    case LIZ_LINE_DONE:
    case LIZ_LINE_PLANNED: break;
    }
    return report->progress.n_failed > 0 ? EXIT_ERROR_ROWS : EXIT_DONE;
}

liz_status cli_batch(cli_args *args, liz_buf *out, liz_error *err)
{
    liz_line_report report;
    if (args->line.out_path == NULL && !args->line.dry_run)
        return liz_fail(err, LIZ_E_USAGE, "batch: no output is named: add -o OUT");
    LIZ_TRY(cli_choices_read(args, err));
    if (args->line.max_tokens < 0)
        args->line.max_tokens = LIZ_LINE_MAX_TOKENS_DEFAULT;
    args->line.in_path = args->positional[1];
    if (args->line.out_path == NULL)
        args->line.out_path = "-";
    args->line.stop = &cli_stop;
    args->line.at_work = &cli_at_work;
    args->line.on_progress = cli_progress_show;
    cli_resumes = true;
    if (strcmp(args->line.out_path, "-") == 0 && !args->line.dry_run)
        fputs("lizzie: -o -: a line to standard output cannot be resumed\n", stderr);
    liz_status status = liz_line_run(&args->line, &report, err);
    if (status != LIZ_OK) {
        args->exit_code = cli_fail(status, err);
        if (report.resumable && report.progress.n_rows > 0 && status != LIZ_E_STATE && status != LIZ_E_USAGE)
            fprintf(stderr, "lizzie: %s: keeps its %" PRIu64 " rows: run the same command again to go on\n",
                    args->line.out_path, report.progress.n_rows);
    } else if (report.outcome == LIZ_LINE_PLANNED) {
        liz_buf_append_str(out, liz_buf_str(&report.plan));
    } else {
        cli_summary_print(&report, args);
        args->exit_code = tell_outcome(args, &report);
    }
    liz_line_report_free(&report);
    return LIZ_OK;
}
