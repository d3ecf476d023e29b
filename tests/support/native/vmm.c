/*
 * A stand-in for a VMM whose memory a page server serves.
 *
 *   vmm FD|PATH PAGES FEATURES MODE   FD: a connected socket; PATH: one to connect to.
 *                                     FEATURES of the userfaultfd and MODE of its registration
 *                                     as in linux/userfaultfd.h, hexadecimal.
 *   vmm listen PATH FD PROGRAM ...    makes a listening socket at PATH as FD, becomes PROGRAM
 *
 * Prints the address of its memory, then answers each line on stdin with one line:
 *   say none|it|two|file TEXT   sends TEXT with: nothing, the userfaultfd, it twice, another file
 *   hash PAGE COUNT             CRC32C of pages
 *   write PAGE BYTE             fills a page
 *   read PAGE                   a thread touches the page; does not wait for it
 *   drop PAGE COUNT             a thread gives pages back; does not wait for it
 *   blocked                     threads begun by `read` and `drop` that sleep / that have not ended
 *   join                        waits for them
 *   fork                        makes a child that ends at once
 *   move PAGE COUNT             moves pages elsewhere; if PAGE is 0, the memory is there from now on
 *   unmap PAGE COUNT
 *   protect PAGE                lets a write to the page be reported
 *   stress SEED STEPS           threads that read, write and give back pages of their own, knowing
 *                               what must be in them: page n holds n + 1 in each word, or zeros if
 *                               n is a multiple of 4
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../native/common/crc32c.h"

#define PAGE 4096ul
#define MAX_THREADS 64
#define STRESSERS 4

static unsigned char *memory;
static size_t pages;
static int uffd, server;

static struct job {
  pthread_t thread;
  size_t page, count;
  int drop;
  atomic_int tid, ended;
} jobs[MAX_THREADS];
static int job_count;

static void must(int holds, const char *what) {
  if (holds) return;
  perror(what);
  exit(1);
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  must(strlen(path) < sizeof address.sun_path, "path");
  strcpy(address.sun_path, path);
  return address;
}

static int connect_to(const char *where) {
  if (where[0] != '/') return atoi(where);
  struct sockaddr_un address = address_of(where);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  must(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  return fd;
}

static void listen_and_become(char **argv) {
  struct sockaddr_un address = address_of(argv[2]);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0, "listen");
  must(dup2(fd, atoi(argv[3])) >= 0, "dup2");
  if (fd != atoi(argv[3])) close(fd);
  execv(argv[4], argv + 4);
  must(0, "exec");
}

static void make_memory(uint64_t features, uint64_t mode) {
  int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  uffd = device >= 0 ? ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC)
                     : (int)syscall(SYS_userfaultfd, O_CLOEXEC);
  must(uffd >= 0, "userfaultfd");
  struct uffdio_api api = {.api = UFFD_API, .features = features};
  must(ioctl(uffd, UFFDIO_API, &api) == 0, "api");
  /* Twice as much address space: neighbours of ours cannot be in the way of what is tested. */
  memory = mmap(NULL, pages * PAGE * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memory = mmap(memory, pages * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  must(memory != MAP_FAILED, "mmap");
  struct uffdio_register r = {.range = {(uintptr_t)memory, pages * PAGE}, .mode = mode};
  must(ioctl(uffd, UFFDIO_REGISTER, &r) == 0, "register");
}

static void say(const char *with, const char *text) {
  int fds[2] = {uffd, uffd};
  size_t count = strcmp(with, "none") == 0 ? 0 : strcmp(with, "two") == 0 ? 2 : 1;
  if (strcmp(with, "file") == 0) fds[0] = open("/dev/null", O_RDWR);
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fds)];
  } control = {0};
  control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
  struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  }
  /* A server that has refused us is gone already. */
  (void)sendmsg(server, &message, MSG_NOSIGNAL);
}

static void *work(void *argument) {
  struct job *job = argument;
  job->tid = gettid();
  unsigned char *at = memory + job->page * PAGE;
  if (job->drop) must(madvise(at, job->count * PAGE, MADV_DONTNEED) == 0, "madvise");
  else (void)*(volatile unsigned char *)at;
  job->ended = 1;
  return NULL;
}

static void begin(int drop, size_t page, size_t count) {
  must(job_count < MAX_THREADS, "too many threads");
  struct job *job = &jobs[job_count++];
  *job = (struct job){.page = page, .count = count, .drop = drop};
  must(pthread_create(&job->thread, NULL, work, job) == 0, "thread");
}

/* A thread that was woken is runnable or has ended, so one that sleeps waits for its page. */
static int sleeps(struct job *job) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", job->tid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  const char *state = length > 0 ? strrchr(text, ')') : NULL;
  return state != NULL && (state[2] == 'S' || state[2] == 'D') && !job->ended;
}

static void print_blocked(void) {
  int asleep = 0, running = 0;
  for (int i = 0; i < job_count; i++) {
    asleep += sleeps(&jobs[i]);
    running += !jobs[i].ended;
  }
  printf("%d/%d\n", asleep, running);
}

