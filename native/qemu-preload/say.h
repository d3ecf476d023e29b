/* How a step that must succeed says that it did not: a line on stderr, and the process ends. */
#ifndef SPARKLER_SAY_H
#define SPARKLER_SAY_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 125

static inline void must(bool done, const char *what) {
  if (done) return;
  dprintf(STDERR_FILENO, "handover: %s: %s\n", what, strerror(errno));
  _exit(EXIT_FAILED);
}

#endif
