/* cmd_run.c - lizzie run: one prompt, its text streamed to standard output, or with --n several texts in their order.
 *
 * The engine's thread appends what is certain to a buffer; this thread prints it, so that a slow terminal never holds
 * up the engine. */
#include "cli/cli.h"

#include "line/line_request.h"

#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 100, PROMPT_MAX = 1 << 30 };

typedef struct stream {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    liz_line_row row; /* under the lock until done */
    size_t n_shown;   /* completions that are printed */
    size_t n_printed; /* of the next one's text */
    bool done;
} stream;

static void on_event(void *user, const liz_event *event)
{
    liz_line_completion *completion = user;
    stream *s = completion->row->owner;
    pthread_mutex_lock(&s->lock);
    s->done = liz_line_row_event(completion, event);
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- The prompt --------------------------------------------------------------------------------- */

/* The user's part of the prompt. */
static liz_status read_prompt(const cli_args *args, liz_buf *text, liz_error *err)
{
    liz_status status = LIZ_OK;
    if (args->n_positional < 2)
        status = cli_read_stdin(text, err);
    else
        status = cli_text_given(args->positional[1], text, err);
    bool line_ends = args->n_positional < 2 && text->len > 0 && text->data[text->len - 1] == '\n';
    if (line_ends) /* of echo and editors, not of the prompt */
        liz_buf_cut(text, text->len - 1);
    return status ?: cli_text_check("the prompt", liz_buf_str(text), err);
}

/* ---- Generating --------------------------------------------------------------------------------- */

/* Under the lock: what may be printed now. Several completions come one after another, a line between them. */
static void piece_take(stream *s, liz_buf *piece)
{
    while (s->n_shown < s->row.n_completions) {
        const liz_line_completion *c = &s->row.completions[s->n_shown];
        if (c->text.len > s->n_printed)
            liz_buf_append(piece, c->text.data + s->n_printed, c->text.len - s->n_printed);
        s->n_printed = c->text.len;
        if (!c->ended)
            return;
        liz_buf_puts(piece, ++s->n_shown < s->row.n_completions ? "\n---\n" : "\n");
        s->n_printed = 0;
    }
}

/* Prints what has become certain, unless `quiet`; waits a moment for more where there is none. */
static liz_status print_more(stream *s, bool quiet, bool *done, liz_error *err)
{
    struct timespec until;
    liz_buf piece = {.len_max = PROMPT_MAX};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&s->lock);
    piece_take(s, &piece);
    if (!s->done && piece.len == 0) {
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
        piece_take(s, &piece);
    }
    *done = s->done;
    pthread_mutex_unlock(&s->lock);
    liz_status status = quiet ? LIZ_OK : cli_flush(&piece, err);
    liz_buf_free(&piece);
    return status;
}

static liz_status print_end(const cli_args *args, stream *s, const liz_vocab *vocab, liz_error *err)
{
    for (size_t i = 0; i < s->row.n_completions; i++) {
        const liz_line_completion *c = &s->row.completions[i];
        if (c->finish == LIZ_FINISH_FAILED)
            return liz_fail(err, c->status ? c->status : LIZ_E_STATE, "%s: the engine failed: %s",
                            args->line.model_path, c->message.len ? c->message.data : "no reason given");
    }
    if (liz_line_row_overflowed(&s->row))
        return liz_fail(err, LIZ_E_MEMORY, "run: no memory for the answer");
    if (!args->json)
        return LIZ_OK;
    liz_buf out = {.len_max = PROMPT_MAX};
    liz_line_row_write_object(&s->row, vocab, &out);
    liz_status status = cli_flush(&out, err);
    liz_buf_free(&out);
    return status;
}

liz_status cli_generate(const cli_args *args, liz_engine *engine, const int32_t *tokens, size_t n_tokens,
                        liz_buf *answer, liz_error *err)
{
    stream s = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    liz_line_ask ask;
    liz_engine_info info;
    liz_choice *choices = NULL;
    int32_t stop_tokens[LIZ_LINE_STOP_MAX];
    size_t n_submitted = 0;
    bool done = false;
    liz_line_row_init(&s.row);
    s.row.owner = &s;
    s.row.n_prompt = n_tokens;
    s.row.choices = args->line.choices;
    s.row.n_choices = args->line.n_choices;
    liz_engine_info_get(engine, &info);
    liz_status status =
        liz_line_ask_settle(&ask, &args->line, liz_engine_vocab(engine), &info, 0.7f, 0.05f, stop_tokens, err);
    ask.has_seed = true;
    ask.request.n_predict_max = args->line.max_tokens > 0 ? args->line.max_tokens : 0;
    ask.request.on_event = on_event;
    if (status == LIZ_OK && s.row.n_choices > 0)
        status = liz_tokenize_choices(liz_engine_vocab(engine), tokens, n_tokens, s.row.choices, s.row.n_choices,
                                      &choices, err);
    status = status ?: liz_line_ask_begin(&ask, &s.row, tokens, choices, err);
    cli_at_work = true; /* what was generated is printed to the end of a character */
    while (status == LIZ_OK && !done && !(cli_stop && n_submitted < s.row.n_completions)) {
        status = liz_line_ask_submit(&ask, engine, &s.row, &n_submitted, err);
        status = status == LIZ_E_BUSY ? LIZ_OK : status; /* it has room again once one has ended */
        for (size_t i = 0; i < n_submitted && cli_stop; i++)
            liz_seq_cancel(s.row.completions[i].seq);
        status = status ?: print_more(&s, args->json, &done, err);
    }
    for (size_t i = 0; i < n_submitted; i++)
        liz_seq_free(s.row.completions[i].seq);
    if (status == LIZ_OK && done)
        status = print_end(args, &s, liz_engine_vocab(engine), err);
    if (answer != NULL && s.row.n_completions > 0) {
        liz_buf_append_str(answer, liz_buf_str(&s.row.completions[0].text));
        if (status == LIZ_OK && liz_buf_failed(answer))
            status = liz_fail(err, LIZ_E_MEMORY, "run: no memory for the answer");
    }
    liz_line_row_free(&s.row);
    liz_free(choices);
    return status;
}

