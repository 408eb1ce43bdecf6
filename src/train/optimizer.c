/* optimizer.c - the step, run by the whole team. */
#include "train/optimizer.h"

#include "kernel/angle.h"
#include "sys/memory.h"
#include "train/tape_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16, NEWTON_STEPS = 5 }; /* elements of a piece of a norm */

static const float beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, momentum = 0.95f;

struct liz_optimizer {
    liz_tape *tape;
    liz_team *team;
    const liz_gemm *gemm;
    liz_optimizer_opts opts;
    double *pieces; /* sums of squares, by piece */
    /* Muon's, for the largest matrix: X, two squares of the shorter side, operands. */
    float *x, *square, *poly;
    liz_rows left;
    liz_panels right;
    uint8_t *memory;
    size_t memory_bytes;
    /* This step's. */
    liz_adam adam;
    float norm;
};

static size_t size_of(const liz_param *p) { return p->n_out * p->n_in; }
static size_t pieces_of(size_t n) { return liz_div_up(n, PIECE); }

static bool takes_muon(const liz_optimizer *o, const liz_param *p)
{
    return o->opts.muon && p->multiplies && !p->is_table;
}

/* ---- Opening ---- */

/* Places the arrays; with base NULL only counts. */
static size_t place(liz_optimizer *o, uint8_t *base)
{
    liz_carver b = {.base = base};
    size_t n_all = 0, n_x = 0, n_square = 0, left = 0, right = 0;
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(o->tape, &i)) != NULL;) {
        size_t shorter = liz_least(p->n_out, p->n_in), longer = liz_most(p->n_out, p->n_in);
        n_all += pieces_of(size_of(p));
        if (!takes_muon(o, p))
            continue;
        n_x = liz_most(n_x, size_of(p));
        n_square = liz_most(n_square, shorter * shorter);
        left = liz_most(left,
                        liz_most(liz_rows_bytes(o->gemm, shorter, longer), liz_rows_bytes(o->gemm, longer, shorter)));
        right = liz_most(
            right, liz_most(liz_panels_bytes(o->gemm, longer, shorter), liz_panels_bytes(o->gemm, shorter, longer)));
    }
    o->pieces = liz_carve(&b, n_all, sizeof(double));
    o->x = liz_carve(&b, n_x, sizeof(float));
    o->square = liz_carve(&b, n_square, sizeof(float));
    o->poly = liz_carve(&b, n_square, sizeof(float));
    o->left.data = liz_carve(&b, left, 1);
    o->right.data = liz_carve(&b, right, 1);
    return b.overflow ? SIZE_MAX : b.most;
}

liz_status liz_optimizer_open(liz_optimizer **out, liz_tape *tape, liz_team *team, const liz_optimizer_opts *opts,
                              liz_error *err)
{
    liz_optimizer *o = calloc(1, sizeof *o);
    if (o == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for an optimizer");
    o->tape = tape;
    o->team = team;
    o->gemm = liz_tape_gemm(tape);
    o->opts = *opts;
    o->memory_bytes = place(o, NULL);
    o->memory = liz_memory_map(o->memory_bytes);
    if (o->memory == NULL) {
        free(o);
        return liz_fail(err, LIZ_E_MEMORY, "no memory for an optimizer");
    }
    place(o, o->memory);
    *out = o;
    return LIZ_OK;
}

void liz_optimizer_close(liz_optimizer *optimizer)
{
    if (optimizer == NULL)
        return;
    liz_memory_unmap(optimizer->memory, optimizer->memory_bytes);
    free(optimizer);
}

/* ---- Norms ---- */

/* This member's share of the sums of squares of x [n], at `pieces`. */
static void sum_squares(const liz_optimizer *o, const float *x, size_t n, double *pieces, int member, int n_members)
{
    size_t begin, end;
    liz_team_share(pieces_of(n), 1, member, n_members, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t at = i * PIECE;
        pieces[i] = (double)o->gemm->grad->dot(x + at, x + at, liz_least(n - at, PIECE));
    }
}

static double add_up(const double *pieces, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pieces[i];
    return sum;
}

static void clip_run(void *arg, int member, int n_members)
{
    liz_optimizer *o = arg;
    size_t at = 0;
    const liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(o->tape, &i)) != NULL;) {
        sum_squares(o, p->grad, size_of(p), o->pieces + at, member, n_members);
        at += pieces_of(size_of(p));
    }
    liz_team_barrier(o->team);
    if (member == 0)
        o->norm = (float)sqrt(add_up(o->pieces, at));
}

/* ---- Muon ---- */

/* What of W [n_out, n_in] a product reads: the array by rows or by columns. */
typedef struct side {
    const float *x;
    size_t n, k, stride;
    bool by_columns;
} side;

/* c [left.n, right.n] = left right^T. Ends with a barrier. */
static void product(liz_optimizer *o, side left, side right, float *c, int member, int n_members)
{
    size_t begin, end;
    o->left = (liz_rows){o->left.data, left.n, left.k};
    o->right = (liz_panels){o->right.data, right.n, right.k};
    liz_team_share(left.n, LIZ_PANEL_ROWS, member, n_members, &begin, &end);
    liz_rows_put(o->gemm, &o->left, (liz_source){left.x, left.stride, left.by_columns}, begin, end);
    liz_team_share(liz_panel_count(right.n), 1, member, n_members, &begin, &end);
    liz_panels_put(o->gemm, &o->right, (liz_source){right.x, right.stride, right.by_columns}, begin, end, false);
    liz_team_barrier(o->team);
    liz_team_share(liz_panel_count(right.n), 2, member, n_members, &begin, &end);
    liz_gemm_mul(o->gemm, &o->left, &o->right, 0, left.n, begin, end, c, right.n, LIZ_GEMM_PUT);
    liz_team_barrier(o->team);
}

