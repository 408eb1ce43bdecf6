/* engine_messages.h - messages as chat APIs write them, for a chat template.
 *
 * They are not quite what templates were written for: content may come in parts or be null, the arguments of tool calls
 * are JSON in a string, and `developer` is what `system` was. What a template can take is found out once, by rendering
 * small conversations; messages are then brought into that form. What the template would drop without a word, and what
 * no text model can read, is refused. */
#ifndef LIZ_ENGINE_MESSAGES_H
#define LIZ_ENGINE_MESSAGES_H

#include "base/json.h"
#include "lizzie.h"

enum { LIZ_MESSAGE_ROLES = 4 }; /* system, user, assistant, tool */

typedef struct liz_message_form {
    bool takes_parts[LIZ_MESSAGE_ROLES]; /* content as a list of {"type":"text","text":...} */
    bool drops_role[LIZ_MESSAGE_ROLES];  /* its messages without a word */
    bool takes_argument_text;            /* arguments of tool calls as a string, and only so */
    bool takes_null;                     /* content of a message of tool calls */
    bool drops_calls, drops_tools, drops_documents;
} liz_message_form;

LIZ_MUST_CHECK liz_status liz_message_form_find(liz_message_form *form, const liz_template *t, liz_error *err);

/* Brings the messages, tools and documents of `variables` into that form, in place. LIZ_E_USAGE names what is not as
 * chat APIs write it, LIZ_E_UNSUPPORTED what would not reach the model; LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_messages_adapt(const liz_message_form *form, const liz_template *t, liz_json *variables,
                                             liz_arena *arena, liz_error *err);

#endif
