/* examples.c - from rows to tokens, piece by piece of a text, each given or learnt. */
#include "train/examples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 30, TOKENS_MAX = INT32_MAX };

/* One example: tokens [begin, end) of all. */
typedef struct example {
    size_t begin, end;
} example;

struct liz_examples {
    const liz_text_vocab *vocab;
    const liz_template *chat;
    size_t n_tok_max;
    liz_buf tokens;   /* of int32_t */
    liz_buf learnt;   /* a byte for each */
    liz_buf examples; /* of example */
    size_t longest;
    const char *where; /* the row that is being added, for errors */
    liz_buf text;      /* scratch: a row's text; of a conversation, what its tokens so far are of */
};

/* A text of which the ranges [2 * n_data] are data (liz_rendered). */
typedef struct marked {
    liz_str text;
    const size_t *data;
    size_t n_data;
} marked;

liz_status liz_examples_open(liz_examples **out, const liz_text_vocab *vocab, const liz_template *chat,
                             size_t n_tok_max, liz_error *err)
{
    if (liz_text_vocab_eos(vocab) < 0)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "the vocabulary names no token that ends a text");
    liz_examples *e = calloc(1, sizeof *e);
    if (e == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for examples");
    e->vocab = vocab;
    e->chat = chat;
    e->n_tok_max = n_tok_max;
    liz_buf_init(&e->tokens, SIZE_MAX / 4);
    liz_buf_init(&e->learnt, SIZE_MAX / 4);
    liz_buf_init(&e->examples, SIZE_MAX / 4);
    liz_buf_init(&e->text, TEXT_MAX);
    *out = e;
    return LIZ_OK;
}

void liz_examples_close(liz_examples *e)
{
    if (e == NULL)
        return;
    liz_buf_free(&e->tokens);
    liz_buf_free(&e->learnt);
    liz_buf_free(&e->examples);
    liz_buf_free(&e->text);
    free(e);
}

static const int32_t *tokens_of(const liz_examples *e) { return (const int32_t *)(const void *)e->tokens.data; }
static const example *example_at(const liz_examples *e, size_t i)
{
    return (const example *)(const void *)e->examples.data + i;
}

size_t liz_examples_n(const liz_examples *e) { return e->examples.len / sizeof(example); }
size_t liz_examples_n_tokens(const liz_examples *e) { return e->learnt.len; }

size_t liz_examples_n_targets(const liz_examples *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->learnt.len; i++)
        n += e->learnt.data[i] != 0;
    return n;
}

size_t liz_examples_longest(const liz_examples *e) { return e->longest; }

liz_hash liz_examples_hash(const liz_examples *e)
{
    liz_hash h = liz_hash_chain((liz_hash){0}, e->tokens.data, e->tokens.len);
    h = liz_hash_chain(h, e->learnt.data, e->learnt.len);
    return liz_hash_chain(h, e->examples.data, e->examples.len);
}

/* ---- Tokens ---- */

static void push(liz_examples *e, const int32_t *tokens, size_t n, bool learnt)
{
    liz_buf_append(&e->tokens, (const char *)tokens, n * sizeof *tokens);
    for (size_t i = 0; i < n; i++)
        liz_buf_putc(&e->learnt, learnt ? 1 : 0);
}

