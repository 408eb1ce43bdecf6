/* engine_template.h - a chat template put together from its texts; `liz_template_open` finds them in a file. */
#ifndef LIZ_ENGINE_TEMPLATE_H
#define LIZ_ENGINE_TEMPLATE_H

#include "base/str.h"
#include "lizzie.h"

#include <stdint.h>

/* `with_tools` (may be empty) takes the place of `source` where there are tools. `bos_eos` [2] are what the template
 * finds under bos_token and eos_token; NULL: empty texts in a conversation, and nothing else. Copies all. */
LIZ_MUST_CHECK liz_status liz_engine_template_new(liz_template **out, liz_str source, liz_str with_tools,
                                                  const liz_str *bos_eos, liz_error *err);

/* Renders `variables` to find out what the template makes of them, on 1 January 2026, and with an empty bos_token and
 * eos_token where it has none. Spends of `*n_steps`, of which one rendering may take liz_jinja_steps_max(). Gives
 * `*out`, to be released with `liz_rendered_free`. */
LIZ_MUST_CHECK liz_status liz_engine_template_try(const liz_template *t, const char *variables, uint64_t *n_steps,
                                                  liz_rendered *out);

#endif
