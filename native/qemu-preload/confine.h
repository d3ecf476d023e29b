/* What a copy of the process may be and do: confine.c. Nothing here allocates. */
#ifndef SPARKLER_CONFINE_H
#define SPARKLER_CONFINE_H

#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* User and group, without supplementary groups. Only while there are no other threads. */
void confine_become_user(uint32_t uid);

/* Killed when the thread that copied it ends; ends now if that process is gone already. */
void confine_die_with(pid_t parent);

/* No process, program or other user from now on, in any thread. */
void confine_forbid_processes(void);

#pragma GCC visibility pop

#endif
