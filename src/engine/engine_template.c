/* engine_template.c - the public face of chat templates: variables in, marked text out. */
#include "engine/engine_template.h"

#include "base/hash.h"
#include "engine/engine_messages.h"
#include "text/jinja.h"

#include <stdio.h>
#include <stdlib.h>

enum { OWN_MAX = 1 << 16 };
static const size_t rendered_max = (size_t)1 << 30, variables_memory_max = (size_t)4 << 30;

struct liz_template {
    liz_jinja *plain, *with_tools; /* with_tools NULL: the same */
    liz_buf own_text;              /* {"bos_token":...,"eos_token":...} */
    liz_arena arena;
    liz_json *own;
    bool knows_own; /* they are those of a model; else empty texts, for conversations alone */
    char hash[33];
    liz_message_form form;
};

/* Says where in the template it was; what raise_exception said stands by itself. */
static liz_status at_line(liz_status status, liz_error *err)
{
    if (status == LIZ_OK || status == LIZ_E_CANCELLED || err == NULL || err->line == 0)
        return status;
    return liz_fail_within(err, status, "chat template, line %d", err->line);
}

/* ---- Rendering ---------------------------------------------------------------------------------- */

static liz_status read_now(const char *text, struct tm *now, liz_error *err)
{
    time_t present = time(NULL);
    int n = 0, date = 0;
    if (text == NULL) {
        localtime_r(&present, now);
        return LIZ_OK;
    }
    *now = (struct tm){0};
    sscanf(text, "%4d-%2d-%2d%n%*1[T ]%2d:%2d%n:%2d%n", &now->tm_year, &now->tm_mon, &now->tm_mday, &date,
           &now->tm_hour, &now->tm_min, &n, &now->tm_sec, &n);
    const char *rest = text + (n ? n : date);
    rest += *rest == '.' ? 1 + strspn(rest + 1, "0123456789") : 0;
    rest += n && *rest == 'Z' ? 1 : n && (*rest == '+' || *rest == '-') ? 1 + strspn(rest + 1, "0123456789:") : 0;
    struct tm given = *now;
    now->tm_year -= 1900;
    now->tm_mon -= 1;
    now->tm_isdst = -1;
    struct tm settled = *now;
    if (date == 0 || *rest != '\0' || timegm(&settled) == -1 || settled.tm_mday != given.tm_mday ||
        settled.tm_hour != given.tm_hour || settled.tm_min != given.tm_min || settled.tm_sec != given.tm_sec ||
        settled.tm_mon != given.tm_mon - 1)
        return liz_fail(err, LIZ_E_USAGE, "%s: is no time: write 2026-01-31 or 2026-01-31T12:00:00", text);
    now->tm_wday = settled.tm_wday;
    now->tm_yday = settled.tm_yday;
    return LIZ_OK;
}

/* What a rendering is given. */
typedef struct rendering {
    struct tm now;
    unsigned flags;
    uint64_t *n_steps; /* NULL: all that one rendering may take */
    bool tries;        /* it is to find out what the template takes */
    liz_arena arena;
    liz_buf text, data;
} rendering;

static liz_status render(const liz_template *t, liz_str variables, rendering *r, liz_error *err)
{
    liz_json *json;
    liz_arena *arena = &r->arena;
    LIZ_TRY(liz_json_read(&json, variables, arena, err));
    if (json->type != LIZ_JSON_OBJECT)
        return liz_fail(err, LIZ_E_FORMAT, "variables: are no JSON object");
    if (r->flags & LIZ_RENDER_CHAT)
        LIZ_TRY(liz_messages_adapt(&t->form, t, json, arena, err));
    bool is_chat = r->tries || (r->flags & LIZ_RENDER_CHAT);
    liz_jinja_vars vars[] = {{json, true}, {t->knows_own || is_chat ? t->own : NULL, false}};
    const liz_json *tools = liz_json_member(json, "tools");
    bool with_tools = t->with_tools != NULL && tools != NULL && tools->type != LIZ_JSON_NULL;
    const liz_jinja *jinja = with_tools ? t->with_tools : t->plain;
    return at_line(liz_jinja_render(jinja, vars, 2, &r->now, r->n_steps, &r->text, &r->data, err), err);
}

