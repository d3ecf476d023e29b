/*
 * page-loader: FaaSnap's concurrent loader: reads a working-set file once from its beginning to its
 * end, so that its pages are in the page cache before the VM that maps it faults on them.
 *
 *   page-loader WSF_FD
 *
 * The descriptor is inherited. All that is read is verified on the way: the header, the tables, that
 * the regions lie in the memory file and do not overlap, each block of the data, and that the file
 * ends with it. Format: native/README.md.
 *
 * Prints {"bytes":N,"ns":N} (all bytes of the file, and how long it took) and exits 0; exits 1 with
 * `damaged WHAT` on stderr, 2 with another line on stderr when the file could not be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/crc32c.h"

#define PAGE 4096u
#define HEADER 4096u
/* Bytes of the data under one checksum. */
#define BLOCK 65536u
/* One read of data, bytes: a whole number of blocks. */
#define BATCH (16u * BLOCK)
/* The largest memory file that is believed, bytes: bounds what the tables may ask for. */
#define MAX_MEMORY (1ull << 40)

struct header {
  unsigned char magic[8];
  uint32_t crc;
  uint32_t page_size;
  uint64_t memory_bytes;
  uint64_t regions;
  uint64_t regions_at;
  uint64_t sums_at;
  uint64_t data_at;
  uint64_t data_bytes;
  uint32_t tables_crc;
  uint32_t zero;
  unsigned char memory_id[32];
};
_Static_assert(sizeof(struct header) == 104, "the header has no padding");

struct region {
  uint64_t page;
  uint32_t pages;
  uint32_t group;
};

static void die(const char *what) {
  fprintf(stderr, "page-loader: %s: %s\n", what, errno != 0 ? strerror(errno) : "ended early");
  exit(2);
}

static void damaged(const char *what) {
  fprintf(stderr, "damaged %s\n", what);
  exit(1);
}

static void read_fully(int fd, void *to, size_t length, uint64_t offset) {
  char *at = to;
  while (length > 0) {
    ssize_t got = pread(fd, at, length, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) die("working set");
    if (got == 0) damaged("file: it ends early");
    at += got;
    offset += (uint64_t)got;
    length -= (size_t)got;
  }
}

static void *allocate(uint64_t size) {
  void *made = calloc(size > 0 ? size : 1, 1);
  if (made == NULL) die("memory for the tables");
  return made;
}

static bool is_zero(const unsigned char *at, size_t length) {
  while (length > 0 && *at == 0) at++, length--;
  return length == 0;
}

static uint64_t blocks_of(const struct header *of) { return (of->data_bytes + BLOCK - 1) / BLOCK; }

static struct header read_header(int fd, uint64_t size) {
  static unsigned char bytes[HEADER];
  struct header made;
  if (size < HEADER) damaged("header: the file is too short");
  read_fully(fd, bytes, HEADER, 0);
  memcpy(&made, bytes, sizeof made);
  if (memcmp(made.magic, "SPKLWSF1", sizeof made.magic) != 0) damaged("header: not a working set");
  memset(bytes + offsetof(struct header, crc), 0, sizeof made.crc);
  if (crc32c(0, bytes, HEADER) != made.crc) damaged("header: its checksum");
  if (made.page_size != PAGE || made.zero != 0 || made.memory_bytes > MAX_MEMORY ||
      made.memory_bytes % PAGE != 0 || made.regions > made.memory_bytes / PAGE ||
      made.data_bytes > made.memory_bytes || made.data_bytes % PAGE != 0)
    damaged("header: its sizes");
  uint64_t sums_at = HEADER + made.regions * sizeof(struct region);
  uint64_t tables_end = sums_at + blocks_of(&made) * sizeof(uint32_t);
  if (made.regions_at != HEADER || made.sums_at != sums_at || made.data_at % PAGE != 0 ||
      made.data_at < tables_end || made.data_at - tables_end >= PAGE)
    damaged("header: its offsets");
  if (size != made.data_at + made.data_bytes) damaged("file: its size");
  return made;
}

static void check_regions(const struct header *of, const struct region *regions) {
  uint64_t memory_pages = of->memory_bytes / PAGE, pages = 0;
  unsigned char *taken = allocate(memory_pages / 8 + 1);
  for (uint64_t i = 0; i < of->regions; i++) {
    uint64_t page = regions[i].page, count = regions[i].pages;
    if (count == 0 || page >= memory_pages || count > memory_pages - page)
      damaged("regions: outside of the memory");
    pages += count;
    for (; count > 0; page++, count--) {
      unsigned bit = 1u << page % 8;
      if ((taken[page / 8] & bit) != 0) damaged("regions: they overlap");
      taken[page / 8] = (unsigned char)(taken[page / 8] | bit);
    }
  }
  if (pages * PAGE != of->data_bytes) damaged("regions: not as many pages as data");
  free(taken);
}

/* Region table, checksum table and the zeros up to the data, in one piece. */
static unsigned char *read_tables(int fd, const struct header *of) {
  uint64_t length = of->data_at - HEADER;
  uint64_t used = of->sums_at + blocks_of(of) * sizeof(uint32_t) - HEADER;
  unsigned char *tables = allocate(length);
  read_fully(fd, tables, length, HEADER);
  if (crc32c(0, tables, used) != of->tables_crc) damaged("tables: their checksum");
  if (!is_zero(tables + used, length - used)) damaged("tables: bytes after them");
  check_regions(of, (const struct region *)(const void *)tables);
  return tables;
}

static void read_data(int fd, const struct header *of, const uint32_t *sums) {
  static unsigned char buffer[BATCH];
  for (uint64_t at = 0; at < of->data_bytes;) {
    uint64_t left = of->data_bytes - at;
    size_t some = left < BATCH ? (size_t)left : BATCH;
    read_fully(fd, buffer, some, of->data_at + at);
    for (size_t done = 0; done < some; done += BLOCK, at += BLOCK) {
      size_t length = some - done < BLOCK ? some - done : BLOCK;
      if (crc32c(0, buffer + done, length) == sums[at / BLOCK]) continue;
      char what[64];
      snprintf(what, sizeof what, "data: block at %llu", (unsigned long long)(of->data_at + at));
      damaged(what);
    }
  }
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
  char *end = NULL;
  errno = 0;
  long fd = argc == 2 ? strtol(argv[1], &end, 10) : -1;
  if (errno != 0 || fd < 0 || fd > INT_MAX || end == argv[1] || *end != '\0') {
    fputs("page-loader: usage: page-loader WSF_FD\n", stderr);
    return 2;
  }
  uint64_t began = now_ns();
  struct stat found;
  if (fstat((int)fd, &found) != 0) die("working set");
  (void)posix_fadvise((int)fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  struct header header = read_header((int)fd, (uint64_t)found.st_size);
  unsigned char *tables = read_tables((int)fd, &header);
  read_data((int)fd, &header, (const void *)(tables + header.sums_at - HEADER));
  free(tables);
  uint64_t bytes = header.data_at + header.data_bytes;
  printf("{\"bytes\":%llu,\"ns\":%llu}\n", (unsigned long long)bytes,
         (unsigned long long)(now_ns() - began));
  return fflush(stdout) == 0 ? 0 : 2;
}
