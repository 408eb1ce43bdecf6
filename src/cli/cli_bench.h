/* cli_bench.h - timing a model through <lizzie.h> and the line, as any program would use them. */
#ifndef LIZ_CLI_CLI_BENCH_H
#define LIZ_CLI_CLI_BENCH_H

#include "cli/cli.h"

/* Where the steps of all rounds of a figure spent their time. */
typedef struct cli_bench_profile {
    liz_profile_part parts[LIZ_PROFILE_PARTS_MAX];
    size_t n_parts;
    uint64_t n_steps;
} cli_bench_profile;

/* Tokens a second of n sequences together, n rising. */
typedef struct cli_bench_curve {
    int counts[CLI_BENCH_COUNTS_MAX];
    double tok_s[CLI_BENCH_COUNTS_MAX];
    int n;
} cli_bench_curve;

/* What was timed, a value for each round. */
typedef struct cli_bench_times {
    double open_s[CLI_BENCH_ROUNDS_MAX];        /* liz_engine_open */
    double first_token_s[CLI_BENCH_ROUNDS_MAX]; /* from there to the first token of a prompt of one */
    double prefill_tok_s[CLI_BENCH_ROUNDS_MAX];
    double decode_tok_s[CLI_BENCH_COUNTS_MAX][CLI_BENCH_ROUNDS_MAX];
    double line_rows_s[CLI_BENCH_ROUNDS_MAX];
    uint64_t open_peak_bytes, peak_bytes; /* resident, at the end of opening and of all before the line */
    liz_engine_info info;                 /* its texts are gone with the engine */
    int32_t n_prefill_chunk;
    /* The line: tokens of a row on average. Without rows, or a vocabulary to write them with, it did not run. */
    bool has_line;
    double line_computed, line_saved, line_completion;
    cli_bench_curve beside;                               /* another program's */
    cli_bench_profile profiles[CLI_BENCH_COUNTS_MAX + 1]; /* of prefill, then of each count; --profile only */
} cli_bench_times;

double cli_bench_median(const double *values, int n);
LIZ_MUST_CHECK liz_status cli_bench_curve_read(cli_bench_curve *curve, const char *path, liz_error *err);
/* Draws args->bench.plot. */
LIZ_MUST_CHECK liz_status cli_bench_plot(const cli_args *args, const cli_bench_times *times, liz_error *err);

/* Settles what was not given: the usual, cut to what the model's context holds. LIZ_E_USAGE. */
LIZ_MUST_CHECK liz_status cli_bench_settle(cli_args *args, liz_error *err);

/* LIZ_E_CANCELLED after a signal. */
LIZ_MUST_CHECK liz_status cli_bench_run(const cli_args *args, cli_bench_times *times, liz_error *err);

#endif
