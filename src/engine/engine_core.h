/* engine_core.h - the inside of an engine: its parts, its sequences, and one step of them all.
 *
 * An engine owns a loaded model, a cache, a thread team and the sequences in flight. `liz_engine_start` puts it
 * together from parts, so that tests can bring a model of their own; `liz_engine_open` (engine_open.c) makes the parts
 * from a file. Its thread repeats `liz_engine_step`: admit (engine_admit.c), compute (engine_step.c), tell
 * (engine_event.c). A manual engine has no thread and is stepped by its caller.
 *
 * A sequence's life: queued (the caller's thread, engine_submit.c) - admitted, with all the pages it can come to need
 * promised to it - prefilled in chunks - decoded token by token - ended, its last event delivered. All its memory is
 * allocated when it is submitted.
 *
 * Threads: fields say who may touch them. "lock" means under `engine->lock`; "engine" means the engine's thread alone.
 */
#ifndef LIZ_ENGINE_CORE_H
#define LIZ_ENGINE_CORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "cache/cache.h"
#include "decode/sampler.h"
#include "decode/stop.h"
#include "engine/engine_trie.h"
#include "lizzie.h"
#include "model/model.h"
#include "sys/team.h"
#include "text/vocab.h"

#include <pthread.h>
#include <stdatomic.h>

struct liz_vocab {
    liz_text_vocab *text;
};

/* A sequence that answers with one of given texts: the walk over its trie of choices.
 *
 * After the prompt all branches of the trie are computed, as many a step as there are rows of logits, and of each node
 * is kept what the model says of its children and of the end. Keys and values lie in slots: the pages behind the
 * prompt's whole ones. The first is the sequence's own; with it alone one branch after another is computed, each over
 * what the one before has left behind the fork. Other slots, as far as there are pages, let branches be computed
 * together. */
typedef struct liz_choose {
    liz_trie trie;
    int32_t *ends; /* [n_ends] tokens that end the text */
    size_t n_ends;
    int32_t n_table;      /* pages up to the longest choice */
    int32_t n_slot_pages; /* of them those behind the prompt's whole ones */
    int32_t n_slots;
    int32_t *tables;     /* [n_slots, n_table] */
    int32_t *slots_free; /* [n_slots] a stack */
    int32_t n_slots_free;
    bool is_begun; /* the prompt is computed */
    double *probs; /* [n_choices] */
} liz_choose;

/* How a sequence's guesses fare. */
typedef struct liz_drafting {
    int32_t n;      /* tokens of the present step that are guesses, behind the sequence's own */
    int32_t n_most; /* to be tried at once */
    int32_t pause;  /* steps without, after a guess that was wrong from its first token */
    int32_t wait;   /* of them still to come */
} liz_drafting;

struct liz_seq {
    /* Constant once submitted. */
    liz_engine *engine;
    liz_arena arena; /* holds what the pointers below point to */
    int32_t n_prompt;
    int32_t n_tokens_max; /* prompt and generated */
    int32_t n_pages_max;  /* pages it can come to hold */
    int32_t n_links;
    liz_hash *links;     /* [n_links] of the prompt's full pages */
    liz_request request; /* what it points to is copied into the arena, or gone and NULL */
    uint64_t adapters;   /* its set: bit i is loras[i] of the engine's options */
    bool is_score;       /* instead of generating, report what the model thinks of the prompt */
    liz_choose *choose;  /* instead of generating, weigh these; NULL: not */
    float *score_logprobs;
    liz_on_logits *score_on_logits;
    uint64_t submitted_us;

    /* Engine. */
    int32_t *tokens; /* [n_tokens_max] */
    uint8_t *breaks; /* [n_tokens_max] which of them DRY does not go across; NULL: none */
    int32_t n_tokens;
    int32_t n_past; /* tokens whose keys and values are in the pages */
    int32_t n_step; /* tokens of the present step */
    liz_drafting drafting;
    int32_t *pages;  /* [n_pages_max] */
    int32_t n_pages; /* held */
    int32_t n_pages_published;
    int32_t n_reused;   /* prompt tokens found in the cache */
    liz_stop *stop;     /* NULL: none */
    liz_stop *breakers; /* NULL: none */
    liz_text_stream stream;
    bool is_stopped; /* a stop string appeared */
    int32_t answer;  /* the likeliest of the choices; -1: not known, or there are none */
    uint64_t admitted_us, prefilled_us;

