/*
 * How guest memory is mapped; see memory.c. preload.c knows when QEMU maps it, this knows how.
 */
#ifndef SPARKLER_PRELOAD_MEMORY_H
#define SPARKLER_PRELOAD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef void *(*mmap_function)(void *, size_t, int, int, int, off_t);

/* The daemon's choice, from the environment. */
enum memory_mode {
  MEMORY_SHARED,   /* a booting VM: the file is its memory */
  MEMORY_PRIVATE,  /* a clone: the file's pages, its own writes */
  MEMORY_LAYERS,   /* a clone: as the plan file says */
  MEMORY_USERFAULT, /* a clone: anonymous, its pages come from a page server */
  MEMORY_UNNAMED   /* a booting VM: a file that is on no disk */
};

struct memory_descriptors {
  int memory;      /* the memory file */
  int pages;       /* a socket whose other end the page server has */
  int userfault;   /* /dev/userfaultfd */
  int plan;        /* the plan file of MEMORY_LAYERS */
  int working_set; /* the working-set file of MEMORY_LAYERS */
};

/* What the populating thread has done; read at any time. */
struct populated {
  uint64_t pages;
  uint64_t ns;
  uint32_t failures;
  uint32_t done; /* 1: it has nothing left to do */
};

bool memory_parse_mode(const char *text, enum memory_mode *mode);

/* The mapping that QEMU asked for. */
struct wanted {
  void *address;
  size_t length;
  int protection;
  int fixed; /* MAP_FIXED or 0 */
  off_t offset;
};

/*
 * Maps guest memory for a clone. Ends the process with a line on stderr when it
 * cannot be done: a guest must not run on other memory than its snapshot's.
 */
void *memory_map(enum memory_mode mode, const struct wanted *wanted,
                 const struct memory_descriptors *from, mmap_function map);

struct populated memory_populated(void);

/* Returns when the populating thread has nothing left to do. */
void memory_wait_populated(void);

#endif