/* Bytes [from, to) of a text as tokens. */
static liz_status encode(const liz_examples *e, const marked *m, size_t from, size_t to, int32_t **tokens, size_t *n,
                         liz_error *err)
{
    size_t n_data = 0, *data = calloc(2 * m->n_data + 1, sizeof *data);
    if (data == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a text's tokens");
    for (size_t i = 0; i < m->n_data; i++) {
        size_t begin = m->data[2 * i] > from ? m->data[2 * i] : from, end = m->data[2 * i + 1];
        end = end < to ? end : to;
        if (begin < end) {
            data[n_data++] = begin - from;
            data[n_data++] = end - from;
        }
    }
    liz_str part = {m->text.p + from, to - from};
    liz_status status = liz_text_encode_marked(e->vocab, part, LIZ_TEXT_SPECIAL, data, n_data / 2, tokens, n, err);
    free(data);
    return status;
}

/* Adds bytes [from, to) of a text whose tokens up to `from` stand from `first` on: as they are cut within the whole,
 * unless that would cut what stands there otherwise. */
static liz_status extend(liz_examples *e, const marked *m, size_t first, size_t from, size_t to, bool learnt,
                         liz_error *err)
{
    int32_t *tokens = NULL;
    size_t n = 0, n_before = liz_examples_n_tokens(e) - first;
    liz_status status = encode(e, m, 0, to, &tokens, &n, err);
    bool follows = status == LIZ_OK && n >= n_before &&
                   (n_before == 0 || memcmp(tokens, tokens_of(e) + first, n_before * sizeof *tokens) == 0);
    if (status == LIZ_OK && !follows) {
        free(tokens);
        tokens = NULL;
        n_before = 0;
        status = encode(e, m, from, to, &tokens, &n, err);
    }
    if (status == LIZ_OK)
        push(e, tokens + n_before, n - n_before, learnt);
    free(tokens);
    return status;
}

static liz_status fail_form(const liz_examples *e, const char *what, liz_error *err)
{
    return liz_fail(err, LIZ_E_FORMAT, "%s: %s", e->where, what);
}

/* What was pushed since `begin` is an example. */
static liz_status close_example(liz_examples *e, size_t begin, liz_error *err)
{
    example one = {begin, liz_examples_n_tokens(e)};
    size_t n = one.end - one.begin;
    if (n > e->n_tok_max)
        return liz_fail(err, LIZ_E_LIMIT,
                        "%s: has %zu tokens: at most %zu are possible: shorten it, or raise --ctx-size", e->where, n,
                        e->n_tok_max);
    if (n < 2)
        return fail_form(e, "is empty", err);
    liz_buf_append(&e->examples, (const char *)&one, sizeof one);
    e->longest = n > e->longest ? n : e->longest;
    if (liz_buf_failed(&e->tokens) || liz_buf_failed(&e->learnt) || liz_buf_failed(&e->examples))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its tokens", e->where);
    return LIZ_OK;
}

/* ---- Raw text ---- */

/* `given` (may be empty), then `learnt`, in which control tokens are text. */
static liz_status add_raw(liz_examples *e, liz_str given, liz_str learnt, liz_error *err)
{
    size_t begin = liz_examples_n_tokens(e), data[2] = {given.n, given.n + learnt.n};
    int32_t bos = liz_text_vocab_bos(e->vocab), eos = liz_text_vocab_eos(e->vocab);
    bool has_bos = bos >= 0 && liz_text_vocab_add_bos(e->vocab);
    liz_buf_append_str(&e->text, given);
    liz_buf_append_str(&e->text, learnt);
    if (liz_buf_failed(&e->text))
        return liz_fail(err, LIZ_E_MEMORY, "%s: no memory for its text", e->where);
    if (has_bos)
        push(e, &bos, 1, false);
    marked m = {liz_buf_str(&e->text), data, 1};
    LIZ_TRY(extend(e, &m, begin + has_bos, 0, given.n, false, err));
    LIZ_TRY(extend(e, &m, begin + has_bos, given.n, e->text.len, true, err));
    push(e, &eos, 1, true);
    return close_example(e, begin, err);
}

/* ---- Conversations ---- */

/* The first n messages of a row, and what else templates take, as the variables of a template. */
static void variables(const liz_json *row, size_t n, bool asks, liz_buf *out)
{
    static const char *const names[] = {"tools", "documents", "reasoning_effort"};
    const liz_json *more = liz_json_member(row, "chat_template_kwargs");
    liz_buf_puts(out, "{\"messages\":[");
    const liz_json *m = liz_json_member(row, "messages")->first_child;
    for (size_t i = 0; i < n; i++, m = m->next)
        liz_buf_printf(out, "%s%.*s", i ? "," : "", LIZ_STR_ARG(m->source));
    liz_buf_printf(out, "],\"add_generation_prompt\":%s", asks ? "true" : "false");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const liz_json *member = liz_json_member(row, names[i]);
        if (member != NULL)
            liz_buf_printf(out, ",\"%s\":%.*s", names[i], LIZ_STR_ARG(member->source));
    }
    for (m = more != NULL ? more->first_child : NULL; m != NULL; m = m->next) {
        if (liz_str_is(m->key, "add_generation_prompt"))
            continue;
        liz_buf_putc(out, ',');
        liz_json_write_string(out, m->key);
        liz_buf_printf(out, ":%.*s", LIZ_STR_ARG(m->source));
    }
    liz_buf_putc(out, '}');
}

