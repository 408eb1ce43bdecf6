/* fake_engine.c - <lizzie.h> without a model, for tests of the rooms above the engine.
 *
 * What a sequence says is a hash of its prompt, settings, seed and position, so it is as deterministic as the real
 * engine, and costs next to nothing: a million rows take seconds. It keeps the engine's manners: a thread of its own
 * that advances up to n_parallel sequences together, a bounded queue, whole UTF-8 characters, stop strings held back,
 * sequences that end out of order. Stress comes with random delays.
 *
 * A "model" is a text file of NAME=VALUE lines, all optional: ctx, temperature, min_p, vocab (0: none), template (1: it
 * has the chat template below; or the path of one), step_us (a random delay of up to so many microseconds each step),
 * open_ms, memory_fails (1: refused at open), record (a file to which what each request asks for is added, a line
 * each). A prompt that holds "!nan!" ends with LIZ_E_NUMERIC, one with "!nan?" for every third seed only; one that
 * holds
 * "!long!" never ends by itself; one that holds "!echo!" gives the prompt's bytes back.
 *
 * Times are told, not taken: 5 us in the queue, 100 us for each token of the prompt that was not reused, 1000 us for
 * each that was generated.
 *
 * Tokens: 0-255 are bytes, 256 BOS, 257 "<|end|>" (ends the text), 258 "<|turn|>", from 259 words that are only ever
 * generated. */
#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/status.h"
#include "engine/engine_template.h"
#include "lizzie.h"
#include "sys/files.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_BOS = 256, TOKEN_END = 257, TOKEN_TURN = 258, TOKEN_WORD = 259, STOPS_MAX = 16 };

static const char *const words[] = {
    " the", " order",        " was", " late", " and", " billing",  " refund", ",",    ".",   "\n", " \"", " ca\xC3\xA9",
    " \\",  " \xE2\x82\xAC", " 12",  " team", "\xC3", "\xC3\xA9s", " to",     " you", " we", " a", " is", " not"};
enum { N_WORDS = sizeof words / sizeof *words, N_VOCAB = TOKEN_WORD + N_WORDS };

typedef struct fake_model {
    int ctx, template, vocab, step_us, open_ms, memory_fails;
    double temperature, min_p;
    char template_path[256], record_path[256];
} fake_model;

/* Each message is "<|turn|>role\ncontent<|end|>\n". */
static const char template_text[] =
    "{%- for m in messages %}{{ '<|turn|>' + m.role + '\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if tools %}{{ 'tools ' ~ tools|tojson ~ '\n' }}{% endif %}{{ strftime_now('') }}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}";

struct liz_vocab {
    int unused;
};

struct liz_seq {
    liz_engine *engine;
    liz_seq *next;
    int32_t *tokens;
    size_t n_tokens;
    liz_request request;
    char *stop[STOPS_MAX];
    int32_t stop_tokens[LIZ_STOP_TOKENS_MAX];
    uint64_t key;
    liz_buf text; /* all that was generated; up to `n_sent` it was reported */
    size_t n_sent;
    liz_seq_stats stats;
    double *probs;                              /* [request.n_choices] */
    bool endless, broken, echoes, is_sometimes; /* broken with every third seed only */
    bool cancelled, done;                       /* engine->lock */
};

struct liz_engine {
    fake_model model;
    liz_engine_info info;
    liz_engine_opts opts;
    liz_vocab vocab;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;            /* lock */
    liz_seq *queue, *active; /* lock */
    int n_queued, n_active;  /* lock */
    liz_engine_stats stats;  /* lock */
    int32_t *last_prompt;    /* lock */
    size_t n_last_prompt;
};

/* ---- The model file ----------------------------------------------------------------------------- */

static void model_set(fake_model *model, const char *name, const char *value)
{
    struct {
        const char *name;
        int *value;
    } ints[] = {{"ctx", &model->ctx},         {"template", &model->template}, {"vocab", &model->vocab},
                {"step_us", &model->step_us}, {"open_ms", &model->open_ms},   {"memory_fails", &model->memory_fails}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        if (strcmp(name, ints[i].name) == 0)
            *ints[i].value = atoi(value);
    if (strcmp(name, "template") == 0 && strchr(value, '/') != NULL) {
        snprintf(model->template_path, sizeof model->template_path, "%s", value);
        model->template = 1;
    }
    if (strcmp(name, "record") == 0)
        snprintf(model->record_path, sizeof model->record_path, "%s", value);
    if (strcmp(name, "temperature") == 0)
        model->temperature = atof(value);
    if (strcmp(name, "min_p") == 0)
        model->min_p = atof(value);
}

static liz_status model_read(fake_model *model, const char *path, liz_error *err)
{
    *model = (fake_model){.ctx = 4096, .vocab = 1, .temperature = NAN, .min_p = NAN};
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be opened: %m", path);
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        char *equals = strchr(line, '=');
        line[strcspn(line, "\n")] = '\0';
        if (equals != NULL) {
            *equals = '\0';
            model_set(model, line, equals + 1);
        }
    }
    fclose(file);
    return LIZ_OK;
}

