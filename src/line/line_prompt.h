/* line_prompt.h - from a record to the tokens of its prompt.
 *
 * Where the model has a chat template, --system and --prompt become a system and a user turn, and `messages` of a
 * record go through it; whatever a message holds is data, so control tokens written there are text.
 *
 * A template is text with {{field}} places; \{{ stands for two braces. Without one, a record's own `prompt` is taken as
 * it stands. Control tokens written in the template are control tokens; in a field they are text, since fields are
 * data: where the template holds any and a field holds one too, the row is refused, because text cannot be told from
 * instruction there. */
#ifndef LIZ_LINE_LINE_PROMPT_H
#define LIZ_LINE_LINE_PROMPT_H

#include "line/line_record.h"

typedef struct liz_line_template liz_line_template;

/* Compiles `system` (may be NULL) and `prompt`: as raw text, the system text comes first and a blank line follows it.
 * LIZ_E_USAGE names a place that is not closed or has no name. Gives `*out`. */
LIZ_MUST_CHECK liz_status liz_line_template_compile(liz_line_template **out, const char *system, const char *prompt,
                                                    liz_error *err);
void liz_line_template_free(liz_line_template *template);

/* The i-th field that the template names; NULL beyond the last. */
const char *liz_line_template_field(const liz_line_template *template, size_t i);

/* Settings of a job for turning records into tokens; `vocab` is NULL until the model is open. */
typedef struct liz_line_prompter {
    const liz_line_template *template; /* NULL: records bring `prompt` */
    const char *truncate_field;        /* NULL: none */
    const liz_template *chat;          /* NULL: there is none, or it is not to be used */
    const char *chat_missing;          /* then why */
    const char *now;                   /* of the chat template's clock */
    const liz_vocab *vocab;
    int32_t n_ctx;      /* 0: no limit is known */
    int32_t max_tokens; /* what --truncate leaves room for, up to a quarter of the context */
    bool has_control;   /* the template's own text holds control tokens; liz_line_prompter_open */
} liz_line_prompter;

/* Once the vocabulary is known. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_prompter_open(liz_line_prompter *prompter, liz_error *err);

/* Appends the prompt as the model will see it; nothing when the row becomes an error row. LIZ_E_MEMORY. */
LIZ_MUST_CHECK liz_status liz_line_prompt_text(const liz_line_prompter *prompter, const liz_line_record *record,
                                               liz_line_row *row, liz_buf *out, liz_error *err);

/* Gives `*tokens` [row->n_prompt] and fills row->was_truncated and row->n_prompt_whole; NULL when the row is an error
 * row. LIZ_E_MEMORY is for the line, not for the row. */
LIZ_MUST_CHECK liz_status liz_line_prompt_tokens(const liz_line_prompter *prompter, const liz_line_record *record,
                                                 liz_line_row *row, int32_t **tokens, liz_error *err);

/* Makes the row an error row when `n_tokens` are none or leave no room for one more; true when they fit. */
bool liz_line_prompt_fits(const liz_line_prompter *prompter, size_t n_tokens, liz_line_row *row);

#endif
