/* cases.c - see the header. */
#include "cases.h"

#include "temp_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CASES_MAX = 1000 };

/* Adds a test for each folder in tests/cases/WHAT/KIND, in the order of their names. */
static size_t cases_add(const char *what, const char *kind, void (*check)(void **), struct CMUnitTest *tests, size_t n)
{
    char dir[256];
    struct dirent **items;
    snprintf(dir, sizeof dir, "tests/cases/%s/%s", what, kind);
    int n_items = scandir(dir, &items, NULL, alphasort);
    for (int i = 0; i < n_items; i++) {
        char *folder = NULL;
        if (items[i]->d_name[0] != '.' && n < CASES_MAX && asprintf(&folder, "%s/%s", dir, items[i]->d_name) > 0)
            tests[n++] = (struct CMUnitTest){.name = folder, .test_func = check, .initial_state = folder};
        free(items[i]);
    }
    if (n_items >= 0)
        free(items);
    return n;
}

int cases_run(const char *what, size_t n_least, void (*check)(void **state))
{
    static struct CMUnitTest tests[CASES_MAX];
    size_t n = cases_add(what, "invalid", check, tests, cases_add(what, "valid", check, tests, 0));
    if (n < n_least) {
        printf("Bail out! only %zu cases in tests/cases/%s: run from the root of the repository\n", n, what);
        return 1;
    }
    int n_failed = _cmocka_run_group_tests(what, tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        free(tests[i].initial_state);
    return n_failed;
}

char *case_read(const char *folder, const char *name)
{
    char path[512];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_read(path, &n);
}

bool case_is_valid(const char *folder) { return strstr(folder, "/valid/") != NULL; }

void case_expect(const char *folder, const char *got)
{
    char *expected = case_read(folder, "expected");
    if (getenv("LIZZIE_TEST_PRINT") != NULL)
        printf("# %s\n%s", folder, got);
    else if (expected == NULL)
        fail_msg("%s: has no file `expected`; what came out is:\n%s", folder, got);
    else
        assert_string_equal(got, expected);
    free(expected);
}
