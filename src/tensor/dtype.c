/* dtype.c - the table of element types. */
#include "tensor/dtype.h"

#include "base/checked.h"

#include <strings.h>

#define INFO(ID, number, ...) [number] = {#ID, __VA_ARGS__},
static const liz_dtype_info dtype_infos[LIZ_DTYPE_COUNT] = {LIZ_DTYPES(INFO)};

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
