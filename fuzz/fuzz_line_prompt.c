/* fuzz_line_prompt.c - prompt templates: an input is a system text, a prompt and a record of JSON, between lines
 * "====".
 *
 * What compiles names its fields and renders; --truncate finds tokens that fit the context or says that none do. */
#include "fuzz.h"
#include "line/line_prompt.h"

#include <string.h>

enum { N_CTX = 48 };

static void check_tokens(const liz_line_template *template, const liz_line_record *record, const char *truncate)
{
    liz_line_prompter prompter = {
        .template = template, .truncate_field = truncate, .n_ctx = N_CTX, .max_tokens = 8, .vocab = NULL};
    liz_vocab *vocab = NULL;
    int32_t *tokens = NULL;
    liz_line_row row;
    liz_line_row_init(&row);
    liz_line_row_reset(&row);
    FUZZ_CHECK(liz_vocab_open(&vocab, "/dev/null", NULL) == LIZ_OK);
    prompter.vocab = vocab;
    FUZZ_CHECK(liz_line_prompter_open(&prompter, NULL) == LIZ_OK);
    FUZZ_CHECK(liz_line_prompt_tokens(&prompter, record, &row, &tokens, NULL) == LIZ_OK);
    FUZZ_CHECK((tokens == NULL) == (row.error_code != NULL));
    FUZZ_CHECK(tokens == NULL || (row.n_prompt > 0 && row.n_prompt < N_CTX));
    liz_free(tokens);
    liz_vocab_close(vocab);
    liz_line_row_free(&row);
}

static void render(const liz_line_template *template, liz_str text)
{
    liz_arena arena = {.size_max = 1 << 26};
    liz_line_cut cut = {.text = text};
    liz_line_record record;
    liz_line_row row;
    liz_line_row_init(&row);
    liz_line_row_reset(&row);
    if (liz_line_record_read(&record, &cut, NULL, &arena, &row)) {
        check_tokens(template, &record, NULL);
        check_tokens(template, &record, "a");
        check_tokens(NULL, &record, "prompt");
    }
    liz_line_row_free(&row);
    liz_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liz_str rest = fuzz_text(data, size);
    char *system = fuzz_copy(fuzz_part(&rest)), *prompt = fuzz_copy(fuzz_part(&rest));
    liz_line_template *template = NULL;
    liz_error err = {0};
    liz_status status = liz_line_template_compile(&template, system[0] ? system : NULL, prompt, &err);
    if (status == LIZ_OK) {
        for (size_t i = 0; liz_line_template_field(template, i) != NULL; i++)
            FUZZ_CHECK(liz_line_template_field(template, i)[0] != '\0');
        render(template, rest);
    } else {
        FUZZ_CHECK(err.code == status && err.text[0] != '\0');
    }
    liz_line_template_free(template);
    free(system);
    free(prompt);
    return 0;
}
