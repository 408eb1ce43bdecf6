/* line_energy.c - pots of joules and tokens. The meter is a handful of small files: read a hundred times a second. */
#include "line/line_energy.h"

#include "base/log.h"

#include <stddef.h>

enum { READ_US = 10000 };

void liz_line_energy_open(liz_line_energy *energy, double watts)
{
    *energy = (liz_line_energy){.watts = watts, .begun_us = liz_clock_us()};
    energy->known = watts > 0 || liz_energy_open(&energy->meter, NULL);
    if (!energy->known)
        liz_log(LIZ_LOG_INFO, "energy", "no meter that can be read (most are root's): --watts W tells it");
}

double liz_line_energy_read_j(liz_line_energy *energy)
{
    if (!energy->known)
        return -1;
    energy->read_us = liz_clock_us();
    double used = energy->watts > 0 ? energy->watts * (double)(energy->read_us - energy->begun_us) * 1e-6
                                    : liz_energy_read_j(&energy->meter);
    energy->pot_j += used - energy->used_j;
    energy->used_j = used;
    return used;
}

double liz_line_energy_share_j(liz_line_energy *energy, uint64_t n_tokens, uint64_t n_tokens_all)
{
    if (!energy->known)
        return -1;
    if (liz_clock_us() - energy->read_us >= READ_US)
        liz_line_energy_read_j(energy);
    energy->pot_tokens += n_tokens_all - energy->n_tokens_seen;
    energy->n_tokens_seen = n_tokens_all;
    if (n_tokens > energy->pot_tokens)
        n_tokens = energy->pot_tokens;
    if (n_tokens == 0)
        return 0;
    double share = energy->pot_j * (double)n_tokens / (double)energy->pot_tokens;
    energy->pot_j -= share;
    energy->pot_tokens -= n_tokens;
    return share;
}