/* ---- Vocabulary --------------------------------------------------------------------------------- */

void liz_free(void *p) { free(p); }
const char *liz_version(void) { return "0.0.0"; }
uint64_t liz_seed(uint64_t seed, uint32_t index, uint32_t sample, uint32_t attempt)
{
    return liz_row_seed(seed, index, sample, attempt);
}
int liz_numeric_version(void) { return 0; }

liz_status liz_tier(const char **name, liz_error *err)
{
    (void)err;
    *name = "c";
    return LIZ_OK;
}

liz_status liz_machine_measure(int n_threads, liz_machine *out, liz_error *err)
{
    (void)err;
    *out = (liz_machine){"none", "c", n_threads > 0 ? n_threads : 1, 1e9, 1e9, 1e9};
    return LIZ_OK;
}

liz_status liz_vocab_open(liz_vocab **out, const char *path, liz_error *err)
{
    fake_model model;
    liz_status status = model_read(&model, path, err);
    if (status != LIZ_OK)
        return status;
    if (!model.vocab)
        return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: holds no vocabulary", path);
    *out = calloc(1, sizeof **out);
    return *out ? LIZ_OK : liz_fail(err, LIZ_E_MEMORY, "no memory");
}

void liz_vocab_close(liz_vocab *vocab) { free(vocab); }

int32_t liz_vocab_size(const liz_vocab *vocab)
{
    (void)vocab;
    return N_VOCAB;
}

bool liz_vocab_is_end(const liz_vocab *vocab, int32_t token)
{
    (void)vocab;
    return token == TOKEN_END;
}

/* Whether the `n` bytes at `at` are all of the template's own. */
static bool is_own(const liz_rendered *r, size_t at, size_t n)
{
    for (size_t i = 0; i < r->n_data; i++)
        if (at < r->data[2 * i + 1] && at + n > r->data[2 * i])
            return false;
    return true;
}

