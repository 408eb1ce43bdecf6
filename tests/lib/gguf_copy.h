/* gguf_copy.h - a model file with something changed: keys, tensors, the type of its matrices. */
#ifndef TESTS_LIB_GGUF_COPY_H
#define TESTS_LIB_GGUF_COPY_H

#include "format/gguf.h"

/* A key with another value, or one more key. */
typedef struct gguf_change {
    const char *key;    /* NULL ends a list */
    liz_gguf_type type; /* U32, F32, STRING, BOOL (u32), or ARRAY: n_array truth values, the bits of u32 */
    uint32_t u32;
    float f32;
    const char *text;
    size_t n_array;
} gguf_change;

typedef struct gguf_edit {
    const gguf_change *changes; /* may be NULL */
    const char *drop_key;
    const char *drop_tensor, *rename_tensor, *rename_to;
    liz_dtype dtype;    /* of random matrices in place of the file's, where rows are whole blocks; see `randomise` */
    bool randomise;     /* replaces the matrices of layers and output */
    uint32_t n_expert;  /* with randomise: experts that the file's expert tensors become; 0: as they are */
    bool merge_gate_up; /* experts' gate and up become one tensor each layer, ffn_gate_up_exps */
    int n_dim;          /* that matrices [n_out, n_in] are written with, those added being 1; 0: as they are */
    const char *poison; /* the tensor whose first value becomes not a number */
    const char *scaled; /* F32 tensors whose names contain this are multiplied by `scale` */
    float scale;
    int layers_again; /* the file's layers a second time, numbered from here; 0: not */
} gguf_edit;

/* Writes the file at `from` with the edit to `to`; fails the test when it cannot. Bytes depend on the arguments alone.
 */
void gguf_copy(const char *from, const char *to, gguf_edit edit);

#endif
