/* tape_rows.h - the operations of op_rows.c; private to the train room. */
#ifndef LIZ_TRAIN_TAPE_ROWS_H
#define LIZ_TRAIN_TAPE_ROWS_H

#include "train/tape_ops.h"

void liz_op_embed_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_embed_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_norm_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_norm_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_rope_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_rope_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_silu_mul_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_silu_mul_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_gelu_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_gelu_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_mul_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_mul_backward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_add_forward(liz_tape *tape, const liz_op *op, int member, int n_members);
void liz_op_add_backward(liz_tape *tape, const liz_op *op, int member, int n_members);

#endif