static liz_status tokenize_marked(const liz_vocab *vocab, const liz_rendered *r, unsigned flags, int32_t **tokens,
                                  size_t *n_tokens, liz_error *err)
{
    (void)vocab;
    const char *text = r->text;
    size_t n_text = r->n_text;
    int32_t *out = malloc((n_text + 1) * sizeof *out);
    if (out == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for tokens");
    size_t n = 0;
    if (flags & LIZ_TOKENIZE_AFFIXES)
        out[n++] = TOKEN_BOS;
    for (size_t i = 0; i < n_text;) {
        liz_str rest = {text + i, n_text - i};
        bool special = flags & LIZ_TOKENIZE_SPECIAL;
        bool end = special && liz_str_starts(rest, "<|end|>") && is_own(r, i, 7);
        bool turn = special && liz_str_starts(rest, "<|turn|>") && is_own(r, i, 8);
        out[n++] = end ? TOKEN_END : turn ? TOKEN_TURN : (unsigned char)text[i];
        i += end ? 7 : turn ? 8 : 1;
    }
    *tokens = out;
    *n_tokens = n;
    return LIZ_OK;
}

liz_status liz_tokenize(const liz_vocab *vocab, const char *text, size_t n_text, unsigned flags, int32_t **tokens,
                        size_t *n_tokens, liz_error *err)
{
    return tokenize_marked(vocab, &(liz_rendered){.text = (char *)text, .n_text = n_text}, flags, tokens, n_tokens,
                           err);
}

liz_status liz_tokenize_rendered(const liz_vocab *vocab, const liz_rendered *rendered, int32_t **tokens,
                                 size_t *n_tokens, liz_error *err)
{
    return tokenize_marked(vocab, rendered, LIZ_TOKENIZE_SPECIAL, tokens, n_tokens, err);
}

/* As alone, whatever the prompt; one block of 64 tokens for each. */
liz_status liz_tokenize_choices(const liz_vocab *vocab, const int32_t *prompt, size_t n_prompt,
                                const char *const *texts, size_t n_texts, liz_choice **choices, liz_error *err)
{
    enum { EACH = 64 };
    (void)prompt, (void)n_prompt;
    *choices = calloc(n_texts, sizeof **choices + EACH * sizeof(int32_t));
    int32_t *at = (int32_t *)(void *)(*choices + n_texts);
    for (size_t i = 0; i < n_texts; i++, at += EACH) {
        int32_t *tokens;
        size_t n;
        liz_status status = liz_tokenize(vocab, texts[i], strlen(texts[i]), 0, &tokens, &n, err);
        if (status != LIZ_OK)
            return status;
        n = n < EACH ? n : EACH;
        memcpy(at, tokens, n * sizeof *tokens);
        (*choices)[i] = (liz_choice){at, n};
        liz_free(tokens);
    }
    return LIZ_OK;
}

liz_status liz_template_open(liz_template **out, const char *path, liz_error *err)
{
    fake_model model;
    liz_buf text;
    const liz_str none = {"", 0};
    liz_buf_init(&text, 1u << 24);
    liz_status status = model_read(&model, path, err);
    bool is_template = strlen(path) > 6 && strcmp(path + strlen(path) - 6, ".jinja") == 0;
    const char *source = is_template ? path : model.template_path;
    *out = NULL;
    if (status == LIZ_OK && *source != '\0')
        status = liz_file_read_whole(liz_files_system(), source, &text, err);
    else if (status == LIZ_OK && model.template)
        liz_buf_puts(&text, template_text);
    if (status == LIZ_OK && (is_template || model.template))
        status = liz_engine_template_new(out, (liz_str){text.data ? text.data : "", text.len}, none,
                                         is_template ? NULL : (liz_str[]){liz_str_of("<s>"), liz_str_of("</s>")}, err);
    liz_buf_free(&text);
    return status;
}

static void piece_append(liz_buf *buf, int32_t token, bool special)
{
    if (token < 256)
        liz_buf_putc(buf, (char)token);
    else if (token >= TOKEN_WORD)
        liz_buf_puts(buf, words[token - TOKEN_WORD]);
    else if (special)
        liz_buf_puts(buf, token == TOKEN_BOS ? "<|begin|>" : token == TOKEN_END ? "<|end|>" : "<|turn|>");
}

liz_status liz_detokenize(const liz_vocab *vocab, const int32_t *tokens, size_t n_tokens, unsigned flags, char **text,
                          size_t *n_text, liz_error *err)
{
    (void)vocab;
    liz_buf buf;
    liz_buf_init(&buf, 1u << 30);
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || tokens[i] >= N_VOCAB) {
            liz_buf_free(&buf);
            return liz_fail(err, LIZ_E_USAGE, "token %d is outside the vocabulary of %d", tokens[i], N_VOCAB);
        }
        piece_append(&buf, tokens[i], flags & LIZ_TOKENIZE_SPECIAL);
    }
    *n_text = buf.len;
    *text = liz_buf_take(&buf);
    return LIZ_OK;
}

/* ---- Sequences ---------------------------------------------------------------------------------- */

static void seq_event(liz_seq *seq, liz_event event)
{
    if (seq->request.on_event != NULL)
        seq->request.on_event(seq->request.user, &event);
}

/* Where the first stop string at or after `n_sent` begins; -1 when there is none. */
static ssize_t find_stop(const liz_seq *seq)
{
    ssize_t first = -1;
    for (size_t i = 0; i < seq->request.n_stop; i++) {
        const char *rest = seq->text.data ? seq->text.data + seq->n_sent : "";
        const char *at = memmem(rest, seq->text.len - seq->n_sent, seq->stop[i], strlen(seq->stop[i]));
        if (at != NULL && (first < 0 || at - seq->text.data < first))
            first = at - seq->text.data;
    }
    return first;
}

/* The bytes that may be reported now: whole characters, nothing that may belong to a stop string. */
static size_t n_certain(const liz_seq *seq)
{
    size_t hold = 0;
    for (size_t i = 0; i < seq->request.n_stop; i++) {
        size_t n = strlen(seq->stop[i]) - 1;
        hold = n > hold ? n : hold;
    }
    size_t n = seq->text.len - seq->n_sent;
    n = n > hold ? n - hold : 0;
    return n - (n ? liz_utf8_incomplete_suffix(seq->text.data + seq->n_sent, n) : 0);
}

static uint64_t seq_hash(const liz_seq *seq, uint64_t salt)
{
    uint64_t in[3] = {seq->key, seq->stats.n_completion, salt};
    return liz_hash_bytes(in, sizeof in).lo;
}

static void times_tell(liz_seq_stats *s)
{
    s->queue_us = 5;
    s->prefill_us = 100 * (s->n_prompt - s->n_prompt_reused);
    s->decode_us = 1000 * s->n_completion;
}

