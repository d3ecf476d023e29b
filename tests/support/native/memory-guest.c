/*
 * Process 1 of a guest that does what a test says with its memory. One command a line on the port
 * sparkler.0, one line in answer; what fails is answered with `error` and why.
 *   load NAME          loads /mods/NAME.ko                         ok
 *   nodes              all nodes: pages managed, and free of them  NODE:MANAGED:FREE ...
 *   take NODE MIB      a process bound to the node by its cgroup
 *                      writes that much anonymous memory           PID NODE:PAGES ...
 *   sum PID            what the process reads in its memory        its pages that are as written
 *   again PID          it writes all of it once more               ok
 *   end PID            ends the process                            ok
 *   args               the kernel's command line                   the line
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define MAX_NODES 128
#define MAX_CHILDREN 64
#define CGROUPS "/sys/fs/cgroup"

static FILE *port;
static FILE *commands;
static struct child {
  pid_t pid;
  int link; /* commands to it, answers from it */
} children[MAX_CHILDREN];

static void answer(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  vfprintf(port, format, rest);
  va_end(rest);
  fputc('\n', port);
  fflush(port);
}

static void failed(const char *what) { answer("error %s: %s", what, strerror(errno)); }

static int write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  close(fd);
  return written < 0 ? -1 : 0;
}

static void load(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/mods/%s.ko", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
    failed(path);
  else
    answer("ok");
  if (fd >= 0) close(fd);
}

/* The buddy allocator's lists, counted as they are: zone statistics lag behind. */
static void count_buddies(unsigned long *available) {
  char line[512];
  FILE *zones = fopen("/proc/buddyinfo", "re");
  while (zones != NULL && fgets(line, sizeof line, zones) != NULL) {
    int node, used;
    if (sscanf(line, "Node %d, zone %*s%n", &node, &used) != 1 || node >= MAX_NODES) continue;
    char *at = line + used;
    for (unsigned order = 0;; order++) {
      char *end;
      unsigned long blocks = strtoul(at, &end, 10);
      if (end == at) break;
      available[node] += blocks << order;
      at = end;
    }
  }
  if (zones != NULL) fclose(zones);
}

/* Pages in the CPUs' own lists are free too. */
static void nodes(void) {
  unsigned long managed[MAX_NODES] = {0}, available[MAX_NODES] = {0}, value;
  char line[256];
  int node = -1, last = -1;
  FILE *zones = fopen("/proc/zoneinfo", "re");
  if (zones == NULL) {
    failed("/proc/zoneinfo");
    return;
  }
  while (fgets(line, sizeof line, zones) != NULL) {
    if (sscanf(line, "Node %d,", &node) == 1 && node > last) last = node;
    if (node < 0 || node >= MAX_NODES) continue;
    if (sscanf(line, " managed %lu", &value) == 1) managed[node] += value;
    if (sscanf(line, " count: %lu", &value) == 1) available[node] += value;
  }
  fclose(zones);
  count_buddies(available);
  for (int n = 0; n <= last; n++) fprintf(port, "%d:%lu:%lu ", n, managed[n], available[n]);
  answer("");
}

/* A process that is born in the node's cgroup: the kernel migrates what one that joins has mapped. */
static pid_t fork_into(int node) {
  char path[128], text[32];
  snprintf(path, sizeof path, CGROUPS "/node%d", node);
  mkdir(path, 0755);
  int group = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  snprintf(path, sizeof path, CGROUPS "/node%d/cpuset.mems", node);
  snprintf(text, sizeof text, "%d", node);
  if (group < 0 || write_text(path, text) != 0) return -1;
  struct clone_args how = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)group};
  pid_t pid = (pid_t)syscall(SYS_clone3, &how, sizeof how);
  close(group);
  return pid;
}

static void fill(char *memory, size_t pages, uint64_t salt) {
  for (size_t k = 0; k < pages; k++)
    for (size_t at = 0; at < PAGE; at += 8) *(uint64_t *)(void *)(memory + k * PAGE + at) = salt ^ k;
}

static size_t intact(const char *memory, size_t pages, uint64_t salt) {
  size_t good = 0;
  for (size_t k = 0; k < pages; k++) {
    const uint64_t *page = (const uint64_t *)(const void *)(memory + k * PAGE);
    good += page[0] == (salt ^ k) && page[511] == (salt ^ k);
  }
  return good;
}

