/* A QEMU that stops at the opening of its memory and forks a VMM for each restore: template.c. */
#ifndef SPARKLER_TEMPLATE_H
#define SPARKLER_TEMPLATE_H

#include <stdbool.h>

/* Not among the names that QEMU or its libraries could find here. */
#pragma GCC visibility push(hidden)

/* In the constructor, before QEMU runs: takes the environment and puts placeholders into the slots. */
void template_prepare(void);

/* Whether this process is a template and not yet one of its children. */
bool template_is_waiting(void);

/* Serves requests. Returns in a child only: it is confined, has its own descriptors, and its
   environment is the request's. */
void template_serve(void);

#pragma GCC visibility pop

#endif
