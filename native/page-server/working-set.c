/*
 * page-server: the prefetch of a working-set file (docs/protocol/page-server.md).
 *
 * The data is read once, from its beginning to its end, READ_BYTES at a time, or
 * in a single read; each read is checked and then installed. Between two reads the loop in main.c serves faults. Buffers, offsets and
 * lengths are multiples of 4096, as a descriptor opened with O_DIRECT needs.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../common/crc32c.h"

/* Bytes of one read of the data; whole blocks. */
#define READ_BYTES (1024u * 1024u)
#define MAGIC "SPKLWSF1"

struct header {
  char magic[8];
  uint32_t header_sum, page_size;
  uint64_t memory_bytes, regions, table_offset, sums_offset, data_offset, data_bytes;
  uint32_t tables_sum, zero;
  unsigned char memory_id[32], rest[PAGE - 104];
};
_Static_assert(sizeof(struct header) == PAGE, "the header is a page");

struct run {
  uint64_t first;
  uint32_t pages, group;
};
_Static_assert(sizeof(struct run) == 16, "a region takes 16 bytes");

static int file = -1;
/* Bytes of one read: READ_BYTES, or all of the data. */
static uint64_t read_size = READ_BYTES;
static struct header header;
static const struct run *runs;
static const uint32_t *sums;
static unsigned char *data;
/* Bytes of the data that are read, and how many of the last of them wait to be installed. */
static uint64_t read_to, waiting;
/* The next page to install: in which run, and which of its pages. */
static uint64_t run_index, run_page;
static bool active;
static struct timespec started;

static void *aligned(uint64_t bytes) {
  void *memory = aligned_alloc(PAGE, (size_t)bytes);
  if (memory == NULL) fail("resources", "no memory for the working set");
  return memory;
}

__attribute__((noreturn)) static void damaged(const char *what) {
  fail("source-damaged", "working set: %s", what);
}

static bool all_zero(const unsigned char *at, size_t length) {
  while (length > 0 && *at == 0) at++, length--;
  return length == 0;
}

static void check_header(uint64_t file_length) {
  uint32_t sum = header.header_sum;
  header.header_sum = 0;
  if (memcmp(header.magic, MAGIC, sizeof header.magic) != 0) damaged("no working-set file");
  if (crc32c(0, &header, sizeof header) != sum) damaged("the header is damaged");
  if (header.zero != 0 || !all_zero(header.rest, sizeof header.rest)) damaged("an unknown field");
  if (header.page_size != PAGE) damaged("another page size");
  if (header.memory_bytes != source_bytes()) damaged("made for a memory of another size");
  if (header.regions > source_bytes() / PAGE || header.data_bytes > source_bytes())
    damaged("more than the memory file holds");
  uint64_t table_bytes = header.regions * sizeof runs[0];
  uint64_t sums_bytes = (header.data_bytes + BLOCK - 1) / BLOCK * sizeof sums[0];
  if (header.table_offset != PAGE || header.data_offset % PAGE != 0 ||
      header.data_bytes % PAGE != 0 || header.sums_offset % sizeof sums[0] != 0 ||
      header.sums_offset < PAGE + table_bytes || header.sums_offset > header.data_offset ||
      header.data_offset - header.sums_offset < sums_bytes)
    damaged("its parts do not fit");
  if (header.data_offset > file_length || header.data_bytes > file_length - header.data_offset)
    fail("source-short", "working set: the file is shorter than its header says");
}

static void check_runs(void) {
  uint64_t pages = source_bytes() / PAGE, total = 0;
  uint64_t *named = bitmap_new(pages);
  for (uint64_t i = 0; i < header.regions; i++) {
    if (runs[i].first >= pages || runs[i].pages == 0 || runs[i].pages > pages - runs[i].first)
      damaged("a region is outside of the memory");
    for (uint64_t page = 0; page < runs[i].pages; page++)
      if (!bitmap_set(named, runs[i].first + page)) damaged("two regions overlap");
    total += runs[i].pages;
  }
  if (total * PAGE != header.data_bytes) damaged("the regions are not as long as the data");
  free(named);
}

static void read_tables(void) {
  uint64_t bytes = header.data_offset - PAGE;
  unsigned char *tables = aligned(bytes);
  read_fully(file, tables, (size_t)bytes, PAGE, "working set");
  runs = (const struct run *)(void *)tables;
  sums = (const uint32_t *)(void *)(tables + (header.sums_offset - PAGE));
  size_t table_bytes = (size_t)header.regions * sizeof runs[0];
  size_t sums_bytes = (size_t)((header.data_bytes + BLOCK - 1) / BLOCK) * sizeof sums[0];
  if (crc32c(crc32c(0, runs, table_bytes), sums, sums_bytes) != header.tables_sum)
    damaged("the tables are damaged");
}

void working_set_open(int fd, bool direct, bool single_read) {
  file = fd;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) fail("source-io", "working set: %s", strerror(errno));
  if (direct != ((flags & O_DIRECT) != 0))
    fail("source-io", "working set: --direct and the descriptor's O_DIRECT differ");
  uint64_t length = file_bytes(fd, "working set");
  data = aligned(READ_BYTES);
  read_fully(fd, data, PAGE, 0, "working set");
  memcpy(&header, data, sizeof header);
  check_header(length);
  if (single_read && header.data_bytes > READ_BYTES) {
    read_size = header.data_bytes;
    free(data);
    data = aligned(read_size);
  }
  if (header.data_bytes > 0) {
    read_tables();
    check_runs();
  } else if (header.regions > 0) {
    damaged("regions without data");
  }
}

void prefetch_start(void) {
  if (file < 0) return;
  active = true;
  clock_gettime(CLOCK_MONOTONIC, &started);
}

bool prefetch_active(void) { return active; }

static void read_more(void) {
  uint64_t left = header.data_bytes - read_to, bytes = left < read_size ? left : read_size;
  read_fully(file, data, (size_t)bytes, header.data_offset + read_to, "working set");
  for (uint64_t at = 0; at < bytes; at += BLOCK) {
    size_t length = bytes - at < BLOCK ? (size_t)(bytes - at) : BLOCK;
    uint64_t number = (read_to + at) / BLOCK;
    if (crc32c(0, data + at, length) != sums[number])
      fail("source-damaged", "working set: block %llu is damaged", (unsigned long long)number);
  }
  read_to += bytes;
  waiting = bytes;
}

static bool install(void) {
  uint64_t read_bytes = read_to % read_size == 0 ? read_size : read_to % read_size;
  while (waiting > 0) {
    const struct run *run = &runs[run_index];
    uint64_t left = run->pages - run_page, here = waiting / PAGE, done = 0;
    bool whole = guest_prefetch(run->first + run_page, data + (read_bytes - waiting),
                                left < here ? left : here, &done);
    waiting -= done * PAGE;
    run_page += done;
    if (run_page == run->pages) {
      run_index++;
      run_page = 0;
    }
    if (!whole) return false;
  }
  return true;
}

static void finish(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  long long ns = (now.tv_sec - started.tv_sec) * 1000000000ll + (now.tv_nsec - started.tv_nsec);
  active = false;
  guest_wake_all();
  control_say("{\"event\":\"prefetched\",\"pages\":%llu,\"bytes\":%llu,\"ns\":%lld}",
              (unsigned long long)counters.prefetched, (unsigned long long)header.data_bytes, ns);
}

bool prefetch_step(void) {
  if (waiting == 0 && read_to < header.data_bytes) {
    read_more();
    return true;
  }
  if (!install()) return false;
  if (read_to == header.data_bytes) finish();
  return true;
}
