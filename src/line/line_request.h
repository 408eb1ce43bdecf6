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
    const int32_t *tokens; /* the prompt where the row gives it as tokens; else NULL */
    size_t n_tokens;
    const liz_json *chat; /* else the messages of this object, or NULL */
    liz_str prompt;       /* else this text */
} liz_line_ask;

/* Whether a record of JSON is of an OpenAI batch file: an object with `custom_id` and `body`. */
bool liz_line_openai_is(const liz_line_record *record);

/* Checks method and url; false and an error row when they name an endpoint that is not known. Tells
 * whether it is a chat's. */
bool liz_line_openai_check(const liz_line_record *record, liz_line_row *row);

/* Fills custom id, model and `ask` (which holds the job's settings) from a record; false and an error row when that
 * cannot be. */
bool liz_line_openai_read(const liz_line_record *record, liz_arena *arena, liz_line_row *row, liz_line_ask *ask);

#endif
