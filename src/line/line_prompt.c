/* line_prompt.c - templates, and shortening a field until the prompt fits.
 *
 * Shortening counts in tokens of the whole prompt but cuts the field's text, at borders of characters: the longest
 * beginning is looked for with which the prompt leaves room, first by doubling, then by halving, so the cost follows
 * the result's length and not the field's. */
#include "line/line_prompt.h"

#include <stdlib.h>

enum { PROMPT_MAX = 1 << 30 };

/* Literal text up to `field`, which is NULL in the last part. */
typedef struct part {
    liz_str literal;
    const char *field;
} part;

struct liz_line_template {
    liz_arena arena;
    part *parts;
    size_t n_parts;
    size_t n_system; /* of them, those of the system text */
};

/* ---- Compiling ---------------------------------------------------------------------------------- */

static size_t n_openings(const char *text)
{
    size_t n = 0;
    for (; text != NULL && (text = strstr(text, "{{")) != NULL; text += 2)
        n++;
    return n;
}

static liz_str trimmed(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (liz_str){p, (size_t)(end - p)};
}

/* The name between "{{" at `at` and "}}"; `*at` moves behind them. */
static liz_status read_place(liz_line_template *template, const char *option, const char **at, const char **name,
                             liz_error *err)
{
    const char *close = strstr(*at, "}}");
    if (close == NULL)
        return liz_fail(err, LIZ_E_USAGE, "%s: \"%.20s\": {{ is never closed: write {{field}}, or \\{{ for two braces",
                        option, *at);
    liz_str field = trimmed(*at + 2, close);
    if (field.n == 0)
        return liz_fail(err, LIZ_E_USAGE, "%s: {{}}: names no field: write {{field}}, or \\{{ for two braces", option);
    *name = liz_arena_strdup(&template->arena, field.p, field.n);
    *at = close + 2;
    return *name ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "%s: no memory", option);
}

/* Adds the part of the literal so far and the field behind it, which is NULL at the end. */
static liz_status part_add(liz_line_template *t, const char *option, liz_buf *literal, const char *field,
                           liz_error *err)
{
    const char *copy = liz_arena_strdup(&t->arena, literal->data, literal->len);
    if (liz_buf_failed(literal) || copy == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory", option);
    t->parts[t->n_parts++] = (part){{copy, literal->len}, field};
    liz_buf_clear(literal);
    return LIZ_OK;
}

static liz_status compile_text(liz_line_template *t, const char *option, const char *text, liz_buf *literal,
                               liz_error *err)
{
    const char *field = NULL;
    while (*text != '\0') {
        if (strncmp(text, "\\{{", 3) == 0) {
            liz_buf_puts(literal, "{{");
            text += 3;
        } else if (text[0] == '{' && text[1] == '{') {
            LIZ_TRY(read_place(t, option, &text, &field, err) ?: part_add(t, option, literal, field, err));
        } else {
            liz_buf_putc(literal, *text++);
        }
    }
    return part_add(t, option, literal, NULL, err);
}

liz_status liz_line_template_compile(liz_line_template **out, const char *system, const char *prompt, liz_error *err)
{
    liz_line_template *t = calloc(1, sizeof *t);
    liz_buf literal = {.len_max = PROMPT_MAX};
    if (t == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for the prompt");
    liz_arena_init(&t->arena, (size_t)4 * PROMPT_MAX);
    t->parts = liz_arena_array(&t->arena, n_openings(system) + n_openings(prompt) + 2, sizeof *t->parts);
    liz_status status = t->parts ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for the prompt");
    if (status == LIZ_OK && system != NULL)
        status = compile_text(t, "--system", system, &literal, err);
    t->n_system = t->n_parts;
    status = status ?: compile_text(t, "--prompt", prompt, &literal, err);
    liz_buf_free(&literal);
    if (status != LIZ_OK)
        liz_line_template_free(t);
    else
        *out = t;
    return status;
}

void liz_line_template_free(liz_line_template *template)
{
    if (template != NULL)
        liz_arena_free(&template->arena);
    free(template);
}

const char *liz_line_template_field(const liz_line_template *template, size_t i)
{
    for (size_t k = 0; template != NULL && k < template->n_parts; k++)
        if (template->parts[k].field != NULL && i-- == 0)
            return template->parts[k].field;
    return NULL;
}

/* ---- Text --------------------------------------------------------------------------------------- */

/* The text of parts [from, to) for a record, with `cut` bytes of `truncated` where that field stands. */
static bool fill(const liz_line_template *template, size_t from, size_t to, const liz_line_record *record,
                 const char *truncated, size_t cut, liz_line_row *row, liz_buf *out)
{
    for (size_t i = from; i < to; i++) {
        const part *p = &template->parts[i];
        liz_str text = {NULL, 0};
        liz_buf_append_str(out, p->literal);
        if (p->field != NULL && !liz_line_record_text(record, p->field, &text)) {
            liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "it has no field \"%s\", which the prompt names", p->field);
            return false;
        }
        if (truncated != NULL && p->field != NULL && strcmp(p->field, truncated) == 0 && cut < text.n)
            text.n = cut;
        liz_buf_append_str(out, text);
    }
    return true;
}

static bool own_prompt(const liz_line_record *record, liz_line_row *row, liz_str *text)
{
    const liz_json *member = liz_json_member(record->json, "prompt");
    if (record->json != NULL && member != NULL && member->type != LIZ_JSON_STRING) {
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"prompt\" is not a string");
        return false;
    }
    if (liz_line_record_text(record, "prompt", text))
        return true;
    liz_line_row_fail(row, LIZ_ROW_FIELD_MISSING, "it has no field \"prompt\", and no --prompt is given");
    return false;
}

