/*
 * page-recorder: FaaSnap's host page recording: which pages of a memory file come into the page
 * cache while a VM runs, in groups by time.
 *
 *   page-recorder MEMORY_FD PID OUT_FD (--growth PAGES | --interval MS)
 *
 * Maps the memory file without access rights and asks mincore() about all of it: each time the
 * resident set of process PID is larger by PAGES or more than at the last scan (looked at every
 * POLL_MS), or every MS. A page's number is the scan that saw it first, counted from 1; 0 is never.
 * OUT_FD, which must exist and be empty, becomes the array of these numbers, u16, little-endian.
 *
 * There is no numbered scan at the start, as in the original: it drops the file's page cache before
 * it restores, so whatever is there at the first scan has come since and is group 1. Pages that the
 * cache kept nevertheless (another VM maps the file) are therefore in group 1 too. How many there
 * were is said before the recording begins, so that the caller can refuse it.
 *
 * It sees the page cache, not the process: pages that read-ahead brought count, which is wanted, and
 * so do those of other processes that use the file meanwhile, which is not.
 *
 * Prints {"scan":0,"pages":N} (N in the cache at the start) when it has begun, {"scan":S,"pages":N}
 * after each scan (N new pages), and at the end {"scans":S,"pages":N} (N pages in all). The end is
 * the line `stop` on standard input, its end, or that of the process: a last scan is made then.
 *
 * The resident set is the second field of /proc/PID/statm: free of cost for the process, and exact
 * to some tens of pages per CPU, as the kernel gathers the count in batches.
 *
 * Exits 0, or 1 with a line on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
/* How often the resident set is looked at, milliseconds. */
#define POLL_MS 4
/* Pages asked about in one mincore(). */
#define BATCH_PAGES 16384u
/* The number of a scan that no longer fits: this one and all later ones share a group. */
#define LAST_SCAN UINT16_MAX

static void die(const char *what) {
  fprintf(stderr, "page-recorder: %s: %s\n", what, errno != 0 ? strerror(errno) : "ended early");
  exit(1);
}

static void refuse(const char *what) {
  fprintf(stderr, "page-recorder: %s\n", what);
  exit(1);
}

struct recording {
  unsigned char *memory;
  uint64_t pages;
  uint16_t *seen;
  unsigned scans;
  uint64_t found;
};

/* Marks pages that are in the cache and have no number yet; `mark` 0 only counts them. */
static uint64_t scan(struct recording *to, uint16_t mark) {
  static unsigned char present[BATCH_PAGES];
  uint64_t fresh = 0;
  for (uint64_t page = 0; page < to->pages; page += BATCH_PAGES) {
    uint64_t left = to->pages - page;
    size_t count = left < BATCH_PAGES ? (size_t)left : BATCH_PAGES;
    if (mincore(to->memory + page * PAGE, count * PAGE, present) != 0) die("mincore");
    for (size_t i = 0; i < count; i++) {
      if ((present[i] & 1) == 0 || to->seen[page + i] != 0) continue;
      to->seen[page + i] = mark;
      fresh++;
    }
  }
  return fresh;
}

static void next_scan(struct recording *to) {
  to->scans++;
  uint64_t fresh = scan(to, to->scans < LAST_SCAN ? (uint16_t)to->scans : LAST_SCAN);
  to->found += fresh;
  printf("{\"scan\":%u,\"pages\":%llu}\n", to->scans, (unsigned long long)fresh);
}

