/*
 * memory-sums: the checksum table of a memory file, and whether the file still agrees with it.
 *
 *   memory-sums [--drop] make MEMORY_FD SUMS_FD [MAP_FD]
 *   memory-sums [--drop] check MEMORY_FD SUMS_FD
 *
 * All descriptors are inherited. The table is a raw array of little-endian u32: the CRC32C of each
 * 64 KiB block of the memory file, in order; a hole counts as zeros and is not read. MAP_FD becomes
 * a bitmap of the pages that are not all zero: bit n % 8 of byte n / 8 is page n.
 *
 * `make` writes table and bitmap from offset 0 of files that exist and are empty; putting them on
 * the disk (fsync) is the caller's. `check` prints `bad OFFSET` for each block that differs, at most
 * MAX_BAD of them and then `more`.
 *
 * What is read stays in the page cache, as with any reader. With --drop the whole memory file is
 * dropped from it afterwards, also what was there before; pages that somebody maps or that are not
 * on the disk yet stay.
 *
 * Exits 0 (`check`: all blocks agree), 1 (`check`: some do not), 2 with a line on stderr (a wrong
 * argument or size, a failed read or write).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/crc32c.h"

#define PAGE 4096u
#define BLOCK 65536u
#define BLOCK_PAGES (BLOCK / PAGE)
/* Blocks in one read (small enough for the processor's second-level cache), summed up side by side. */
#define BATCH_BLOCKS 4u
#define BATCH (BATCH_BLOCKS * BLOCK)
/* Bad blocks that `check` names. */
#define MAX_BAD 16u

static void die(const char *what) {
  fprintf(stderr, "memory-sums: %s: %s\n", what, errno != 0 ? strerror(errno) : "ended early");
  exit(2);
}

static void refuse(const char *what) {
  fprintf(stderr, "memory-sums: %s\n", what);
  exit(2);
}

static void read_fully(int fd, void *to, size_t length, uint64_t offset, const char *what) {
  char *at = to;
  while (length > 0) {
    errno = 0;
    ssize_t got = pread(fd, at, length, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) die(what);
    at += got;
    offset += (uint64_t)got;
    length -= (size_t)got;
  }
}

static void write_fully(int fd, const void *from, size_t length, const char *what) {
  const char *at = from;
  uint64_t offset = 0;
  while (length > 0) {
    errno = 0;
    ssize_t put = pwrite(fd, at, length, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) die(what);
    at += put;
    offset += (uint64_t)put;
    length -= (size_t)put;
  }
}

static uint64_t size_of(int fd, const char *what) {
  struct stat found;
  if (fstat(fd, &found) != 0) die(what);
  if (!S_ISREG(found.st_mode)) refuse(what);
  return (uint64_t)found.st_size;
}

static bool is_zero(const unsigned char *page) {
  /* The first 16 bytes are zero, and each other byte equals the one 16 before it. */
  static const unsigned char zeros[16];
  return memcmp(page, zeros, sizeof zeros) == 0 &&
         memcmp(page, page + sizeof zeros, PAGE - sizeof zeros) == 0;
}

/* What is made of one memory file; `map` is NULL when no bitmap is wanted. */
struct sums {
  uint32_t *sums;
  unsigned char *map;
  uint32_t of_zeros;
};

#ifdef __x86_64__
/* The instruction's result is there three cycles later, but one can begin in each cycle: four blocks
 * side by side keep it busy. */
__attribute__((target("sse4.2"))) static void sum_four(const unsigned char *data, uint32_t *sums) {
  const uint64_t *word = (const void *)data;
  const size_t lane = BLOCK / sizeof *word;
  uint64_t a = UINT32_MAX, b = UINT32_MAX, c = UINT32_MAX, d = UINT32_MAX;
  for (size_t i = 0; i < lane; i++, word++) {
    a = __builtin_ia32_crc32di(a, word[0]);
    b = __builtin_ia32_crc32di(b, word[lane]);
    c = __builtin_ia32_crc32di(c, word[2 * lane]);
    d = __builtin_ia32_crc32di(d, word[3 * lane]);
  }
  const uint64_t all[4] = {a, b, c, d};
  for (size_t i = 0; i < 4; i++) sums[i] = ~(uint32_t)all[i];
}
#else
static void sum_four(const unsigned char *data, uint32_t *sums) { (void)data, (void)sums; }
#endif

