/* line_request.c - from the settings of a job to the requests of a row. */
#include "line/line_request.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* ---- Settling ----------------------------------------------------------------------------------- */

static void settle(float *given, float stated, float otherwise)
{
    if (isnan(*given))
        *given = !isnan(stated) ? stated : otherwise;
}

static liz_sampling sampling_settle(liz_sampling s, const liz_engine_info *info, float temperature, float min_p)
{
    float *const never_stated[] = {&s.frequency_penalty, &s.presence_penalty, &s.typical_p, &s.dry_multiplier,
                                   &s.dry_base};
    bool open = isnan(s.temperature) && isnan(info->temperature);
    s.top_p = s.top_p == 0 ? LIZ_LINE_SHARE_MIN : s.top_p; /* asked for; where nothing is said it is NAN */
    s.typical_p = s.typical_p == 0 ? LIZ_LINE_SHARE_MIN : s.typical_p;
    settle(&s.temperature, info->temperature, temperature);
    settle(&s.top_p, info->top_p, 0);
    settle(&s.min_p, info->min_p, open ? min_p : 0);
    settle(&s.repeat_penalty, info->repeat_penalty, 0);
    settle(&s.xtc_probability, info->xtc_probability, 0);
    settle(&s.xtc_threshold, info->xtc_threshold, 0);
    for (size_t i = 0; i < sizeof never_stated / sizeof *never_stated; i++)
        settle(never_stated[i], NAN, 0);
    if (s.top_k < 0)
        s.top_k = info->top_k > 0 ? info->top_k : 0;
    return s;
}

/* What a model file states is checked where it counts, that is where no option says otherwise: such a file still
 * scores, and runs with the option given. */
static liz_status stated_check(const liz_line_opts *o, const liz_engine_info *info, liz_error *err)
{
    const liz_sampling *given = &o->sampling;
    const struct {
        const char *key; /* after general.sampling. */
        float given, stated;
        liz_sampling alone; /* with the stated value in it */
    } table[] = {
        {"temp", given->temperature, info->temperature, {.temperature = info->temperature}},
        {"top_p", given->top_p, info->top_p, {.top_p = info->top_p}},
        {"min_p", given->min_p, info->min_p, {.min_p = info->min_p}},
        {"penalty_repeat", given->repeat_penalty, info->repeat_penalty, {.repeat_penalty = info->repeat_penalty}},
        {"xtc_probability", given->xtc_probability, info->xtc_probability, {.xtc_probability = info->xtc_probability}},
        {"xtc_threshold", given->xtc_threshold, info->xtc_threshold, {.xtc_threshold = info->xtc_threshold}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        liz_error why;
        bool counts = isnan(table[i].given) && !isnan(table[i].stated);
        if (!counts || liz_sampling_check(&table[i].alone, info->n_vocab, &why) == LIZ_OK)
            continue;
        const char *value = strstr(why.text, " is "); /* behind the setting's own name */
        return liz_fail(err, LIZ_E_FORMAT, "%.*s: general.sampling.%s%s", LIZ_ERROR_TEXT_MAX / 2, o->model_path,
                        table[i].key, value != NULL ? value : ": is out of range");
    }
    return LIZ_OK;
}

/* "ID" or a text that is one token of the vocabulary. */
static liz_status token_read(const liz_vocab *vocab, const char *text, int32_t *token, liz_error *err)
{
    char *end;
    int32_t *tokens;
    size_t n;
    errno = 0;
    long id = strtol(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0') {
        *token = (int32_t)id;
        if (errno != 0 || id >= liz_vocab_size(vocab))
            return liz_fail(err, LIZ_E_USAGE, "token %.40s: the vocabulary ends at %d", text,
                            liz_vocab_size(vocab) - 1);
        return LIZ_OK;
    }
    LIZ_TRY(liz_tokenize(vocab, text, strlen(text), LIZ_TOKENIZE_SPECIAL, &tokens, &n, err));
    *token = n == 1 ? tokens[0] : 0;
    liz_free(tokens);
    return n == 1 ? LIZ_OK
                  : liz_fail(err, LIZ_E_USAGE, "token \"%.60s\": is %zu tokens of this model: name one, or its id",
                             text, n);
}

liz_status liz_line_vocab_check(const liz_engine *engine, const char *path, liz_error *err)
{
    liz_vocab *vocab = NULL;
    liz_error why = {0};
    if (liz_engine_vocab(engine) != NULL)
        return LIZ_OK;
    liz_status status = liz_vocab_open(&vocab, path, &why);
    liz_vocab_close(vocab);
    if (status == LIZ_E_MEMORY)
        return liz_fail(err, status, "%s", why.text);
    return liz_fail(err, LIZ_E_UNSUPPORTED, "%.*s%s: only score --tokens works with it", LIZ_ERROR_TEXT_MAX / 2,
                    status != LIZ_OK ? why.text : path,
                    status != LIZ_OK ? "" : ": has no vocabulary to read text with");
}

liz_status liz_line_ask_settle(liz_line_ask *ask, const liz_line_opts *o, const liz_vocab *vocab,
                               const liz_engine_info *info, float temperature, float min_p, int32_t *stop_tokens,
                               liz_error *err)
{
    *ask = (liz_line_ask){.request = {.sampling = sampling_settle(o->sampling, info, temperature, min_p),
                                      .n_predict_max = o->max_tokens,
                                      .stop = o->stop_strings,
                                      .n_stop = o->n_stop_strings,
                                      .stop_tokens = stop_tokens,
                                      .n_stop_tokens = o->n_stop_tokens,
                                      .ignore_end = o->ignore_end},
                          .n_completions = o->n_completions > 1 ? o->n_completions : 1,
                          .logprobs = o->logprobs,
                          .prompt_logprobs = o->prompt_logprobs,
                          .seed = o->seed};
    LIZ_TRY(stated_check(o, info, err));
    for (size_t i = 0; i < o->n_stop_tokens; i++)
        LIZ_TRY(token_read(vocab, o->stop_tokens[i], &stop_tokens[i], err));
    return liz_sampling_check(&ask->request.sampling, info->n_vocab, err);
}

static int32_t greatest(const int32_t *tokens, size_t n)
{
    int32_t max = -1;
    for (size_t i = 0; i < n; i++)
        max = tokens[i] > max ? tokens[i] : max;
    return max;
}

bool liz_line_ask_check(const liz_line_ask *ask, int32_t n_vocab, liz_line_form form, liz_line_row *row)
{
    liz_error err;
    int32_t in_prompt = greatest(ask->tokens, ask->n_tokens);
    int32_t in_stop = greatest(ask->request.stop_tokens, ask->request.n_stop_tokens);
    if (form != LIZ_LINE_FORM_OPENAI)
        return true;
    if (in_prompt >= n_vocab || in_stop >= n_vocab)
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "token %d: the vocabulary ends at %d",
                          in_prompt >= n_vocab ? in_prompt : in_stop, n_vocab - 1);
    else if (liz_sampling_check(&ask->request.sampling, n_vocab, &err) != LIZ_OK)
        liz_line_row_fail(row, LIZ_ROW_INVALID_ROW, "%s", err.text);
    return row->error_code == NULL;
}

