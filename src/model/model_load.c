/* model_load.c - packs the matrices of a model from its file, all members of the team together.
 *
 * A chunk of 8 MiB at a time; behind it the file's pages are dropped, so that weights are resident once. A member packs
 * contiguous panels, which puts them into the memory near it (first touch). */
#include "base/checked.h"
#include "base/log.h"
#include "model/model_packed.h"
#include "sys/memory.h"

enum { CHUNK_BYTES = 8 << 20 };

typedef struct loading {
    const liz_gguf *gguf;
    liz_team *team;
    uint8_t *next; /* where the next matrix goes */
    uint64_t done, total;
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    liz_dtype dtype;
    liz_matrix matrix; /* what the team packs now: panels [begin, end) of the rows at `src` */
    const uint8_t *src;
    size_t begin, end;
} loading;

static void pack_share(void *arg, int member, int n_members)
{
    const loading *l = arg;
    size_t begin, end;
    liz_team_share(l->end - l->begin, 1, member, n_members, &begin, &end);
    for (size_t i = l->begin + begin; i < l->begin + end; i++)
        liz_pack_panel(&l->matrix, l->dtype, l->src, i);
}

/* In chunks, so that no more than a chunk of the file is resident beside what is packed. */
static void load_matrix(loading *l, uint64_t row_bytes)
{
    size_t n_panels = liz_div_up((size_t)l->matrix.n_out, LIZ_PANEL_ROWS);
    size_t step = liz_div_up(CHUNK_BYTES, (size_t)row_bytes * LIZ_PANEL_ROWS);
    for (l->begin = 0; l->begin < n_panels; l->begin = l->end) {
        l->end = n_panels - l->begin < step ? n_panels : l->begin + step;
        liz_team_run(l->team, pack_share, l);
        uint64_t end = l->end < n_panels ? l->end * LIZ_PANEL_ROWS : (uint64_t)l->matrix.n_out;
        uint64_t from = l->begin * LIZ_PANEL_ROWS * row_bytes, to = end * row_bytes;
        liz_gguf_drop(l->gguf, l->src + from, to - from);
        l->done += to - from;
        if (l->on_progress != NULL)
            l->on_progress(l->user, l->done, l->total);
    }
}

static uint64_t row_bytes_of(const liz_linear *linear)
{
    uint64_t bytes = 0;
    (void)liz_dtype_row_bytes(linear->tensor->dtype, (uint64_t)linear->matrix.n_in, &bytes); /* the reader checked */
    return bytes;
}

static void place_linear(loading *l, liz_linear *linear)
{
    const liz_matrix *m = &linear->matrix;
    linear->matrix.data = l->next;
    l->next += (size_t)linear->n_mat * liz_pack_matrix_bytes(m->pack, m->n_out, m->n_in);
    l->total += (uint64_t)linear->n_mat * (uint64_t)m->n_out * row_bytes_of(linear);
}

static void load_linear(loading *l, liz_linear *linear)
{
    uint64_t row_bytes = row_bytes_of(linear);
    l->dtype = linear->tensor->dtype;
    for (int i = 0; i < linear->n_mat; i++) {
        l->matrix = liz_matrix_nth(linear->matrix, i);
        l->src = linear->tensor->data + (linear->row + (uint64_t)i * linear->row_step) * row_bytes;
        load_matrix(l, row_bytes);
    }
}

static void each_linear(liz_weights *w, const liz_hparams *h, void (*visit)(loading *, liz_linear *), loading *l)
{
    liz_linear *linear;
    for (size_t i = 0; (linear = liz_weights_linear(w, h, i)) != NULL; i++)
        if (linear->tensor != NULL)
            visit(l, linear);
}

/* Keeping them failed, or another process does it just now: this one has its weights all the same. */
static void keep(const liz_weights *w, const liz_gguf *gguf, liz_hash key)
{
    liz_error why;
    liz_status status = liz_packed_write(w, gguf, key, &why);
    if (status != LIZ_OK)
        liz_log(status == LIZ_E_BUSY ? LIZ_LOG_INFO : LIZ_LOG_WARN, "model", "packed weights are not kept: %s",
                why.text);
}

liz_status liz_weights_load(liz_weights *w, const liz_hparams *h, const liz_gguf *gguf, liz_team *team,
                            const liz_model_opts *opts, liz_error *err)
{
    loading l = {.gguf = gguf, .team = team, .on_progress = opts->on_progress, .user = opts->on_progress_user};
    liz_hash key = liz_packed_key(w, h, gguf);
    w->packed = liz_packed_map(w, gguf, key);
    bool is_mapped = w->packed != NULL;
    if (!is_mapped)
        w->packed = liz_memory_map(w->packed_bytes);
    if (w->packed == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "%s: the system refused %llu MiB for weights", liz_gguf_path(gguf),
                        (unsigned long long)(w->packed_bytes >> 20));
    l.next = w->packed;
    each_linear(w, h, place_linear, &l);
    if (is_mapped)
        return LIZ_OK;
    each_linear(w, h, load_linear, &l);
    if (opts->keep_packed)
        keep(w, gguf, key);
    return LIZ_OK;
}
