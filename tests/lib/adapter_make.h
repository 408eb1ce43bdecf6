/* adapter_make.h - random adapters for a model file. */
#ifndef TESTS_LIB_ADAPTER_MAKE_H
#define TESTS_LIB_ADAPTER_MAKE_H

#include "tensor/dtype.h"

typedef struct adapter_plan {
    uint32_t seed;
    int rank;
    float alpha;
    liz_dtype dtype;  /* F32, F16 or BF16 */
    const char *only; /* tensors whose name holds this; NULL: every matrix of the layers, and the output */
} adapter_plan;

/* Writes it to `to`; returns how many matrices it is for. Fails the test when it cannot. */
int adapter_make(const char *model, const char *to, adapter_plan plan);

#endif
