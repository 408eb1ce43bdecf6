/* line_write.c - the lines of OUT and of --stats.
 *
 * The order of the keys is part of the format (docs/line.md). The OpenAI form is what their batch endpoint returns; its
 * `created` is 0 and its ids are counted, since OUT says nothing that depends on time or chance. */
#include "line/line_row.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

static void write_error(const liz_line_row *row, liz_buf *out)
{
    liz_json_open(out, "error", '{');
    liz_json_put_str(out, "code", liz_str_of(row->error_code));
    liz_json_put_str(out, "message", liz_buf_str(&row->error_message));
    liz_buf_putc(out, '}');
}

/* ---- Log-probabilities -------------------------------------------------------------------------- */

/* The bytes that a token adds to a text: those of it twice without those of it once. */
static liz_status piece_append(const liz_vocab *vocab, int32_t token, liz_buf *out, liz_error *err)
{
    int32_t twice[2] = {token, token};
    char *one = NULL, *two = NULL;
    size_t n_one = 0, n_two = 0;
    liz_status status = liz_detokenize(vocab, twice, 1, LIZ_TOKENIZE_SPECIAL, &one, &n_one, err);
    status = status ?: liz_detokenize(vocab, twice, 2, LIZ_TOKENIZE_SPECIAL, &two, &n_two, err);
    if (status == LIZ_OK && n_two >= n_one)
        liz_buf_append(out, two + n_one, n_two - n_one);
    liz_free(one);
    liz_free(two);
    return status;
}

liz_status liz_line_piece_write(const liz_vocab *vocab, int32_t token, liz_buf *out, liz_error *err)
{
    liz_buf piece = {.len_max = 1 << 24};
    liz_status status = piece_append(vocab, token, &piece, err);
    if (status == LIZ_OK)
        liz_json_write_string(out, liz_buf_str(&piece));
    out->failed = out->failed || liz_buf_failed(&piece);
    liz_buf_free(&piece);
    return status;
}

/* Of a token that the engine gave, and so is in the vocabulary. */
static void write_piece(const liz_vocab *vocab, int32_t token, liz_buf *out)
{
    if (liz_line_piece_write(vocab, token, out, NULL) != LIZ_OK)
        out->failed = true;
}

/* Its bytes as numbers: a token may end within a character. */
static void write_bytes(const liz_vocab *vocab, int32_t token, liz_buf *out)
{
    liz_buf piece = {.len_max = 1 << 24};
    liz_json_open(out, "bytes", '[');
    if (piece_append(vocab, token, &piece, NULL) != LIZ_OK || liz_buf_failed(&piece))
        out->failed = true;
    for (size_t i = 0; i < piece.len; i++)
        liz_json_put_u64(out, NULL, (unsigned char)piece.data[i]);
    liz_buf_putc(out, ']');
    liz_buf_free(&piece);
}

static size_t n_row_tokens(const liz_row_tokens *tokens) { return tokens->each.len / sizeof(liz_row_token); }

static const liz_row_token *row_token(const liz_row_tokens *tokens, size_t i)
{
    return (const liz_row_token *)(const void *)tokens->each.data + i;
}

/* The k-th alternative to a token. */
static const liz_token_logprob *row_top(const liz_row_tokens *tokens, const liz_row_token *token, size_t k)
{
    return (const liz_token_logprob *)(const void *)tokens->tops.data + token->top + k;
}

/* Opens an object for a token, and leaves it open. */
static void write_token(const liz_vocab *vocab, const liz_token_logprob *token, bool is_chat, liz_buf *out)
{
    liz_json_key(out, NULL);
    liz_buf_puts(out, "{\"token\":");
    write_piece(vocab, token->token, out);
    liz_json_put_int(out, "id", token->token);
    liz_json_put_float(out, "logprob", token->logprob);
    if (is_chat)
        write_bytes(vocab, token->token, out);
}

static void write_logprobs(const liz_row_tokens *tokens, const liz_vocab *vocab, bool is_chat, liz_buf *out)
{
    liz_buf_putc(out, '[');
    for (size_t i = 0; i < n_row_tokens(tokens); i++) {
        const liz_row_token *token = row_token(tokens, i);
        write_token(vocab, &token->chosen, is_chat, out);
        liz_json_open(out, is_chat ? "top_logprobs" : "top", '[');
        for (size_t k = 0; k < token->n_top; k++) {
            write_token(vocab, row_top(tokens, token, k), is_chat, out);
            liz_buf_putc(out, '}');
        }
        liz_buf_puts(out, "]}");
    }
    liz_buf_putc(out, ']');
}