static void seq_finish(liz_seq *seq, liz_finish finish, liz_status status, size_t n_text)
{
    times_tell(&seq->stats);
    liz_event event = {.type = LIZ_EVENT_DONE, .finish = finish, .status = status, .stats = seq->stats};
    char tail[8192] = "";
    size_t n = n_text > seq->n_sent ? n_text - seq->n_sent : 0;
    n = n < sizeof tail - 4 ? n : sizeof tail - 4;
    if (n > 0)
        memcpy(tail, seq->text.data + seq->n_sent, n);
    size_t cut = n ? liz_utf8_incomplete_suffix(tail, n) : 0;
    if (cut > 0) {
        memcpy(tail + n - cut, "\xEF\xBF\xBD", 3);
        n = n - cut + 3;
    }
    event.text = tail;
    event.n_text = n;
    event.message = status == LIZ_E_NUMERIC ? "a logit is not a number"
                    : status != LIZ_OK      ? "the fake engine gave up"
                                            : NULL;
    seq_event(seq, event);
}

/* What liz_score says below. */
static float prompt_logprob(const int32_t *tokens, size_t i)
{
    return -0.01f * (float)(liz_hash_bytes(tokens, (i + 1) * sizeof *tokens).lo % 1000);
}

static void prompt_tell(liz_seq *seq)
{
    for (size_t i = 0; seq->request.prompt_logprobs && i < seq->n_tokens; i++) {
        float logprob = i ? prompt_logprob(seq->tokens, i) : NAN;
        liz_token_logprob top[LIZ_LOGPROBS_TOP_MAX];
        int n_top = i ? seq->request.n_prompt_logprobs_top : 0;
        for (int k = 0; k < n_top; k++)
            top[k] = (liz_token_logprob){TOKEN_WORD + k, -0.5f * (float)(k + 1)};
        seq_event(seq, (liz_event){.type = LIZ_EVENT_PROMPT,
                                   .text = "",
                                   .token = seq->tokens[i],
                                   .logprob = logprob,
                                   .top = top,
                                   .n_top = n_top});
    }
    seq->request.prompt_logprobs = false;
}

static void choices_finish(liz_seq *seq)
{
    liz_event event = {.type = LIZ_EVENT_DONE, .finish = LIZ_FINISH_STOP, .text = "", .probs = seq->probs};
    event.n_probs = (int32_t)seq->request.n_choices;
    for (int32_t i = 1; i < event.n_probs; i++)
        event.choice = seq->probs[i] > seq->probs[event.choice] ? i : event.choice;
    seq->stats.n_completion = 1;
    times_tell(&seq->stats);
    event.stats = seq->stats;
    seq_event(seq, event);
}

/* One token of one sequence; true when it ended. */
static bool seq_step(liz_seq *seq)
{
    prompt_tell(seq);
    if (seq->broken && (seq->request.sampling.seed % 3 == 0 || !seq->is_sometimes)) {
        seq_finish(seq, LIZ_FINISH_FAILED, LIZ_E_NUMERIC, 0);
        return true;
    }
    if (seq->request.n_choices > 0) {
        choices_finish(seq);
        return true;
    }
    uint64_t h = seq_hash(seq, 1);
    int32_t token = TOKEN_WORD + (int32_t)(h / 16 % N_WORDS);
    bool stops = h % 16 == 0 && !seq->endless && !seq->request.ignore_end;
    if (seq->echoes) {
        stops = seq->stats.n_completion == seq->n_tokens;
        token = stops ? 0 : seq->tokens[seq->stats.n_completion];
    }
    for (size_t i = 0; i < seq->request.n_stop_tokens; i++)
        stops = stops || seq->stop_tokens[i] == token;
    if (stops) {
        seq_finish(seq, LIZ_FINISH_STOP, LIZ_OK, seq->text.len);
        return true;
    }
    piece_append(&seq->text, token, seq->echoes);
    seq->stats.n_completion++;
    ssize_t stop_at = find_stop(seq);
    size_t n = stop_at >= 0 ? 0 : n_certain(seq);
    liz_token_logprob top[LIZ_LOGPROBS_TOP_MAX];
    for (int i = 0; i < seq->request.n_logprobs_top; i++)
        top[i] = (liz_token_logprob){TOKEN_WORD + (int32_t)((h / 16 + (uint64_t)i) % N_WORDS), -0.25f * (float)(i + 1)};
    liz_event event = {.type = LIZ_EVENT_TOKEN,
                       .token = token,
                       .logprob = -0.25f,
                       .top = top,
                       .n_top = seq->request.n_logprobs_top,
                       .n_text = n};
    event.text = n ? seq->text.data + seq->n_sent : "";
    seq_event(seq, event);
    seq->n_sent += n;
    bool full = seq->n_tokens + seq->stats.n_completion >= (size_t)seq->engine->info.n_ctx;
    bool enough = seq->request.n_predict_max > 0 && seq->stats.n_completion >= (size_t)seq->request.n_predict_max;
    if (stop_at >= 0)
        seq_finish(seq, LIZ_FINISH_STOP, LIZ_OK, (size_t)stop_at);
    else if (full || enough)
        seq_finish(seq, LIZ_FINISH_LENGTH, LIZ_OK, seq->text.len);
    return stop_at >= 0 || full || enough;
}

