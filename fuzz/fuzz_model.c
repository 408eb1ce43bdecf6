/* fuzz_model.c - a whole model from a hostile file: inspect, identify, and where it opens, a step or two of it.
 *
 * The input is the file up to its tensors' bytes, which are zeros behind it: so small inputs are whole models. */
#include "fuzz.h"
#include "lizzie.h"

#include <string.h>

enum { ZEROS = 64 * 1024, N_TOKENS = 5 };

static void inspect(const char *path, const liz_engine_opts *opts)
{
    char *json = NULL;
    liz_error err = {0};
    liz_status status = liz_inspect(path, opts, &json, &err);
    FUZZ_CHECK(status == LIZ_OK ? json != NULL && json[0] == '{' : err.text[0] != '\0');
    liz_free(json);
}

/* The model scores and continues a text of tokens it has. */
static void use(liz_engine *engine)
{
    int32_t tokens[N_TOKENS];
    float logprobs[N_TOKENS];
    liz_engine_info info;
    liz_error err = {0};
    liz_engine_info_get(engine, &info);
    FUZZ_CHECK(info.n_vocab > 0 && info.n_ctx > 0 && info.n_parallel > 0);
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)((int64_t)i * (info.n_vocab - 1) / (N_TOKENS - 1));
    liz_status status = liz_score(engine, tokens, N_TOKENS, logprobs, NULL, NULL, &err);
    FUZZ_CHECK(status == LIZ_OK || err.text[0] != '\0');
    liz_seq *seq = NULL;
    liz_request request = {.tokens = tokens, .n_tokens = N_TOKENS, .n_predict_max = 2};
    if (liz_submit(engine, &request, &seq, &err) == LIZ_OK)
        liz_seq_wait(seq);
    liz_seq_free(seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size, ZEROS);
    liz_engine_opts opts = {.n_threads = 1, .n_parallel = 1, .n_prefill_chunk = 4, .memory_max_bytes = 64u << 20};
    liz_error err = {0};
    liz_engine *engine = NULL;
    inspect(path, &opts);
    liz_status status = liz_engine_open(&engine, path, &opts, &err);
    if (status == LIZ_OK)
        use(engine);
    else
        FUZZ_CHECK(err.code == status && err.text[0] != '\0');
    liz_engine_close(engine);
    return 0;
}
