/*
 * page-replay: touches pages of a snapshot's memory in the order of a trace, after mapping it in one
 * of the ways in which a VM's memory is mapped, by the same code (qemu-preload/memory.c) and with
 * the same helpers (page-server, page-loader). What a VM would get from a way is measured without it.
 *
 *   page-replay --memory FD --trace FD --mode private                      [OPTION…]
 *   page-replay … --mode layers --plan FD [--working-set FD [--loader PATH] [--will-need]]
 *   page-replay … --mode userfault --server PATH --sums FD [--working-set FD [--direct]]
 *   page-replay … --mode read
 * OPTIONs: --cold | --warm, --expect SUM, --work NS, --huge, --random
 *
 * All descriptors are inherited. The trace is an array of u32: a page number, and bit 31 where the
 * page is written. A written page gets other bytes 8 to 15; then, as of every page, its first 8 bytes
 * are read. Their CRC32C, in the order of the trace, is the sum; another one than --expect (decimal)
 * ends the run with 1: what is fast and wrong is not measured.
 *
 * --mode read reads the whole memory file from front to back instead; the trace is not used.
 * --cold drops the memory and the working-set file from the page cache and makes sure that no page
 * of them is left; --warm reads them and makes sure that all are there. Both before the clock starts.
 * --loader starts page-loader, --will-need asks the kernel to read the working-set file ahead, both
 * when the clock starts. --work keeps the processor busy for so long after each touch, as a guest
 * would be. --huge lets the mapping have huge pages; --random tells the kernel not to read ahead
 * where the memory file is mapped.
 *
 * The clock starts before the mapping. A userfaultfd's page server is there by then, as it is when a
 * VMM maps its memory; the replay begins when it has installed its working set.
 *
 * Prints one line of JSON: mapNs, readyNs (the replay begins) and totalNs (it has ended), all from
 * the start of the clock; minorFaults, majorFaults of the replaying thread and allMinorFaults,
 * allMajorFaults of the process; served, copied, prefetched (pages, by the page server); populated
 * (pages, when the replay ended), populateNs, populateFailures; readBytes (from the disk, of this
 * process and its helpers); privateBytes (memory that belongs to this process alone); sum.
 *
 * Exits 0; 1 with a line on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/crc32c.h"
#include "../qemu-preload/memory.h"

#define PAGE 4096u
#define WRITTEN 0x80000000u
/* Bytes of one read, of --mode read and of --warm. */
#define READ_BYTES (1024u * 1024u)
/* Pages asked about in one mincore(). */
#define BATCH_PAGES 16384u
/* How often a file is dropped before it counts as held by somebody, and the wait between. */
#define DROP_TRIES 50
#define DROP_WAIT_NS 2000000
/* How long to look for the populating thread's end after the replay. */
#define POPULATE_WAIT_NS 1000000
#define LINE_BYTES 1024u

static struct {
  int memory, trace, plan, working_set, sums;
  const char *server, *loader;
  enum memory_mode mode;
  bool reads, has_mode, direct, cold, warm, will_need, huge, random,
      has_expected;
  uint64_t expected, work_ns;
} options = {.memory = -1, .trace = -1, .plan = -1, .working_set = -1, .sums = -1};

static pid_t server = -1, loader = -1;
static int control = -1, vmm = -1;
extern char **environ;

static _Noreturn void die(const char *what) {
  fprintf(stderr, "page-replay: %s: %s\n", what, errno != 0 ? strerror(errno) : "ended early");
  exit(1);
}

static _Noreturn void refuse(const char *what) {
  fprintf(stderr, "page-replay: %s\n", what);
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wait_ns(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

/* ---- the command line ---- */

static uint64_t number(const char *text, uint64_t largest) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > largest) refuse(text);
  return value;
}

static void parse_mode(const char *name) {
  options.has_mode = true;
  options.reads = strcmp(name, "read") == 0;
  if (!options.reads && (!memory_parse_mode(name, &options.mode) || options.mode == MEMORY_SHARED))
    refuse("--mode is private, layers, userfault or read");
}

static bool parse_flag(const char *name) {
  if (strcmp(name, "--cold") == 0) options.cold = true;
  else if (strcmp(name, "--warm") == 0) options.warm = true;
  else if (strcmp(name, "--direct") == 0) options.direct = true;
  else if (strcmp(name, "--will-need") == 0) options.will_need = true;
  else if (strcmp(name, "--huge") == 0) options.huge = true;
  else if (strcmp(name, "--random") == 0) options.random = true;
  else return false;
  return true;
}

