/* cpu.h - what the processor can do, as machine classes.
 *
 * A tier is a set of instructions that come together on real machines: AVX2 (with FMA, F16C, BMI2), AVX512
 * (the Ice Lake set with VNNI), AMX (int8 and bf16 tiles). LIZZIE_ISA caps the tier. */
#ifndef LIZ_SYS_CPU_H
#define LIZ_SYS_CPU_H

#include "base/status.h"

#include <stdbool.h>

typedef enum liz_tier_id { LIZ_TIER_C = 0, LIZ_TIER_AVX2 = 1, LIZ_TIER_AVX512 = 2, LIZ_TIER_AMX = 3 } liz_tier_id;

/* The best tier of this machine; asks the operating system for AMX state the first time. */
liz_tier_id liz_cpu_tier_best(void);

/* The tier to use: the best, capped by LIZZIE_ISA. LIZ_E_USAGE when that names no tier. */
LIZ_MUST_CHECK liz_status liz_cpu_tier(liz_tier_id *out, liz_error *err);

/* Whether there are tiles, and the system lets us use them. Weak: tests bring one that does tiles in software. */
bool liz_cpu_has_amx(void);

/* Whether an AVX2 machine has the 256-bit VNNI (vpdpbusd without AVX-512), as those without AVX512 often do. Weak as
 * above. */
bool liz_cpu_has_avxvnni(void);

/* Whether an AVX512 machine multiplies bfloat16 (vdpbf16ps), which not all of them do. */
bool liz_cpu_has_bf16(void);

const char *liz_cpu_tier_name(liz_tier_id tier);

/* CPUs this process may keep busy: affinity mask and cgroup quota (v1 and v2), at least 1. */
int liz_cpu_count(void);

/* The same with the quotas told by the files under `root`, for tests. */
int liz_cpu_count_under(const char *root);

/* The processor's own name for itself, "" where unknown. Static. */
const char *liz_cpu_model_name(void);

#endif