/* The k-th alternative to a token; behind the last, the token itself. */
static const liz_token_logprob *top_or_chosen(const liz_row_tokens *tokens, const liz_row_token *token, size_t k)
{
    return k < token->n_top ? row_top(tokens, token, k) : &token->chosen;
}

/* Appends the text of the k-th of them, and tells whether one before it has the same. */
static bool top_text_seen(const liz_row_tokens *tokens, const liz_vocab *vocab, const liz_row_token *token, size_t k,
                          liz_buf *piece)
{
    liz_buf other = {.len_max = 1 << 16};
    bool seen = false;
    write_piece(vocab, top_or_chosen(tokens, token, k)->token, piece);
    for (size_t i = 0; i < k && !seen; i++) {
        liz_buf_clear(&other);
        write_piece(vocab, row_top(tokens, token, i)->token, &other);
        seen = liz_str_eq(liz_buf_str(&other), liz_buf_str(piece));
        piece->failed = piece->failed || liz_buf_failed(&other);
    }
    liz_buf_free(&other);
    return seen;
}

/* The likeliest tokens and the chosen one. As a JSON object maps each text to its value, two tokens of one text are
 * given once, the likelier. */
static void write_openai_top(const liz_row_tokens *tokens, const liz_vocab *vocab, const liz_row_token *token,
                             liz_buf *out)
{
    liz_buf piece = {.len_max = 1 << 16};
    liz_json_open(out, NULL, '{');
    for (size_t k = 0; k < token->n_top + (token->n_top > 0); k++) {
        liz_buf_clear(&piece);
        bool seen = top_text_seen(tokens, vocab, token, k, &piece);
        out->failed = out->failed || liz_buf_failed(&piece);
        if (seen)
            continue;
        liz_json_put(out, NULL, liz_buf_str(&piece));
        liz_buf_putc(out, ':');
        liz_json_write_float(out, top_or_chosen(tokens, token, k)->logprob);
    }
    liz_buf_putc(out, '}');
    liz_buf_free(&piece);
}

static void write_openai_logprobs(const liz_line_completion *c, const liz_vocab *vocab, liz_buf *out)
{
    const liz_row_tokens *tokens = &c->tokens;
    size_t n = n_row_tokens(tokens), begin = 0, n_chars = 0;
    liz_buf_puts(out, "{\"tokens\":[");
    for (size_t i = 0; i < n; i++) {
        liz_json_key(out, NULL);
        write_piece(vocab, row_token(tokens, i)->chosen.token, out);
    }
    liz_buf_puts(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < n; i++)
        liz_json_put_float(out, NULL, row_token(tokens, i)->chosen.logprob);
    liz_buf_puts(out, "],\"top_logprobs\":[");
    for (size_t i = 0; i < n; i++)
        write_openai_top(tokens, vocab, row_token(tokens, i), out);
    liz_buf_puts(out, "],\"text_offset\":[");
    for (size_t i = 0; i < n; i++) {
        size_t end = row_token(tokens, i)->text_end;
        liz_json_put_u64(out, NULL, n_chars); /* OpenAI's text_offset counts characters */
        n_chars += liz_utf8_count((liz_str){c->text.data + begin, end - begin});
        begin = end;
    }
    liz_buf_puts(out, "]}");
}

/* ---- Lines -------------------------------------------------------------------------------------- */

/* Six digits, which is what the end's probability is good for. */
static void write_probs(const liz_line_row *row, const liz_line_completion *c, liz_buf *out)
{
    liz_json_open(out, "probs", '{');
    for (size_t i = 0; i < row->n_choices; i++) {
        liz_json_key(out, row->choices[i]);
        liz_buf_printf(out, "%.6g", liz_line_completion_prob(c, i));
    }
    liz_buf_putc(out, '}');
}

/* What a completion says of itself; `n_prompt` stands in between where it is the only one. */
static void write_completion(const liz_line_row *row, const liz_line_completion *c, const liz_vocab *vocab,
                             const size_t *n_prompt, liz_buf *out)
{
    liz_json_put_str(out, "text", liz_buf_str(&c->text));
    liz_json_put_str(out, "finish_reason", liz_str_of(liz_line_finish_name(c->finish)));
    if (n_prompt != NULL)
        liz_json_put_u64(out, "prompt_tokens", *n_prompt);
    liz_json_put_u64(out, "completion_tokens", c->stats.n_completion);
    liz_buf_printf(out, ",\"seed\":\"%" PRIu64 "\"", c->seed);
    if (c->choice >= 0) {
        liz_json_put_str(out, "choice", liz_str_of(row->choices[c->choice]));
        write_probs(row, c, out);
    }
    if (row->wants_logprobs) {
        liz_json_key(out, "logprobs");
        write_logprobs(&c->tokens, vocab, false, out);
    }
}

