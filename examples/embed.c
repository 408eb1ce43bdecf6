/* embed.c - a whole program on <lizzie.h>: all its prompts at once through one model, an answer to each.
 *
 *   cc embed.c $(pkg-config --cflags --libs lizzie) -o embed
 *   ./embed model.gguf 'Once upon a time' 'The sky' */
#include <lizzie.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct answer {
    liz_seq *seq;
    char text[4096];
    size_t n;
} answer;

/* On the engine's thread: keeps what is certain of the text. */
static void on_event(void *user, const liz_event *event)
{
    answer *a = user;
    size_t room = sizeof a->text - 1 - a->n, n = event->n_text < room ? event->n_text : room;
    memcpy(a->text + a->n, event->text, n);
    a->n += n;
}

static liz_status ask(liz_engine *engine, const char *prompt, answer *a, liz_error *err)
{
    int32_t *tokens;
    size_t n_tokens;
    liz_status status =
        liz_tokenize(liz_engine_vocab(engine), prompt, strlen(prompt), LIZ_TOKENIZE_AFFIXES, &tokens, &n_tokens, err);
    if (status != LIZ_OK)
        return status;
    liz_request request = {tokens, n_tokens, .n_predict_max = 32, .on_event = on_event, .user = a};
    status = liz_submit(engine, &request, &a->seq, err);
    liz_free(tokens);
    return status;
}

int main(int argc, char **argv)
{
    liz_engine *engine = NULL;
    liz_error err;
    int n = argc - 2;
    answer *answers = calloc(n > 0 ? (size_t)n : 1, sizeof *answers);
    liz_engine_opts opts = {.n_parallel = 8};
    liz_status status = liz_engine_open(&engine, argc > 1 ? argv[1] : "model.gguf", &opts, &err);
    for (int i = 0; i < n && status == LIZ_OK; i++)
        status = ask(engine, argv[2 + i], &answers[i], &err);
    for (int i = 0; i < n && answers[i].seq != NULL; i++) {
        liz_seq_wait(answers[i].seq);
        printf("%s\n", answers[i].text);
        liz_seq_free(answers[i].seq);
    }
    if (status != LIZ_OK)
        fprintf(stderr, "embed: %s\n", err.text);
    liz_engine_close(engine);
    free(answers);
    return status == LIZ_OK ? 0 : 1;
}
