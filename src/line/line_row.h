/* line_row.h - one row on its way through the window, and the lines written for it.
 *
 * A slot of the window holds one row after another and keeps its buffers. The reader thread fills it (index, id, kept
 * fields, seeds), the engine's thread adds what is generated, the writer turns it into a line of OUT. What a line says
 * is determined by row, model and settings alone; times and cache hits go to --stats.
 *
 * A row has one completion, or with --n several of the same prompt, each a sequence of its own. */
#ifndef LIZ_LINE_LINE_ROW_H
#define LIZ_LINE_LINE_ROW_H

#include "base/buf.h"
#include "line/line_input.h"
#include "lizzie.h"

/* The codes of error rows (docs/line.md). */
#define LIZ_ROW_INVALID_UTF8 "invalid_utf8"
#define LIZ_ROW_INVALID_JSON "invalid_json"
#define LIZ_ROW_INVALID_CSV "invalid_csv"
#define LIZ_ROW_INVALID_ROW "invalid_row"
#define LIZ_ROW_TOO_LARGE "row_too_large"
#define LIZ_ROW_FIELD_MISSING "field_missing"
#define LIZ_ROW_CONTROL_TOKEN "control_token"
#define LIZ_ROW_TEMPLATE_FAILED "template_failed"
#define LIZ_ROW_PROMPT_EMPTY "prompt_empty"
#define LIZ_ROW_PROMPT_TOO_LONG "prompt_too_long"
#define LIZ_ROW_UNKNOWN_ADAPTER "unknown_adapter"
#define LIZ_ROW_UNSUPPORTED "unsupported"
#define LIZ_ROW_NOT_A_NUMBER "not_a_number"

typedef enum liz_line_form { LIZ_LINE_FORM_PLAIN, LIZ_LINE_FORM_OPENAI } liz_line_form;

/* One token, where log-probabilities are asked for; its alternatives are the `n_top` entries from `top`. */
typedef struct liz_row_token {
    liz_token_logprob chosen;
    uint32_t top, n_top;
    size_t text_end; /* bytes of the text that were certain after it */
} liz_row_token;

typedef struct liz_row_tokens {
    liz_buf each; /* of liz_row_token */
    liz_buf tops; /* of liz_token_logprob */
} liz_row_tokens;

/* What one sequence makes. */
typedef struct liz_line_completion {
    struct liz_line_row *row;
    uint64_t seed;
    liz_seq *seq;
    /* What the engine's thread adds. */
    liz_buf text;
    liz_row_tokens tokens;
    int32_t choice; /* that is the answer; -1: none */
    liz_buf probs;  /* of double, of each choice */
    liz_finish finish;
    liz_status status;
    liz_buf message; /* of LIZ_FINISH_FAILED */
    liz_seq_stats stats;
    bool ended;
} liz_line_completion;

typedef struct liz_line_row {
    void *owner; /* whom its completions' events are for */
    uint64_t index;
    liz_buf id;    /* JSON text; empty: none */
    liz_buf keep;  /* members of "row" without the braces; empty: none */
    liz_buf model; /* OpenAI form: the model that the request names, as JSON text */
    bool is_chat;  /* OpenAI form: of /v1/chat/completions */
    bool is_copy;  /* `line` is a line of OUT to be kept as it stands */
    liz_buf line;
    const char *error_code; /* NULL: no error */
    liz_buf error_message;
    size_t n_prompt;
    uint64_t n_words_read; /* in its prompt */
    bool was_truncated;
    size_t n_prompt_whole; /* tokens before --truncate shortened it */
    bool wants_logprobs, wants_prompt_logprobs;
    const char *const *choices; /* [n_choices] borrowed; 0: none */
    size_t n_choices;
    liz_row_tokens prompt; /* added by the first completion's events */
    liz_line_completion *completions;
    size_t n_completions, n_completions_cap;
    /* Where the input stands after this row. */
    liz_line_mark mark;
    uint64_t n_input_bytes;
    size_t n_ended; /* completions; the engine's thread */
    /* Under the window's lock. */
    bool passed, done;
    size_t charged_bytes;
} liz_line_row;

void liz_line_row_init(liz_line_row *row);
/* Ready for the next row; gives up buffers that have grown large. */
void liz_line_row_reset(liz_line_row *row);
void liz_line_row_free(liz_line_row *row);
/* What it holds in memory, about. */
size_t liz_line_row_bytes(liz_line_row *row);

/* Makes it an error row, the first error winning. `code` is static. */
void liz_line_row_fail(liz_line_row *row, const char *code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Makes room for `n` completions. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_row_expect(liz_line_row *row, size_t n, liz_error *err);
/* Takes an event of a sequence of the row; true when it was the last of all. Then a completion that failed for the
 * row's own sake makes it an error row, the first such one saying why. On the engine's thread. */
bool liz_line_row_event(liz_line_completion *completion, const liz_event *event);
/* Whether memory ran out for anything that it holds. */
bool liz_line_row_overflowed(liz_line_row *row);
/* Times and tokens of all its completions together. */
liz_seq_stats liz_line_row_stats(const liz_line_row *row);

/* Appends the row's line of OUT, with its line end. `vocab` names tokens of log-probabilities. */
void liz_line_row_write(const liz_line_row *row, liz_line_form form, const liz_vocab *vocab, liz_buf *out);
/* Appends what was generated as an object of its own, as `run --json` prints it. */
void liz_line_row_write_object(const liz_line_row *row, const liz_vocab *vocab, liz_buf *out);
/* Appends its line of --stats; `joules` below 0: unknown. */
void liz_line_row_write_stats(const liz_line_row *row, double joules, liz_buf *out);

/* Appends a token's text as a JSON string, as it stands within a text: a vocabulary may drop a space at the beginning
 * of one, so it is what the token adds to itself. LIZ_E_USAGE when it is outside the vocabulary, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_piece_write(const liz_vocab *vocab, int32_t token, liz_buf *out, liz_error *err);

/* Whether `line`, a line of OUT or the beginning of one, begins as the row of `index` does. */
bool liz_line_row_begins(liz_str line, liz_line_form form, uint64_t index);
/* Whether it is that row, whole. */
bool liz_line_row_matches(liz_str line, liz_line_form form, uint64_t index);
/* Whether a whole line of OUT is an error row. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_row_is_error(liz_str line, bool *is_error, liz_error *err);

/* The probability of its i-th choice. */
double liz_line_completion_prob(const liz_line_completion *completion, size_t i);

/* "stop", "length", ... */
const char *liz_line_finish_name(liz_finish finish);

#endif
