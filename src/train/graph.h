/* graph.h - a model of any family the engine runs, as a tape.
 *
 * The model file gives shape and weights (model_weights.h binds them, nothing is packed). Either every weight is
 * trained, or none and each target matrix W gets an adapter (LoRA, Hu et al. 2021): W x + alpha / rank * B (A x), A
 * random, B zero; an expert has its own. What a tape cannot compute yet is refused by name. */
#ifndef LIZ_TRAIN_GRAPH_H
#define LIZ_TRAIN_GRAPH_H

#include "model/model_weights.h"
#include "train/tape.h"

/* Matrices that adapters may be for. */
enum {
    LIZ_LORA_Q = 1,
    LIZ_LORA_K = 2,
    LIZ_LORA_V = 4,
    LIZ_LORA_O = 8,
    LIZ_LORA_GATE = 16,
    LIZ_LORA_UP = 32,
    LIZ_LORA_DOWN = 64,
    LIZ_LORA_GATE_UP = LIZ_LORA_GATE | LIZ_LORA_UP,
    LIZ_LORA_EXPERTS = 128, /* gate, up and down of each */
    LIZ_LORA_DENSE = 127,   /* all but the experts' */
    LIZ_LORA_ALL = 255
};

typedef struct liz_graph_opts {
    int lora_rank; /* 0: every weight is trained */
    float lora_alpha;
    unsigned lora_targets;
    uint64_t seed;
    int32_t n_ctx; /* tokens of a document at most */
} liz_graph_opts;

typedef struct liz_graph liz_graph;

/* Builds and plans `tape`, fills trained weights from the file (adapters as said above). `gguf` is borrowed until
 * close. LIZ_E_UNSUPPORTED, LIZ_E_MEMORY, and what binding gives. */
LIZ_MUST_CHECK liz_status liz_graph_open(liz_graph **out, const liz_gguf *gguf, liz_tape *tape,
                                         const liz_graph_opts *opts, liz_error *err);
void liz_graph_close(liz_graph *graph);

#endif
