/* The requests that a process serves which copies itself for them (handover.h): requests.c. */
#ifndef SPARKLER_REQUESTS_H
#define SPARKLER_REQUESTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "handover.h"

#pragma GCC visibility push(hidden)

/* What a copy was given. */
struct given {
  const struct handover_request *request;
  /* cgroup.procs of its cgroup, or -1. */
  int cgroup;
  /* In the order of the slots. */
  const int *descriptors;
  int reply;
  pid_t parent;
};

/* Requests come on `fd`; each brings so many slots. */
void requests_open(int fd, unsigned slots);

/* All that the requests themselves hold open: `list` has room for `size`. Answers how many. */
unsigned requests_descriptors(int *list, unsigned size);

/*
 * Serves requests, each with a copy of the process that `copy` makes as fork(2) does. False when no
 * more can come and the last copy is gone; true in a copy.
 */
bool requests_serve(pid_t (*copy)(void), struct given *given);

/* In a copy: says that it is there. */
void requests_started(const struct given *given);

#pragma GCC visibility pop

#endif
