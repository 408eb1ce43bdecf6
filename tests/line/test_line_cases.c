/* test_line_cases.c - every folder of tests/cases/rows: an input of the line, and what becomes of each record.
 *
 * `in.jsonl`, `in.csv` or `in.tsv` is the input. `args`, where it is there, has an option a line: prompt, system, id,
 * keep or truncate, a blank, and its value (\n is a line end). `expected` holds a line for each record: what OUT says
 * of it but for what was generated, so the length of its prompt in tokens (bytes here, and one more) or its error; or,
 * where the line is refused, why. A case is valid when every record becomes a prompt. The context is 100 tokens. A new
 * case is a new folder; LIZZIE_TEST_PRINT=1 prints what comes out, to be read before it becomes `expected`. */
#include "../lib/cases.h"
#include "line_lab.h"

#include "base/json.h"
#include "line/line_prompt.h"

enum { CASES_MIN = 20, N_CTX = 100 };

static char *unescape(char *text)
{
    for (char *at; (at = strstr(text, "\\n")) != NULL;) {
        *at = '\n';
        memmove(at + 1, at + 2, strlen(at + 2) + 1);
    }
    return text;
}

static void take_args(liz_line_opts *opts, char *args)
{
    opts->prompt = NULL;
    for (char *line = args, *end; line != NULL && *line != '\0'; line = end) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end++ = '\0';
        char *value = strchr(line, ' ');
        assert_non_null(value);
        *value++ = '\0';
        unescape(value);
        if (strcmp(line, "prompt") == 0)
            opts->prompt = value;
        else if (strcmp(line, "system") == 0)
            opts->system = value;
        else if (strcmp(line, "id") == 0)
            opts->id_field = value;
        else if (strcmp(line, "keep") == 0)
            opts->keep[opts->n_keep++] = value;
        else if (strcmp(line, "truncate") == 0)
            opts->truncate_field = value;
        else
            fail_msg("args: unknown: %s", line);
    }
}

/* The member of a line of OUT as JSON text. */
static void put_member(liz_buf *out, const liz_json *row, const char *name)
{
    const liz_json *member = liz_json_member(row, name);
    if (member != NULL)
        liz_buf_printf(out, " %s %.*s", name, LIZ_STR_ARG(member->source));
}

/* What a row of OUT says that does not come from the model: the fake engine counts bytes as tokens, with one BOS. */
static bool put_row(liz_buf *out, liz_str line)
{
    liz_arena arena = {.size_max = 1 << 24};
    liz_json *row;
    assert_int_equal(liz_json_read(&row, line, &arena, NULL), LIZ_OK);
    static const char *const names[] = {"id", "custom_id", "prompt_tokens", "error", "row"};
    const liz_json *body = liz_json_member(liz_json_member(row, "response"), "body");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put_member(out, row, names[i]);
    put_member(out, body, "usage");
    put_member(out, body, "error");
    liz_buf_putc(out, '\n');
    liz_arena_free(&arena);
    bool is_error;
    assert_int_equal(liz_line_row_is_error(line, &is_error, NULL), LIZ_OK);
    return !is_error;
}

static bool put_out(liz_buf *out)
{
    liz_buf rows = lab_get("out");
    bool all = true;
    uint64_t index = 0;
    for (char *line = rows.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        liz_buf_printf(out, "%lu:", index++);
        all = put_row(out, (liz_str){line, (size_t)(end - line)}) && all;
    }
    liz_buf_free(&rows);
    return all;
}

static void check_case(void **state)
{
    const char *folder = *state;
    static const char *const inputs[] = {"in.jsonl", "in.csv", "in.tsv"};
    char *args = case_read(folder, "args"), *in = NULL;
    char command[300];
    size_t i = 0;
    while (i < 3 && (in = case_read(folder, inputs[i])) == NULL)
        i++;
    assert_non_null(in);
    liz_line_opts opts = lab_opts(inputs[i], "out");
    take_args(&opts, args);
    opts.max_tokens = 1;
    liz_buf out;
    liz_buf_init(&out, 1 << 20);
    char *root = getcwd(NULL, 0);
    snprintf(command, sizeof command, "cp %s/in.* '%s'", folder, lab_folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(chdir(lab_folder), 0);
    lab_puts("model", "ctx=100\n");
    lab_remove_out("out");
    liz_error err;
    bool valid = lab_run(&opts, NULL, &err) != -1;
    if (valid)
        valid = put_out(&out);
    else
        liz_buf_printf(&out, "%s %s\n", liz_status_name(err.code), err.text);
    assert_int_equal(chdir(root), 0);
    liz_buf_puts(&out, "");
    assert_int_equal(valid, case_is_valid(folder));
    case_expect(folder, out.data);
    liz_buf_free(&out);
    free(root);
    free(args);
    free(in);
}

int main(void)
{
    char *root = getcwd(NULL, 0);
    void *state = NULL;
    if (root == NULL || lab_open(&state) != 0 || chdir(root) != 0)
        return 1;
    int n_failed = cases_run("rows", CASES_MIN, check_case);
    free(root);
    lab_close(&state);
    return n_failed;
}
