/* dtype.c - the table of element types. */
#include "tensor/dtype.h"

#include "base/checked.h"

#include <strings.h>

static const liz_dtype_info dtype_infos[LIZ_DTYPE_COUNT] = {
    [LIZ_DTYPE_F32] = {"F32", 1, 4, true},
    [LIZ_DTYPE_F16] = {"F16", 1, 2, true},
    [LIZ_DTYPE_Q4_0] = {"Q4_0", 32, 18, true},
    [LIZ_DTYPE_Q4_1] = {"Q4_1", 32, 20, true},
    [LIZ_DTYPE_Q5_0] = {"Q5_0", 32, 22, true},
    [LIZ_DTYPE_Q5_1] = {"Q5_1", 32, 24, true},
    [LIZ_DTYPE_Q8_0] = {"Q8_0", 32, 34, true},
    [LIZ_DTYPE_Q8_1] = {"Q8_1", 32, 36, false},
    [LIZ_DTYPE_Q2_K] = {"Q2_K", 256, 84, true},
    [LIZ_DTYPE_Q3_K] = {"Q3_K", 256, 110, true},
    [LIZ_DTYPE_Q4_K] = {"Q4_K", 256, 144, true},
    [LIZ_DTYPE_Q5_K] = {"Q5_K", 256, 176, true},
    [LIZ_DTYPE_Q6_K] = {"Q6_K", 256, 210, true},
    [LIZ_DTYPE_Q8_K] = {"Q8_K", 256, 292, false},
    [LIZ_DTYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66, false},
    [LIZ_DTYPE_IQ2_XS] = {"IQ2_XS", 256, 74, false},
    [LIZ_DTYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98, false},
    [LIZ_DTYPE_IQ1_S] = {"IQ1_S", 256, 50, false},
    [LIZ_DTYPE_IQ4_NL] = {"IQ4_NL", 32, 18, true},
    [LIZ_DTYPE_IQ3_S] = {"IQ3_S", 256, 110, false},
    [LIZ_DTYPE_IQ2_S] = {"IQ2_S", 256, 82, false},
    [LIZ_DTYPE_IQ4_XS] = {"IQ4_XS", 256, 136, true},
    [LIZ_DTYPE_I8] = {"I8", 1, 1, false},
    [LIZ_DTYPE_I16] = {"I16", 1, 2, false},
    [LIZ_DTYPE_I32] = {"I32", 1, 4, false},
    [LIZ_DTYPE_I64] = {"I64", 1, 8, false},
    [LIZ_DTYPE_F64] = {"F64", 1, 8, false},
    [LIZ_DTYPE_IQ1_M] = {"IQ1_M", 256, 56, false},
    [LIZ_DTYPE_BF16] = {"BF16", 1, 2, true},
    [LIZ_DTYPE_TQ1_0] = {"TQ1_0", 256, 54, true},
    [LIZ_DTYPE_TQ2_0] = {"TQ2_0", 256, 66, true},
    [LIZ_DTYPE_MXFP4] = {"MXFP4", 32, 17, true},
    [LIZ_DTYPE_NVFP4] = {"NVFP4", 64, 36, false},
    [LIZ_DTYPE_Q1_0] = {"Q1_0", 128, 18, false},
    [LIZ_DTYPE_Q2_0] = {"Q2_0", 64, 18, false},
};

const liz_dtype_info *liz_dtype_info_get(uint32_t dtype)
{
    if (dtype >= LIZ_DTYPE_COUNT || dtype_infos[dtype].name == NULL)
        return NULL;
    return &dtype_infos[dtype];
}

bool liz_dtype_find(const char *name, liz_dtype *out)
{
    for (int i = 0; i < LIZ_DTYPE_COUNT; i++)
        if (dtype_infos[i].readable && strcasecmp(dtype_infos[i].name, name) == 0) {
            *out = (liz_dtype)i;
            return true;
        }
    return false;
}

bool liz_dtype_row_bytes(uint32_t dtype, uint64_t n, uint64_t *bytes)
{
    const liz_dtype_info *info = liz_dtype_info_get(dtype);
    if (info == NULL || n % (uint64_t)info->block_len != 0)
        return false;
    return liz_u64_mul(n / (uint64_t)info->block_len, (uint64_t)info->block_bytes, bytes);
}