static liz_status render_into(const liz_template *t, liz_str variables, const char *now, rendering *r,
                              liz_rendered *out, liz_error *err)
{
    r->arena.size_max = variables_memory_max;
    r->text.len_max = r->data.len_max = rendered_max;
    *out = (liz_rendered){0};
    LIZ_TRY(read_now(now, &r->now, err));
    liz_status status = render(t, variables, r, err);
    liz_arena_free(&r->arena);
    liz_buf_putc(&r->text, '\0');
    if (status == LIZ_OK && liz_buf_failed(&r->text))
        status = liz_fail(err, LIZ_E_MEMORY, "no memory for the text of a template");
    if (status == LIZ_OK) {
        *out = (liz_rendered){NULL, r->text.len - 1, NULL, r->data.len / (2 * sizeof(size_t))};
        out->text = liz_buf_take(&r->text);
        out->data = r->data.len ? (size_t *)(void *)liz_buf_take(&r->data) : NULL;
    }
    liz_buf_free(&r->text);
    liz_buf_free(&r->data);
    return status;
}

liz_status liz_template_render(const liz_template *t, const char *variables, size_t n_variables, const char *now,
                               unsigned flags, liz_rendered *out, liz_error *err)
{
    rendering r = {.flags = flags};
    return render_into(t, (liz_str){variables, n_variables}, now, &r, out, err);
}

liz_status liz_engine_template_try(const liz_template *t, const char *variables, uint64_t *n_steps, liz_rendered *out)
{
    rendering r = {.n_steps = n_steps, .tries = true};
    return render_into(t, liz_str_of(variables), "2026-01-01", &r, out, NULL);
}

void liz_rendered_free(liz_rendered *rendered)
{
    free(rendered->text);
    free(rendered->data);
    *rendered = (liz_rendered){0};
}

/* ---- Opening ------------------------------------------------------------------------------------ */

liz_status liz_engine_template_new(liz_template **out, liz_str source, liz_str with_tools, const liz_str *bos_eos,
                                   liz_error *err)
{
    liz_str none = {"", 0}, bos = bos_eos ? bos_eos[0] : none, eos = bos_eos ? bos_eos[1] : none;
    liz_template *t = calloc(1, sizeof *t);
    if (t == NULL)
        return liz_fail(err, LIZ_E_MEMORY, "no memory for a template");
    t->knows_own = bos_eos != NULL;
    liz_arena_init(&t->arena, OWN_MAX);
    liz_buf_init(&t->own_text, OWN_MAX);
    liz_buf_puts(&t->own_text, "{\"bos_token\":");
    liz_json_write_string(&t->own_text, bos);
    liz_buf_puts(&t->own_text, ",\"eos_token\":");
    liz_json_write_string(&t->own_text, eos);
    liz_buf_putc(&t->own_text, '}');
    liz_hash_hex(liz_hash_chain(liz_hash_bytes(source.p, source.n), with_tools.p, with_tools.n), t->hash);
    liz_status status = liz_buf_failed(&t->own_text) ? liz_fail(err, LIZ_E_MEMORY, "no memory for a template")
                                                     : at_line(liz_jinja_compile(&t->plain, source, err), err);
    if (status == LIZ_OK && with_tools.n > 0)
        status = at_line(liz_jinja_compile(&t->with_tools, with_tools, err), err);
    status = status ?: liz_json_read(&t->own, liz_buf_str(&t->own_text), &t->arena, err);
    status = status ?: liz_message_form_find(&t->form, t, err);
    if (status != LIZ_OK) {
        liz_template_close(t);
        return status;
    }
    *out = t;
    return LIZ_OK;
}

void liz_template_close(liz_template *t)
{
    if (t == NULL)
        return;
    liz_jinja_free(t->plain);
    liz_jinja_free(t->with_tools);
    liz_buf_free(&t->own_text);
    liz_arena_free(&t->arena);
    free(t);
}

const char *liz_template_hash(const liz_template *t) { return t->hash; }