/* Gives the prompt's tokens: turns of the chat template, or the text as it stands. */
static liz_status tokens_of(const cli_args *args, const liz_template *t, const liz_vocab *vocab, liz_str prompt,
                            int32_t **tokens, size_t *n_tokens, liz_error *err)
{
    liz_buf text = {.len_max = PROMPT_MAX};
    liz_rendered rendered = {0};
    liz_status status;
    if (t != NULL) {
        if (args->line.system != NULL)
            cli_message_add(&text, "system", liz_str_of(args->line.system));
        cli_message_add(&text, "user", prompt);
        status = cli_messages_render(args, t, &text, &rendered, err);
        status = status ?: liz_tokenize_rendered(vocab, &rendered, tokens, n_tokens, err);
    } else {
        if (args->line.system != NULL)
            liz_buf_printf(&text, "%s\n\n", args->line.system);
        liz_buf_append_str(&text, prompt);
        status = liz_buf_failed(&text) ? liz_fail(err, LIZ_E_MEMORY, "run: no memory for the prompt") : LIZ_OK;
        status = status
                     ?: liz_tokenize(vocab, text.data ? text.data : "", text.len,
                                     LIZ_TOKENIZE_AFFIXES | LIZ_TOKENIZE_SPECIAL, tokens, n_tokens, err);
    }
    liz_rendered_free(&rendered);
    liz_buf_free(&text);
    return status;
}

static liz_status run_once(const cli_args *args, liz_engine *engine, const liz_template *t, const liz_buf *prompt,
                           liz_error *err)
{
    int32_t *tokens = NULL;
    size_t n_tokens;
    liz_str text = {prompt->data ? prompt->data : "", prompt->len};
    liz_status status = tokens_of(args, t, liz_engine_vocab(engine), text, &tokens, &n_tokens, err);
    if (status == LIZ_OK && n_tokens == 0)
        status = liz_fail(err, LIZ_E_USAGE, "run: the prompt is empty: give some text");
    status = status ?: cli_generate(args, engine, tokens, n_tokens, NULL, err);
    liz_free(tokens);
    return status;
}

static liz_status open_template(const cli_args *args, bool chats, liz_template **out, liz_error *err)
{
    const char *path = args->line.model_path;
    liz_error why = {0};
    liz_status status = args->line.raw ? LIZ_OK : liz_template_open(out, path, &why);
    if (status != LIZ_OK)
        return liz_fail(err, status, "%.*s%s", LIZ_ERROR_TEXT_MAX - 64, why.text,
                        why.line > 0 ? ": mend it, or do without it by --raw" : "");
    if (chats && *out == NULL)
        return liz_fail(err, LIZ_E_USAGE, "%s: cannot chat %s: give a prompt, lizzie run MODEL 'PROMPT'", path,
                        args->line.raw ? "with --raw" : "as it has no chat template");
    return LIZ_OK;
}

/* Only JSON has a place for them. */
static liz_status check_shown(const cli_args *args, liz_error *err)
{
    const char *name = args->line.logprobs >= 0          ? "logprobs"
                       : args->line.prompt_logprobs >= 0 ? "prompt-logprobs"
                                                         : NULL;
    return name == NULL || args->json ? LIZ_OK : liz_fail(err, LIZ_E_USAGE, "--%s: needs --json", name);
}

liz_status cli_run(cli_args *args, liz_buf *out, liz_error *err)
{
    liz_engine *engine = NULL;
    liz_template *t = NULL;
    liz_buf prompt = {.len_max = PROMPT_MAX};
    (void)out;
    bool chats = args->n_positional < 2 && isatty(STDIN_FILENO);
    liz_status status = cli_choices_read(args, err) ?: check_shown(args, err);
    if (status == LIZ_OK && !chats)
        status = read_prompt(args, &prompt, err);
    status = status ?: open_template(args, chats, &t, err);
    status = status ?: liz_engine_open(&engine, args->line.model_path, &args->line.engine, err);
    status = status ?: liz_line_vocab_check(engine, args->line.model_path, err);
    if (status == LIZ_OK)
        status = chats ? cli_chat(args, engine, t, err) : run_once(args, engine, t, &prompt, err);
    liz_engine_close(engine);
    liz_template_close(t);
    liz_buf_free(&prompt);
    args->exit_code = cli_exit_interrupted();
    return status;
}