static void write_prompt_logprobs(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out)
{
    liz_json_key(out, "prompt_logprobs");
    write_logprobs(&row->prompt, vocab, false, out);
}

static void write_done(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out)
{
    if (row->n_completions == 1) {
        write_completion(row, row->completions, vocab, &row->n_prompt, out);
    } else {
        liz_json_open(out, "completions", '[');
        for (size_t i = 0; i < row->n_completions; i++) {
            liz_json_open(out, NULL, '{');
            write_completion(row, &row->completions[i], vocab, NULL, out);
            liz_buf_putc(out, '}');
        }
        liz_buf_putc(out, ']');
        liz_json_put_u64(out, "prompt_tokens", row->n_prompt);
        liz_json_put_u64(out, "completion_tokens", liz_line_row_stats(row).n_completion);
    }
    if (row->wants_prompt_logprobs)
        write_prompt_logprobs(row, vocab, out);
}

static void write_plain(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out)
{
    liz_buf_printf(out, "{\"index\":%" PRIu64, row->index);
    if (row->id.len > 0)
        liz_json_put(out, "id", liz_buf_str(&row->id));
    if (row->error_code != NULL)
        write_error(row, out);
    else
        write_done(row, vocab, out);
    if (row->keep.len > 0) {
        liz_json_key(out, "row");
        liz_buf_printf(out, "{%s}", row->keep.data);
    }
    liz_buf_puts(out, "}\n");
}

static void write_openai_choice(const liz_line_row *row, size_t i, const liz_vocab *vocab, liz_buf *out)
{
    const liz_line_completion *c = &row->completions[i];
    liz_json_open(out, NULL, '{');
    if (row->is_chat) {
        liz_json_put_u64(out, "index", i);
        liz_buf_puts(out, ",\"message\":{\"role\":\"assistant\"");
        liz_json_put_str(out, "content", liz_buf_str(&c->text));
        liz_buf_puts(out, ",\"refusal\":null}");
    } else {
        liz_json_put_str(out, "text", liz_buf_str(&c->text));
        liz_json_put_u64(out, "index", i);
    }
    liz_json_key(out, "logprobs");
    if (!row->wants_logprobs) {
        liz_buf_puts(out, "null");
    } else if (row->is_chat) {
        liz_buf_puts(out, "{\"content\":");
        write_logprobs(&c->tokens, vocab, true, out);
        liz_buf_puts(out, ",\"refusal\":null}");
    } else {
        write_openai_logprobs(c, vocab, out);
    }
    if (c->choice >= 0)
        write_probs(row, c, out);
    if (row->wants_prompt_logprobs && i == 0)
        write_prompt_logprobs(row, vocab, out);
    liz_json_put_str(out, "finish_reason", liz_str_of(liz_line_finish_name(c->finish)));
    liz_buf_putc(out, '}');
}

static void write_openai_response(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out)
{
    liz_buf_printf(out,
                   "{\"status_code\":200,\"request_id\":\"req_%" PRIu64 "\",\"body\":{\"id\":\"%s-%" PRIu64
                   "\",\"object\":\"%s\",\"created\":0",
                   row->index, row->is_chat ? "chatcmpl" : "cmpl", row->index,
                   row->is_chat ? "chat.completion" : "text_completion");
    liz_json_put(out, "model", row->model.len > 0 ? liz_buf_str(&row->model) : liz_str_of("\"\""));
    liz_json_open(out, "choices", '[');
    for (size_t i = 0; i < row->n_completions; i++)
        write_openai_choice(row, i, vocab, out);
    size_t n_completion = liz_line_row_stats(row).n_completion;
    liz_buf_printf(out, "],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu}}}",
                   row->n_prompt, n_completion, row->n_prompt + n_completion);
}

/* As their API answers such a request; what a request cannot help is the server's fault. */
static void write_openai_error(const liz_line_row *row, liz_buf *out)
{
    bool asked_wrong = strcmp(row->error_code, LIZ_ROW_NOT_A_NUMBER) != 0;
    liz_buf_printf(out, "{\"status_code\":%d,\"request_id\":\"req_%" PRIu64 "\"", asked_wrong ? 400 : 500, row->index);
    liz_json_open(out, "body", '{');
    liz_json_open(out, "error", '{');
    liz_json_put_str(out, "message", liz_buf_str(&row->error_message));
    liz_json_put_str(out, "type", liz_str_of(asked_wrong ? "invalid_request_error" : "server_error"));
    liz_json_put(out, "param", liz_str_of("null"));
    liz_json_put_str(out, "code", liz_str_of(row->error_code));
    liz_buf_puts(out, "}}}");
}

