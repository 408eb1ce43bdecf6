/* refuse.c - one attempt after another, each with another request refused. */
#include "refuse.h"

#include "adapter_make.h"
#include "alloc_fail.h"
#include "gguf_asm.h"
#include "gguf_copy.h"
#include "temp_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TRIES_MAX = 30000 };

static size_t n_open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

void refuse_each(const char *what, attempt_fn *attempt, const void *with)
{
    liz_error err = {0};
    if (attempt(with, &err) != LIZ_OK) /* what is made once for all is made now */
        fail_msg("%s: %s", what, err.text);
    size_t n_live = alloc_n_live(), n_files = n_open_files();
    long n = 1, n_errors = 0;
    for (bool hit = true; hit; n++) {
        memset(&err, 0, sizeof err);
        alloc_fail_at(n);
        liz_status status = attempt(with, &err);
        hit = alloc_fail_stop();
        n_errors += status != LIZ_OK;
        if (status != LIZ_OK && (!hit || err.code != status || err.text[0] == '\0' || status != LIZ_E_MEMORY))
            fail_msg("%s: request %ld refused: status %d, error %d: %s", what, n, status, err.code, err.text);
        if (alloc_n_live() != n_live)
            fail_msg("%s: request %ld refused: %zu pieces of memory are left", what, n, alloc_n_live() - n_live);
        if (n_open_files() != n_files)
            fail_msg("%s: request %ld refused: a file stays open", what, n);
        assert_true(n < TRIES_MAX);
    }
    printf("# %s: %ld requests, %ld errors\n", what, n - 2, n_errors);
    assert_true(n_errors > 0);
}

void file_make(char path[512], const char *name, const char *source, size_t n_zeros)
{
    gguf_asm assembled;
    gguf_assemble(&assembled, source);
    liz_buf *bytes = &assembled.files[0].bytes;
    for (size_t i = 0; i < n_zeros; i++)
        liz_buf_putc(bytes, '\0');
    snprintf(path, 512, "%s", temp_write(name, bytes->data, bytes->len));
    gguf_asm_free(&assembled);
}

void models_make(const char *chat_template, char model[512], char chat[512], char adapter[512])
{
    size_t n;
    char *source = file_read("fuzz/corpus/model/llama.asm", &n);
    gguf_change with_template[] = {{"tokenizer.chat_template", LIZ_GGUF_STRING, .text = chat_template}, {0}};
    adapter_plan plan = {.seed = 1, .rank = 2, .alpha = 2, .dtype = LIZ_DTYPE_F32};
    assert_non_null(source);
    file_make(model, "model.gguf", source, 64 * 1024);
    free(source);
    snprintf(chat, 512, "%s", temp_path("chat.gguf"));
    gguf_copy(model, chat, (gguf_edit){.changes = with_template});
    snprintf(adapter, 512, "%s", temp_path("adapter.gguf"));
    assert_true(adapter_make(model, adapter, plan) > 0);
}
