/* cmd_inspect.c - lizzie inspect: the library's JSON, as it is or laid out for people.
 *
 * The layout knows nothing of what stands in it: a member is a line, an object is indented below its name, a list of
 * objects is a line each. */
#include "cli/cli.h"

#include <inttypes.h>

enum { INDENT = 2, TEXT_SHOWN_MAX = 400 };

static bool is_scalar(const liz_json *value) { return value->type != LIZ_JSON_ARRAY && value->type != LIZ_JSON_OBJECT; }

static bool holds_scalars_only(const liz_json *value)
{
    for (const liz_json *child = value->first_child; child != NULL; child = child->next)
        if (!is_scalar(child))
            return false;
    return true;
}

static void show_scalar(const liz_json *value, bool is_bytes, liz_buf *out)
{
    int64_t n;
    if (value->type != LIZ_JSON_STRING) {
        liz_buf_append_str(out, value->source);
        if (is_bytes && liz_json_int64(value, &n) && n >= 1 << 20)
            liz_buf_printf(out, " (%.2f GiB)", (double)n / (1 << 30));
        return;
    }
    size_t shown = value->string.n < TEXT_SHOWN_MAX ? value->string.n : TEXT_SHOWN_MAX;
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)value->string.p[i]; /* nothing in a file speaks to the terminal */
        if (c < 0x20 || c == 0x7F)
            liz_buf_puts(out, c == '\n' ? "\\n" : "?");
        else
            liz_buf_putc(out, (char)c);
    }
    if (shown < value->string.n)
        liz_buf_printf(out, "... (%zu bytes)", value->string.n);
}

/* "key value, key value" of an object, or "value, value" of an array. */
static void show_inline(const liz_json *value, liz_buf *out)
{
    for (const liz_json *child = value->first_child; child != NULL; child = child->next) {
        if (child != value->first_child)
            liz_buf_puts(out, ", ");
        if (value->type == LIZ_JSON_OBJECT)
            liz_buf_printf(out, "%.*s ", LIZ_STR_ARG(child->key));
        show_scalar(child, liz_str_ends(child->key, "bytes"), out);
    }
}

static void show_members(const liz_json *object, int depth, liz_buf *out)
{
    for (const liz_json *m = object->first_child; m != NULL; m = m->next) {
        liz_buf_printf(out, "%*s", depth * INDENT, "");
        if (object->type == LIZ_JSON_OBJECT)
            liz_buf_printf(out, "%.*s: ", LIZ_STR_ARG(m->key));
        if (is_scalar(m)) {
            show_scalar(m, liz_str_ends(m->key, "bytes"), out);
        } else if (holds_scalars_only(m) && (m->type == LIZ_JSON_ARRAY || object->type == LIZ_JSON_ARRAY)) {
            show_inline(m, out);
        } else {
            liz_buf_putc(out, '\n');
            show_members(m, depth + 1, out);
            continue;
        }
        liz_buf_putc(out, '\n');
    }
}

static liz_status lay_out(const char *json, liz_buf *out, liz_error *err)
{
    liz_arena arena = {.size_max = (size_t)1 << 31};
    liz_json *root;
    liz_status status = liz_json_read(&root, liz_str_of(json), &arena, err);
    if (status == LIZ_OK)
        show_members(root, 0, out);
    liz_arena_free(&arena);
    return status;
}

liz_status cli_inspect(cli_args *args, liz_buf *out, liz_error *err)
{
    char *json = NULL;
    liz_status status = liz_inspect(args->line.model_path, &args->line.engine, &json, err);
    if (status == LIZ_OK && args->json)
        liz_buf_printf(out, "%s\n", json);
    else if (status == LIZ_OK)
        status = lay_out(json, out, err);
    liz_free(json);
    return status;
}