/* What a prefix cache would do: the prompt's beginning that it shares with the one before. */
static void prompt_start(liz_engine *e, liz_seq *seq)
{
    size_t n = 0;
    while (!e->opts.prefix_cache_off && n < seq->n_tokens - 1 && n < e->n_last_prompt &&
           seq->tokens[n] == e->last_prompt[n])
        n++;
    seq->stats.n_prompt = seq->n_tokens;
    seq->stats.n_prompt_reused = n;
    e->stats.n_tokens_reused += n;
    e->stats.n_tokens_prefilled += seq->n_tokens - n;
    free(e->last_prompt);
    e->last_prompt = malloc(seq->n_tokens * sizeof *seq->tokens);
    e->n_last_prompt = e->last_prompt ? seq->n_tokens : 0;
    if (e->last_prompt != NULL)
        memcpy(e->last_prompt, seq->tokens, seq->n_tokens * sizeof *seq->tokens);
}

static void admit(liz_engine *e)
{
    while (e->queue != NULL && e->n_active < e->info.n_parallel) {
        liz_seq *seq = e->queue;
        e->queue = seq->next;
        e->n_queued--;
        prompt_start(e, seq);
        seq->next = e->active;
        e->active = seq;
        e->n_active++;
    }
    e->stats.n_steps++;
    if (e->n_active > e->stats.n_seqs_step_max)
        e->stats.n_seqs_step_max = e->n_active;
}

static void step(liz_engine *e)
{
    for (liz_seq **link = &e->active; *link != NULL;) {
        liz_seq *seq = *link;
        pthread_mutex_lock(&e->lock);
        bool cancelled = seq->cancelled || e->closing;
        pthread_mutex_unlock(&e->lock);
        if (cancelled)
            seq_finish(seq, LIZ_FINISH_CANCELLED, LIZ_E_CANCELLED, seq->n_sent);
        size_t n_before = seq->stats.n_completion;
        bool ended = cancelled || seq_step(seq);
        pthread_mutex_lock(&e->lock);
        e->stats.n_tokens_decoded += seq->stats.n_completion - n_before;
        if (ended) {
            *link = seq->next;
            e->n_active--;
            seq->done = true;
            pthread_cond_broadcast(&e->changed);
        } else {
            link = &seq->next;
        }
        pthread_mutex_unlock(&e->lock);
    }
}

static void *engine_main(void *arg)
{
    liz_engine *e = arg;
    unsigned random = 1;
    for (;;) {
        pthread_mutex_lock(&e->lock);
        while (e->queue == NULL && e->active == NULL && !e->closing)
            pthread_cond_wait(&e->changed, &e->lock);
        admit(e);
        bool over = e->closing && e->active == NULL;
        pthread_mutex_unlock(&e->lock);
        if (over)
            return NULL;
        step(e);
        if (e->model.step_us > 0)
            usleep((unsigned)rand_r(&random) % (unsigned)e->model.step_us);
    }
}

static uint64_t request_key(const liz_request *request)
{
    const liz_sampling *s = &request->sampling;
    liz_hash h = liz_hash_bytes(request->tokens, request->n_tokens * sizeof *request->tokens);
    float settings[] = {s->temperature,
                        (float)s->top_k,
                        s->top_p,
                        s->min_p,
                        s->repeat_penalty,
                        s->frequency_penalty,
                        s->presence_penalty,
                        s->typical_p,
                        s->xtc_probability,
                        s->xtc_threshold,
                        s->dry_multiplier,
                        s->dry_base,
                        (float)s->dry_allowed_length,
                        (float)s->dry_range};
    h = liz_hash_chain(h, settings, sizeof settings);
    for (size_t i = 0; i < s->n_dry_breakers; i++)
        h = liz_hash_chain(h, s->dry_breakers[i], strlen(s->dry_breakers[i]));
    for (size_t i = 0; i < s->n_bias; i++)
        h = liz_hash_chain(h, &s->bias[i], sizeof s->bias[i]);
    uint64_t seed = s->temperature > 0 ? s->seed : 0;
    return liz_hash_chain(h, &seed, sizeof seed).lo;
}

