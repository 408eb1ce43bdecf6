/* engine_library.c - what is said of the library itself. */
#include "lizzie.h"

#include "base/philox.h"
#include "sys/cpu.h"

#include <stdlib.h>

void liz_free(void *p) { free(p); }

const char *liz_version(void) { return "0.1.0"; }

/* Raise it with any change that alters a bit of a logit, a sampled token or a log-probability. */
int liz_numeric_version(void) { return 1; }

uint64_t liz_seed(uint64_t seed, uint32_t index, uint32_t sample, uint32_t attempt)
{
    return liz_row_seed(seed, index, sample, attempt);
}

liz_status liz_tier(const char **name, liz_error *err)
{
    liz_tier_id tier;
    liz_status status = liz_cpu_tier(&tier, err);
    if (status == LIZ_OK)
        *name = liz_cpu_tier_name(tier);
    return status;
}