static void tell_nodes(int link, char *memory, size_t pages) {
  char text[2048];
  size_t counts[MAX_NODES] = {0};
  int used = 0;
  for (size_t k = 0; k < pages; k++) {
    void *page = memory + k * PAGE;
    int status = -1;
    syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0);
    if (status >= 0 && status < MAX_NODES) counts[status]++;
  }
  for (int n = 0; n < MAX_NODES; n++)
    if (counts[n] > 0) used += snprintf(text + used, sizeof text - (size_t)used, " %d:%zu", n, counts[n]);
  if (write(link, text, (size_t)used) < 0) _exit(4);
}

static _Noreturn void be_child(int link, size_t pages) {
  char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(5);
  uint64_t salt = 0x5a5a000000000000u + (uint64_t)getpid();
  fill(memory, pages, salt);
  tell_nodes(link, memory, pages);
  for (char command; read(link, &command, 1) == 1;) {
    char text[32] = "ok";
    if (command == 's') snprintf(text, sizeof text, "%zu", intact(memory, pages, salt));
    if (command == 'a') fill(memory, pages, ++salt);
    if (write(link, text, strlen(text)) < 0) break;
  }
  _exit(0);
}

/* What the child says, as one message; false when it has ended. */
static int heard(int link, char *text, size_t size) {
  ssize_t got = read(link, text, size - 1);
  text[got > 0 ? got : 0] = '\0';
  return got > 0;
}

static void take(int node, unsigned long mib) {
  int link[2];
  char text[2048];
  struct child *c = children;
  while (c < children + MAX_CHILDREN && c->pid != 0) c++;
  if (c == children + MAX_CHILDREN || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) != 0) {
    failed("take");
    return;
  }
  pid_t pid = fork_into(node);
  if (pid == 0) {
    close(link[0]);
    be_child(link[1], mib * 256);
  }
  close(link[1]);
  int status = 0;
  if (heard(link[0], text, sizeof text)) {
    *c = (struct child){pid, link[0]};
    answer("%d%s", (int)pid, text);
    return;
  }
  close(link[0]);
  waitpid(pid, &status, 0);
  answer("error the process ended with status 0x%x", (unsigned)status);
}

static void ask(pid_t pid, char command) {
  char text[64];
  for (struct child *c = children; c < children + MAX_CHILDREN; c++) {
    if (c->pid != pid) continue;
    if (command == 'e') {
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
      close(c->link);
      c->pid = 0;
      answer("ok");
    } else if (write(c->link, &command, 1) == 1 && heard(c->link, text, sizeof text)) {
      answer("%s", text);
    } else {
      answer("error the process is gone");
    }
    return;
  }
  answer("error no such process");
}

static void args(void) {
  char line[4096] = "";
  FILE *file = fopen("/proc/cmdline", "re");
  if (file == NULL || fgets(line, sizeof line, file) == NULL) failed("/proc/cmdline");
  if (file != NULL) fclose(file);
  line[strcspn(line, "\n")] = '\0';
  answer("%s", line);
}

static void obey(char *line) {
  char name[64], text[32];
  int node, pid;
  unsigned long mib;
  line[strcspn(line, "\n")] = '\0';
  if (sscanf(line, "load %63s", name) == 1) load(name);
  else if (strcmp(line, "nodes") == 0) nodes();
  else if (sscanf(line, "take %d %lu", &node, &mib) == 2) take(node, mib);
  else if (sscanf(line, "sum %d", &pid) == 1) ask(pid, 's');
  else if (sscanf(line, "again %d", &pid) == 1) ask(pid, 'a');
  else if (sscanf(line, "end %d", &pid) == 1) ask(pid, 'e');
  else if (strcmp(line, "args") == 0) args();
  else if (sscanf(line, "write %63s %31s", name, text) == 2) answer(write_text(name, text) == 0 ? "ok" : "error");
  else answer("error what is %s?", line);
}

static void open_port(void) {
  while (access("/dev/vport0p1", F_OK) != 0) usleep(2000);
  int fd = -1;
  while ((fd = open("/dev/vport0p1", O_RDWR | O_CLOEXEC)) < 0) usleep(2000);
  port = fdopen(fd, "w");
  commands = fdopen(dup(fd), "r");
}

int main(void) {
  static char line[512];
  mkdir("/dev", 0755);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  int console = open("/dev/console", O_RDWR);
  for (int fd = 0; console >= 0 && fd < 3; fd++) dup2(console, fd);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("cgroup2", CGROUPS, "cgroup2", 0, NULL);
  if (write_text(CGROUPS "/cgroup.subtree_control", "+cpuset") != 0) perror("cpuset");
  open_port();
  answer("ready");
  for (;;) {
    /* Nobody has the other end yet, or any more. */
    for (; fgets(line, sizeof line, commands) == NULL; usleep(2000)) clearerr(commands);
    obey(line);
  }
}
