/* engine_score.c - what the model thinks of a given text: a sequence that generates nothing and wants the logits of
 * every token.
 *
 * It runs beside the others like any sequence, as many positions a step as rows of logits are free. It publishes its
 * pages but takes none, since it needs the logits of the tokens in them. */
#include "engine/engine_core.h"

liz_status liz_score(liz_engine *engine, const int32_t *tokens, size_t n_tokens, float *logprobs,
                     liz_on_logits *on_logits, void *user, liz_error *err)
{
    liz_seq *seq;
    liz_request request = {.tokens = tokens, .n_tokens = n_tokens, .user = user};
    liz_status status = liz_engine_seq_new(&seq, engine, &request, true, err);
    if (status != LIZ_OK)
        return status;
    seq->score_logprobs = logprobs;
    seq->score_on_logits = on_logits;
    if (logprobs != NULL)
        logprobs[0] = 0;
    status = liz_engine_seq_queue(seq, true, err);
    if (status == LIZ_OK) {
        liz_seq_wait(seq);
        status = seq->result.code;
        if (status != LIZ_OK)
            liz_fail(err, status, "%s", seq->result.text);
    }
    liz_engine_seq_close(seq);
    return status;
}