static void sum_batch(struct sums *to, const unsigned char *data, size_t block, size_t count) {
  bool four = count == 4 && crc32c_has_instruction();
  if (four) sum_four(data, to->sums + block);
  for (size_t i = 0; i < count; i++) {
    const unsigned char *at = data + i * BLOCK;
    if (!four) to->sums[block + i] = crc32c(0, at, BLOCK);
    if (to->map == NULL) continue;
    for (size_t page = 0; page < BLOCK_PAGES; page++) {
      if (is_zero(at + page * PAGE)) continue;
      size_t number = (block + i) * BLOCK_PAGES + page;
      to->map[number / 8] = (unsigned char)(to->map[number / 8] | 1u << number % 8);
    }
  }
}

/* The next stretch of blocks with data in them, from `from` on; false when there is none. */
static bool next_data(int fd, uint64_t size, uint64_t from, uint64_t *start, uint64_t *end) {
  off_t data = lseek(fd, (off_t)from, SEEK_DATA);
  if (data < 0 && errno == ENXIO) return false;
  if (data < 0) die("seek");
  off_t hole = lseek(fd, data, SEEK_HOLE);
  if (hole < 0) die("seek");
  *start = (uint64_t)data / BLOCK * BLOCK;
  *end = ((uint64_t)hole + BLOCK - 1) / BLOCK * BLOCK;
  if (*start < from) *start = from;
  if (*end > size) *end = size;
  return true;
}

static void sum_memory(int fd, uint64_t size, struct sums *to) {
  static _Alignas(PAGE) uint64_t words[BATCH / sizeof(uint64_t)];
  unsigned char *buffer = (unsigned char *)words;
  to->of_zeros = crc32c(0, buffer, BLOCK);
  for (uint64_t i = 0; i < size / BLOCK; i++) to->sums[i] = to->of_zeros;
  uint64_t at = 0, end;
  while (at < size && next_data(fd, size, at, &at, &end)) {
    while (at < end) {
      size_t some = end - at < BATCH ? (size_t)(end - at) : BATCH;
      read_fully(fd, buffer, some, at, "memory");
      sum_batch(to, buffer, (size_t)(at / BLOCK), some / BLOCK);
      at += some;
    }
  }
}

static void *zeroed(size_t count, size_t size) {
  void *made = calloc(count > 0 ? count : 1, size);
  if (made == NULL) die("memory for the table");
  return made;
}

static int check(int fd, const uint32_t *found, uint64_t blocks) {
  uint32_t *wanted = zeroed(blocks, sizeof *wanted);
  unsigned bad = 0;
  read_fully(fd, wanted, blocks * sizeof *wanted, 0, "sums");
  for (uint64_t i = 0; i < blocks; i++) {
    if (found[i] == wanted[i]) continue;
    if (bad++ == MAX_BAD) {
      puts("more");
      break;
    }
    printf("bad %llu\n", (unsigned long long)(i * BLOCK));
  }
  free(wanted);
  return bad > 0 ? 1 : 0;
}

static int descriptor(const char *text) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < 0 || value > INT_MAX) refuse(text);
  return (int)value;
}

int main(int argc, char **argv) {
  bool drop = argc > 1 && strcmp(argv[1], "--drop") == 0;
  char **args = argv + (drop ? 2 : 1);
  int count = argc - (drop ? 2 : 1);
  bool making = count > 0 && strcmp(args[0], "make") == 0;
  bool checking = count > 0 && strcmp(args[0], "check") == 0;
  if (!(making && (count == 3 || count == 4)) && !(checking && count == 3))
    refuse("usage: memory-sums [--drop] make MEMORY_FD SUMS_FD [MAP_FD] | check MEMORY_FD SUMS_FD");
  int memory = descriptor(args[1]), sums = descriptor(args[2]);
  uint64_t size = size_of(memory, "memory"), blocks = size / BLOCK;
  if (size == 0 || size % BLOCK != 0) refuse("the memory file is not a whole number of blocks");
  if (checking && size_of(sums, "sums") != blocks * sizeof(uint32_t))
    refuse("the table is of a memory file of another size");
  struct sums to = {.sums = zeroed(blocks, sizeof(uint32_t))};
  if (count == 4) to.map = zeroed(blocks, BLOCK_PAGES / 8);
  sum_memory(memory, size, &to);
  if (drop && (errno = posix_fadvise(memory, 0, 0, POSIX_FADV_DONTNEED)) != 0) die("drop");
  int status = 0;
  if (checking) {
    status = check(sums, to.sums, blocks);
  } else {
    write_fully(sums, to.sums, blocks * sizeof(uint32_t), "sums");
    if (to.map != NULL) write_fully(descriptor(args[3]), to.map, blocks * (BLOCK_PAGES / 8), "map");
  }
  free(to.sums);
  free(to.map);
  if (fflush(stdout) != 0) die("output");
  return status;
}
