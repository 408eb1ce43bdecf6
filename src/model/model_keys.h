/* model_keys.h - reading what a file says under its architecture's name, into numbers that can be relied on.
 *
 * The first failure is kept, with the key's name, and later reads do nothing; so a reader is a list of lines and one
 * look at `status` at the end. Values of 0 or below for optional settings mean unset: writers of files put them there.
 */
#ifndef LIZ_MODEL_MODEL_KEYS_H
#define LIZ_MODEL_MODEL_KEYS_H

#include "format/gguf.h"

typedef struct liz_keys {
    const liz_gguf *gguf;
    const char *arch;
    liz_error *err;
    liz_status status; /* of the first failure */
    char key[128];
} liz_keys;

/* The key "ARCH.NAME", valid until the next call. */
const char *liz_keys_name(liz_keys *k, const char *name);

/* A whole number from 1 to `max`; an array of equal values counts as one. `missing` < 0: the key must be there. */
int64_t liz_keys_count(liz_keys *k, const char *name, int64_t missing, int64_t max);

/* The same where 0 means the same as absent: `missing`. */
int64_t liz_keys_optional(liz_keys *k, const char *name, int64_t missing, int64_t max);

/* A positive finite number; 0, negative and absent mean `missing`. */
double liz_keys_positive(liz_keys *k, const char *name, double missing);

bool liz_keys_flag(const liz_keys *k, const char *name, bool missing);

/* Element i of an array of numbers or truth values; false when the key is no array or too short. */
bool liz_keys_element(liz_keys *k, const char *name, size_t i, int64_t *value);

/* Records a failure at ARCH.NAME: the text says what is wrong. */
__attribute__((format(printf, 4, 5))) void liz_keys_fail(liz_keys *k, liz_status status, const char *name,
                                                         const char *format, ...);

#endif