/* A turn with the text of parts [from, to). */
static bool add_turn(const liz_line_prompter *p, const char *role, size_t from, size_t to,
                     const liz_line_record *record, size_t cut, liz_line_row *row, liz_buf *out)
{
    liz_buf text = {.len_max = PROMPT_MAX};
    bool ok = fill(p->template, from, to, record, p->truncate_field, cut, row, &text);
    liz_json_open(out, NULL, '{');
    liz_json_put_str(out, "role", liz_str_of(role));
    liz_json_put_str(out, "content", liz_buf_str(&text));
    liz_buf_putc(out, '}');
    out->failed = out->failed || liz_buf_failed(&text);
    liz_buf_free(&text);
    return ok;
}

/* The variables of a chat template for --system and --prompt. */
static bool turns(const liz_line_prompter *p, const liz_line_record *record, size_t cut, liz_line_row *row,
                  liz_buf *out)
{
    const liz_line_template *t = p->template;
    liz_buf_puts(out, "{\"messages\":[");
    bool ok = t->n_system == 0 || add_turn(p, "system", 0, t->n_system, record, cut, row, out);
    ok = ok && add_turn(p, "user", t->n_system, t->n_parts, record, cut, row, out);
    liz_buf_puts(out, "],\"add_generation_prompt\":true}");
    return ok;
}

/* The variables for the messages of an object. */
static bool conversation(const liz_json *object, liz_line_row *row, liz_buf *out)
{
    static const char *const names[] = {"messages", "tools", "documents", "reasoning_effort"};
    const liz_json *messages = liz_json_member(object, "messages"),
                   *more = liz_json_member(object, "chat_template_kwargs");
    if (messages->type != LIZ_JSON_ARRAY || messages->n_children == 0) {
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"messages\" are not a list of messages");
        return false;
    }
    if (more != NULL && more->type != LIZ_JSON_OBJECT && more->type != LIZ_JSON_NULL) {
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "its \"chat_template_kwargs\" are not an object");
        return false;
    }
    liz_buf_putc(out, '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const liz_json *member = liz_json_member(object, names[i]);
        if (member != NULL)
            liz_json_put(out, names[i], member->source);
    }
    for (const liz_json *m = more ? more->first_child : NULL; m != NULL; m = m->next) {
        liz_json_put_str(out, NULL, m->key);
        liz_buf_putc(out, ':');
        liz_buf_append_str(out, m->source);
    }
    bool asks = liz_json_member(more, "add_generation_prompt") != NULL;
    liz_buf_puts(out, asks ? "}" : ",\"add_generation_prompt\":true}");
    return true;
}