static void parse_option(const char *name, const char *value) {
  if (strcmp(name, "--mode") == 0) parse_mode(value);
  else if (strcmp(name, "--server") == 0) options.server = value;
  else if (strcmp(name, "--loader") == 0) options.loader = value;
  else if (strcmp(name, "--work") == 0) options.work_ns = number(value, UINT32_MAX);
  else if (strcmp(name, "--memory") == 0) options.memory = (int)number(value, INT_MAX);
  else if (strcmp(name, "--trace") == 0) options.trace = (int)number(value, INT_MAX);
  else if (strcmp(name, "--plan") == 0) options.plan = (int)number(value, INT_MAX);
  else if (strcmp(name, "--sums") == 0) options.sums = (int)number(value, INT_MAX);
  else if (strcmp(name, "--working-set") == 0) options.working_set = (int)number(value, INT_MAX);
  else if (strcmp(name, "--expect") == 0) {
    options.has_expected = true;
    options.expected = number(value, UINT32_MAX);
  } else refuse(name);
}

static void parse_options(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (parse_flag(argv[i])) continue;
    if (i + 1 == argc) refuse(argv[i]);
    parse_option(argv[i], argv[i + 1]);
    i++;
  }
  bool layers = options.mode == MEMORY_LAYERS, userfault = options.mode == MEMORY_USERFAULT;
  if (options.memory < 0 || options.trace < 0 || !options.has_mode)
    refuse("--memory, --trace and --mode are needed");
  if (layers != (options.plan >= 0)) refuse("--plan belongs to --mode layers");
  if (userfault != (options.server != NULL) || userfault != (options.sums >= 0))
    refuse("--server and --sums belong to --mode userfault");
  if (options.working_set >= 0 && !layers && !userfault) refuse("--working-set has no use");
  if (options.direct && (!userfault || options.working_set < 0)) refuse("--direct has no use");
  if ((options.loader != NULL || options.will_need) && (!layers || options.working_set < 0))
    refuse("--loader and --will-need belong to a mapped --working-set");
  if (options.cold && options.warm) refuse("either --cold or --warm");
}

/* ---- files and the page cache ---- */

static uint64_t file_bytes(int fd) {
  struct stat found;
  if (fstat(fd, &found) != 0) die("a file");
  return (uint64_t)found.st_size;
}

static void read_through(int fd) {
  void *buffer = aligned_alloc(PAGE, READ_BYTES);
  if (buffer == NULL) die("a buffer");
  ssize_t got;
  for (uint64_t at = 0; (got = pread(fd, buffer, READ_BYTES, (off_t)at)) > 0;) at += (uint64_t)got;
  if (got < 0) die("reading a file");
  free(buffer);
}

/* How many pages of a file are in the page cache. */
static uint64_t cached_pages(int fd) {
  static unsigned char present[BATCH_PAGES];
  uint64_t pages = (file_bytes(fd) + PAGE - 1) / PAGE, found = 0;
  if (pages == 0) return 0;
  char *at = mmap(NULL, pages * PAGE, PROT_NONE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) die("looking at the page cache");
  for (uint64_t page = 0; page < pages; page += BATCH_PAGES) {
    uint64_t count = pages - page < BATCH_PAGES ? pages - page : BATCH_PAGES;
    if (mincore(at + page * PAGE, count * PAGE, present) != 0) die("mincore");
    for (uint64_t i = 0; i < count; i++) found += present[i] & 1;
  }
  munmap(at, pages * PAGE);
  return found;
}

static void make_cold(int fd) {
  /* Pages that are not yet written cannot be dropped. */
  if (fdatasync(fd) != 0) die("writing a file to the disk");
  for (int i = 0; i < DROP_TRIES; i++) {
    if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) die("dropping a file");
    if (cached_pages(fd) == 0) return;
    wait_ns(DROP_WAIT_NS);
  }
  refuse("a file stays in the page cache: somebody uses it");
}

static void make_warm(int fd) {
  uint64_t pages = (file_bytes(fd) + PAGE - 1) / PAGE;
  /* O_DIRECT reads nothing into the page cache: such a file is left as it is. */
  if ((fcntl(fd, F_GETFL) & O_DIRECT) != 0 || cached_pages(fd) == pages) return;
  read_through(fd);
  if (cached_pages(fd) < pages) refuse("a file does not stay in the page cache");
}

static void prepare_cache(int fd) {
  if (fd < 0) return;
  if (options.cold) make_cold(fd);
  if (options.warm) make_warm(fd);
}

static uint32_t *read_trace(uint64_t memory_pages, uint64_t *count) {
  uint64_t bytes = file_bytes(options.trace);
  uint32_t *trace = malloc(bytes > 0 ? bytes : 1);
  errno = 0;
  if (trace == NULL || pread(options.trace, trace, bytes, 0) != (ssize_t)bytes) die("the trace");
  *count = bytes / sizeof *trace;
  if (bytes % sizeof *trace != 0) refuse("the trace has a part of a number");
  for (uint64_t i = 0; i < *count; i++)
    if ((trace[i] & ~WRITTEN) >= memory_pages) refuse("the trace leaves the memory");
  return trace;
}

