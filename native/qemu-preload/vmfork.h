/* A VM whose VMM is forked, guest and all, for each of its clones: vmfork.c. */
#ifndef SPARKLER_VMFORK_H
#define SPARKLER_VMFORK_H

#pragma GCC visibility push(hidden)

/* In the constructor, before QEMU runs: takes the environment. */
void vmfork_prepare(void);

#pragma GCC visibility pop

#endif