static liz_status chat_render(const liz_line_prompter *p, const liz_buf *variables, liz_line_row *row,
                              liz_rendered *out, liz_error *err)
{
    liz_error own;
    if (p->chat == NULL) {
        liz_line_row_fail(row, LIZ_ROW_UNSUPPORTED, "it has \"messages\": %s", p->chat_missing);
        return LIZ_OK;
    }
    liz_status status =
        liz_buf_failed(variables)
            ? liz_fail(&own, LIZ_E_MEMORY, "no memory for the prompt of row %lu", row->index)
            : liz_template_render(p->chat, variables->data, variables->len, p->now, LIZ_RENDER_CHAT, out, &own);
    if (status == LIZ_E_MEMORY)
        return liz_fail(err, status, "%s", own.text);
    if (status != LIZ_OK)
        liz_line_row_fail(row,
                          status == LIZ_E_USAGE         ? LIZ_ROW_INVALID_ROW
                          : status == LIZ_E_UNSUPPORTED ? LIZ_ROW_UNSUPPORTED
                                                        : LIZ_ROW_TEMPLATE_FAILED,
                          "%s", own.text);
    return LIZ_OK;
}

static bool is_chat(const liz_line_prompter *p, const liz_line_record *record)
{
    if (p->template != NULL)
        return p->chat != NULL;
    const liz_json *prompt = liz_json_member(record->json, "prompt");
    return (prompt == NULL || prompt->type == LIZ_JSON_NULL) && liz_json_member(record->json, "messages") != NULL;
}

static bool raw_text(const liz_line_prompter *p, const liz_line_record *record, size_t cut, liz_line_row *row,
                     liz_buf *out)
{
    const liz_line_template *t = p->template;
    liz_str text;
    if (t != NULL) {
        bool ok = fill(t, 0, t->n_system, record, p->truncate_field, cut, row, out);
        liz_buf_puts(out, t->n_system ? "\n\n" : "");
        return ok && fill(t, t->n_system, t->n_parts, record, p->truncate_field, cut, row, out);
    }
    if (!own_prompt(record, row, &text))
        return false;
    if (p->truncate_field != NULL && cut < text.n)
        text.n = cut;
    liz_buf_append_str(out, text);
    return true;
}

/* The prompt with `cut` bytes of the field to be shortened; no text when the row is an error row. */
static liz_status text_cut(const liz_line_prompter *p, const liz_line_record *record, size_t cut, liz_line_row *row,
                           liz_rendered *out, liz_error *err)
{
    liz_buf text = {.len_max = PROMPT_MAX};
    liz_status status = LIZ_OK;
    *out = (liz_rendered){0};
    if (!is_chat(p, record)) {
        if (raw_text(p, record, cut, row, &text)) {
            liz_buf_putc(&text, '\0');
            out->n_text = text.len - 1;
            out->text = liz_buf_take(&text);
            status =
                out->text ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory for the prompt of row %lu", row->index);
        }
    } else if (p->template != NULL ? turns(p, record, cut, row, &text) : conversation(record->json, row, &text)) {
        status = chat_render(p, &text, row, out, err);
    }
    liz_buf_free(&text);
    return status;
}

