/* A copy of a process with all of its threads: threads.c. */
#ifndef SPARKLER_THREADS_H
#define SPARKLER_THREADS_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)

/* To be called before there are other threads. */
void threads_prepare(void);

/* Stops all other threads wherever they are. False: one cannot be stopped; none is, then. */
bool threads_stop(void);

/* They go on. */
void threads_release(void);

/*
 * In a copy that was made while they were stopped: makes them anew, each where it was, and this
 * thread goes on as the main thread. Allocates nothing.
 */
_Noreturn void threads_continue(void);

#pragma GCC visibility pop

#endif
