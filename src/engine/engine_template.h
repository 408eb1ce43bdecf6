/* engine_template.h - a chat template put together from its texts; `liz_template_open` finds them in a file. */
#ifndef LIZ_ENGINE_TEMPLATE_H
#define LIZ_ENGINE_TEMPLATE_H

#include "base/str.h"
#include "lizzie.h"

/* `with_tools` (may be empty) takes the place of `source` where there are tools. `bos` and `eos` are what the template
 * finds under bos_token and eos_token. Copies all. */
LIZ_MUST_CHECK liz_status liz_engine_template_new(liz_template **out, liz_str source, liz_str with_tools, liz_str bos,
                                                  liz_str eos, liz_error *err);

#endif
