/* cmd_quantize.c - lizzie quantize: importance from a text where one is given, then the file in its new type. */
#include "cli/cli.h"

#include "sys/clock.h"
#include "sys/files.h"

#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/* What the progress line says is done. */
static char measuring[] = "measuring the inputs", quantising[] = "quantising";

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    cli_progress_open(user, done, total);
    return cli_stop == 0;
}

/* Where the importance of IN goes, or comes from: the file that was named, or OUT.imatrix. */
static liz_status imatrix_place(const cli_args *args, char **place, liz_error *err)
{
    const char *named = args->quantize.opts.imatrix_path, *out = args->positional[1];
    bool given = (named != NULL ? asprintf(place, "%s", named) : asprintf(place, "%s.imatrix", out)) >= 0;
    if (!given)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a path");
    if (liz_file_is_same(*place, args->positional[0]))
        return liz_fail(err, LIZ_E_USAGE, "%s: is IN, which is never replaced: name another file (--imatrix)", *place);
    if (!args->force && access(*place, F_OK) == 0)
        return liz_fail(err, LIZ_E_STATE,
                        "%s: is there already: leave --imatrix-from out to use it, or --force to replace it", *place);
    return LIZ_OK;
}

static liz_status imatrix_make(cli_args *args, char **place, liz_error *err)
{
    liz_imatrix_report report;
    const char *text = args->quantize.calibration;
    liz_engine_opts opts = {
        .n_threads = args->line.engine.n_threads, .on_progress = cli_progress_open, .on_progress_user = measuring};
    LIZ_TRY(imatrix_place(args, place, err));
    LIZ_TRY(liz_imatrix_make(args->positional[0], text, strlen(text), *place, &opts, &report, err));
    args->quantize.opts.imatrix_path = *place;
    cli_progress_clear();
    fprintf(stderr, "%s: of %zu tokens, perplexity %.4g\n", *place, report.n_tokens, report.perplexity);
    return LIZ_OK;
}

static void write_report(const cli_args *args, const liz_quantize_report *r, double s, liz_buf *out)
{
    bool weighted = args->quantize.opts.imatrix_path != NULL;
    if (args->json) {
        liz_buf_printf(out,
                       "{\"bytes_in\":%llu,\"bytes_out\":%llu,\"tensors\":%d,\"tensors_other_type\":%d,\"error\":%.6g,"
                       "\"error_weighted\":%.6g,\"seconds\":%.3f}\n",
                       (unsigned long long)r->bytes_in, (unsigned long long)r->bytes_out, r->n_tensors, r->n_other_type,
                       r->error, r->error_weighted, s);
        return;
    }
    liz_buf_printf(out, "%s: %d tensors written anew, %.1f MB from %.1f MB, weight error %.3g", args->positional[1],
                   r->n_tensors, (double)r->bytes_out * 1e-6, (double)r->bytes_in * 1e-6, r->error);
    if (weighted)
        liz_buf_printf(out, " (by importance %.3g)", r->error_weighted);
    liz_buf_printf(out, ", %.1f s, %.0f MB/s\n", s, (double)r->bytes_in * 1e-6 / s);
    if (r->n_other_type > 0)
        liz_buf_printf(out,
                       "%d tensors have rows that are no whole blocks of their type and took another: -v lists them\n",
                       r->n_other_type);
}

static liz_status quantize(cli_args *args, liz_buf *out, liz_error *err)
{
    liz_quantize_report report;
    liz_quantize_opts *opts = &args->quantize.opts;
    opts->n_threads = args->line.engine.n_threads;
    opts->overwrite = args->force;
    opts->on_progress = on_progress;
    opts->on_progress_user = quantising;
    cli_at_work = true; /* an interrupted file is removed */
    uint64_t begin_us = liz_clock_us();
    liz_status status = liz_quantize(args->positional[0], args->positional[1], args->positional[2], opts, &report, err);
    if (status == LIZ_OK)
        write_report(args, &report, (double)(liz_clock_us() - begin_us + 1) * 1e-6, out);
    return status;
}

static liz_status check_args(const cli_args *args, liz_error *err)
{
    const cli_quantize_args *q = &args->quantize;
    if (args->n_positional == 2)
        return liz_fail(err, LIZ_E_USAGE, "quantize: the type is missing: lizzie quantize IN OUT TYPE");
    if (args->n_positional == 1 && (q->calibration == NULL || q->opts.imatrix_path == NULL))
        return liz_fail(err, LIZ_E_USAGE,
                        "quantize: OUT and TYPE are missing, or --imatrix-from and --imatrix to measure only");
    return LIZ_OK;
}

/* What would be refused after the calibration text was measured, which can take long. */
static liz_status check_out(const cli_args *args, liz_error *err)
{
    const liz_quantize_opts *o = &args->quantize.opts;
    const char *const types[] = {args->positional[2], o->output_type, o->embedding_type};
    const char *out = args->positional[1];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *name = types[i];
        for (int k = 0; name != NULL && (name = liz_quantize_type(k)) != NULL && strcasecmp(name, types[i]) != 0; k++)
            ;
        if (types[i] != NULL && name == NULL)
            return liz_fail(err, LIZ_E_USAGE, "%s: is not a type that can be written: docs/quantize.md lists them",
                            types[i]);
    }
    if (!args->force && access(out, F_OK) == 0)
        return liz_fail(err, LIZ_E_STATE, "%s: is there already: name another file, or add --force", out);
    return LIZ_OK;
}

liz_status cli_quantize(cli_args *args, liz_buf *out, liz_error *err)
{
    char *place = NULL;
    liz_status status = check_args(args, err);
    if (status == LIZ_OK && args->quantize.calibration != NULL && args->n_positional == 3)
        status = check_out(args, err);
    if (status == LIZ_OK && args->quantize.calibration != NULL)
        status = imatrix_make(args, &place, err);
    if (status == LIZ_OK && args->n_positional == 3)
        status = quantize(args, out, err);
    free(place);
    return status;
}