/* X becomes a X + (b A + c A^2) X with A = X X^T, or the same from the right where X is tall; coefficients of Jordan.
 */
static void newton_step(liz_optimizer *o, const liz_param *p, int member, int n_members)
{
    static const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    bool tall = p->n_out > p->n_in;
    size_t shorter = liz_least(p->n_out, p->n_in), longer = liz_most(p->n_out, p->n_in), begin, end;
    side x = {o->x, shorter, longer, p->n_in, tall}, whole = {o->square, shorter, shorter, shorter, false};
    product(o, x, x, o->square, member, n_members);
    product(o, whole, whole, o->poly, member, n_members);
    liz_team_share(shorter * shorter, 16, member, n_members, &begin, &end);
    o->gemm->kernel->scale(o->poly + begin, c, end - begin, o->poly + begin);
    o->gemm->kernel->add_scaled(o->square + begin, b, end - begin, o->poly + begin);
    for (size_t i = 0; i < shorter; i++) /* a X is the polynomial's constant */
        if (i * (shorter + 1) >= begin && i * (shorter + 1) < end)
            o->poly[i * (shorter + 1)] += a;
    liz_team_barrier(o->team);
    side poly = {o->poly, shorter, shorter, shorter, false}, rows = {o->x, p->n_out, p->n_in, p->n_in, false};
    side columns = {o->x, p->n_in, p->n_out, p->n_in, true};
    if (tall)
        product(o, rows, poly, o->x, member, n_members);
    else
        product(o, poly, columns, o->x, member, n_members);
}

static void muon(liz_optimizer *o, liz_param *p, int member, int n_members)
{
    const liz_kernel *kernel = o->gemm->kernel;
    size_t begin, end, n = size_of(p), count;
    liz_team_share(n, 16, member, n_members, &begin, &end);
    count = end - begin;
    kernel->scale(p->m + begin, momentum, count, p->m + begin);
    kernel->add_scaled(p->grad + begin, o->adam.scale, count, p->m + begin);
    kernel->scale(p->m + begin, momentum, count, o->x + begin); /* Nesterov's look ahead */
    kernel->add_scaled(p->grad + begin, o->adam.scale, count, o->x + begin);
    liz_team_barrier(o->team);
    sum_squares(o, o->x, n, o->pieces, member, n_members);
    liz_team_barrier(o->team);
    float inverse = 1.0f / ((float)sqrt(add_up(o->pieces, pieces_of(n))) * 1.02f + 1e-7f);
    kernel->scale(o->x + begin, inverse, count, o->x + begin);
    liz_team_barrier(o->team);
    for (int i = 0; i < NEWTON_STEPS; i++)
        newton_step(o, p, member, n_members);
    kernel->scale(p->w + begin, 1 - o->adam.decay, count, p->w + begin);
    kernel->add_scaled(o->x + begin, -o->adam.rate * 0.2f * sqrtf((float)liz_most(p->n_out, p->n_in)), count,
                       p->w + begin);
    liz_team_barrier(o->team);
}

/* ---- The step ---- */

/* Rows [row, row + n) from gradients to operands while they are in the cache. */
static void step_rows(liz_optimizer *o, liz_param *p, size_t row, size_t n)
{
    size_t at = row * p->n_in, count = n * p->n_in;
    if (!takes_muon(o, p)) {
        liz_adam adam = o->adam;
        adam.decay = p->decays ? adam.decay : 0;
        o->gemm->grad->adam(&adam, p->grad + at, count, p->w + at, p->m + at, p->v + at);
    }
    liz_tape_refresh_rows(o->tape, p, row, row + n);
}

static void step_run(void *arg, int member, int n_members)
{
    liz_optimizer *o = arg;
    liz_param *p;
    for (size_t i = 0; (p = liz_tape_trained(o->tape, &i)) != NULL;) {
        size_t begin, end;
        if (takes_muon(o, p))
            muon(o, p, member, n_members);
        liz_tape_share_rows(p, i, member, n_members, &begin, &end);
        for (size_t row = begin; row < end; row += LIZ_TAPE_ROWS)
            step_rows(o, p, row, liz_least(end - row, LIZ_TAPE_ROWS));
    }
}

float liz_optimizer_step(liz_optimizer *o, uint64_t step, float share)
{
    liz_team_run(o->team, clip_run, o);
    if (!isfinite(o->norm)) {
        liz_tape_clear(o->tape);
        return o->norm;
    }
    const liz_optimizer_opts *opts = &o->opts;
    bool clips = opts->clip > 0 && o->norm > opts->clip;
    o->adam = (liz_adam){.rate = opts->rate * share,
                         .beta1 = beta1,
                         .beta2 = beta2,
                         .eps = epsilon,
                         .decay = opts->decay * opts->rate * share,
                         .fix1 = (float)(1 / (1 - liz_angle_pow((double)beta1, (double)liz_least(step, 100000)))),
                         .fix2 = (float)(1 / (1 - liz_angle_pow((double)beta2, (double)liz_least(step, 100000)))),
                         .scale = clips ? opts->clip / o->norm : 1};
    liz_team_run(o->team, step_run, o);
    liz_tape_clear(o->tape);
    return o->norm;
}
