/* op_linear.c - y = x W^T + bias: trained weights as operands that are kept current, frozen ones as operands that were
 * decoded once or, where memory is short, decoded on the way, a slice at a time. */
#include "tensor/quant.h"
#include "train/tape_ops.h"

#include <string.h>

/* How a result of so many floats is written. */
static liz_gemm_to put_of(size_t n_floats)
{
    return liz_tape_streams(n_floats * sizeof(float)) ? LIZ_GEMM_STREAM : LIZ_GEMM_PUT;
}

/* Panels [begin, end) of W at `to`: 16 rows of the file each. */
static void decode_ahead(liz_tape *tape, const liz_param *p, size_t begin, size_t end, uint8_t *to, float *rows)
{
    size_t stride = liz_div_up(p->n_in, LIZ_GROUP_LEN) * LIZ_GROUP_LEN;
    for (size_t i = begin; i < end; i++) {
        size_t row = i * LIZ_PANEL_ROWS, n = liz_least(p->n_out - row, LIZ_PANEL_ROWS);
        for (size_t r = 0; r < n; r++)
            liz_dequantize_row(p->dtype, p->file + (row + r) * p->file_row_bytes, rows + r * stride, p->n_in);
        liz_panels one = {to + (i - begin) * liz_panels_bytes(&tape->gemm, 1, p->n_in), n, p->n_in};
        liz_panels_put(&tape->gemm, &one, (liz_source){rows, stride, false}, 0, 1, false);
    }
}

/* Rows [row, row + n) of up to 256 columns from `column`, into their places in the panels of W's transpose. */
static void decode_square(liz_tape *tape, const liz_param *p, size_t row, size_t column, size_t n_columns, uint8_t *to,
                          float *square)
{
    size_t n = liz_least(p->n_out - row, LIZ_TAPE_ROWS);
    uint64_t at = 0;
    LIZ_ASSERT(liz_dtype_row_bytes(p->dtype, column, &at));
    for (size_t r = 0; r < n; r++)
        liz_dequantize_row(p->dtype, p->file + (row + r) * p->file_row_bytes + at, square + r * LIZ_TAPE_COLUMNS,
                           n_columns);
    liz_panels panels = {to, n_columns, p->n_out};
    liz_panels_put_part(&tape->gemm, &panels, (liz_source){square, LIZ_TAPE_COLUMNS, true}, row, n, false);
}

/* Panels [begin, end) of W's transpose at `to`; begin is a multiple of LIZ_TAPE_COLUMNS / 16. */
static void decode_back(liz_tape *tape, const liz_param *p, size_t begin, size_t end, uint8_t *to, float *own)
{
    size_t first = begin * LIZ_PANEL_ROWS, past = liz_least(end * LIZ_PANEL_ROWS, p->n_in);
    for (size_t column = first; column < past; column += LIZ_TAPE_COLUMNS)
        for (size_t row = 0; row < p->n_out; row += LIZ_TAPE_ROWS)
            decode_square(tape, p, row, column, liz_least(past - column, LIZ_TAPE_COLUMNS),
                          to + (column - first) / LIZ_PANEL_ROWS * liz_panels_bytes(&tape->gemm, 1, p->n_out), own);
}

void liz_tape_decode_kept(liz_tape *tape, const liz_param *p, int member, int n_members)
{
    size_t begin, end;
    float *own = liz_tape_own(tape, member);
    liz_team_share(liz_panel_count(p->n_out), 1, member, n_members, &begin, &end);
    decode_ahead(tape, p, begin, end, p->ahead.data + begin * liz_panels_bytes(&tape->gemm, 1, p->n_in), own);
    liz_team_share(liz_panel_count(p->n_in), LIZ_TAPE_COLUMNS / LIZ_PANEL_ROWS, member, n_members, &begin, &end);
    decode_back(tape, p, begin, end, p->back.data + begin * liz_panels_bytes(&tape->gemm, 1, p->n_out), own);
}

void liz_tape_mul_weight(liz_tape *tape, const liz_rows *left, const liz_param *p, bool back, float *c, bool add,
                         int member, int n_members)
{
    size_t n = back ? p->n_in : p->n_out, k = back ? p->n_out : p->n_in, begin, end;
    liz_gemm_to to = add ? LIZ_GEMM_ADD : put_of(left->m * n);
    float *own = liz_tape_own(tape, member);
    if (p->ahead.data != NULL) {
        liz_team_share(liz_panel_count(n), 2, member, n_members, &begin, &end);
        liz_gemm_mul(&tape->gemm, left, back ? &p->back : &p->ahead, 0, left->m, begin, end, c, n, to);
        return;
    }
    size_t unit = LIZ_TAPE_COLUMNS / LIZ_PANEL_ROWS, panel_bytes = liz_panels_bytes(&tape->gemm, 1, k);
    size_t slice = tape->space.weights_bytes / panel_bytes / unit * unit;
    for (size_t first = 0; first < liz_panel_count(n); first += slice) {
        size_t n_slice = liz_least(liz_panel_count(n) - first, slice);
        liz_team_share(n_slice, unit, member, n_members, &begin, &end);
        (back ? decode_back : decode_ahead)(tape, p, first + begin, first + end,
                                            tape->space.weights.data + begin * panel_bytes, own);
        liz_team_barrier(tape->team);
        liz_panels panels = {tape->space.weights.data, n - first * LIZ_PANEL_ROWS, k};
        liz_gemm_mul(&tape->gemm, left, &panels, 0, left->m, begin, end, c + first * LIZ_PANEL_ROWS, n, to);
        liz_team_barrier(tape->team);
    }
}

