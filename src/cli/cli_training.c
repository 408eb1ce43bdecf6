/* cli_training.c - tells how a training goes, of a model or of an adapter; and lizzie train, which is little more.
 *
 * On a terminal a line is rewritten at every step; what stays, there and in a log of standard error, are a line for
 * each validation and the sample made after it. */
#include "cli/cli.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Before ---- */

static void tell_plan(cli_teller *t, const liz_train_progress *p)
{
    const liz_train_state *s = p->state;
    cli_progress_clear();
    t->first_tokens = s->n_tokens;
    t->first_steps = s->step;
    t->first_seconds = s->seconds;
    fprintf(stderr, "data: %" PRIu64 " %s, ", p->n_documents, p->model_bytes > 0 ? "rows" : "documents");
    if (p->n_data_bytes > 0)
        fprintf(stderr, "%.1f MB, ", (double)p->n_data_bytes * 1e-6);
    fprintf(stderr, "%.2f M tokens of a vocabulary of %" PRIu64 "; validation: %.2f M\n",
            (double)p->n_data_tokens * 1e-6, p->n_vocab, (double)p->n_valid_tokens * 1e-6);
    fprintf(stderr, "%s: %.2f M parameters; memory: %.2f GiB", p->model_bytes > 0 ? "adapter" : "model",
            (double)p->n_params * 1e-6, (double)(p->memory_bytes + p->model_bytes) / (1 << 30));
    if (p->model_bytes > 0)
        fprintf(stderr, ", of it %.2f the model's file", (double)p->model_bytes / (1 << 30));
    fputc('\n', stderr);
    if (p->resumes && s->step > 0)
        fprintf(stderr, "going on after step %" PRIu64 "\n", s->step);
    cli_at_work = true;
}

/* ---- While it goes on ---- */

static void put_speed(cli_teller *t, const liz_train_progress *p, liz_buf *out)
{
    const liz_train_state *s = p->state;
    const cli_args *args = t->args;
    liz_machine machine;
    char text[32];
    double seconds = s->seconds - t->first_seconds, tokens_s = (double)(s->n_tokens - t->first_tokens) / seconds;
    if (seconds <= 0)
        return;
    /* The machine's rate is measured once a run has proved to be one of some length. */
    if (t->ops_s_max == 0 && seconds > 10)
        t->ops_s_max =
            liz_machine_measure(args->line.engine.n_threads, &machine, NULL) == LIZ_OK ? machine.bf16_ops_s : -1;
    liz_buf_printf(out, ", %.0f tokens/s", tokens_s);
    if (t->ops_s_max > 0)
        liz_buf_printf(out, " (%.0f %% of the machine)", 100 * tokens_s * p->token_ops / t->ops_s_max);
    double left_s = args->train.common.hours > 0
                        ? args->train.common.hours * 3600 - s->seconds
                        : seconds / (double)(s->step - t->first_steps) * (double)(s->n_steps - s->step);
    if (left_s > 0)
        liz_buf_printf(out, ", %s left", cli_duration(left_s, text, sizeof text));
}

static void put_step(const liz_train_progress *p, liz_buf *out)
{
    const liz_train_state *s = p->state;
    liz_buf_printf(out, "step %" PRIu64, s->step);
    if (s->n_steps > 0)
        liz_buf_printf(out, " of %" PRIu64, s->n_steps);
    liz_buf_printf(out, ", %.1f M tokens, loss %.4f", (double)s->n_tokens * 1e-6, s->last_loss);
}

static void put_valid(const liz_train_progress *p, liz_buf *out)
{
    double loss = p->state->last_valid;
    if (isnan(loss))
        return;
    liz_buf_printf(out, ", validation %.4f: perplexity %.2f a token", loss, exp(loss));
    if (p->words_per_token > 0)
        liz_buf_printf(out, ", %.4g a word", exp(loss / p->words_per_token));
    if (p->bytes_per_token > 0)
        liz_buf_printf(out, ", %.4f a byte", exp(loss / p->bytes_per_token));
}

/* A line that stays after a validation, else one that the next step's takes the place of. */
static void tell_step(cli_teller *t, const liz_train_progress *p, bool stays)
{
    liz_buf line = {.len_max = 4096};
    put_step(p, &line);
    if (stays)
        put_valid(p, &line);
    put_speed(t, p, &line);
    if (!stays) {
        cli_progress_line(line.data);
    } else {
        cli_progress_clear();
        fprintf(stderr, "%s\n", line.data);
        if (p->sample != NULL)
            fprintf(stderr, "  | %s\n", p->sample);
    }
    liz_buf_free(&line);
}

static void tell_end(const cli_teller *t, const liz_train_progress *p)
{
    char text[32];
    cli_progress_clear();
    if (p->was_finished)
        fprintf(stderr, "%s: is finished already: nothing to do\n", t->out);
    else
        fprintf(stderr, "%s: written after %" PRIu64 " steps, %.1f M tokens, %s of training\n", t->out, p->state->step,
                (double)p->state->n_tokens * 1e-6, cli_duration(p->state->seconds, text, sizeof text));
}

void cli_training_tell(void *user, liz_train_event event, const liz_train_progress *p)
{
    char line[256];
    switch (event) {
    case LIZ_TRAIN_READING:
        snprintf(line, sizeof line, "reading %.200s", p->path);
        cli_progress_line(line);
        break;
    case LIZ_TRAIN_PLANNED: tell_plan(user, p); break;
    case LIZ_TRAIN_STEPPED: tell_step(user, p, false); break;
    case LIZ_TRAIN_VALIDATED: tell_step(user, p, true); break;
    case LIZ_TRAIN_SAVED: break;
    case LIZ_TRAIN_FINISHED: tell_end(user, p); break;
    }
}

void cli_training_begin(cli_teller *t, cli_args *args, const char *out)
{
    liz_course_opts *common = &args->train.common;
    common->n_threads = args->line.engine.n_threads;
    common->seed = args->line.seed;
    common->restart = args->line.restart;
    common->stop = &cli_stop;
    *t = (cli_teller){.args = args, .out = out};
}

liz_status cli_training_check(const cli_args *args, const char *out, liz_error *err)
{
    const char *const written[] = {out, args->train.common.log_path, args->train.common.plot_path};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < i; k++)
            if (written[i] != NULL && written[k] != NULL &&
                (strcmp(written[i], written[k]) == 0 || liz_file_is_same(written[i], written[k])))
                return liz_fail(err, LIZ_E_USAGE, "%s: is named for two of OUT, --log and --plot: name another file",
                                written[i]);
    for (int i = 0; i < 3; i++)
        LIZ_TRY(cli_check_written(args, written[i], err));
    return LIZ_OK;
}

liz_status cli_training_end(liz_status status, const liz_error *err)
{
    cli_progress_clear();
    if (status == LIZ_E_CANCELLED && cli_stop)
        fprintf(stderr, "lizzie: %s: its checkpoint is written: run the same command again to go on\n", err->text);
    return status;
}

/* lizzie train. */
liz_status cli_train(cli_args *args, liz_buf *out, liz_error *err)
{
    cli_teller t;
    (void)out;
    args->train.out = args->positional[0];
    cli_training_begin(&t, args, args->train.out);
    LIZ_TRY(cli_training_check(args, args->train.out, err));
    return cli_training_end(liz_train(&args->train, liz_files_system(), cli_training_tell, &t, err), err);
}