liz_status liz_line_prompt_text(const liz_line_prompter *prompter, const liz_line_record *record, liz_line_row *row,
                                liz_buf *out, liz_error *err)
{
    liz_rendered rendered;
    liz_status status = text_cut(prompter, record, SIZE_MAX, row, &rendered, err);
    if (rendered.text != NULL)
        liz_buf_append(out, rendered.text, rendered.n_text);
    liz_rendered_free(&rendered);
    return status;
}

/* ---- Tokens ------------------------------------------------------------------------------------- */

/* Whether `text` holds a token that is read as such only where control tokens are. */
static liz_status holds_control(const liz_vocab *vocab, liz_str text, bool *holds, liz_error *err)
{
    int32_t *as_text = NULL, *as_control = NULL;
    size_t n_text, n_control;
    liz_status status = liz_tokenize(vocab, text.p, text.n, 0, &as_text, &n_text, err);
    status = status ?: liz_tokenize(vocab, text.p, text.n, LIZ_TOKENIZE_SPECIAL, &as_control, &n_control, err);
    if (status == LIZ_OK)
        *holds = n_text != n_control || memcmp(as_text, as_control, n_text * sizeof *as_text) != 0;
    liz_free(as_text);
    liz_free(as_control);
    return status;
}

liz_status liz_line_prompter_open(liz_line_prompter *prompter, liz_error *err)
{
    const liz_line_template *t = prompter->template;
    for (size_t i = 0; t != NULL && prompter->chat == NULL && !prompter->has_control && i < t->n_parts; i++)
        LIZ_TRY(holds_control(prompter->vocab, t->parts[i].literal, &prompter->has_control, err));
    return LIZ_OK;
}

static liz_status check_fields(const liz_line_prompter *prompter, const liz_line_record *record, liz_line_row *row,
                               liz_error *err)
{
    const liz_line_template *t = prompter->template;
    for (size_t i = 0; prompter->has_control && i < t->n_parts; i++) {
        const char *field = t->parts[i].field;
        liz_str text;
        bool holds = false;
        if (field == NULL || !liz_line_record_text(record, field, &text))
            continue;
        LIZ_TRY(holds_control(prompter->vocab, text, &holds, err));
        if (holds)
            liz_line_row_fail(
                row, LIZ_ROW_CONTROL_TOKEN,
                "its field \"%s\" holds a control token of the model, and the prompt writes such tokens too", field);
    }
    return LIZ_OK;
}

/* Tokens of the prompt with `cut` bytes of the field to be shortened. */
static liz_status tokens_cut(const liz_line_prompter *prompter, const liz_line_record *record, size_t cut,
                             liz_line_row *row, int32_t **tokens, size_t *n_tokens, liz_error *err)
{
    liz_rendered text;
    unsigned flags = LIZ_TOKENIZE_AFFIXES;
    if (prompter->template == NULL || prompter->has_control)
        flags |= LIZ_TOKENIZE_SPECIAL;
    *tokens = NULL;
    liz_status status = text_cut(prompter, record, cut, row, &text, err);
    row->n_words_read = text.text ? liz_str_words((liz_str){text.text, text.n_text}) : 0;
    if (status == LIZ_OK && text.text != NULL)
        status = is_chat(prompter, record)
                     ? liz_tokenize_rendered(prompter->vocab, &text, tokens, n_tokens, err)
                     : liz_tokenize(prompter->vocab, text.text, text.n_text, flags, tokens, n_tokens, err);
    liz_rendered_free(&text);
    return status;
}

bool liz_line_prompt_fits(const liz_line_prompter *prompter, size_t n_tokens, liz_line_row *row)
{
    row->n_prompt = n_tokens;
    if (n_tokens == 0)
        liz_line_row_fail(row, LIZ_ROW_PROMPT_EMPTY, "its prompt has no tokens");
    else if (prompter->n_ctx > 0 && n_tokens >= (size_t)prompter->n_ctx)
        liz_line_row_fail(row, LIZ_ROW_PROMPT_TOO_LONG,
                          "its prompt has %zu tokens and the context holds %d: no room for one more: shorten it%s",
                          n_tokens, prompter->n_ctx,
                          prompter->truncate_field == NULL ? ", raise --ctx-size or give --truncate FIELD"
                                                           : " beyond --truncate, or raise --ctx-size");
    return row->error_code == NULL;
}