/* Pages; what was read last when the process is gone. */
static uint64_t resident(int statm, uint64_t before) {
  char text[128];
  ssize_t got = pread(statm, text, sizeof text - 1, 0);
  if (got <= 0) return before;
  text[got] = '\0';
  unsigned long long all, now;
  if (sscanf(text, "%llu %llu", &all, &now) != 2) refuse("statm is not as expected");
  return now;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* True when standard input has said `stop` or ended. */
static bool told_to_stop(void) {
  static char line[16];
  static size_t length;
  ssize_t got = read(STDIN_FILENO, line + length, sizeof line - 1 - length);
  if (got < 0 && errno != EINTR && errno != EAGAIN) die("standard input");
  if (got == 0) return true;
  if (got > 0) length += (size_t)got;
  line[length] = '\0';
  if (strcmp(line, "stop\n") == 0) return true;
  if (strncmp(line, "stop\n", length) != 0) refuse("a line that is not `stop`");
  return false;
}

/* Waits at most `wait_ms`; true when the recording is to end. */
static bool ended(int process, int wait_ms) {
  struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = process, .events = POLLIN}};
  if (poll(fds, 2, wait_ms) < 0 && errno != EINTR) die("poll");
  if (fds[1].revents != 0) return true;
  return fds[0].revents != 0 && told_to_stop();
}

static void record_by_growth(struct recording *to, int process, int statm, uint64_t growth) {
  uint64_t last = resident(statm, 0), now = last;
  while (!ended(process, POLL_MS)) {
    now = resident(statm, now);
    if (now < last + growth) continue;
    next_scan(to);
    last = now;
  }
}

static void record_by_time(struct recording *to, int process, int64_t interval) {
  int64_t next = now_ms() + interval;
  for (;;) {
    int64_t wait = next - now_ms();
    if (ended(process, wait > 0 ? (int)wait : 0)) return;
    if (now_ms() < next) continue;
    next_scan(to);
    /* A scan that took longer than the interval is not made up for. */
    next += interval;
    if (next < now_ms()) next = now_ms() + interval;
  }
}

static void write_fully(int fd, const void *from, size_t length) {
  const char *at = from;
  uint64_t offset = 0;
  while (length > 0) {
    errno = 0;
    ssize_t put = pwrite(fd, at, length, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) die("output");
    at += put;
    offset += (uint64_t)put;
    length -= (size_t)put;
  }
}

static int number(const char *text, int least) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < least || value > INT_MAX) refuse(text);
  return (int)value;
}

static struct recording begin(int fd) {
  struct stat found;
  if (fstat(fd, &found) != 0) die("memory");
  uint64_t size = (uint64_t)found.st_size;
  if (!S_ISREG(found.st_mode) || size == 0 || size % PAGE != 0)
    refuse("the memory file is not a file of whole pages");
  struct recording made = {.pages = size / PAGE};
  void *at = mmap(NULL, size, PROT_NONE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) die("map");
  made.memory = at;
  made.seen = calloc(made.pages, sizeof *made.seen);
  if (made.seen == NULL) die("memory for the pages");
  return made;
}

int main(int argc, char **argv) {
  bool by_growth = argc == 6 && strcmp(argv[4], "--growth") == 0;
  if (!by_growth && !(argc == 6 && strcmp(argv[4], "--interval") == 0))
    refuse("usage: page-recorder MEMORY_FD PID OUT_FD (--growth PAGES | --interval MS)");
  int memory = number(argv[1], 0), pid = number(argv[2], 1), out = number(argv[3], 0);
  int every = number(argv[5], 1);
  int process = (int)syscall(SYS_pidfd_open, pid, 0);
  if (process < 0) die("process");
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  int statm = open(path, O_RDONLY | O_CLOEXEC);
  if (statm < 0) die(path);
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct recording to = begin(memory);
  printf("{\"scan\":0,\"pages\":%llu}\n", (unsigned long long)scan(&to, 0));
  if (by_growth) record_by_growth(&to, process, statm, (uint64_t)every);
  else record_by_time(&to, process, every);
  next_scan(&to);
  write_fully(out, to.seen, to.pages * sizeof *to.seen);
  printf("{\"scans\":%u,\"pages\":%llu}\n", to.scans, (unsigned long long)to.found);
  munmap(to.memory, to.pages * PAGE);
  free(to.seen);
  return fflush(stdout) == 0 ? 0 : 1;
}