static bool prompt_holds(const liz_request *request, const char *mark)
{
    size_t n = strlen(mark), k;
    for (size_t i = 0; i + n <= request->n_tokens; i++) {
        for (k = 0; k < n && request->tokens[i + k] == (unsigned char)mark[k];)
            k++;
        if (k == n)
            return true;
    }
    return false;
}

static liz_status request_check(const liz_engine *e, const liz_request *request, liz_error *err)
{
    for (size_t i = 0; i < request->n_tokens; i++)
        if (request->tokens[i] < 0 || request->tokens[i] >= N_VOCAB)
            return liz_fail(err, LIZ_E_USAGE, "token %d is outside the vocabulary of %d", request->tokens[i], N_VOCAB);
    if (request->sampling.temperature < 0 || request->sampling.top_p > 1 || request->sampling.typical_p > 1)
        return liz_fail(err, LIZ_E_USAGE, "a sampling setting is out of range");
    if (request->n_tokens >= (size_t)e->info.n_ctx)
        return liz_fail(err, LIZ_E_LIMIT, "the prompt has %zu tokens, the context holds %d", request->n_tokens,
                        e->info.n_ctx);
    return LIZ_OK;
}

/* Weights by a hash of prompt and choice. */
static void choices_weigh(liz_seq *seq, const liz_request *request)
{
    double sum = 0;
    seq->probs = calloc(request->n_choices + 1, sizeof *seq->probs);
    for (size_t i = 0; i < request->n_choices; i++) {
        liz_hash h = liz_hash_chain(liz_hash_bytes(seq->tokens, seq->n_tokens * sizeof *seq->tokens),
                                    request->choices[i].tokens, request->choices[i].n_tokens * sizeof(int32_t));
        sum += seq->probs[i] = (double)(1 + h.lo % 1000);
    }
    for (size_t i = 0; i < request->n_choices; i++)
        seq->probs[i] /= sum;
}

static liz_seq *seq_new(liz_engine *e, const liz_request *request)
{
    liz_seq *seq = calloc(1, sizeof *seq);
    seq->engine = e;
    seq->request = *request;
    seq->n_tokens = request->n_tokens;
    seq->tokens = malloc(request->n_tokens * sizeof *seq->tokens);
    memcpy(seq->tokens, request->tokens, request->n_tokens * sizeof *seq->tokens);
    for (size_t i = 0; i < request->n_stop; i++)
        seq->stop[i] = strdup(request->stop[i]);
    if (request->n_stop_tokens > 0)
        memcpy(seq->stop_tokens, request->stop_tokens, request->n_stop_tokens * sizeof *seq->stop_tokens);
    seq->key = request_key(request);
    seq->endless = prompt_holds(request, "!long!");
    seq->echoes = prompt_holds(request, "!echo!");
    seq->is_sometimes = prompt_holds(request, "!nan?");
    seq->broken = seq->is_sometimes || prompt_holds(request, "!nan!");
    liz_buf_init(&seq->text, 64u << 20);
    choices_weigh(seq, request);
    return seq;
}

static void seq_release(liz_seq *seq)
{
    for (size_t i = 0; i < seq->request.n_stop; i++)
        free(seq->stop[i]);
    liz_buf_free(&seq->text);
    free(seq->probs);
    free(seq->tokens);
    free(seq);
}

