/*
 * page-server: the memory file, and its checksums.
 *
 * A block is read as a whole and checked when the first of its pages is needed. The last block
 * read is kept, for a fault that is tried again and for the neighbours of a page.
 */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/crc32c.h"

#define NO_BLOCK UINT64_MAX

static int memory_file;
static uint64_t memory_bytes;
static uint32_t *sums;
static uint64_t *checked;
static uint64_t kept = NO_BLOCK;
static unsigned char block[BLOCK];
static unsigned char single[PAGE];

uint64_t file_bytes(int fd, const char *what) {
  struct stat status;
  if (fstat(fd, &status) != 0) fail("source-io", "%s: %s", what, strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("source-io", "%s: not a regular file", what);
  return (uint64_t)status.st_size;
}

void read_fully(int fd, void *to, size_t length, uint64_t offset, const char *what) {
  char *at = to;
  while (length > 0) {
    ssize_t got = pread(fd, at, length, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    /* With O_DIRECT, the rest of a read that the file's end cut off is not aligned. */
    if (got < 0 && errno == EINVAL && offset % PAGE != 0) got = 0;
    if (got < 0)
      fail("source-io", "%s at %llu: %s", what, (unsigned long long)offset, strerror(errno));
    if (got == 0) fail("source-short", "%s ends at %llu", what, (unsigned long long)offset);
    at += got;
    offset += (uint64_t)got;
    length -= (size_t)got;
    counters.read_bytes += (uint64_t)got;
  }
}

static void read_sums(int fd) {
  uint64_t expected = memory_bytes / BLOCK * sizeof sums[0], bytes = file_bytes(fd, "checksums");
  if (bytes < expected) fail("source-short", "checksums: fewer than the memory file has blocks");
  if (bytes > expected) fail("source-damaged", "checksums: more than the memory file has blocks");
  sums = malloc((size_t)expected);
  if (sums == NULL) fail("resources", "no memory for the checksums");
  read_fully(fd, sums, (size_t)expected, 0, "checksums");
  checked = bitmap_new(memory_bytes / BLOCK);
}

void source_open(int memory, int sums_file) {
  memory_file = memory;
  memory_bytes = file_bytes(memory, "memory file");
  if (memory_bytes == 0 || memory_bytes % BLOCK != 0)
    fail("source-short", "memory file: its length is no multiple of %u", BLOCK);
  if (memory_bytes / PAGE > UINT32_MAX) fail("resources", "memory file: too many pages");
  if (sums_file >= 0) read_sums(sums_file);
}

uint64_t source_bytes(void) { return memory_bytes; }

static void read_block(uint64_t number) {
  kept = NO_BLOCK;
  read_fully(memory_file, block, BLOCK, number * BLOCK, "memory file");
  if (crc32c(0, block, BLOCK) != sums[number])
    fail("source-damaged", "memory file: block %llu is damaged", (unsigned long long)number);
  bitmap_set(checked, number);
  kept = number;
}

const unsigned char *source_page(uint32_t page) {
  uint64_t offset = (uint64_t)page * PAGE, number = offset / BLOCK;
  if (sums != NULL && !bitmap_get(checked, number)) read_block(number);
  if (kept == number) return block + offset % BLOCK;
  read_fully(memory_file, single, PAGE, offset, "memory file");
  return single;
}