/* The number in front of which `name` stands in a file of /proc/self. */
static uint64_t proc_number(const char *path, const char *name) {
  char line[256];
  unsigned long long value = 0;
  FILE *file = fopen(path, "re");
  if (file == NULL) die(path);
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), " %llu", &value);
  fclose(file);
  return value;
}

static uint64_t private_bytes(void) {
  return proc_number("/proc/self/smaps_rollup", "Anonymous:") * 1024;
}

/* Of this process and of helpers that have ended. */
static uint64_t disk_bytes(void) { return proc_number("/proc/self/io", "read_bytes:"); }

/* ---- helpers ---- */

static pid_t start(const char *path, char *const arguments[], int output) {
  posix_spawn_file_actions_t actions;
  pid_t pid;
  posix_spawn_file_actions_init(&actions);
  if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  errno = posix_spawn(&pid, path, &actions, NULL, arguments, environ);
  if (errno != 0) die(path);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

static void wait_for(pid_t pid, const char *name) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) die(name);
  if (status == 0) return;
  fprintf(stderr, "page-replay: %s failed\n", name);
  exit(1);
}

/* The next line of the page server, which must be about `event`. */
static const char *server_line(const char *event) {
  static char line[LINE_BYTES];
  for (;;) {
    size_t length = 0;
    for (char byte = 0; byte != '\n';) {
      ssize_t got = read(control, &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) die("page-server");
      if (length + 1 < sizeof line) line[length++] = byte;
    }
    line[length] = '\0';
    if (strstr(line, "\"event\":\"error\"") != NULL) refuse(line);
    if (strstr(line, event) != NULL) return line;
  }
}

static const char *server_stats(void) {
  if (write(control, "stats\n", 6) != 6) die("page-server");
  return server_line("\"stats\"");
}

static uint64_t field(const char *line, const char *name) {
  const char *at = strstr(line, name);
  return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* The replay waits for a page that will never come: say what the page server said, and end. */
static void server_ended(int signal) {
  (void)signal;
  char said[LINE_BYTES];
  ssize_t got = recv(control, said, sizeof said, MSG_DONTWAIT);
  if (got > 0) got = write(STDERR_FILENO, said, (size_t)got);
  _exit(1);
}

static void pair(int *ours, int *theirs) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) die("sockets");
  if (fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0) die("sockets");
  *ours = ends[0];
  *theirs = ends[1];
}

static void start_server(void) {
  static char memory[16], sums[16], their_vmm[16], their_control[16], set[16];
  int vmm_end, control_end;
  pair(&vmm, &vmm_end);
  pair(&control, &control_end);
  snprintf(memory, sizeof memory, "%d", options.memory);
  snprintf(sums, sizeof sums, "%d", options.sums);
  snprintf(their_vmm, sizeof their_vmm, "%d", vmm_end);
  snprintf(their_control, sizeof their_control, "%d", control_end);
  snprintf(set, sizeof set, "%d", options.working_set);
  char *arguments[16] = {(char *)options.server, "--memory", memory, "--sums", sums, "--vmm",
                         their_vmm, "--control", their_control};
  size_t used = 9;
  if (options.working_set >= 0) {
    arguments[used++] = "--working-set";
    arguments[used++] = set;
    if (options.direct) arguments[used++] = "--direct";
  }
  server = start(options.server, arguments, -1);
  close(vmm_end);
  close(control_end);
  /* An answer means that its files are open and its tables read. */
  server_stats();
  signal(SIGCHLD, server_ended);
}

static void start_loader(int output) {
  static char set[16];
  snprintf(set, sizeof set, "%d", options.working_set);
  char *arguments[] = {(char *)options.loader, set, NULL};
  loader = start(options.loader, arguments, output);
}

/* ---- the replay ---- */

struct result {
  uint64_t map_ns, ready_ns, total_ns;
  struct rusage before, after, all_before, all_after;
  struct populated populated;
  uint32_t sum;
};

static void work(uint64_t ns) {
  for (uint64_t until = now_ns() + ns; now_ns() < until;) continue;
}

static uint32_t touch(char *memory, const uint32_t *trace, uint64_t count) {
  uint32_t sum = 0;
  for (uint64_t i = 0; i < count; i++) {
    volatile uint64_t *words = (void *)(memory + (uint64_t)(trace[i] & ~WRITTEN) * PAGE);
    if ((trace[i] & WRITTEN) != 0) words[1] = i;
    uint64_t first = words[0];
    sum = crc32c(sum, &first, sizeof first);
    if (options.work_ns > 0) work(options.work_ns);
  }
  return sum;
}