/* Down to the beginning of a character. */
static size_t character_floor(liz_str text, size_t n)
{
    while (n > 0 && n < text.n && ((unsigned char)text.p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

/* Whether the prompt has at most `limit` tokens with `cut` bytes of the field; if so they take the place of `*best`. */
static liz_status try_cut(const liz_line_prompter *prompter, const liz_line_record *record, size_t cut, size_t limit,
                          liz_line_row *row, int32_t **best, bool *fits, liz_error *err)
{
    int32_t *tokens;
    size_t n;
    LIZ_TRY(tokens_cut(prompter, record, cut, row, &tokens, &n, err));
    *fits = tokens != NULL && n <= limit;
    if (*fits) {
        liz_free(*best);
        *best = tokens;
        row->n_prompt = n;
    } else {
        liz_free(tokens);
    }
    return LIZ_OK;
}

/* Shortens the field until the prompt has at most `limit` tokens; `*best` stays NULL when that cannot be. */
static liz_status shorten(const liz_line_prompter *prompter, const liz_line_record *record, liz_str field, size_t limit,
                          liz_line_row *row, int32_t **best, liz_error *err)
{
    size_t low = 0, high = 0; /* `low` bytes fit, `high` do not */
    bool fits;
    liz_status status = try_cut(prompter, record, 0, limit, row, best, &fits, err);
    if (status != LIZ_OK || !fits)
        return status;
    for (size_t probe = limit; high == 0 && status == LIZ_OK; probe *= 2) {
        size_t cut = character_floor(field, probe < field.n ? probe : field.n);
        status = try_cut(prompter, record, cut, limit, row, best, &fits, err);
        if (fits && cut == field.n)
            return status;
        low = fits ? cut : low;
        high = fits ? 0 : cut;
    }
    while (status == LIZ_OK) {
        size_t cut = character_floor(field, low + (high - low) / 2);
        if (cut <= low)
            break;
        status = try_cut(prompter, record, cut, limit, row, best, &fits, err);
        *(fits ? &low : &high) = cut;
    }
    return status;
}

liz_status liz_line_prompt_tokens(const liz_line_prompter *prompter, const liz_line_record *record, liz_line_row *row,
                                  int32_t **tokens, liz_error *err)
{
    size_t n = 0;
    liz_str field;
    *tokens = NULL;
    liz_status status = check_fields(prompter, record, row, err);
    if (status != LIZ_OK || row->error_code != NULL)
        return status;
    status = tokens_cut(prompter, record, SIZE_MAX, row, tokens, &n, err);
    if (status != LIZ_OK || *tokens == NULL)
        return status;
    bool too_long = prompter->n_ctx > 0 && n >= (size_t)prompter->n_ctx;
    if (too_long && prompter->truncate_field != NULL &&
        liz_line_record_text(record, prompter->truncate_field, &field)) {
        int32_t reserve = prompter->n_ctx / 4 < prompter->max_tokens ? prompter->n_ctx / 4 : prompter->max_tokens;
        int32_t *shorter = NULL;
        row->n_prompt_whole = n;
        status = shorten(prompter, record, field, (size_t)(prompter->n_ctx - (reserve > 0 ? reserve : 1)), row,
                         &shorter, err);
        if (status == LIZ_OK && shorter != NULL) {
            liz_free(*tokens);
            *tokens = shorter;
            n = row->n_prompt;
            row->was_truncated = true;
        } else {
            liz_free(shorter);
        }
    }
    if (status != LIZ_OK || !liz_line_prompt_fits(prompter, n, row)) {
        liz_free(*tokens);
        *tokens = NULL;
    }
    return status;
}
