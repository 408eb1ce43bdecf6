/* line_request.h - what is asked of the engine for a row, and the OpenAI batch form, whose rows ask for themselves.
 *
 * The job's settings are the request of every row; in an OpenAI batch file the body's own settings take their place. A
 * parameter that this version does not have is refused by name in that row, never passed over. */
#ifndef LIZ_LINE_LINE_REQUEST_H
#define LIZ_LINE_LINE_REQUEST_H

#include "line/line.h"
#include "line/line_record.h"

#define LIZ_LINE_BIAS_MAX 1024

/* Settings of one row. Text that it points to lives in the record's arena or in the job's options. */
typedef struct liz_line_ask {
    liz_sampling sampling;
    liz_logit_bias bias[LIZ_LINE_BIAS_MAX];
    const char *breakers[LIZ_LINE_STOP_MAX];
    int32_t max_tokens, n_completions;
    const char *stop[LIZ_LINE_STOP_MAX];
    size_t n_stop;
    int32_t stop_tokens[LIZ_STOP_TOKENS_MAX];
    size_t n_stop_tokens;
    bool ignore_end;
    int32_t logprobs, prompt_logprobs; /* -1: none */
    bool has_seed;
    uint64_t seed;
    uint64_t loras;        /* those that the row names */
    const int32_t *tokens; /* the prompt where the row gives it as tokens; else NULL */
    size_t n_tokens;
    const liz_json *chat; /* else the messages of this object, or NULL */
    liz_str prompt;       /* else this text */
    liz_str model;        /* that an OpenAI row names */
} liz_line_ask;

/* ---- Adapters that rows name (line_lora.c) ---- */

/* LIZ_E_USAGE: two of one name, names without a field that tells them, or a field without names. */
LIZ_MUST_CHECK liz_status liz_line_loras_check(const liz_line_opts *opts, liz_line_form form, liz_error *err);

/* The bits of the adapters that the row's field names; false and an error row when it names one that is not given. */
bool liz_line_loras_of_record(const liz_line_opts *opts, const liz_line_record *record, liz_line_row *row,
                              uint64_t *loras);
/* The bit of the one that an OpenAI request's `model` names, none where it names the model itself. */
bool liz_line_loras_of_model(const liz_line_opts *opts, const liz_engine_info *info, liz_str model, liz_line_row *row,
                             uint64_t *loras);

/* Names, scales and content hashes, as texts in `items` [engine.n_loras]; for the fingerprint. */
LIZ_MUST_CHECK liz_status liz_line_loras_describe(const liz_line_opts *opts, liz_arena *arena, const char **items,
                                                  liz_error *err);

/* Whether a record of JSON is of an OpenAI batch file: an object with `custom_id` and `body`. */
bool liz_line_openai_is(const liz_line_record *record);

/* Checks method and url; false and an error row when they name an endpoint that is not known. Tells
 * whether it is a chat's. */
bool liz_line_openai_check(const liz_line_record *record, liz_line_row *row);

/* Fills custom id, model and `ask` (which holds the job's settings) from a record; false and an error row when that
 * cannot be. */
bool liz_line_openai_read(const liz_line_record *record, liz_arena *arena, liz_line_row *row, liz_line_ask *ask);

#endif
