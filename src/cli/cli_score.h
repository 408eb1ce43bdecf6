/* cli_score.h - texts to the sums of their log-probabilities, many at a time.
 *
 * A text is tokenised with BOS and EOS as the model asks. Its first token has nothing before it and is not scored; a
 * text longer than the context is scored in windows of the context's length, each of which counts only its last
 * `n_stride` tokens, so that every other token is scored once, with at least n_ctx - n_stride tokens before it. */
#ifndef LIZ_CLI_CLI_SCORE_H
#define LIZ_CLI_CLI_SCORE_H

#include "base/buf.h"
#include "lizzie.h"

typedef struct cli_scorer {
    liz_engine *engine;
    liz_engine_info info;
    const char *model_path;
    int32_t n_stride;         /* from 1 to n_ctx - 1 */
    liz_on_logits *on_logits; /* of each window; NULL: not wanted */
    void *user;
} cli_scorer;

typedef struct cli_scored {
    liz_str text;   /* borrowed */
    uint64_t index; /* the caller's */
    size_t n_tokens, n_scored;
    double logprob; /* their sum, natural logarithm */
} cli_scored;

/* Opens the engine; `n_stride` 0 is the context less one token. LIZ_E_USAGE where it is larger. */
LIZ_MUST_CHECK liz_status cli_scorer_open(cli_scorer *s, const char *model_path, const liz_engine_opts *opts,
                                          int32_t n_stride, liz_error *err);
void cli_scorer_close(cli_scorer *s);

/* Gives `*tokens` [n] of a text. LIZ_E_UNSUPPORTED where the model has no vocabulary. */
LIZ_MUST_CHECK liz_status cli_score_tokenize(const cli_scorer *s, liz_str text, int32_t **tokens, size_t *n,
                                             liz_error *err);
LIZ_MUST_CHECK liz_status cli_score_tokens(const cli_scorer *s, const int32_t *tokens, size_t n, cli_scored *score,
                                           liz_error *err);
/* Scores texts [n] together; what each gives does not depend on the others. */
LIZ_MUST_CHECK liz_status cli_score_texts(const cli_scorer *s, cli_scored *scores, size_t n, liz_error *err);

/* A line of a file that says nothing to score: reported on standard error and passed over. */
void cli_score_skip(const char *path, uint64_t line, const char *why);

/* Scores the pairs of a TSV file and prints them, or where `group` (may be NULL) names a column how often the good one
 * is likelier in each of its groups. `*n_bad` counts lines passed over; `out` is for what is printed. */
LIZ_MUST_CHECK liz_status cli_score_pairs(const cli_scorer *s, const char *path, const char *group, bool json,
                                          uint64_t *n_bad, liz_buf *out, liz_error *err);

#endif