/* What the request asks for, a line of NAME=VALUE for `record`. */
static void request_record(const liz_engine *e, const liz_request *r)
{
    const liz_sampling *s = &r->sampling;
    FILE *to = *e->model.record_path != '\0' ? fopen(e->model.record_path, "ae") : NULL;
    if (to == NULL)
        return;
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"temperature", (double)s->temperature},
                   {"top_k", s->top_k},
                   {"top_p", (double)s->top_p},
                   {"min_p", (double)s->min_p},
                   {"repeat_penalty", (double)s->repeat_penalty},
                   {"frequency_penalty", (double)s->frequency_penalty},
                   {"presence_penalty", (double)s->presence_penalty},
                   {"typical_p", (double)s->typical_p},
                   {"xtc_probability", (double)s->xtc_probability},
                   {"xtc_threshold", (double)s->xtc_threshold},
                   {"dry_multiplier", (double)s->dry_multiplier},
                   {"dry_base", (double)s->dry_base},
                   {"dry_allowed_length", s->dry_allowed_length},
                   {"dry_range", s->dry_range},
                   {"n_predict_max", r->n_predict_max},
                   {"ignore_end", r->ignore_end},
                   {"logprobs", r->logprobs ? r->n_logprobs_top : -1},
                   {"prompt_logprobs", r->prompt_logprobs ? r->n_prompt_logprobs_top : -1}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        fprintf(to, "%s=%.6g ", numbers[i].name, numbers[i].value);
    fprintf(to, "breakers=%s", s->dry_breakers == NULL ? "standard" : "");
    for (size_t i = 0; i < s->n_dry_breakers; i++)
        fprintf(to, "[%s]", s->dry_breakers[i]);
    fputs(" bias=", to);
    for (size_t i = 0; i < s->n_bias; i++)
        fprintf(to, "[%d:%g]", s->bias[i].token, (double)s->bias[i].bias);
    fputs(" stop=", to);
    for (size_t i = 0; i < r->n_stop; i++)
        fprintf(to, "[%s]", r->stop[i]);
    fputs(" stop_tokens=", to);
    for (size_t i = 0; i < r->n_stop_tokens; i++)
        fprintf(to, "[%d]", r->stop_tokens[i]);
    fprintf(to, " seed=%llu\n", (unsigned long long)s->seed);
    fclose(to);
}

liz_status liz_submit(liz_engine *e, const liz_request *request, liz_seq **out, liz_error *err)
{
    liz_status status = request_check(e, request, err);
    if (status != LIZ_OK)
        return status;
    request_record(e, request);
    liz_seq *seq = seq_new(e, request);
    pthread_mutex_lock(&e->lock);
    bool full = e->n_queued + e->n_active >= 4 * e->info.n_parallel;
    if (!full) {
        liz_seq **link = &e->queue;
        while (*link != NULL)
            link = &(*link)->next;
        *link = seq;
        e->n_queued++;
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (full) {
        seq_release(seq);
        return liz_fail(err, LIZ_E_BUSY, "the queue is full");
    }
    *out = seq;
    return LIZ_OK;
}

void liz_seq_cancel(liz_seq *seq)
{
    pthread_mutex_lock(&seq->engine->lock);
    seq->cancelled = true;
    pthread_mutex_unlock(&seq->engine->lock);
}

void liz_seq_wait(liz_seq *seq)
{
    pthread_mutex_lock(&seq->engine->lock);
    while (!seq->done)
        pthread_cond_wait(&seq->engine->changed, &seq->engine->lock);
    pthread_mutex_unlock(&seq->engine->lock);
}

void liz_seq_free(liz_seq *seq)
{
    if (seq == NULL)
        return;
    liz_seq_cancel(seq);
    liz_seq_wait(seq);
    seq_release(seq);
}

/* ---- Engine ------------------------------------------------------------------------------------- */

liz_status liz_engine_open(liz_engine **out, const char *path, const liz_engine_opts *opts, liz_error *err)
{
    fake_model model;
    liz_status status = model_read(&model, path, err);
    if (status != LIZ_OK)
        return status;
    if (model.memory_fails)
        return liz_fail(err, LIZ_E_MEMORY, "%s: needs 999 GiB and 1 GiB is available: take a smaller model", path);
    usleep((unsigned)model.open_ms * 1000u);
    liz_engine *e = calloc(1, sizeof *e);
    e->model = model;
    if (opts != NULL)
        e->opts = *opts;
    e->info = (liz_engine_info){.arch = "fake",
                                .name = "fake",
                                .tier = "c",
                                .n_vocab = N_VOCAB,
                                .n_ctx_train = model.ctx,
                                .n_ctx = e->opts.n_ctx ? e->opts.n_ctx : model.ctx,
                                .n_parallel = e->opts.n_parallel ? e->opts.n_parallel : 32,
                                .n_threads = e->opts.n_threads ? e->opts.n_threads : 1,
                                .chat_template = model.template ? template_text : NULL,
                                .temperature = (float)model.temperature,
                                .top_p = NAN,
                                .min_p = (float)model.min_p,
                                .repeat_penalty = NAN,
                                .top_k = -1};
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    if (pthread_create(&e->thread, NULL, engine_main, e) != 0) {
        free(e);
        return liz_fail(err, LIZ_E_MEMORY, "no thread");
    }
    *out = e;
    return LIZ_OK;
}

void liz_engine_close(liz_engine *e)
{
    if (e == NULL)
        return;
    pthread_mutex_lock(&e->lock);
    e->closing = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    free(e->last_prompt);
    free(e);
}

const liz_vocab *liz_engine_vocab(const liz_engine *e) { return e->model.vocab ? &e->vocab : NULL; }
void liz_engine_info_get(const liz_engine *e, liz_engine_info *info) { *info = e->info; }

size_t liz_engine_profile_get(liz_engine *e, liz_profile_part *parts)
{
    (void)e, (void)parts;
    return 0;
}

void liz_engine_stats_get(liz_engine *e, liz_engine_stats *stats)
{
    pthread_mutex_lock(&e->lock);
    *stats = e->stats;
    pthread_mutex_unlock(&e->lock);
}

liz_status liz_score(liz_engine *e, const int32_t *tokens, size_t n_tokens, float *logprobs, liz_on_logits *on_logits,
                     void *user, liz_error *err)
{
    float logits[N_VOCAB];
    if (n_tokens > (size_t)e->info.n_ctx)
        return liz_fail(err, LIZ_E_LIMIT, "%zu tokens exceed the context of %d", n_tokens, e->info.n_ctx);
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || tokens[i] >= N_VOCAB)
            return liz_fail(err, LIZ_E_USAGE, "token %d is outside the vocabulary of %d", tokens[i], N_VOCAB);
        if (logprobs != NULL)
            logprobs[i] = i ? prompt_logprob(tokens, i) : 0;
        for (int k = 0; k < N_VOCAB; k++)
            logits[k] = (float)(tokens[i] * 1000 + k);
        if (on_logits != NULL && !on_logits(user, i, 1, logits))
            return liz_fail(err, LIZ_E_CANCELLED, "cancelled");
    }
    return LIZ_OK;
}

