/* model_packed.h - packed weights kept in a file beside the model's, MODEL.gguf.packed, which the next open maps.
 *
 * Mapped, they are the page cache's: nothing is computed, copied or allocated, and processes share them. The file is a
 * head and then the weights as they lie in memory; it is good for one model file as that is now, and for this layout.
 * It appears whole or not at all. Bytes of outputs do not depend on it. */
#ifndef LIZ_MODEL_MODEL_PACKED_H
#define LIZ_MODEL_MODEL_PACKED_H

#include "base/hash.h"
#include "model/model_weights.h"

/* Of what packing depends on: the model's files (sizes, times, metadata, a sample of each tensor) and the layout. */
liz_hash liz_packed_key(liz_weights *w, const liz_hparams *h, const liz_gguf *gguf);

/* The weights [packed_bytes], read-only, where a file with this key is there; NULL where not. */
uint8_t *liz_packed_map(const liz_weights *w, const liz_gguf *gguf, liz_hash key);

/* Writes the file, in the place of one that is there. LIZ_E_IO; LIZ_E_BUSY: another process is writing it. */
LIZ_MUST_CHECK liz_status liz_packed_write(const liz_weights *w, const liz_gguf *gguf, liz_hash key, liz_error *err);

#endif
