/* line_request.h - what is asked of the engine for a row, and the OpenAI batch form, whose rows ask for themselves.
 *
 * The job's settings are the request of every row; in an OpenAI batch file the body's own settings take their place. A
 * parameter that this version does not have is refused by name in that row, never passed over. */
#ifndef LIZ_LINE_LINE_REQUEST_H
#define LIZ_LINE_LINE_REQUEST_H

#include "line/line.h"
#include "line/line_prompt.h"

#define LIZ_LINE_BIAS_MAX 1024

/* What one row asks. Lists that it points to live in the record's arena or in the job's options. */
typedef struct liz_line_ask {
    liz_request request;
    int32_t n_completions, logprobs, prompt_logprobs; /* -1: no log-probabilities */
    uint64_t seed;                                    /* of the job, */
    bool has_seed;                                    /* or the row's own, which its first completion has itself */
    uint32_t attempt;
    const int32_t *tokens; /* the prompt of an OpenAI row where it gives tokens; else NULL */
    size_t n_tokens;
    const liz_json *chat; /* else the messages of this object, or NULL */
    liz_str prompt;       /* else this text */
    liz_str model;        /* that an OpenAI row names */
} liz_line_ask;

/* LIZ_E_UNSUPPORTED where the model, whose file `path` names, has no vocabulary. */
LIZ_MUST_CHECK liz_status liz_line_vocab_check(const liz_engine *engine, const char *path, liz_error *err);

/* The narrowest top_p and typical_p that there is, which leaves one token: what 0 means where it is asked for. */
#define LIZ_LINE_SHARE_MIN 1e-6f

/* Makes of options what each row asks of this model. `temperature` and `min_p` (where that too is open) are used where
 * neither the options nor the model file name a temperature. LIZ_E_USAGE for a setting out of range, and for stop
 * tokens, which are looked up into `stop_tokens` [LIZ_LINE_STOP_MAX]. */
LIZ_MUST_CHECK liz_status liz_line_ask_settle(liz_line_ask *ask, const liz_line_opts *opts, const liz_vocab *vocab,
                                              const liz_engine_info *info, float temperature, float min_p,
                                              int32_t *stop_tokens, liz_error *err);

/* False and an error row where a request of an OpenAI row is none for a model of `n_vocab` tokens. */
bool liz_line_ask_check(const liz_line_ask *ask, int32_t n_vocab, liz_line_form form, liz_line_row *row);

/* Gives the tokens of the prompt: of `ask` where the form is OpenAI's, else of the record. As liz_line_prompt_tokens.
 */
LIZ_MUST_CHECK liz_status liz_line_ask_tokens(const liz_line_ask *ask, const liz_line_prompter *prompter,
                                              liz_line_form form, const liz_line_record *record, liz_line_row *row,
                                              int32_t **tokens, liz_error *err);

/* Makes the row ready for its completions of `tokens` [row->n_prompt]; `choices` [row->n_choices] or NULL. */
LIZ_MUST_CHECK liz_status liz_line_ask_begin(liz_line_ask *ask, liz_line_row *row, const int32_t *tokens,
                                             const liz_choice *choices, liz_error *err);
/* Submits the completions from the `*n`-th on, which it counts; the first asks for the prompt's log-probabilities too.
 * LIZ_E_BUSY: the queue is full, go on when a sequence has ended. As liz_submit. */
LIZ_MUST_CHECK liz_status liz_line_ask_submit(liz_line_ask *ask, liz_engine *engine, liz_line_row *row, size_t *n,
                                              liz_error *err);

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

/* ---- Rows of OpenAI batch files (line_openai.c) ---- */

/* Whether a record of JSON is of one: an object with `custom_id` and `body`, or with three of the four. */
bool liz_line_openai_is(const liz_line_record *record);

/* Checks method and url; false and an error row when they name an endpoint that is not known. Tells
 * whether it is a chat's. */
bool liz_line_openai_check(const liz_line_record *record, liz_line_row *row);

/* Fills custom id, model and `ask` (which holds the job's settings) from a record; false and an error row when that
 * cannot be. */
bool liz_line_openai_read(const liz_line_record *record, liz_arena *arena, liz_line_row *row, liz_line_ask *ask);

#endif
