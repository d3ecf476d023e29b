/* Memory beside the memory file, which grows and shrinks while the guest runs: blocks.c. */
#ifndef SPARKLER_PRELOAD_BLOCKS_H
#define SPARKLER_PRELOAD_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

/* Whether a path is one of these. */
bool blocks_own(const char *path);

/* The descriptor for /sparkler/block/N; -1 with errno when it cannot be made. */
int blocks_open(const char *path);

/* QEMU has mapped `fd`; nothing is done unless it is a block's. */
void blocks_mapped(int fd, void *at, size_t length);

/* Does `command`, whose arguments follow on the control socket. False: it is none of these, or the
   socket has failed. */
bool blocks_answer(char command, int control);

#pragma GCC visibility pop

#endif
