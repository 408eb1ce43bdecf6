/* engine_library.c - what is said of the library itself. */
#include "lizzie.h"

#include "base/philox.h"
#include "sys/cpu.h"

#include <stdlib.h>

void liz_free(void *p) { free(p); }

#define TEXT(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *liz_version(void) { return VERSION_TEXT(LIZ_VERSION_MAJOR, LIZ_VERSION_MINOR, LIZ_VERSION_PATCH); }

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