void liz_tape_put_rows(liz_tape *tape, const float *x, size_t n, size_t width, int member, int n_members)
{
    size_t begin, end;
    tape->space.rows.m = n;
    tape->space.rows.k = width;
    liz_team_share(n, 1, member, n_members, &begin, &end);
    liz_rows_put(&tape->gemm, &tape->space.rows, (liz_source){x, width, false}, begin, end);
}

void liz_tape_put_gradients(liz_tape *tape, const liz_param *w, const float *x, const float *dy, size_t n_tok,
                            int member, int n_members)
{
    size_t n_out = w->n_out, n_in = w->n_in, begin, end;
    if (!w->is_trained)
        return;
    tape->space.columns = (liz_rows){tape->space.columns.data, n_out, n_tok};
    tape->space.panels = (liz_panels){tape->space.panels.data, n_in, n_tok};
    liz_team_share(n_out, LIZ_PANEL_ROWS, member, n_members, &begin, &end);
    liz_rows_put(&tape->gemm, &tape->space.columns, (liz_source){dy, n_out, true}, begin, end);
    liz_team_share(liz_panel_count(n_in), 1, member, n_members, &begin, &end);
    liz_panels_put(&tape->gemm, &tape->space.panels, (liz_source){x, n_in, true}, begin, end, false);
}

void liz_tape_add_gradients(liz_tape *tape, const liz_param *w, const liz_param *bias, const float *dy, size_t n_tok,
                            bool fill, int member, int n_members)
{
    size_t begin, end;
    size_t rows[2] = {0, w->n_out}, panels[2] = {0, liz_panel_count(w->n_in)};
    if (w->n_out >= LIZ_TAPE_ROWS * (size_t)n_members) /* rows lie one after the other in memory; adapters have few */
        liz_team_share(w->n_out, LIZ_TAPE_ROWS, member, n_members, &rows[0], &rows[1]);
    else
        liz_team_share(panels[1], 2, member, n_members, &panels[0], &panels[1]);
    if (w->is_trained)
        liz_gemm_mul(&tape->gemm, &tape->space.columns, &tape->space.panels, rows[0], rows[1], panels[0], panels[1],
                     w->grad, w->n_in, fill ? put_of(w->n_out * w->n_in) : LIZ_GEMM_ADD);
    liz_team_share(w->n_out, 16, member, n_members, &begin, &end);
    for (size_t t = 0; bias != NULL && bias->is_trained && t < n_tok; t++)
        tape->kernel.add(bias->grad + begin, dy + t * w->n_out + begin, end - begin, bias->grad + begin);
}

void liz_op_linear_forward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n_tok = tape->batch->n_tok, begin, end;
    if (op->flag) {
        liz_tape_put_rows(tape, x->x, n_tok, x->width, member, n_members);
        liz_team_barrier(tape->team);
    }
    liz_tape_mul_weight(tape, &tape->space.rows, op->weight, false, y->x, false, member, n_members);
    if (op->bias == NULL)
        return;
    liz_team_barrier(tape->team);
    liz_team_share(n_tok, 1, member, n_members, &begin, &end);
    for (size_t t = begin; t < end; t++)
        tape->kernel.add(y->x + t * y->width, op->bias->w, y->width, y->x + t * y->width);
}

void liz_op_linear_backward(liz_tape *tape, const liz_op *op, int member, int n_members)
{
    const liz_tensor *x = liz_tape_at(tape, op->in[0]), *y = liz_tape_at(tape, op->out);
    size_t n_tok = tape->batch->n_tok;
    liz_tape_put_rows(tape, y->dx, n_tok, y->width, member, n_members);
    liz_tape_put_gradients(tape, op->weight, x->x, y->dx, n_tok, member, n_members);
    liz_team_barrier(tape->team);
    if (x->dx != NULL)
        liz_tape_mul_weight(tape, &tape->space.rows, op->weight, true, x->dx, !op->first[0], member, n_members);
    liz_tape_add_gradients(tape, op->weight, op->bias, y->dx, n_tok, liz_tape_fills(tape, op), member, n_members);
}
