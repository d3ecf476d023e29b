/* What a copy of this process must not share with it, and how it gets its own: descriptors.c. */
#ifndef SPARKLER_DESCRIPTORS_H
#define SPARKLER_DESCRIPTORS_H

#pragma GCC visibility push(hidden)

/*
 * The slots: numbers of the descriptors that each copy gets for itself, `2,3,4,7`. One that is not
 * open gets a placeholder. To be called before QEMU opens anything. Answers how many there are.
 */
unsigned descriptors_take_slots(const char *numbers);

/* Why a copy cannot be made with what is open now, in words; NULL when it can. Not for a thread
   that must not allocate. */
const char *descriptors_describe(const int *kept, unsigned count);

/* In a copy: its own in place of the slots', in their order, event descriptors and pollers made
   anew. Allocates nothing. */
void descriptors_replace(const int *received);

/* In a copy: closes all that was not described. Allocates nothing. */
void descriptors_close_others(void);

/* The numbers in a folder of /proc, counted. */
int count_numbers(const char *folder);

#pragma GCC visibility pop

#endif
