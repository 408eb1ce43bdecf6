/* team.h - a fixed set of threads that run one function together.
 *
 * The caller of `liz_team_run` is member 0; the others wait in between, spinning briefly and then asleep. All
 * members have denormals flushed to zero (the numeric contract follows AMX there), the caller while it is
 * inside `liz_team_run`, and AMX tiles are theirs to configure. One caller at a time. */
#ifndef LIZ_SYS_TEAM_H
#define LIZ_SYS_TEAM_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct liz_team liz_team;
typedef void liz_team_fn(void *arg, int member, int n_members);

LIZ_MUST_CHECK liz_status liz_team_open(liz_team **out, int n_threads, liz_error *err);
void liz_team_close(liz_team *team);
int liz_team_size(const liz_team *team);

/* Runs fn(arg, member, n_members) on all members and returns when all have returned. */
void liz_team_run(liz_team *team, liz_team_fn *fn, void *arg);

/* Inside a run: waits until every member is here. What was written before is seen by all after. */
void liz_team_barrier(liz_team *team);

/* Member's share [*begin, *end) of `n` items in units of `unit`, contiguous and balanced. */
void liz_team_share(size_t n, size_t unit, int member, int n_members, size_t *begin, size_t *end);

/* Items that members take as they get to them, so that none waits long for one that is slower or was held up. A run has
 * as many deals as it likes (up to 2^22 from barrier to barrier); every member begins each of them, in the same order,
 * and takes until nothing is left before it begins the next. */
typedef struct liz_deal {
    liz_team *team;
    int member;
    uint32_t number;             /* of the deal in this run */
    size_t n, unit, least_units; /* items, those that go together, and how many such, at least 1, are worth taking */
} liz_deal;

/* Inside a run; the first time with `team` and `member` set and zeros in the rest. */
void liz_deal_begin(liz_deal *deal, size_t n, size_t unit, size_t least_units);

/* The items [*begin, *end) to do next: two thirds of what is left of the member's own share, from the front; once that
 * is gone, half of what another has left, from the back. False: no member has any left. */
bool liz_deal_take(const liz_deal *deal, size_t *begin, size_t *end);

#endif
