/* rewrite.h - a model file with trained weights in the place of its own. */
#ifndef LIZ_TRAIN_REWRITE_H
#define LIZ_TRAIN_REWRITE_H

#include "format/gguf.h"
#include "sys/files.h"
#include "train/tape.h"

/* Whether every trained parameter of the tape has a place in the file. LIZ_E_UNSUPPORTED names the first without. */
LIZ_MUST_CHECK liz_status liz_rewrite_check(const liz_gguf *from, liz_tape *tape, liz_error *err);

/* Writes `path`: metadata and tensors of `from`, the tape's weights for those that were trained, matrices as `dtype`
 * (F32, BF16 or F16) and vectors as F32. At once and durably, as gguf_write.h. */
LIZ_MUST_CHECK liz_status liz_rewrite(const liz_gguf *from, liz_tape *tape, const liz_files *files, const char *path,
                                      liz_dtype dtype, liz_error *err);

#endif