liz_status liz_merge(const char *model_path, const char *out_path, const liz_merge_opts *opts, liz_error *err)
{
    (void)out_path, (void)opts;
    return liz_fail(err, LIZ_E_UNSUPPORTED, "%s: holds no weights", model_path);
}

liz_status liz_inspect(const char *path, const liz_engine_opts *opts, char **json, liz_error *err)
{
    fake_model model;
    liz_status status = model_read(&model, path, err);
    if (status != LIZ_OK)
        return status;
    liz_buf buf;
    liz_buf_init(&buf, 1 << 16);
    liz_buf_puts(&buf, "{\"architecture\":\"fake\",\"path\":");
    liz_json_write_string(&buf, liz_str_of(path));
    if (model.memory_fails)
        liz_buf_puts(&buf, ",\"memory\":{\"error\":\"huge: it cannot be run\"},\"chat_template\":null}");
    else
        liz_buf_printf(&buf,
                       ",\"chat_template\":%s,\"memory\":{\"ctx_size\":%d,\"weights_bytes\":0,\"cache_bytes\":4096},"
                       "\"kernels\":[{\"op\":"
                       "\"none\",\"variant\":\"c\"}]}",
                       model.template ? "\"...\"" : "null", opts && opts->n_ctx ? opts->n_ctx : model.ctx);
    *json = liz_buf_take(&buf);
    return LIZ_OK;
}

liz_status liz_model_identify(const char *path, liz_model_identity *io, liz_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be opened: %m", path);
    char stamp[sizeof io->stamp];
    snprintf(stamp, sizeof stamp, "%lu:%lu:%ld:%ld.%09ld", st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec);
    if (strcmp(stamp, io->stamp) == 0)
        return LIZ_OK;
    memcpy(io->stamp, stamp, sizeof stamp);
    char data[65536];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return liz_fail(err, LIZ_E_IO, "%s: cannot be opened: %m", path);
    size_t n = fread(data, 1, sizeof data, file);
    fclose(file);
    liz_hash_hex(liz_hash_bytes(data, n), io->hash);
    return LIZ_OK;
}

/* The program's arguments are what is tested on it. */
const char *liz_quantize_type(int i) { return i == 0 ? "Q8_0" : NULL; }

liz_status liz_quantize(const char *in, const char *out, const char *type, const liz_quantize_opts *opts,
                        liz_quantize_report *report, liz_error *err)
{
    (void)out, (void)type, (void)opts;
    *report = (liz_quantize_report){.bytes_in = 1000000, .bytes_out = 500000, .n_tensors = 1};
    fake_model model;
    return model_read(&model, in, err);
}

liz_status liz_imatrix_make(const char *path, const char *text, size_t n_text, const char *out,
                            const liz_engine_opts *opts, liz_imatrix_report *report, liz_error *err)
{
    (void)text, (void)out, (void)opts;
    *report = (liz_imatrix_report){n_text, 2};
    fake_model model;
    return model_read(&model, path, err);
}
