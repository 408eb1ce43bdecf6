/* sim_disk.h - a disk that fails: a table of file functions between the code under test and the files of one folder.
 *
 * It counts the calls that change something (or, for one manner, those that read) and strikes at the n-th. Below real
 * files it keeps what of them is durable: the bytes of a file up to its last fsync, the folder's names up to the
 * folder's last fsync, and what was done since. After a power cut, `sim_disk_lose` leaves in the folder a state that
 * such a disk may show: of what was not synced, each file keeps nothing, all, a beginning, or any part in any order
 * (with zeros in the gaps), and so does the folder of its creations, renames and removals.
 *
 * One disk at a time; files are named by plain names in the working directory. */
#ifndef LIZ_TESTS_SIM_DISK_H
#define LIZ_TESTS_SIM_DISK_H

#include "sys/files.h"

typedef enum sim_manner {
    SIM_NONE,
    SIM_ENOSPC,     /* the call fails; later ones work */
    SIM_EIO,        /* the same */
    SIM_FULL,       /* from there on, nothing can be written or created: a disk that stays full */
    SIM_TORN,       /* half a write, then EIO */
    SIM_SHORT,      /* every write and read is short: no failure */
    SIM_READ_EIO,   /* the n-th read fails */
    SIM_DEATH,      /* nothing happens from here on: the process died */
    SIM_TORN_DEATH, /* half a write, then the same */
    SIM_POWER,      /* nothing from here on, and what was not synced is at risk: sim_disk_lose */
    SIM_MANNERS
} sim_manner;

const char *sim_manner_name(sim_manner how);

/* Takes the files of the working directory as they are for durable, and gives the table. */
const liz_files *sim_disk_begin(sim_manner how, long at);
/* Whether the fault struck. */
bool sim_disk_hit(void);
/* Puts the folder into one of the states that a power cut may leave now; `seed` picks it. */
void sim_disk_lose(uint64_t seed);
void sim_disk_end(void);

#endif