static liz_status render(const liz_examples *e, const liz_json *row, size_t n, bool asks, liz_rendered *out,
                         liz_error *err)
{
    liz_buf text;
    liz_error why;
    liz_buf_init(&text, TEXT_MAX);
    variables(row, n, asks, &text);
    liz_status status = liz_buf_failed(&text) ? liz_fail(&why, LIZ_E_MEMORY, "no memory for its messages")
                                              : liz_template_render(e->chat, text.data, text.len, "2026-01-01",
                                                                    LIZ_RENDER_CHAT, out, &why);
    liz_buf_free(&text);
    if (status == LIZ_OK)
        return LIZ_OK;
    return liz_fail(err, status == LIZ_E_MEMORY ? status : LIZ_E_FORMAT, "%s: %s", e->where, why.text);
}

static bool begins_with(const liz_rendered *whole, liz_str part)
{
    return whole->n_text >= part.n && (part.n == 0 || memcmp(whole->text, part.p, part.n) == 0);
}

/* A turn of the assistant: given up to what asks for it, `said` then to its end learnt. `begin`: where the tokens of
 * the example under way begin, SIZE_MAX where there is none. */
static liz_status add_answer(liz_examples *e, const liz_rendered *asked, const liz_rendered *said, size_t *begin,
                             liz_error *err)
{
    if (!begins_with(said, (liz_str){asked->text, asked->n_text}))
        return fail_form(e, "the chat template does not write an answer after what asks for it", err);
    if (*begin == SIZE_MAX || !begins_with(asked, liz_buf_str(&e->text))) {
        if (*begin != SIZE_MAX)
            LIZ_TRY(close_example(e, *begin, err));
        liz_buf_clear(&e->text);
        *begin = liz_examples_n_tokens(e);
    }
    marked m = {{said->text, said->n_text}, said->data, said->n_data};
    LIZ_TRY(extend(e, &m, *begin, e->text.len, asked->n_text, false, err));
    LIZ_TRY(extend(e, &m, *begin, asked->n_text, said->n_text, true, err));
    liz_buf_clear(&e->text);
    liz_buf_append(&e->text, said->text, said->n_text);
    return LIZ_OK;
}

/* The turn of message i. */
static liz_status add_turn(liz_examples *e, const liz_json *row, size_t i, size_t *begin, liz_error *err)
{
    liz_rendered asked = {0}, said = {0};
    liz_status status = render(e, row, i, true, &asked, err);
    status = status ?: render(e, row, i + 1, false, &said, err);
    status = status ?: add_answer(e, &asked, &said, begin, err);
    liz_rendered_free(&asked);
    liz_rendered_free(&said);
    return status;
}

static liz_status add_messages(liz_examples *e, const liz_json *row, liz_error *err)
{
    const liz_json *messages = liz_json_member(row, "messages");
    size_t i = 0, begin = SIZE_MAX;
    if (messages->type != LIZ_JSON_ARRAY)
        return fail_form(e, "its \"messages\" are not a list", err);
    if (e->chat == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: it has \"messages\", and the model no chat template for them",
                        e->where);
    for (const liz_json *m = messages->first_child; m != NULL; m = m->next, i++) {
        const liz_json *role = liz_json_member(m, "role");
        if (role == NULL || role->type != LIZ_JSON_STRING)
            return fail_form(e, "a message has no \"role\"", err);
        if (liz_str_is(role->string, "assistant"))
            LIZ_TRY(add_turn(e, row, i, &begin, err));
    }
    return begin != SIZE_MAX ? close_example(e, begin, err)
                             : fail_form(e, "no message is the assistant's: nothing in it can be learnt", err);
}

/* ---- Rows ---- */

static bool text_of(const liz_json *row, const char *name, liz_str *out)
{
    const liz_json *member = liz_json_member(row, name);
    if (member == NULL || member->type != LIZ_JSON_STRING)
        return false;
    *out = member->string;
    return true;
}

static liz_status add_row(liz_examples *e, const liz_json *row, liz_error *err)
{
    liz_str given = {"", 0}, learnt;
    if (row->type != LIZ_JSON_OBJECT)
        return fail_form(e, "is no JSON object", err);
    if (liz_json_member(row, "messages") != NULL)
        return add_messages(e, row, err);
    if (liz_json_member(row, "prompt") != NULL) {
        if (!text_of(row, "prompt", &given))
            return fail_form(e, "its \"prompt\" is no text", err);
        if (!text_of(row, "completion", &learnt))
            return fail_form(e, "has a \"prompt\" and no text \"completion\" to learn", err);
        return add_raw(e, given, learnt, err);
    }
    if (text_of(row, "text", &learnt))
        return add_raw(e, given, learnt, err);
    return fail_form(e, "has neither \"prompt\" and \"completion\", nor \"messages\", nor \"text\"", err);
}

