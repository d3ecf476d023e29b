/*
 * memory-save: writes the guest memory of a paused VM whose memory is a private mapping.
 *
 *   memory-save PID ADDRESS LENGTH BASE OUTPUT
 *
 * Such a VM's pages are those of BASE (the snapshot that it maps) except those that it wrote, which
 * are anonymous pages of process PID. OUTPUT, which must exist and be empty, becomes: a copy of
 * BASE's data (shared blocks where the file system can, holes stay holes), overwritten by the
 * written pages; a written page that is all zeros becomes a hole.
 *
 * Which pages are anonymous: /proc/PID/pagemap, bit 63 (present) without bit 61 (file page or
 * shared anonymous), or bit 62 (swapped). Source: Documentation/admin-guide/mm/pagemap.rst.
 * Their content: /proc/PID/mem. ADDRESS is hexadecimal, LENGTH decimal, both multiples of 4096.
 *
 * Prints `pages N` (written pages found) and exits 0; exits 1 with a line on stderr otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE 4096u
#define BATCH_PAGES 512u
#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)
#define FILE_OR_SHARED (1ull << 61)

static void die(const char *what) {
  fprintf(stderr, "memory-save: %s: %s\n", what, errno != 0 ? strerror(errno) : "ended early");
  exit(1);
}

static int open_or_die(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) die(path);
  return fd;
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

static void write_fully(int fd, const void *from, size_t length, uint64_t offset) {
  const char *at = from;
  while (length > 0) {
    ssize_t put = pwrite(fd, at, length, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) die("write");
    at += put;
    offset += (uint64_t)put;
    length -= (size_t)put;
  }
}

/* Between file systems the kernel does not copy; then it is done by hand. */
static void copy_by_hand(int from, int to, off_t start, off_t end) {
  static char buffer[BATCH_PAGES * PAGE];
  while (start < end) {
    size_t left = (size_t)(end - start), some = left < sizeof buffer ? left : sizeof buffer;
    read_fully(from, buffer, some, (uint64_t)start, "base");
    write_fully(to, buffer, some, (uint64_t)start);
    start += (off_t)some;
  }
}

static void copy_range(int from, int to, off_t start, off_t end) {
  off_t source = start, target = start;
  while (source < end) {
    errno = 0;
    ssize_t copied = copy_file_range(from, &source, to, &target, (size_t)(end - source), 0);
    if (copied > 0) continue;
    if (errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL) die("copy");
    copy_by_hand(from, to, source, end);
    return;
  }
}

/* A copy of the base with its holes; sharing all its blocks where the file system offers that. */
static void copy_base(int from, int to, uint64_t length) {
  if (ioctl(to, FICLONE, from) == 0) return;
  if (ftruncate(to, (off_t)length) != 0) die("size");
  off_t end = 0;
  for (;;) {
    off_t start = lseek(from, end, SEEK_DATA);
    if (start < 0) {
      if (errno == ENXIO) return;
      die("seek");
    }
    end = lseek(from, start, SEEK_HOLE);
    if (end < 0) die("seek");
    copy_range(from, to, start, end);
  }
}

static bool is_written(uint64_t entry) {
  return (entry & SWAPPED) != 0 || ((entry & PRESENT) != 0 && (entry & FILE_OR_SHARED) == 0);
}

static void save_page(int to, const unsigned char *page, uint64_t offset) {
  static const unsigned char zeros[PAGE];
  if (memcmp(page, zeros, PAGE) != 0) {
    write_fully(to, page, PAGE, offset);
  } else if (fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, PAGE) != 0) {
    /* A file system without holes: zeros as bytes. */
    write_fully(to, zeros, PAGE, offset);
  }
}

static uint64_t save_written(int map, int memory, int to, uint64_t address, uint64_t length) {
  static uint64_t entries[BATCH_PAGES];
  static unsigned char page[PAGE];
  uint64_t found = 0;
  for (uint64_t done = 0; done < length;) {
    uint64_t left = (length - done) / PAGE;
    size_t count = left < BATCH_PAGES ? (size_t)left : BATCH_PAGES;
    uint64_t index = (address + done) / PAGE;
    read_fully(map, entries, count * sizeof entries[0], index * sizeof entries[0], "pagemap");
    for (size_t i = 0; i < count; i++, done += PAGE) {
      if (!is_written(entries[i])) continue;
      read_fully(memory, page, PAGE, address + done, "memory");
      save_page(to, page, done);
      found++;
    }
  }
  return found;
}

static uint64_t parse(const char *text, int base) {
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, base);
  if (errno != 0 || *end != '\0' || value == 0 || value % PAGE != 0) {
    errno = EINVAL;
    die(text);
  }
  return value;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fputs("usage: memory-save PID ADDRESS LENGTH BASE OUTPUT\n", stderr);
    return 1;
  }
  uint64_t address = parse(argv[2], 16), length = parse(argv[3], 10);
  char path[64];
  snprintf(path, sizeof path, "/proc/%.20s/pagemap", argv[1]);
  int map = open_or_die(path, O_RDONLY);
  snprintf(path, sizeof path, "/proc/%.20s/mem", argv[1]);
  int memory = open_or_die(path, O_RDONLY);
  int base = open_or_die(argv[4], O_RDONLY);
  int to = open_or_die(argv[5], O_RDWR);
  copy_base(base, to, length);
  printf("pages %llu\n", (unsigned long long)save_written(map, memory, to, address, length));
  return 0;
}
