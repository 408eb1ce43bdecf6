/* test_team.c - the deals by which a team's members share out work. */
#include "sys/team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MEMBERS_MAX = 9, ITEMS_MAX = 3000 };

/* How often each item was done, and by how many members. */
typedef struct tally {
    size_t n, unit, least;
    int n_deals;
    int slow; /* a member that holds its first piece until the others found nothing more; -1: none */
    liz_team *team;
    _Atomic int n_idle, n_bad;
    _Atomic int done[ITEMS_MAX];
    _Atomic size_t n_items[MEMBERS_MAX], n_pieces[MEMBERS_MAX];
} tally;

static tally all;

static void take_all(void *arg, int member, int n_members)
{
    tally *t = arg;
    liz_deal deal = {.team = t->team, .member = member};
    for (int i = 0; i < t->n_deals; i++) {
        size_t begin, end;
        liz_deal_begin(&deal, t->n, t->unit, t->least);
        while (liz_deal_take(&deal, &begin, &end)) {
            t->n_bad += !(begin < end && end <= t->n && begin % t->unit == 0 && (end % t->unit == 0 || end == t->n));
            for (size_t at = begin; at < end; at++)
                t->done[at]++;
            t->n_items[member] += end - begin;
            t->n_pieces[member]++;
            while (member == t->slow && t->n_idle < n_members - 1)
                usleep(100);
        }
        t->n_idle += member != t->slow && i == 0;
        if (i % 10000 == 9999)
            liz_team_barrier(t->team);
    }
}

static void deal_out(int n_members, size_t n, size_t unit, size_t least, int n_deals, int slow)
{
    memset(&all, 0, sizeof all);
    all.n = n, all.unit = unit, all.least = least, all.n_deals = n_deals, all.slow = slow;
    assert_int_equal(liz_team_open(&all.team, n_members, NULL), LIZ_OK);
    for (int run = 0; run < 2; run++) {
        all.n_idle = 0;
        liz_team_run(all.team, take_all, &all);
    }
    liz_team_close(all.team);
    assert_int_equal(all.n_bad, 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(all.done[i], 2 * n_deals);
}

static void test_deal_once(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 7, 64, 100, 1001, ITEMS_MAX};
    for (int n_members = 1; n_members <= MEMBERS_MAX; n_members += n_members < 4 ? 1 : 5)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (size_t unit = 1; unit <= 32; unit *= 32)
                for (size_t least = 1; least <= 4; least += 3)
                    deal_out(n_members, counts[i], unit, least, 3, -1);
}

/* More deals than most runs have; in the long form their numbers come round. Members without a share are among them. */
static void test_deal_many(void **state)
{
    (void)state;
    int n_deals = getenv("LIZZIE_TEST_LONG") != NULL ? 17 * 1000 * 1000 : 200 * 1000;
    deal_out(2, 1, 1, 1, n_deals, -1);
    deal_out(2, 5, 1, 1, 200 * 1000, -1);
}

/* What a member that is held up has left is done by the others. */
static void test_deal_slow(void **state)
{
    (void)state;
    for (int n_members = 2; n_members <= 4; n_members++) {
        deal_out(n_members, 1200, 1, 1, 5, 0);
        deal_out(n_members, 1200, 1, 1, 1, 0);
        size_t share = 1200 / (size_t)n_members, others = 0;
        for (int i = 1; i < n_members; i++)
            others += all.n_items[i];
        assert_int_equal(others + all.n_items[0], 2 * 1200);
        assert_true(others >= 2 * (1200 - share * 2 / 3));
    }
}

/* A member alone takes everything, in few pieces. */
static void test_deal_alone(void **state)
{
    (void)state;
    deal_out(1, 1000, 10, 4, 1, -1);
    assert_int_equal(all.n_items[0], 2 * 1000);
    assert_true(all.n_pieces[0] >= 2 * 3 && all.n_pieces[0] <= 2 * 6);
}

/* More units than a cursor counts: they grow. */
static void take_huge(void *arg, int member, int n_members)
{
    (void)n_members;
    liz_deal deal = {.team = all.team, .member = member};
    size_t begin, end, n = (size_t)1 << 40;
    liz_deal_begin(&deal, n, 16, 8);
    while (liz_deal_take(&deal, &begin, &end)) {
        all.n_bad += !(begin < end && end <= n && begin % 16 == 0);
        *(_Atomic size_t *)arg += end - begin;
    }
}

static void test_deal_huge(void **state)
{
    (void)state;
    _Atomic size_t n_done = 0;
    assert_int_equal(liz_team_open(&all.team, 3, NULL), LIZ_OK);
    liz_team_run(all.team, take_huge, &n_done);
    liz_team_close(all.team);
    assert_int_equal(all.n_bad, 0);
    assert_true(n_done == (size_t)1 << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_deal_once), cmocka_unit_test(test_deal_many),
                                       cmocka_unit_test(test_deal_slow), cmocka_unit_test(test_deal_alone),
                                       cmocka_unit_test(test_deal_huge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
