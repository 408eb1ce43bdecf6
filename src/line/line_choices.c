/* line_choices.c - rows that are answered with one of given texts: what goes together with that, the choices' tokens
 * behind each prompt, and how often each was the answer. */
#include "line/line_job.h"

#include <math.h>
#include <stdlib.h>

/* Whether a step of sampling is on (of NAN nothing is true). Nothing is drawn, so that none may be asked for. */
static bool samples(const liz_sampling *s)
{
    return s->temperature > 0 || s->top_k > 0 || s->top_p > 0 || s->min_p > 0 || s->repeat_penalty > 0 ||
           fabsf(s->frequency_penalty) > 0 || fabsf(s->presence_penalty) > 0 || s->typical_p > 0 ||
           s->xtc_probability > 0 || s->dry_multiplier > 0 || s->n_bias > 0;
}

static int compare(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static liz_status check_distinct(const liz_line_opts *o, liz_error *err)
{
    const char **sorted = calloc(o->n_choices, sizeof *sorted);
    if (sorted == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "--choices: no memory for %zu", o->n_choices);
    memcpy(sorted, o->choices, o->n_choices * sizeof *sorted);
    qsort(sorted, o->n_choices, sizeof *sorted, compare);
    liz_status status = LIZ_OK;
    if (*sorted[0] == '\0')
        status = liz_fail(err, LIZ_E_USAGE, "--choices: one is empty: write them with single commas between");
    for (size_t i = 1; status == LIZ_OK && i < o->n_choices; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = liz_fail(err, LIZ_E_USAGE, "--choices: \"%.100s\" is given twice: leave one out", sorted[i]);
    free(sorted);
    return status;
}

liz_status liz_line_choices_check(const liz_line_opts *o, liz_error *err)
{
    if (o->n_choices == 0)
        return LIZ_OK;
    const char *with = o->n_completions > 1      ? "--n: there is one likeliest choice"
                       : o->logprobs >= 0        ? "--logprobs: \"probs\" says how likely each choice is"
                       : o->prompt_logprobs >= 0 ? "--prompt-logprobs: lizzie score tells them"
                       : o->n_stop_strings > 0   ? "--stop: a choice is the whole answer; --stop-token may name its end"
                       : samples(&o->sampling)   ? "sampling or --logit-bias: the likeliest choice is the answer"
                                                 : NULL;
    if (with != NULL)
        return liz_fail(err, LIZ_E_USAGE, "--choices: do not go together with %s", with);
    if (o->n_choices > LIZ_CHOICES_MAX)
        return liz_fail(err, LIZ_E_USAGE, "--choices: %zu are given: at most %d are possible", o->n_choices,
                        LIZ_CHOICES_MAX);
    return check_distinct(o, err);
}

/* ---- Their tokens ------------------------------------------------------------------------------- */

void liz_line_choices_free(liz_line_choices *c)
{
    liz_free(c->choices);
    *c = (liz_line_choices){0};
}

liz_status liz_line_choices_after(liz_line_choices *c, const liz_vocab *vocab, const liz_line_opts *o,
                                  const int32_t *tokens, size_t n_tokens, liz_error *err)
{
    size_t n_tail = n_tokens < LIZ_CHOICES_TAIL ? n_tokens : LIZ_CHOICES_TAIL;
    const int32_t *tail = tokens + n_tokens - n_tail;
    if (c->choices != NULL && c->n_tail == n_tail && memcmp(c->tail, tail, n_tail * sizeof *tail) == 0)
        return LIZ_OK;
    liz_line_choices_free(c);
    liz_status status = liz_tokenize_choices(vocab, tokens, n_tokens, o->choices, o->n_choices, &c->choices, err);
    for (size_t i = 0; status == LIZ_OK && i < o->n_choices; i++)
        c->n_longest = c->choices[i].n_tokens > c->n_longest ? c->choices[i].n_tokens : c->n_longest;
    memcpy(c->tail, tail, n_tail * sizeof *tail);
    c->n_tail = n_tail;
    return status;
}

bool liz_line_choices_fit(const liz_line_choices *c, int32_t n_ctx, liz_line_row *row)
{
    if (row->n_prompt + c->n_longest > (size_t)n_ctx)
        liz_line_row_fail(row, LIZ_ROW_PROMPT_TOO_LONG,
                          "its prompt has %zu tokens, the longest choice %zu, and the context holds %d: shorten it, "
                          "raise --ctx-size or give --truncate FIELD",
                          row->n_prompt, c->n_longest, n_ctx);
    return row->error_code == NULL;
}

/* ---- How often each was the answer -------------------------------------------------------------- */

void liz_line_choices_count(liz_line_tally *tally, const liz_line_row *row)
{
    for (size_t i = 0; i < row->n_completions && row->error_code == NULL && !row->is_copy; i++) {
        const liz_line_completion *c = &row->completions[i];
        if (c->choice < 0)
            continue;
        tally[c->choice].n++;
        tally[c->choice].sum += liz_line_completion_prob(c, (size_t)c->choice);
    }
}
