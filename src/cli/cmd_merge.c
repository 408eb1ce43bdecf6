/* cmd_merge.c - lizzie merge: adapters into a model's weights, and several models into their mean. */
#include "cli/cli.h"

static liz_status check(const cli_args *args, liz_error *err)
{
    const char *out = args->line.out_path;
    if (out == NULL)
        return liz_fail(err, LIZ_E_USAGE, "merge: no output is named: add -o OUT");
    if (args->line.engine.n_loras == 0 && args->n_positional < 2)
        return liz_fail(err, LIZ_E_USAGE, "merge: neither an adapter nor a second model is named: add --lora FILE");
    return cli_check_written(args, out, err);
}

static char merging[] = "merging"; /* what the progress line says is done */

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    cli_progress_open(merging, done, total);
    return cli_stop == 0;
}

liz_status cli_merge(cli_args *args, liz_buf *out, liz_error *err)
{
    (void)out;
    liz_merge_opts opts = {.loras = args->loras,
                           .n_loras = args->line.engine.n_loras,
                           .others = args->positional + 1,
                           .n_others = (size_t)args->n_positional - 1,
                           .type = args->type,
                           .overwrite = args->force,
                           .n_threads = args->line.engine.n_threads,
                           .on_progress = on_progress};
    cli_at_work = true; /* an interrupted file is removed */
    liz_status status = check(args, err) ?: liz_merge(args->line.model_path, args->line.out_path, &opts, err);
    if (status == LIZ_E_STATE)
        liz_fail(err, status, "%s: is there already: name another file after -o, or add --force", args->line.out_path);
    return status;
}