/* What memory_map() maps with. */
static void *map_with_hint(void *at, size_t length, int protection, int flags, int fd,
                           off_t offset) {
  void *made = mmap(at, length, protection, flags, fd, offset);
  if (made != MAP_FAILED && options.random && fd == options.memory &&
      madvise(made, length, MADV_RANDOM) != 0)
    die("a hint");
  return made;
}

static char *map_memory(uint64_t length) {
  int device = options.mode == MEMORY_USERFAULT ? open("/dev/userfaultfd", O_RDWR | O_CLOEXEC) : -1;
  if (options.mode == MEMORY_USERFAULT && device < 0) die("/dev/userfaultfd");
  struct wanted wanted = {.length = length, .protection = PROT_READ | PROT_WRITE};
  struct memory_descriptors from = {.memory = options.memory,
                                    .pages = vmm,
                                    .userfault = device,
                                    .plan = options.plan,
                                    .working_set = options.working_set};
  char *memory = memory_map(options.mode, &wanted, &from, map_with_hint);
  if (device >= 0) close(device);
  if (options.huge && madvise(memory, length, MADV_HUGEPAGE) != 0) die("huge pages");
  return memory;
}

static struct result run(const uint32_t *trace, uint64_t count, int nowhere) {
  struct result result = {0};
  getrusage(RUSAGE_THREAD, &result.before);
  getrusage(RUSAGE_SELF, &result.all_before);
  uint64_t began = now_ns();
  if (options.loader != NULL) start_loader(nowhere);
  if (options.will_need) posix_fadvise(options.working_set, 0, 0, POSIX_FADV_WILLNEED);
  char *memory = options.reads ? NULL : map_memory(file_bytes(options.memory));
  result.map_ns = now_ns() - began;
  if (server >= 0 && options.working_set >= 0) server_line("\"prefetched\"");
  result.ready_ns = now_ns() - began;
  if (options.reads) read_through(options.memory);
  else result.sum = touch(memory, trace, count);
  result.total_ns = now_ns() - began;
  result.populated = memory_populated();
  getrusage(RUSAGE_THREAD, &result.after);
  getrusage(RUSAGE_SELF, &result.all_after);
  return result;
}

#define N(value) ((unsigned long long)(value))

static void print(const struct result *result, const char *stats, uint64_t disk, uint64_t owned) {
  printf("{\"mapNs\":%llu,\"readyNs\":%llu,\"totalNs\":%llu,\"minorFaults\":%ld,\"majorFaults\":%ld,"
         "\"allMinorFaults\":%ld,\"allMajorFaults\":%ld,",
         N(result->map_ns), N(result->ready_ns), N(result->total_ns),
         result->after.ru_minflt - result->before.ru_minflt,
         result->after.ru_majflt - result->before.ru_majflt,
         result->all_after.ru_minflt - result->all_before.ru_minflt,
         result->all_after.ru_majflt - result->all_before.ru_majflt);
  struct populated end = memory_populated();
  printf("\"served\":%llu,\"copied\":%llu,\"prefetched\":%llu,\"populated\":%llu,"
         "\"populateNs\":%llu,\"populateFailures\":%u,\"readBytes\":%llu,\"privateBytes\":%llu,"
         "\"sum\":%u}\n",
         N(field(stats, "\"faults\":")), N(field(stats, "\"copied\":")),
         N(field(stats, "\"prefetched\":")), N(result->populated.pages), N(end.ns), end.failures,
         N(disk), N(owned), result->sum);
}

static void end_helpers(char *stats) {
  if (server >= 0) {
    snprintf(stats, LINE_BYTES, "%s", server_stats());
    signal(SIGCHLD, SIG_DFL);
    close(control);
    wait_for(server, "page-server");
  }
  if (loader >= 0) wait_for(loader, "page-loader");
  while (!options.reads && memory_populated().done == 0) wait_ns(POPULATE_WAIT_NS);
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  uint64_t length = file_bytes(options.memory), count;
  if (length == 0 || length % PAGE != 0) refuse("the memory file is not whole pages");
  uint32_t *trace = read_trace(length / PAGE, &count);
  (void)crc32c(0, "", 0);
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (options.server != NULL) start_server();
  prepare_cache(options.memory);
  prepare_cache(options.working_set);
  uint64_t owned = private_bytes(), disk = disk_bytes();
  struct result result = run(trace, count, nowhere);
  char stats[LINE_BYTES] = "";
  end_helpers(stats);
  if (options.has_expected && result.sum != options.expected)
    refuse("what was read is not what the memory holds");
  uint64_t owned_now = private_bytes();
  print(&result, stats, disk_bytes() - disk, owned_now > owned ? owned_now - owned : 0);
  free(trace);
  return fflush(stdout) == 0 ? 0 : 1;
}
