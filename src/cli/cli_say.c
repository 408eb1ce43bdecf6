/* cli_say.c - errors, the log, signals, standard output. */
#include "cli/cli.h"

#include "base/log.h"

#include <signal.h>
#include <unistd.h>

atomic_int cli_stop;
atomic_bool cli_at_work, cli_resumes;

int cli_fail(liz_status status, const liz_error *err)
{
    cli_progress_clear();
    fprintf(stderr, "lizzie: %s\n", err->text);
    return status == LIZ_E_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

static void on_log(void *user, liz_log_level level, const char *subject, const char *text)
{
    (void)user;
    (void)level;
    cli_progress_clear();
    fprintf(stderr, "lizzie: %s: %s\n", subject, text);
}

void cli_log_install(bool verbose) { liz_log_install(on_log, NULL, verbose ? LIZ_LOG_DEBUG : LIZ_LOG_WARN); }

liz_status cli_flush(liz_buf *out, liz_error *err)
{
    liz_status status = liz_buf_failed(out) ? liz_fail(err, LIZ_E_MEMORY, "no memory for the result")
                                            : liz_file_write(liz_files_system(), STDOUT_FILENO, "standard output",
                                                             out->data, out->len, err);
    liz_buf_clear(out);
    return status;
}

liz_status cli_check_written(const cli_args *args, const char *path, liz_error *err)
{
    const liz_paths *const lists[] = {&args->train.data, &args->train.valid};
    const char *const single[] = {args->line.model_path, args->train.init, args->train.tokenizer, args->bench.beside};
    bool is_read = false;
    for (size_t i = 0; i < sizeof single / sizeof *single && path != NULL; i++)
        is_read = is_read || (single[i] != NULL && single[i] != args->train.out && liz_file_is_same(path, single[i]));
    for (int i = 1; i < args->n_positional && path != NULL; i++)
        is_read = is_read || liz_file_is_same(path, args->positional[i]);
    for (size_t i = 0; i < args->line.engine.n_loras && path != NULL; i++)
        is_read = is_read || liz_file_is_same(path, args->loras[i].path);
    for (size_t i = 0; i < 2 && path != NULL; i++)
        for (size_t k = 0; k < lists[i]->n; k++)
            is_read = is_read || liz_file_is_same(path, lists[i]->v[k]);
    return is_read ? liz_fail(err, LIZ_E_USAGE, "%s: is read and would be overwritten: name another file", path)
                   : LIZ_OK;
}

liz_status cli_read_stdin(liz_buf *text, liz_error *err)
{
    return liz_file_read_rest(liz_files_system(), STDIN_FILENO, "standard input", text, err);
}

liz_status cli_text_given(const char *given, liz_buf *text, liz_error *err)
{
    liz_buf_puts(text, given);
    return liz_buf_failed(text) ? liz_fail(err, LIZ_E_MEMORY, "no memory for a text of %zu bytes", strlen(given))
                                : LIZ_OK;
}

static void on_signal(int number)
{
    static const char idle[] = "lizzie: interrupted before it began its work: run the same command again\n";
    if (cli_stop == 0 && !cli_at_work && cli_resumes)
        (void)!write(STDERR_FILENO, idle, sizeof idle - 1);
    if (cli_stop != 0 || !cli_at_work)
        _exit(128 + number);
    cli_stop = number;
}

void cli_signals_install(void)
{
    struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* a write then fails and says so */
    sigaction(SIGXFSZ, &ignore, NULL); /* and beyond a limit of file size */
}

int cli_exit_interrupted(void) { return cli_stop ? 128 + cli_stop : EXIT_DONE; }