liz_status liz_examples_add(liz_examples *e, const liz_json *row, const char *where, liz_error *err)
{
    size_t n_tokens = liz_examples_n_tokens(e), n_bytes = e->examples.len, longest = e->longest;
    e->where = where;
    liz_buf_clear(&e->text);
    liz_status status = add_row(e, row, err);
    if (status == LIZ_OK)
        return LIZ_OK;
    e->tokens.len = n_tokens * sizeof(int32_t);
    e->learnt.len = n_tokens;
    e->examples.len = n_bytes;
    e->longest = longest;
    return status;
}

/* ---- Two sets ---- */

static uint64_t hash_of(const liz_examples *e, size_t i)
{
    const example *x = example_at(e, i);
    return liz_hash_bytes(tokens_of(e) + x->begin, (x->end - x->begin) * sizeof(int32_t)).lo;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Up to this hash an example is chosen: of so many there are as many as the share says, but one and not all. */
static uint64_t chosen_up_to(uint64_t *hashes, size_t n, double share)
{
    size_t n_chosen = (size_t)(share * (double)n + 0.5);
    qsort(hashes, n, sizeof *hashes, compare_hashes);
    n_chosen = n_chosen < 1 ? 1 : n_chosen < n ? n_chosen : n - 1;
    return hashes[n_chosen - 1];
}

static void move(const liz_examples *from, size_t i, liz_examples *to)
{
    const example *x = example_at(from, i);
    example moved = {liz_examples_n_tokens(to), liz_examples_n_tokens(to) + x->end - x->begin};
    for (size_t t = x->begin; t < x->end; t++)
        push(to, tokens_of(from) + t, 1, from->learnt.data[t] != 0);
    liz_buf_append(&to->examples, (const char *)&moved, sizeof moved);
    to->longest = x->end - x->begin > to->longest ? x->end - x->begin : to->longest;
}

liz_status liz_examples_split(liz_examples *e, double share, liz_examples *valid, liz_error *err)
{
    liz_examples *rest;
    size_t n = liz_examples_n(e);
    if (n < 2)
        return LIZ_OK;
    LIZ_TRY(liz_examples_open(&rest, e->vocab, e->chat, e->n_tok_max, err));
    uint64_t *hashes = calloc(n, sizeof *hashes), last = 0;
    for (size_t i = 0; i < n && hashes != NULL; i++)
        hashes[i] = hash_of(e, i);
    if (hashes != NULL)
        last = chosen_up_to(hashes, n, share);
    for (size_t i = 0; i < n && hashes != NULL; i++)
        move(e, i, hash_of(e, i) <= last ? valid : rest);
    bool failed = hashes == NULL || liz_buf_failed(&rest->tokens) || liz_buf_failed(&valid->tokens) ||
                  liz_buf_failed(&rest->examples) || liz_buf_failed(&valid->examples);
    free(hashes);
    if (!failed) {
        liz_examples old = *e;
        *e = *rest;
        *rest = old;
    }
    liz_examples_close(rest);
    return failed ? liz_fail(err, LIZ_E_MEMORY, "no memory for the validation's share") : LIZ_OK;
}

/* ---- The feed ---- */

static size_t get_example(const void *user, size_t i, int32_t *tokens, int32_t *targets, liz_segment *segments,
                          size_t *n_segments)
{
    const liz_examples *e = user;
    const example *x = example_at(e, i);
    size_t n = x->end - x->begin;
    memcpy(tokens, tokens_of(e) + x->begin, n * sizeof *tokens);
    for (size_t t = 0; t < n; t++)
        targets[t] = t + 1 < n && e->learnt.data[x->begin + t + 1] ? tokens[t + 1] : -1;
    segments[0] = (liz_segment){0, n};
    *n_segments = 1;
    return n;
}

liz_feed liz_examples_feed(const liz_examples *e, size_t n_tok_max)
{
    return (liz_feed){.user = e, .n_items = liz_examples_n(e), .n_tok_max = n_tok_max, .get = get_example};
}
