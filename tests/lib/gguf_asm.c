/* gguf_asm.c - a line at a time: words, then the directive. */
#include "gguf_asm.h"

#include "format/gguf.h"
#include "temp_dir.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS_MAX = 12, WORD_LEN_MAX = 512 };

typedef struct line {
    int number;
    int n_words;
    struct {
        char text[WORD_LEN_MAX];
        size_t n; /* a text may hold NUL */
    } words[WORDS_MAX];
} line;

static _Noreturn void fail_line(const line *l, const char *why)
{
    fprintf(stderr, "gguf_asm: line %d (%s): %s\n", l->number, l->n_words > 0 ? l->words[0].text : "", why);
    abort();
}

/* ---- Words ------------------------------------------------------------------------------------- */

static char unescape(const char **p)
{
    char c = *(*p)++;
    if (c == 'n')
        return '\n';
    if (c != 'x')
        return c;
    char digits[3] = {(*p)[0], (*p)[0] != '\0' ? (*p)[1] : '\0', '\0'};
    *p += strlen(digits);
    return (char)strtoul(digits, NULL, 16);
}

static const char *word_read(line *l, const char *p)
{
    if (l->n_words == WORDS_MAX)
        fail_line(l, "too many words");
    char *out = l->words[l->n_words].text;
    size_t n = 0;
    bool quoted = *p == '"';
    for (p += quoted; *p != '\0' && *p != '\n' && (quoted ? *p != '"' : !isspace((unsigned char)*p));) {
        if (n == WORD_LEN_MAX - 1)
            fail_line(l, "word too long");
        char c = *p++;
        out[n++] = quoted && c == '\\' ? unescape(&p) : c;
    }
    out[n] = '\0';
    l->words[l->n_words++].n = n;
    return p + (quoted && *p == '"');
}

/* Reads the words of the line at `p` and returns the start of the next one. */
static const char *line_read(line *l, const char *p)
{
    l->number++;
    l->n_words = 0;
    for (;;) {
        while (*p == ' ' || *p == '\t')
            p++;
        if (*p == '#')
            p += strcspn(p, "\n");
        if (*p == '\0' || *p == '\n')
            return *p == '\n' ? p + 1 : p;
        p = word_read(l, p);
    }
}

static liz_str word(const line *l, int i)
{
    if (i >= l->n_words)
        fail_line(l, "a word is missing");
    return (liz_str){l->words[i].text, l->words[i].n};
}

static uint64_t number(const line *l, int i)
{
    char *end;
    const char *text = word(l, i).p;
    uint64_t value = text[0] == '-' ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
    if (end == text || *end != '\0')
        fail_line(l, "not a number");
    return value;
}

/* A number, or the name that `name_of` gives one. */
static uint32_t type_number(const line *l, int i, const char *(*name_of)(uint32_t))
{
    for (uint32_t type = 0; type < 64; type++)
        if (name_of(type) != NULL && liz_str_is(word(l, i), name_of(type)))
            return type;
    return (uint32_t)number(l, i);
}

static const char *dtype_name(uint32_t type)
{
    const liz_dtype_info *info = liz_dtype_info_get(type);
    return info != NULL ? info->name : NULL;
}

/* ---- Directives -------------------------------------------------------------------------------- */

static void put_int(liz_buf *buf, uint64_t value, size_t size) { liz_buf_append(buf, (const char *)&value, size); }

static void put_zeros(liz_buf *buf, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        liz_buf_putc(buf, '\0');
}

static void put_str(liz_buf *buf, liz_str text)
{
    put_int(buf, text.n, 8);
    liz_buf_append_str(buf, text);
}

static void put_f32(liz_buf *buf, const char *text)
{
    float value = strtof(text, NULL);
    liz_buf_append(buf, (const char *)&value, sizeof value);
}

static void put_tensor(liz_buf *buf, const line *l)
{
    put_str(buf, word(l, 1));
    put_int(buf, (uint64_t)(l->n_words - 4), 4);
    for (int i = l->n_words - 1; i >= 4; i--)
        put_int(buf, number(l, i), 8);
    put_int(buf, type_number(l, 2, dtype_name), 4);
    put_int(buf, number(l, 3), 8);
}

static void put_head(liz_buf *buf, const line *l)
{
    liz_buf_puts(buf, "GGUF");
    put_int(buf, 3, 4);
    put_int(buf, number(l, 1), 8);
    put_int(buf, number(l, 2), 8);
}

/* True when `l` was an integer directive. */
static bool put_integer(liz_buf *buf, const line *l)
{
    static const struct {
        const char *name;
        size_t size;
    } kinds[] = {{"u8", 1}, {"u16", 2}, {"u32", 4}, {"i32", 4}, {"u64", 8}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (liz_str_is(word(l, 0), kinds[i].name)) {
            put_int(buf, number(l, 1), kinds[i].size);
            return true;
        }
    return false;
}

static void put_line(liz_buf *buf, const line *l)
{
    liz_str what = word(l, 0);
    if (liz_str_is(what, "head"))
        put_head(buf, l);
    else if (liz_str_is(what, "raw"))
        liz_buf_append_str(buf, word(l, 1));
    else if (liz_str_is(what, "f32"))
        put_f32(buf, word(l, 1).p);
    else if (liz_str_is(what, "str"))
        put_str(buf, word(l, 1));
    else if (liz_str_is(what, "key")) {
        put_str(buf, word(l, 1));
        put_int(buf, type_number(l, 2, liz_gguf_type_name), 4);
    } else if (liz_str_is(what, "array")) {
        put_int(buf, type_number(l, 1, liz_gguf_type_name), 4);
        put_int(buf, number(l, 2), 8);
    } else if (liz_str_is(what, "tensor"))
        put_tensor(buf, l);
    else if (liz_str_is(what, "pad"))
        put_zeros(buf, -buf->len % number(l, 1));
    else if (liz_str_is(what, "zeros"))
        put_zeros(buf, number(l, 1));
    else if (!put_integer(buf, l))
        fail_line(l, "no such directive");
}

static void begin_file(gguf_asm *out, const line *l, const char *name)
{
    if (out->n_files == GGUF_ASM_FILES_MAX)
        fail_line(l, "too many files");
    snprintf(out->files[out->n_files].name, sizeof out->files[0].name, "%s", name);
    liz_buf_init(&out->files[out->n_files++].bytes, 1 << 20);
}

void gguf_assemble(gguf_asm *out, const char *text)
{
    *out = (gguf_asm){0};
    line l = {0};
    while (*text != '\0') {
        text = line_read(&l, text);
        if (l.n_words == 0)
            continue;
        if (liz_str_is(word(&l, 0), "file")) {
            begin_file(out, &l, word(&l, 1).p);
            continue;
        }
        if (out->n_files == 0)
            begin_file(out, &l, "model.gguf");
        put_line(&out->files[out->n_files - 1].bytes, &l);
    }
    if (out->n_files == 0)
        fail_line(&l, "there is no file");
}

const char *gguf_asm_write(const gguf_asm *assembled)
{
    for (int i = 0; i < assembled->n_files; i++)
        temp_write(assembled->files[i].name, assembled->files[i].bytes.data, assembled->files[i].bytes.len);
    return temp_path(assembled->files[0].name);
}

void gguf_asm_free(gguf_asm *assembled)
{
    for (int i = 0; i < assembled->n_files; i++)
        liz_buf_free(&assembled->files[i].bytes);
}