/* ---- The prompt --------------------------------------------------------------------------------- */

liz_status liz_line_ask_tokens(const liz_line_ask *ask, const liz_line_prompter *p, liz_line_form form,
                               const liz_line_record *record, liz_line_row *row, int32_t **tokens, liz_error *err)
{
    size_t n = ask->n_tokens;
    liz_status status = LIZ_OK;
    if (form == LIZ_LINE_FORM_PLAIN)
        return liz_line_prompt_tokens(p, record, row, tokens, err);
    if (ask->chat != NULL)
        return liz_line_prompt_tokens(p, &(liz_line_record){.json = ask->chat}, row, tokens, err);
    row->n_words_read = ask->tokens == NULL ? liz_str_words(ask->prompt) : 0;
    if (ask->tokens == NULL)
        status = liz_tokenize(p->vocab, ask->prompt.n ? ask->prompt.p : "", ask->prompt.n,
                              LIZ_TOKENIZE_AFFIXES | LIZ_TOKENIZE_SPECIAL, tokens, &n, err);
    else if ((*tokens = malloc((n ? n : 1) * sizeof **tokens)) != NULL)
        memcpy(*tokens, ask->tokens, n * sizeof **tokens);
    else
        status = liz_fail(err, LIZ_E_MEMORY, "no memory for the prompt of row %lu", row->index);
    if (status == LIZ_OK && !liz_line_prompt_fits(p, n, row)) {
        liz_free(*tokens);
        *tokens = NULL;
    }
    return status;
}

/* ---- Submitting --------------------------------------------------------------------------------- */

liz_status liz_line_ask_begin(liz_line_ask *ask, liz_line_row *row, const int32_t *tokens, const liz_choice *choices,
                              liz_error *err)
{
    liz_request *r = &ask->request;
    row->wants_logprobs = r->logprobs = ask->logprobs >= 0;
    row->wants_prompt_logprobs = ask->prompt_logprobs >= 0;
    r->n_logprobs_top = ask->logprobs > 0 ? ask->logprobs : 0;
    r->n_prompt_logprobs_top = ask->prompt_logprobs > 0 ? ask->prompt_logprobs : 0;
    r->tokens = tokens;
    r->n_tokens = row->n_prompt;
    r->choices = choices;
    r->n_choices = choices != NULL ? row->n_choices : 0;
    return liz_line_row_expect(row, (size_t)ask->n_completions, err);
}

static uint64_t seed_of(const liz_line_ask *ask, const liz_line_row *row, uint32_t sample)
{
    if (!ask->has_seed)
        return liz_seed(ask->seed, (uint32_t)row->index, sample, ask->attempt);
    return sample == 0 ? ask->seed : liz_seed(ask->seed, 0, sample, 0);
}

liz_status liz_line_ask_submit(liz_line_ask *ask, liz_engine *engine, liz_line_row *row, size_t *n, liz_error *err)
{
    for (; *n < row->n_completions; ++*n) {
        liz_line_completion *c = &row->completions[*n];
        ask->request.sampling.seed = c->seed = seed_of(ask, row, (uint32_t)*n);
        ask->request.prompt_logprobs = ask->prompt_logprobs >= 0 && *n == 0;
        ask->request.user = c;
        LIZ_TRY(liz_submit(engine, &ask->request, &c->seq, err));
    }
    return LIZ_OK;
}