static void join(void) {
  while (job_count > 0) pthread_join(jobs[--job_count].thread, NULL);
}

static void fork_child(void) {
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
}

static void move(size_t page, size_t count) {
  void *to = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void *at = mremap(memory + page * PAGE, count * PAGE, count * PAGE,
                    MREMAP_MAYMOVE | MREMAP_FIXED, to);
  must(at != MAP_FAILED, "mremap");
  if (page == 0) memory = at;
}

static void protect(size_t page) {
  struct uffdio_writeprotect request = {.range = {(uintptr_t)memory + page * PAGE, PAGE},
                                        .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  must(ioctl(uffd, UFFDIO_WRITEPROTECT, &request) == 0, "protect");
}

struct stress {
  pthread_t thread;
  uint64_t state;
  size_t first, count;
  long steps;
  long wrong;
};

static uint32_t next(uint64_t *state) {
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(*state >> 33);
}

static void *stress_pages(void *argument) {
  struct stress *s = argument;
  uint32_t *expected = malloc(s->count * sizeof *expected);
  for (size_t i = 0; i < s->count; i++)
    expected[i] = (s->first + i) % 4 == 0 ? 0 : (uint32_t)(s->first + i + 1);
  for (long step = 0; step < s->steps && s->wrong < 0; step++) {
    size_t page = next(&s->state) % s->count, count = 1 + next(&s->state) % 8;
    volatile uint32_t *word = (void *)(memory + (s->first + page) * PAGE);
    switch (next(&s->state) % 4) {
      case 0:
        if (count > s->count - page) count = s->count - page;
        must(madvise((void *)(uintptr_t)word, count * PAGE, MADV_DONTNEED) == 0, "madvise");
        for (size_t i = 0; i < count; i++) expected[page + i] = 0;
        break;
      case 1:
        expected[page] = next(&s->state);
        for (size_t i = 0; i < PAGE / 4; i++) word[i] = expected[page];
        break;
      default:
        for (size_t i = 0; i < PAGE / 4; i++)
          if (word[i] != expected[page]) s->wrong = (long)(s->first + page);
    }
  }
  free(expected);
  return NULL;
}

static void stress(unsigned long long seed, long steps) {
  struct stress all[STRESSERS];
  long wrong = -1;
  for (size_t i = 0; i < STRESSERS; i++) {
    all[i] = (struct stress){.state = seed * STRESSERS + i, .steps = steps, .wrong = -1};
    all[i].count = pages / STRESSERS;
    all[i].first = i * all[i].count;
    must(pthread_create(&all[i].thread, NULL, stress_pages, &all[i]) == 0, "thread");
  }
  for (size_t i = 0; i < STRESSERS; i++) {
    pthread_join(all[i].thread, NULL);
    if (all[i].wrong >= 0) wrong = all[i].wrong;
  }
  if (wrong >= 0) printf("page %ld is wrong\n", wrong);
  else puts("right");
}

static void obey(char *line) {
  unsigned long long a = 0, b = 0;
  char word[32] = "", with[8] = "";
  int text = 0;
  line[strcspn(line, "\n")] = '\0';
  sscanf(line, "%31s %llu %llu", word, &a, &b);
  if (strcmp(word, "hash") == 0) {
    uint32_t sum = crc32c(0, memory + a * PAGE, b * PAGE);
    must(sum == ~crc32c_by_table(~0u, memory + a * PAGE, b * PAGE), "two ways, two checksums");
    printf("%08x\n", sum);
    return;
  }
  if (strcmp(word, "blocked") == 0) return print_blocked();
  if (strcmp(word, "stress") == 0) return stress(a, (long)b);
  if (strcmp(word, "say") == 0) {
    must(sscanf(line, "say %7s %n", with, &text) == 1, "say");
    say(with, line + text);
  } else if (strcmp(word, "write") == 0) memset(memory + a * PAGE, (int)b, PAGE);
  else if (strcmp(word, "read") == 0) begin(0, a, 1);
  else if (strcmp(word, "drop") == 0) begin(1, a, b);
  else if (strcmp(word, "join") == 0) join();
  else if (strcmp(word, "fork") == 0) fork_child();
  else if (strcmp(word, "move") == 0) move(a, b);
  else if (strcmp(word, "unmap") == 0) must(munmap(memory + a * PAGE, b * PAGE) == 0, "munmap");
  else if (strcmp(word, "protect") == 0) protect(a);
  else must(0, word);
  puts("ok");
}

int main(int argc, char **argv) {
  static char line[65536];
  if (argc > 4 && strcmp(argv[1], "listen") == 0) listen_and_become(argv);
  must(argc == 5, "arguments");
  server = connect_to(argv[1]);
  pages = strtoul(argv[2], NULL, 10);
  make_memory(strtoull(argv[3], NULL, 16), strtoull(argv[4], NULL, 16));
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("%llu\n", (unsigned long long)(uintptr_t)memory);
  while (fgets(line, sizeof line, stdin) != NULL) obey(line);
  return 0;
}