    atomic_bool cancelled; /* any thread */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    bool ended;
    liz_error result; /* code LIZ_OK unless it failed or was cancelled */
};

/* One row of logits of a step and what is made of it. */
typedef struct liz_row {
    liz_seq *seq;
    float *logits;
    int32_t position; /* of the token that follows these logits */
    int32_t node;     /* of the trie of choices, if the sequence has one */
    int32_t choice;   /* that token, or a LIZ_CHOICE */
    float logprob;
    int n_top;
    liz_token_logprob top[LIZ_LOGPROBS_TOP_MAX];
} liz_row;

/* Where the time of steps goes: in the model, in choosing tokens, and in telling them with all else that a step does.
 */
typedef struct liz_engine_profile {
    liz_model_profile model;
    uint64_t choose_us, tell_us;
} liz_engine_profile;

/* The adapters that an engine is opened with. */
typedef struct liz_engine_loras {
    size_t n;
    uint64_t of_all;                   /* bits of those that every sequence has */
    liz_adapter *files[LIZ_LORAS_MAX]; /* open until the model is loaded */
} liz_engine_loras;

/* What an engine is made of. `model` is loaded with at least these limits: n_batch_max >= n_prefill_chunk + n_parallel,
 * n_logits_max, n_seqs_max >= n_parallel + n_logits_max, n_ctx. */
typedef struct liz_engine_parts {
    liz_gguf *gguf; /* NULL in tests */
    liz_model *model;
    liz_vocab *vocab; /* NULL: the model has none */
    liz_team *team;
    liz_cache *cache;
    int n_parallel;
    int32_t n_ctx;
    int32_t n_prefill_chunk;
    int32_t n_logits_max; /* rows of logits of a step, >= n_parallel */
    liz_speculate speculate;
    bool profile; /* keep one of where the time goes */
    liz_engine_loras loras;
    liz_engine_info info;
    char *chat_template, *name; /* NUL-terminated, owned; info points to them */
    bool is_manual;
    void (*on_step)(bool inside); /* called around each step; NULL: not */
} liz_engine_parts;

struct liz_engine {
    liz_arena arena;        /* holds the arrays below */
    liz_engine_parts parts; /* constant */
    int32_t n_vocab;        /* constant */
    int n_queue_max;        /* constant */
    liz_logit_bias *no_end; /* [n_no_end] constant: forbids the tokens that end a text */
    size_t n_no_end;
    pthread_t thread;
    bool has_thread;

    /* Engine. */
    liz_seq **running; /* [n_parallel], oldest first */
    int n_running;
    int32_t n_pages_promised; /* to running sequences, beyond those they hold */
    liz_seq **dropped;        /* [n_queue_max] left the queue without being admitted */
    liz_batch_seq *batch;     /* [n_parallel + n_logits_max] a sequence's parts side by side */
    liz_seq **batch_seqs;     /* whose they are */
    int32_t *batch_nodes;     /* where in the trie of choices they begin; 0: in the prompt */
    int n_batch;
    liz_row *rows; /* [n_logits_max] */
    int n_rows;
    atomic_int row_next;          /* the team takes rows from here */
    liz_sampler **samplers;       /* [members of the team] */
    liz_engine_profile profiling; /* by the step that runs */
    liz_buf bytes, chars, text;   /* of a token: as it is spelt, in whole characters, past the stop strings */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;  /* the engine's thread waits for work */
    pthread_cond_t space; /* callers wait for room in the queue */
    liz_seq **queue;      /* [n_queue_max], oldest first */
    int n_queue;
    bool closing;
    liz_engine_stats stats;
    liz_engine_profile profile; /* `profiling`, of steps whose tokens are told */
};

/* The vocabulary of an open file. As liz_vocab_open. */
LIZ_MUST_CHECK liz_status liz_engine_vocab_new(liz_vocab **out, const liz_gguf *gguf, liz_error *err);

/* Takes the parts on success. LIZ_E_MEMORY, LIZ_E_LIMIT. Closed with `liz_engine_close`. */
LIZ_MUST_CHECK liz_status liz_engine_start(liz_engine **out, const liz_engine_parts *parts, liz_error *err);
void liz_engine_parts_close(liz_engine_parts *parts);

/* Opens the adapters of `opts` (may be NULL) and adds them to a model that is not loaded yet. Dropped in any case. */
LIZ_MUST_CHECK liz_status liz_engine_loras_open(liz_engine_loras *loras, liz_model *model, const liz_engine_opts *opts,
                                                liz_error *err);
