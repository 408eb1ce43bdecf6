/* line_energy.h - the joules of a job, and each row's share of them.
 *
 * What the machine uses flows into a pot, as do the tokens that the engine computes. A row that is written takes out
 * its own tokens, and of the joules what these are of all tokens in the pot. So shares add up to what was used until
 * then, a row is charged by what it made the engine compute (not by what the prefix cache saved), and rows that ran
 * together at a time of high power share it. What stays in the pot belongs to no row: to those that were begun and not
 * written, and to the time after the last one. The writer's thread alone uses it. */
#ifndef LIZ_LINE_LINE_ENERGY_H
#define LIZ_LINE_LINE_ENERGY_H

#include "sys/clock.h"

typedef struct liz_line_energy {
    liz_energy_meter meter;
    double watts; /* > 0: time instead of the meter */
    bool known;
    uint64_t begun_us, read_us;
    double used_j;          /* since the job began, as last read */
    double pot_j;           /* of it, not yet given to a row */
    uint64_t pot_tokens;    /* computed, not yet given to a row */
    uint64_t n_tokens_seen; /* computed, as last told */
} liz_line_energy;

/* `watts` 0: by the machine's meter, where it has one that can be read. */
void liz_line_energy_open(liz_line_energy *energy, double watts);

/* Joules since open; below 0 where unknown. */
double liz_line_energy_read_j(liz_line_energy *energy);

/* The share of a row of `n_tokens`, when `n_tokens_all` have been computed since open; below 0 where unknown. */
double liz_line_energy_share_j(liz_line_energy *energy, uint64_t n_tokens, uint64_t n_tokens_all);

#endif
