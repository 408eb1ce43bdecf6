/* test_memory.c - what memory and how many CPUs there are, told by made-up trees of /proc and control groups; and large
 * arrays. */
#include "../lib/temp_dir.h"
#include "sys/cpu.h"
#include "sys/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const uint64_t mib = 1024 * 1024;

/* A file of the tree under `root`, its folders made. */
static void put(const char *root, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *tree(const char *name)
{
    static char root[512];
    snprintf(root, sizeof root, "%s/%s", temp_dir(), name);
    put(root, "proc/meminfo", "MemTotal:  9000000 kB\nMemFree: 10 kB\nMemAvailable:    1024000 kB\n");
    return root;
}

static void test_no_groups(void **state)
{
    (void)state;
    assert_int_equal(liz_memory_available_under(tree("plain")), 1000 * mib);
}

static void test_groups_v2(void **state)
{
    (void)state;
    const char *root = tree("v2");
    put(root, "proc/self/cgroup", "0::/a/b\n");
    put(root, "proc/self/mountinfo",
        "21 1 0:5 / /proc rw - proc proc rw\n"
        "30 20 0:26 / /cg rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
    put(root, "cg/a/b/memory.max", "max\n");
    put(root, "cg/a/b/memory.current", "1000\n");
    assert_int_equal(liz_memory_available_under(root), 1000 * mib); /* no limit */
    put(root, "cg/a/memory.max", "524288000\n");                    /* 500 MiB, used 300, of which files 100 */
    put(root, "cg/a/memory.current", "314572800\n");
    assert_int_equal(liz_memory_available_under(root), 200 * mib);
    put(root, "cg/a/memory.stat", "anon 5\nactive_file 31457280\nactive_file_x 99\ninactive_file 73400320\n");
    assert_int_equal(liz_memory_available_under(root), 300 * mib);
    put(root, "cg/a/memory.high", "419430400\n");
    assert_int_equal(liz_memory_available_under(root), 200 * mib);
    put(root, "cg/a/memory.current", "1048576000\n"); /* beyond its limit */
    assert_int_equal(liz_memory_available_under(root), 0);
}

static void test_groups_v1(void **state)
{
    (void)state;
    const char *root = tree("v1");
    put(root, "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/x\n0::/\n");
    put(root, "proc/self/mountinfo",
        "30 20 0:26 / /cpu rw - cgroup cgroup rw,cpuset\n31 20 0:27 / /mem rw - cgroup cgroup rw,memory\n");
    put(root, "mem/x/memory.limit_in_bytes", "104857600\n");
    put(root, "mem/x/memory.usage_in_bytes", "52428800\n");
    put(root, "mem/x/memory.stat", "active_file 7\ntotal_active_file 1048576\ntotal_inactive_file 1048576\n");
    put(root, "mem/memory.limit_in_bytes", "9223372036854771712\n"); /* what v1 says for none */
    put(root, "mem/memory.usage_in_bytes", "52428800\n");
    assert_int_equal(liz_memory_available_under(root), 52 * mib);
}

/* In a container the group's path is the host's, and the mount shows only our part of it. */
static void test_groups_in_container(void **state)
{
    (void)state;
    const char *root = tree("container");
    put(root, "proc/self/cgroup", "0::/host/slice/c1/inner\n");
    put(root, "proc/self/mountinfo", "30 20 0:26 /host/slice/c1 /cg rw - cgroup2 cgroup2 rw\n");
    put(root, "cg/memory.max", "104857600\n");
    put(root, "cg/memory.current", "0\n");
    assert_int_equal(liz_memory_available_under(root), 100 * mib);
    put(root, "cg/inner/memory.max", "10485760\n");
    put(root, "cg/inner/memory.current", "0\n");
    assert_int_equal(liz_memory_available_under(root), 10 * mib);
    put(root, "proc/self/cgroup", "0::/elsewhere\n");
    assert_int_equal(liz_memory_available_under(root), 100 * mib);
}

/* The quotas of both hierarchies, and one that grants more than the machine has. */
static void test_cpus(void **state)
{
    (void)state;
    const char *root = tree("cpus");
    int all = liz_cpu_count_under("/nowhere");
    assert_true(all >= 1);
    put(root, "proc/self/cgroup", "4:cpu,cpuacct:/x\n3:cpuset:/y\n0::/a/b\n");
    put(root, "proc/self/mountinfo",
        "30 20 0:26 / /two rw - cgroup2 cgroup2 rw\n31 20 0:27 / /one rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 20 0:28 / /set rw - cgroup cgroup rw,cpuset\n");
    put(root, "two/a/b/cpu.max", "max 100000\n");
    put(root, "two/a/cpu.max", "900000000 100000\n");
    put(root, "one/x/cpu.cfs_quota_us", "-1\n");
    put(root, "one/x/cpu.cfs_period_us", "100000\n");
    put(root, "set/y/cpu.cfs_quota_us", "1\n"); /* of a hierarchy that has no such thing */
    put(root, "set/y/cpu.cfs_period_us", "1\n");
    assert_int_equal(liz_cpu_count_under(root), all);
    put(root, "one/cpu.cfs_quota_us", "50000\n"); /* half a CPU is one */
    put(root, "one/cpu.cfs_period_us", "100000\n");
    assert_int_equal(liz_cpu_count_under(root), 1);
    put(root, "one/cpu.cfs_quota_us", "-1\n");
    put(root, "two/a/cpu.max", "100000 100000\n");
    assert_int_equal(liz_cpu_count_under(root), 1);
    put(root, "two/a/cpu.max", "nonsense\n");
    assert_int_equal(liz_cpu_count_under(root), all);
}

static void test_nonsense(void **state)
{
    (void)state;
    const char *root = tree("nonsense");
    put(root, "proc/self/cgroup", ":::\n\n0\nmemory\n4:memory\n");
    put(root, "proc/self/mountinfo", "\n - \nx - cgroup2\n1 2 3 / /cg rw - cgroup2 a b\n");
    put(root, "cg/memory.max", "-\n");
    put(root, "cg/memory.current", "\n");
    assert_int_equal(liz_memory_available_under(root), 1000 * mib);
    put(root, "proc/meminfo", "MemAvailable: none\n");
    assert_int_equal(liz_memory_available_under(root), UINT64_MAX);
    assert_int_equal(liz_memory_available_under("/nowhere"), UINT64_MAX);
}

static void test_this_machine(void **state)
{
    (void)state;
    uint64_t available = liz_memory_available();
    assert_true(available > mib && available < UINT64_MAX);
    assert_true(liz_memory_resident() > 0 && liz_memory_resident() <= liz_memory_resident_max());
}

static void test_map(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4096, 5000, 2 << 20, (3 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = liz_memory_map(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (sizes[i] >= 2 << 20 ? 2 << 20 : 64), 0);
        for (size_t j = 0; j < sizes[i]; j += 511)
            assert_int_equal(p[j], 0);
        p[0] = p[sizes[i] - 1] = 1;
        liz_memory_unmap(p, sizes[i]);
    }
    uint64_t before = liz_memory_resident();
    char *large = liz_memory_map((size_t)1 << 30);
    assert_non_null(large);
    assert_true(liz_memory_resident() < before + 100 * mib); /* not touched, not resident */
    liz_memory_unmap(large, (size_t)1 << 30);
    liz_memory_unmap(NULL, 5);
    assert_null(liz_memory_map(0));
    assert_null(liz_memory_map(SIZE_MAX - 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_groups),           cmocka_unit_test(test_groups_v2), cmocka_unit_test(test_groups_v1),
        cmocka_unit_test(test_groups_in_container), cmocka_unit_test(test_cpus),      cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_this_machine),        cmocka_unit_test(test_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