static void write_openai(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out)
{
    liz_buf_printf(out, "{\"id\":\"batch_req_%" PRIu64 "\"", row->index);
    liz_json_put(out, "custom_id", row->id.len > 0 ? liz_buf_str(&row->id) : liz_str_of("null"));
    liz_json_key(out, "response");
    if (row->error_code != NULL)
        write_openai_error(row, out);
    else
        write_openai_response(row, vocab, out);
    liz_json_put(out, "error", liz_str_of("null"));
    liz_buf_puts(out, "}\n");
}

void liz_line_row_write(const liz_line_row *row, liz_line_form form, const liz_vocab *vocab, liz_buf *out)
{
    if (row->is_copy)
        liz_buf_append_str(out, liz_buf_str(&row->line));
    else if (form == LIZ_LINE_FORM_OPENAI)
        write_openai(row, vocab, out);
    else
        write_plain(row, vocab, out);
}

void liz_line_row_write_object(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out)
{
    liz_buf_putc(out, '{');
    write_done(row, vocab, out);
    liz_buf_puts(out, "}\n");
}

void liz_line_row_write_stats(const liz_line_row *row, double joules, liz_buf *out)
{
    liz_seq_stats s = liz_line_row_stats(row);
    liz_buf_printf(out, "{\"index\":%" PRIu64, row->index);
    if (row->error_code != NULL)
        liz_buf_printf(out, ",\"error\":\"%s\"", row->error_code);
    liz_buf_printf(out,
                   ",\"queue_us\":%" PRIu64 ",\"prefill_us\":%" PRIu64 ",\"decode_us\":%" PRIu64
                   ",\"prompt_tokens\":%zu,\"prompt_tokens_reused\":%zu,\"completion_tokens\":%zu",
                   s.queue_us, s.prefill_us, s.decode_us, row->n_prompt, s.n_prompt_reused, s.n_completion);
    if (joules >= 0)
        liz_buf_printf(out, ",\"joules\":%.6f", joules);
    if (row->was_truncated)
        liz_buf_printf(out, ",\"truncated_from_tokens\":%zu", row->n_prompt_whole);
    liz_buf_puts(out, "}\n");
}

/* ---- Reading lines of OUT again ----------------------------------------------------------------- */

bool liz_line_row_begins(liz_str line, liz_line_form form, uint64_t index)
{
    char head[64];
    int n = form == LIZ_LINE_FORM_OPENAI ? snprintf(head, sizeof head, "{\"id\":\"batch_req_%" PRIu64 "\",", index)
                                         : snprintf(head, sizeof head, "{\"index\":%" PRIu64 ",", index);
    return memcmp(line.p, head, line.n < (size_t)n ? line.n : (size_t)n) == 0;
}

bool liz_line_row_matches(liz_str line, liz_line_form form, uint64_t index)
{
    return liz_line_row_begins(line, form, index) && line.n > 0 && line.p[line.n - 1] == '}' &&
           memchr(line.p, '\0', line.n) == NULL;
}

liz_status liz_line_row_is_error(liz_str line, bool *is_error, liz_error *err)
{
    /* A quote inside a string is escaped, so this stands in every error row, and elsewhere only in kept fields. */
    static const char mark[] = "\"error\":{";
    *is_error = false;
    if (memmem(line.p, line.n, mark, sizeof mark - 1) == NULL)
        return LIZ_OK;
    liz_arena arena = {.size_max = (size_t)1 << 32};
    liz_json *json = NULL;
    liz_status status = liz_json_read(&json, line, &arena, NULL);
    if (status == LIZ_OK) {
        const liz_json *error = liz_json_member(json, "error"); /* plain, and OpenAI's before the body had it */
        if (error == NULL || error->type != LIZ_JSON_OBJECT)
            error = liz_json_member(liz_json_member(liz_json_member(json, "response"), "body"), "error");
        *is_error = error != NULL && error->type == LIZ_JSON_OBJECT;
    }
    liz_arena_free(&arena);
    return status == LIZ_E_MEMORY ? liz_fail(err, status, "no memory to read a line of OUT") : LIZ_OK;
}
