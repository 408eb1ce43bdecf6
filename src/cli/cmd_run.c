/* cmd_run.c - lizzie run: one prompt, its text streamed to standard output.
 *
 * The engine's thread appends what is certain to a buffer; this thread prints it, so that a slow terminal never holds
 * up the engine. */
#include "cli/cli.h"

#include "base/status.h"
#include "line/line_row.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 100, PROMPT_MAX = 1 << 30 };

typedef struct stream {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    liz_line_row row; /* under the lock until done */
    size_t n_printed;
    bool done;
} stream;

static void on_event(void *user, const liz_event *event)
{
    stream *s = user;
    pthread_mutex_lock(&s->lock);
    liz_line_row_event(&s->row, event);
    s->done = event->type == LIZ_EVENT_DONE;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- The prompt --------------------------------------------------------------------------------- */

static liz_status read_stdin(liz_buf *text, liz_error *err)
{
    char piece[16384];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return liz_fail(err, LIZ_E_IO, "standard input: cannot be read: %m");
        liz_buf_append(text, piece, (size_t)n);
        if (liz_buf_failed(text))
            return liz_fail(err, LIZ_E_LIMIT, "standard input: is larger than a prompt may be");
    }
    if (text->len > 0 && text->data[text->len - 1] == '\n') /* of echo and editors, not of the prompt */
        text->data[--text->len] = '\0';
    return LIZ_OK;
}

static liz_status read_prompt(const cli_args *args, liz_buf *text, liz_error *err)
{
    if (args->line.system != NULL) {
        liz_buf_puts(text, args->line.system);
        liz_buf_puts(text, "\n\n");
    }
    if (args->n_positional > 1) {
        liz_buf_puts(text, args->positional[1]);
        return LIZ_OK;
    }
    if (isatty(STDIN_FILENO))
        return liz_fail(err, LIZ_E_USAGE,
                        "run: no prompt is given, and chat needs templates, which this version does not "
                        "have: lizzie run MODEL 'PROMPT'");
    liz_buf rest;
    liz_buf_init(&rest, PROMPT_MAX);
    liz_status status = read_stdin(&rest, err);
    liz_buf_append_str(text, liz_buf_str(&rest));
    liz_buf_free(&rest);
    return status;
}

/* ---- Generating --------------------------------------------------------------------------------- */

/* Prints what has become certain, unless `quiet`; waits a moment for more where there is none. */
static liz_status print_more(stream *s, bool quiet, bool *done, liz_error *err)
{
    struct timespec until;
    liz_buf piece;
    liz_buf_init(&piece, PROMPT_MAX);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&s->lock);
    if (!s->done && s->row.text.len == s->n_printed)
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    if (s->row.text.len > s->n_printed)
        liz_buf_append(&piece, s->row.text.data + s->n_printed, s->row.text.len - s->n_printed);
    s->n_printed = s->row.text.len;
    *done = s->done;
    pthread_mutex_unlock(&s->lock);
    liz_status status = piece.len > 0 && !quiet ? cli_print(liz_buf_str(&piece), err) : LIZ_OK;
    liz_buf_free(&piece);
    return status;
}

static liz_status print_end(const cli_args *args, stream *s, const liz_vocab *vocab, liz_error *err)
{
    if (s->row.finish == LIZ_FINISH_FAILED)
        return liz_fail(err, s->row.status ? s->row.status : LIZ_E_STATE, "%s: the engine failed: %s",
                        args->line.model_path,
                        s->row.error_message.len ? s->row.error_message.data : "no reason given");
    if (!args->json)
        return cli_print(liz_str_of("\n"), err);
    liz_buf out;
    liz_buf_init(&out, PROMPT_MAX);
    liz_line_row_write_object(&s->row, vocab, &out);
    liz_status status = cli_print(liz_buf_str(&out), err);
    liz_buf_free(&out);
    return status;
}

static liz_status generate(const cli_args *args, liz_engine *engine, const int32_t *tokens, size_t n_tokens,
                           liz_error *err)
{
    stream s = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    liz_engine_info info;
    liz_seq *seq;
    bool done = false;
    liz_line_row_init(&s.row);
    liz_engine_info_get(engine, &info);
    liz_request request = {.tokens = tokens,
                           .n_tokens = n_tokens,
                           .n_predict_max = args->has_max_tokens ? args->line.max_tokens : 0,
                           .stop = args->line.stop_strings,
                           .n_stop = args->line.n_stop_strings,
                           .logprobs = args->line.logprobs >= 0,
                           .n_logprobs_top = args->line.logprobs > 0 ? args->line.logprobs : 0,
                           .on_event = on_event,
                           .user = &s};
    request.sampling = liz_line_sampling_settle(&args->line.sampling, &info, 0.7f, 0.05f);
    request.sampling.seed = s.row.seed = args->line.seed;
    s.row.n_prompt = n_tokens;
    s.row.wants_logprobs = request.logprobs;
    cli_at_work = true; /* what was generated is printed to the end of a character */
    liz_status status = liz_submit(engine, &request, &seq, err);
    if (status != LIZ_OK) {
        liz_line_row_free(&s.row);
        return status;
    }
    while (status == LIZ_OK && !done) {
        if (cli_stop)
            liz_seq_cancel(seq);
        status = print_more(&s, args->json, &done, err);
    }
    liz_seq_free(seq);
    if (status == LIZ_OK)
        status = print_end(args, &s, liz_engine_vocab(engine), err);
    liz_line_row_free(&s.row);
    return status;
}

static liz_status run_on(const cli_args *args, liz_engine *engine, liz_str prompt, liz_error *err)
{
    int32_t *tokens = NULL;
    size_t n_tokens;
    const liz_vocab *vocab = liz_engine_vocab(engine);
    liz_status status = cli_check_template(engine, args, err);
    if (status == LIZ_OK && vocab == NULL)
        status = liz_fail(err, LIZ_E_UNSUPPORTED,
                          "%s: has no vocabulary to read text with: only score --tokens works with it",
                          args->line.model_path);
    if (status == LIZ_OK)
        status = liz_tokenize(vocab, prompt.p, prompt.n, LIZ_TOKENIZE_AFFIXES | LIZ_TOKENIZE_SPECIAL, &tokens,
                              &n_tokens, err);
    if (status == LIZ_OK && n_tokens == 0)
        status = liz_fail(err, LIZ_E_USAGE, "run: the prompt is empty: give some text");
    if (status == LIZ_OK)
        status = generate(args, engine, tokens, n_tokens, err);
    liz_free(tokens);
    return status;
}

int cli_run(cli_args *args)
{
    liz_engine *engine = NULL;
    liz_buf prompt;
    liz_error err;
    liz_buf_init(&prompt, PROMPT_MAX);
    liz_status status = read_prompt(args, &prompt, &err);
    if (status == LIZ_OK)
        status = liz_engine_open(&engine, args->line.model_path, &args->line.engine, &err);
    if (status == LIZ_OK)
        status = run_on(args, engine, (liz_str){prompt.data ? prompt.data : "", prompt.len}, &err);
    liz_engine_close(engine);
    liz_buf_free(&prompt);
    if (status != LIZ_OK)
        return cli_fail(status, &err);
    return cli_stop ? cli_exit_interrupted() : EXIT_DONE;
}
