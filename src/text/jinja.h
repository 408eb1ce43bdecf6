/* jinja.h - chat templates: the Jinja2 language as models carry it, compiled once and rendered for each row.
 *
 * The dialect is that of Hugging Face's `apply_chat_template`: blocks trimmed, an immutable sandbox, `break` and
 * `continue`, the `generation` tag, `tojson`, `raise_exception`, `strftime_now`. docs/templates.md lists it.
 *
 * A compiled template is constant, so that any number of threads may render it at once. A rendering is bounded in
 * steps, depth, memory and output, and allocates from one arena of its own. */
#ifndef LIZ_TEXT_JINJA_H
#define LIZ_TEXT_JINJA_H

#include "base/json.h"

#include <stdint.h>
#include <time.h>

typedef struct liz_jinja liz_jinja;

/* LIZ_E_FORMAT for what is no template, LIZ_E_UNSUPPORTED for a construct that is not known, named in the text; both
 * with err->line. LIZ_E_LIMIT, LIZ_E_MEMORY. Copies what it needs. */
LIZ_MUST_CHECK liz_status liz_jinja_compile(liz_jinja **out, liz_str source, liz_error *err);
void liz_jinja_free(liz_jinja *jinja);

/* Members of a JSON object are variables of the template. Strings that come from data are marked in the output. */
typedef struct liz_jinja_vars {
    const liz_json *object;
    bool is_data;
} liz_jinja_vars;

/* Appends the text to `out`, and to `data` (may be NULL) the pairs of size_t [begin, end) of its bytes that came from
 * data, ascending. Of two variables of a name the first counts. `now` is what strftime_now tells.
 * `*n_steps` may be spent, and what is left of them is given back, so that several renderings can share (NULL: all that
 * one may). LIZ_E_CANCELLED: the template called raise_exception, and the text is its message; LIZ_E_FORMAT: an
 * operation that the values do not allow, or another mistake that shows only now; LIZ_E_UNSUPPORTED; LIZ_E_LIMIT;
 * LIZ_E_MEMORY. err->line is set. */
LIZ_MUST_CHECK liz_status liz_jinja_render(const liz_jinja *jinja, const liz_jinja_vars *vars, size_t n_vars,
                                           const struct tm *now, uint64_t *n_steps, liz_buf *out, liz_buf *data,
                                           liz_error *err);
/* The steps that one rendering may take. */
uint64_t liz_jinja_steps_max(void);

#endif
