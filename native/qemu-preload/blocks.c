/*
 * Memory beside the memory file: what can be plugged in, and the blocks that instances are bound to.
 *
 * QEMU opens each of these backends as /sparkler/block/N (memory-backend-file, share=on): 0 is the
 * memory to plug in, 1 and the following are the blocks. The answer is a memfd that is made here and
 * has no pages: nobody else can open it, it ends with the VMM, and its host memory can be had and
 * given back a part at a time, whatever the guest does meanwhile.
 *
 * Commands on the control socket (preload.c), little-endian, done one after the other by the thread
 * that reads it:
 *   'F' u32 block, u64 offset, u64 bytes   host memory for that part, in this process's page tables.
 *       answers 'f', u32 errno or 0, u64 pages, u64 nanoseconds
 *   'D' u32 block                          all of its host memory goes back; it reads as zeros.
 *       answers 'd', u32 errno or 0
 *   'B' u32 blocks                         how much host memory is behind each, from 0 on?
 *       answers 'b', then that many u64 bytes
 */
#include "blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* since 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define BLOCK_PATH "/sparkler/block/"
#define MAX_BLOCKS 256u
#define PAGE_BYTES 4096u
#define STAT_BLOCK_BYTES 512u /* stat(2) */

/* Written before the guest runs, read by the control thread. */
static struct block {
  bool is_open;
  int fd;
  char *address; /* NULL: not mapped */
  size_t length;
} blocks[MAX_BLOCKS];

static struct block *block_of(uint32_t number) {
  return number < MAX_BLOCKS && blocks[number].address != NULL ? &blocks[number] : NULL;
}

bool blocks_own(const char *path) { return strncmp(path, BLOCK_PATH, strlen(BLOCK_PATH)) == 0; }

int blocks_open(const char *path) {
  const char *digits = path + strlen(BLOCK_PATH);
  char *end;
  unsigned long number = strtoul(digits, &end, 10);
  if (end == digits || *end != '\0' || number >= MAX_BLOCKS) {
    errno = ENOENT;
    return -1;
  }
  int fd = memfd_create("sparkler-block", MFD_CLOEXEC);
  if (fd >= 0) blocks[number] = (struct block){.is_open = true, .fd = fd};
  return fd;
}

void blocks_mapped(int fd, void *at, size_t length) {
  for (unsigned k = 0; k < MAX_BLOCKS; k++) {
    if (!blocks[k].is_open || blocks[k].fd != fd) continue;
    blocks[k].address = at;
    blocks[k].length = length;
  }
}

static bool receive(int control, void *bytes, size_t length) {
  char *at = bytes;
  while (length > 0) {
    ssize_t got = read(control, at, length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    length -= (size_t)got;
  }
  return true;
}

static bool reply(int control, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t sent = write(control, at, length);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    length -= (size_t)sent;
  }
  return true;
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

struct __attribute__((packed)) part {
  uint32_t block;
  uint64_t offset;
  uint64_t bytes;
};

static int populate(const struct part *part) {
  const struct block *block = block_of(part->block);
  if (block == NULL) return ENOENT;
  if (part->offset > block->length || part->bytes > block->length - part->offset) return ERANGE;
  while (madvise(block->address + part->offset, part->bytes, MADV_POPULATE_WRITE) != 0)
    if (errno != EINTR && errno != EAGAIN) return errno;
  return 0;
}

static bool answer_populate(int control) {
  struct part part;
  if (!receive(control, &part, sizeof part)) return false;
  uint64_t began = now_ns();
  int error = populate(&part);
  struct __attribute__((packed)) {
    char tag;
    uint32_t error;
    uint64_t pages;
    uint64_t ns;
  } done = {'f', (uint32_t)error, error == 0 ? part.bytes / PAGE_BYTES : 0, now_ns() - began};
  return reply(control, &done, sizeof done);
}

static int discard(uint32_t number) {
  const struct block *block = block_of(number);
  if (block == NULL) return ENOENT;
  int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  while (fallocate(block->fd, how, 0, (off_t)block->length) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

static bool answer_discard(int control) {
  uint32_t number;
  if (!receive(control, &number, sizeof number)) return false;
  struct __attribute__((packed)) {
    char tag;
    uint32_t error;
  } done = {'d', (uint32_t)discard(number)};
  return reply(control, &done, sizeof done);
}

static uint64_t resident_bytes(uint32_t number) {
  const struct block *block = block_of(number);
  struct stat seen;
  if (block == NULL || fstat(block->fd, &seen) != 0) return 0;
  return (uint64_t)seen.st_blocks * STAT_BLOCK_BYTES;
}

static bool answer_resident(int control) {
  uint32_t count;
  char tag = 'b';
  if (!receive(control, &count, sizeof count) || !reply(control, &tag, 1)) return false;
  for (uint32_t k = 0; k < count; k++) {
    uint64_t bytes = resident_bytes(k);
    if (!reply(control, &bytes, sizeof bytes)) return false;
  }
  return true;
}

bool blocks_answer(char command, int control) {
  switch (command) {
    case 'F':
      return answer_populate(control);
    case 'D':
      return answer_discard(control);
    case 'B':
      return answer_resident(control);
    default:
      return false;
  }
}