/* Closes the files; a zeroed struct may be dropped, and one twice. */
void liz_engine_loras_drop(liz_engine_loras *loras);

/* Bytes an engine of these dimensions allocates beside model and cache. */
uint64_t liz_engine_own_bytes(int32_t n_vocab, int n_threads, int n_parallel, int32_t n_logits_max);

/* One step; engine thread, or the caller of a manual engine. False when nothing is queued or running afterwards. */
bool liz_engine_step(liz_engine *engine);

/* ---- between the engine's files ---- */

/* Lock held: moves what can run from the queue to `running`, and what is cancelled to `dropped` (returns how many). */
int liz_engine_admit(liz_engine *engine);

/* Fills `engine->batch` for one step, taking pages. */
void liz_engine_batch_fill(liz_engine *engine);
/* Adds tokens of a sequence to the batch: the first is node `node` of its trie of choices, 0 in the prompt. */
static inline void liz_engine_batch_add(liz_engine *engine, liz_seq *seq, int32_t node, liz_batch_seq part)
{
    part.adapters = seq->adapters;
    engine->batch_seqs[engine->n_batch] = seq;
    engine->batch_nodes[engine->n_batch] = node;
    engine->batch[engine->n_batch++] = part;
}
/* Takes pages that were promised to the sequence until it holds `n`. */
void liz_engine_pages_take(liz_engine *engine, liz_seq *seq, int32_t n);
/* Publishes the pages that the step has filled. */
void liz_engine_pages_publish(liz_engine *engine, liz_seq *seq);
/* Whether the logits of all its prompt are wanted, and that is not over: it then takes no pages from others. */
static inline bool liz_engine_seq_wants_all(const liz_seq *seq)
{
    return seq->is_score || (seq->request.prompt_logprobs && seq->n_tokens == seq->n_prompt);
}

/* Sets up `seq->choose` from a request with choices. LIZ_E_USAGE, LIZ_E_LIMIT, LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_engine_choose_new(liz_seq *seq, const liz_request *request, liz_error *err);
/* Pages such a sequence holds at most. */
int32_t liz_engine_choose_pages(const liz_seq *seq);
/* Adds parts of up to `n_max` tokens in all to the batch, each with logits; returns how many. The prompt is computed,
 * and not all of the trie. */
int32_t liz_engine_choose_fill(liz_engine *engine, liz_seq *seq, int32_t n_max);
/* Keeps what `logits`, whose log of summed exponentials is `norm`, say of what follows a node. */
void liz_engine_choose_weigh(const liz_seq *seq, int32_t node, const float *logits, double norm);
/* The parts [n_parts] of a step are computed and weighed; ends the sequence with the last of them. */
void liz_engine_choose_deliver(liz_engine *engine, liz_seq *seq, const int32_t *nodes, const liz_batch_seq *parts,
                               int n_parts);

/* Guesses tokens behind those of a sequence that is being decoded, and puts them there; returns how many, at most
 * `n_max`. */
int32_t liz_engine_draft(liz_seq *seq, liz_speculate how, int32_t n_max);
/* The step's rows say what the model chose: returns how many of the guesses it chose too, and learns from it. */
int32_t liz_engine_draft_settle(liz_engine *engine, liz_seq *seq, const liz_row *rows);

/* Takes a sequence out of `running`, and its pages from it. */
void liz_engine_retire(liz_engine *engine, liz_seq *seq);

/* Whether one of the sequence's breakers is complete in a token that follows those before; `bytes` is for its text. */
bool liz_engine_token_breaks(liz_seq *seq, int32_t token, liz_buf *bytes);
/* Reports a token of the prompt, and before the second one also the first; `row` gave its log-probability. */
void liz_engine_prompt_tell(liz_engine *engine, liz_seq *seq, const liz_row *row);
/* Appends a chosen token and reports it; ends the sequence where the token or the text does, and returns false then. */
bool liz_engine_token_accept(liz_engine *engine, liz_seq *seq, const liz_row *row);
/* Retires the sequence if it runs, delivers its last event, and lets go of it: it may be gone when this returns. `why`
 * is NULL unless it failed or was cancelled. */
void liz_engine_seq_end(liz_engine *engine, liz_seq *seq, liz_finish finish, const liz_error *why);

#endif
