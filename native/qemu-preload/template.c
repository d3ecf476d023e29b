/*
 * template: a QEMU that was started ahead, with the command line of a restore, stops where it opens
 * its memory, and forks a VMM for each request. What lies before (linking, types, options, the
 * translator) is done once for all of them.
 *
 * A fork shares what it should not: open files, event counters, the identity, the right to fork.
 * Each child therefore gets, before it goes on:
 *   - the descriptors of its request in place of the template's placeholders, whatever number QEMU
 *     has given them in the meantime: a placeholder is recognized by its inode;
 *   - event descriptors of its own with the same counter, and epoll descriptors of its own that
 *     watch the same numbers;
 *   - its cgroup, user, parent-death signal, and a filter that denies what QEMU's own sandbox
 *     would have denied (a template's sandbox allows it, since the template needs it).
 * Whatever else is open or runs and cannot be given away so makes the template unsuitable: it says
 * that and ends, and the daemon starts its VMMs directly.
 *
 * Environment, set by the daemon and removed here:
 *   SPARKLER_TEMPLATE_FD  stream socket on which requests come (handover.h); its end means: no more
 *   SPARKLER_SLOTS        numbers of the descriptors that each child gets anew: 2,3,4,7
 * On standard output it says once `ready`, or `unsuitable: ` and why.
 */
#include "template.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handover.h"

#define EXIT_FAILED 125
#define MAX_FDS 256
/* The reply socket and cgroup.procs come before the slots. */
#define MAX_RECEIVED (HANDOVER_MAX_SLOTS + 2)

struct slot {
  int number;
  dev_t device;
  ino_t inode;
};

enum kind { KEPT, PLACEHOLDER, EVENT, POLLER };

/* A descriptor that QEMU holds at the hook. */
struct descriptor {
  int fd;
  enum kind kind;
  int slot;           /* PLACEHOLDER: which */
  int close_on_exec;  /* O_CLOEXEC or 0 */
  int nonblock;       /* O_NONBLOCK or 0 */
  unsigned counter;   /* EVENT */
  int semaphore;      /* EVENT: EFD_SEMAPHORE or 0 */
  unsigned long event_id;
};

/* What an epoll descriptor watches. */
struct watch {
  int poller;
  int fd;
  uint32_t events;
  uint64_t data;
};

struct child {
  pid_t pid;
  int pidfd;
  int reply;
  bool hung_up; /* It was killed since its helper hung up; its end may still be asked for. */
};

static int control = -1;
static struct slot slots[HANDOVER_MAX_SLOTS];
static unsigned slot_count;
static struct descriptor descriptors[MAX_FDS];
static unsigned descriptor_count;
static struct watch watches[MAX_FDS];
static unsigned watch_count;
static struct child *children;
static unsigned child_count;

/* QEMU's: its RCU thread is started again in a child only if this was asked for, and callbacks that
   the thread has counted but not run would be lost. NULL in a program without RCU. */
static void (*rcu_enable_atfork)(void);
static void (*drain_call_rcu)(void);

static void must(bool done, const char *what) {
  if (done) return;
  dprintf(STDERR_FILENO, "template: %s: %s\n", what, strerror(errno));
  _exit(EXIT_FAILED);
}

static void unsuitable(const char *why, const char *what) {
  dprintf(STDOUT_FILENO, "unsuitable: %s %s\n", why, what);
  _exit(EXIT_FAILED);
}

/* ---- before QEMU ---- */

/* A socket that nobody answers: QEMU takes it for a channel as well as for a file. */
static void make_placeholder(int number) {
  int ends[2];
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "placeholder");
  if (ends[0] != number) {
    must(dup2(ends[0], number) == number, "placeholder");
    close(ends[0]);
  }
  if (ends[1] != number) close(ends[1]);
}

static void add_slot(int number) {
  struct stat seen;
  must(slot_count < HANDOVER_MAX_SLOTS && number >= 0, "slots");
  /* Standard error is there already: it is the template's own until then. */
  if (fcntl(number, F_GETFD) < 0) make_placeholder(number);
  must(fstat(number, &seen) == 0, "placeholder");
  slots[slot_count++] = (struct slot){number, seen.st_dev, seen.st_ino};
}

void template_prepare(void) {
  const char *fd = getenv("SPARKLER_TEMPLATE_FD");
  const char *numbers = getenv("SPARKLER_SLOTS");
  if (fd == NULL || numbers == NULL) return;
  control = atoi(fd);
  for (char *end; *numbers != '\0'; numbers = *end == ',' ? end + 1 : end) {
    long number = strtol(numbers, &end, 10);
    must(end != numbers, "SPARKLER_SLOTS");
    add_slot((int)number);
  }
  /* The daemon's own parent may have left it more; the numbers that are meant end here. */
  must(close_range((unsigned)control + 1, ~0u, 0) == 0, "close descriptors");
  unsetenv("SPARKLER_TEMPLATE_FD");
  unsetenv("SPARKLER_SLOTS");
}

bool template_is_waiting(void) { return control >= 0; }

/* ---- at the hook: what is there to be replaced ---- */

static FILE *open_info(int fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *info = fopen(path, "re");
  must(info != NULL, path);
  return info;
}

static void describe_event(struct descriptor *d) {
  char line[128];
  FILE *info = open_info(d->fd);
  unsigned long long counter = 0;
  int semaphore = 0;
  while (fgets(line, sizeof line, info) != NULL) {
    sscanf(line, "eventfd-count: %llx", &counter);
    sscanf(line, "eventfd-id: %lu", &d->event_id);
    sscanf(line, "eventfd-semaphore: %d", &semaphore);
  }
  fclose(info);
  d->counter = (unsigned)counter;
  d->semaphore = semaphore ? EFD_SEMAPHORE : 0;
  for (unsigned k = 0; k < descriptor_count; k++) {
    bool twin = descriptors[k].kind == EVENT && descriptors[k].event_id == d->event_id;
    if (twin) unsuitable("two numbers for one", "event descriptor");
  }
}

static void describe_poller(int poller) {
  char line[256];
  FILE *info = open_info(poller);
  while (fgets(line, sizeof line, info) != NULL) {
    struct watch w = {.poller = poller};
    unsigned events;
    unsigned long long data;
    if (sscanf(line, "tfd: %d events: %x data: %llx", &w.fd, &events, &data) != 3) continue;
    if (watch_count == MAX_FDS) unsuitable("too many", "watched descriptors");
    w.events = events;
    w.data = data;
    watches[watch_count++] = w;
  }
  fclose(info);
}

static int slot_of(const struct stat *seen) {
  for (unsigned k = 0; k < slot_count; k++) {
    if (slots[k].device == seen->st_dev && slots[k].inode == seen->st_ino) return (int)k;
  }
  return -1;
}

/* A file's position is shared by all children, so it must be one that nobody moves: QEMU reads
   drives at positions of its own. */
static bool may_be_shared(const char *target, const struct stat *seen, int flags) {
  if (strcmp(target, "anon_inode:[signalfd]") == 0) return true;
  if (S_ISCHR(seen->st_mode)) return strcmp(target, "/dev/null") == 0;
  return S_ISREG(seen->st_mode) && (flags & O_ACCMODE) == O_RDONLY;
}

static void describe(int fd) {
  char path[64], target[4096];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(path, target, sizeof target - 1);
  struct stat seen;
  int flags = fcntl(fd, F_GETFL);
  must(length >= 0 && flags >= 0 && fstat(fd, &seen) == 0, path);
  target[length] = '\0';
  if (descriptor_count == MAX_FDS) unsuitable("too many", "descriptors");
  struct descriptor d = {.fd = fd, .kind = KEPT, .slot = slot_of(&seen)};
  d.close_on_exec = (fcntl(fd, F_GETFD) & FD_CLOEXEC) ? O_CLOEXEC : 0;
  d.nonblock = flags & O_NONBLOCK;
  if (d.slot >= 0) {
    d.kind = PLACEHOLDER;
  } else if (strcmp(target, "anon_inode:[eventfd]") == 0) {
    d.kind = EVENT;
    describe_event(&d);
  } else if (strcmp(target, "anon_inode:[eventpoll]") == 0) {
    d.kind = POLLER;
    describe_poller(fd);
  } else if (fd != STDOUT_FILENO && !may_be_shared(target, &seen, flags)) {
    unsuitable("cannot be shared:", target);
  }
  descriptors[descriptor_count++] = d;
}

static DIR *open_own(const char *folder) {
  DIR *dir = opendir(folder);
  must(dir != NULL, folder);
  return dir;
}

/* The next number in a folder of /proc, -1 at its end. */
static int next_number(DIR *dir) {
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] != '.') return atoi(entry->d_name);
  }
  return -1;
}

static void describe_all(void) {
  DIR *dir = open_own("/proc/self/fd");
  for (int fd; (fd = next_number(dir)) >= 0;) {
    if (fd != dirfd(dir) && fd != control) describe(fd);
  }
  closedir(dir);
}

static int threads(void) {
  int count = 0;
  DIR *dir = open_own("/proc/self/task");
  while (next_number(dir) >= 0) count++;
  closedir(dir);
  return count;
}

static int expected_threads(void) { return rcu_enable_atfork == NULL ? 1 : 2; }

static void find_rcu(void) {
  /* Not a cast of the result: ISO C knows no conversion from an object's address to a function's. */
  *(void **)&rcu_enable_atfork = dlsym(RTLD_DEFAULT, "rcu_enable_atfork");
  *(void **)&drain_call_rcu = dlsym(RTLD_DEFAULT, "drain_call_rcu");
  if (rcu_enable_atfork == NULL) return;
  if (drain_call_rcu == NULL) unsuitable("no", "drain_call_rcu");
  drain_call_rcu();
  rcu_enable_atfork();
}

/* ---- in the child ---- */

static int fresh_of(const struct descriptor *d, const int *received) {
  switch (d->kind) {
    case PLACEHOLDER:
      return received[d->slot];
    case EVENT:
      return eventfd(d->counter, d->nonblock | d->semaphore);
    case POLLER:
      return epoll_create1(0);
    default:
      return -1;
  }
}

static void replace_descriptors(const int *received) {
  for (unsigned k = 0; k < descriptor_count; k++) {
    const struct descriptor *d = &descriptors[k];
    if (d->kind == KEPT) continue;
    int fresh = fresh_of(d, received);
    must(fresh >= 0 && dup3(fresh, d->fd, d->close_on_exec) == d->fd, "replace a descriptor");
    if (d->kind != PLACEHOLDER) {
      close(fresh);
    } else if (d->nonblock) {
      must(fcntl(d->fd, F_SETFL, fcntl(d->fd, F_GETFL) | O_NONBLOCK) == 0, "set O_NONBLOCK");
    }
  }
  for (unsigned k = 0; k < watch_count; k++) {
    const struct watch *w = &watches[k];
    struct epoll_event event = {.events = w->events, .data.u64 = w->data};
    must(epoll_ctl(w->poller, EPOLL_CTL_ADD, w->fd, &event) == 0, "watch a descriptor");
  }
}

/* The template's own, its other children's, and what was received: all that QEMU did not have. The
   kernel lists descriptors in ascending order. */
static void close_others(void) {
  unsigned from = 0;
  for (unsigned k = 0; k < descriptor_count; k++) {
    unsigned fd = (unsigned)descriptors[k].fd;
    if (fd > from) must(close_range(from, fd - 1, 0) == 0, "close descriptors");
    from = fd + 1;
  }
  must(close_range(from, ~0u, 0) == 0, "close descriptors");
}

static void set_environment(const struct handover_request *request) {
  const char *at = request->environment;
  const char *end = at + request->environment_bytes;
  for (; at < end; at += strlen(at) + 1) {
    const char *equals = strchr(at, '=');
    must(equals != NULL && equals != at, "environment");
    char *name = strndup(at, (size_t)(equals - at));
    must(name != NULL && setenv(name, equals + 1, 1) == 0, "environment");
    free(name);
  }
}

static void become_user(uint32_t uid) {
  must(setgroups(0, NULL) == 0, "drop groups");
  must(setresgid(uid, uid, uid) == 0, "become group");
  must(setresuid(uid, uid, uid) == 0, "become user");
  /* As after an execve: /proc/self belongs to the user itself. */
  must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "set dumpable");
}

#define DENY(call) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* What `elevateprivileges=deny,spawn=deny` denies. Threads are made with clone: clone3, whose flags
   a filter cannot read, is said not to exist. All threads get the filter. */
static void forbid_processes(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      /* The x32 numbering is another way to the same calls. */
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      DENY(setuid), DENY(setgid), DENY(setreuid), DENY(setregid), DENY(setresuid),
      DENY(setresgid), DENY(setfsuid), DENY(setfsgid), DENY(setgroups), DENY(setpgid),
      DENY(setsid), DENY(fork), DENY(vfork), DENY(execve), DENY(execveat),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0,
       "forbid processes");
}

/* Each step before those that take away what it needs. */
static void become_vmm(const struct handover_request *request, const int *received, pid_t template) {
  int reply = received[0];
  bool has_cgroup = (request->flags & HANDOVER_HAS_CGROUP) != 0;
  if (has_cgroup) must(write(received[1], "0", 1) == 1, "join cgroup");
  replace_descriptors(received + (has_cgroup ? 2 : 1));
  set_environment(request);
  if ((request->flags & HANDOVER_HAS_USER) != 0) become_user(request->uid);
  must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "set parent-death signal");
  if (getppid() != template) _exit(EXIT_FAILED);
  if (threads() != expected_threads()) _exit(EXIT_FAILED);
  forbid_processes();
  struct handover_reply started = {HANDOVER_STARTED, getpid()};
  must(send(reply, &started, sizeof started, MSG_NOSIGNAL) == sizeof started, "say the pid");
  close_others();
}

/* ---- the template's life ---- */

static void answer_end(int reply, int status) {
  struct handover_reply ended = {HANDOVER_ENDED, status};
  /* A helper that is gone has nobody to tell. */
  if (reply >= 0) send(reply, &ended, sizeof ended, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True in the child. */
static bool start_child(const struct handover_request *request, const int *received) {
  struct child *more = realloc(children, (child_count + 1) * sizeof *children);
  must(more != NULL, "remember a child");
  children = more;
  pid_t self = getpid();
  pid_t pid = fork();
  if (pid == 0) {
    become_vmm(request, received, self);
    return true;
  }
  int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) {
    dprintf(STDERR_FILENO, "template: fork: %s\n", strerror(errno));
    if (pid > 0 && kill(pid, SIGKILL) == 0) waitpid(pid, NULL, 0);
    answer_end(received[0], EXIT_FAILED << 8);
    return false;
  }
  children[child_count++] = (struct child){pid, pidfd, fcntl(received[0], F_DUPFD_CLOEXEC, 0), false};
  return false;
}

/* Takes one message and its descriptors; false when it is none, or there will be no more. */
static bool take_request(struct handover_request *request, int *received, unsigned *count) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * MAX_RECEIVED)];
    struct cmsghdr align;
  } ancillary;
  struct iovec part = {request, sizeof *request};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = ancillary.bytes,
                           .msg_controllen = sizeof ancillary.bytes};
  ssize_t got = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  *count = 0;
  if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
    *count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(received, CMSG_DATA(header), *count * sizeof(int));
  }
  if (got == 0) {
    close(control);
    control = -1;
  }
  unsigned expected = slot_count + ((request->flags & HANDOVER_HAS_CGROUP) != 0 ? 2 : 1);
  return got == sizeof *request && request->magic == HANDOVER_MAGIC &&
         request->slots == slot_count && *count == expected &&
         request->environment_bytes <= HANDOVER_ENVIRONMENT_BYTES &&
         (request->environment_bytes == 0 ||
          request->environment[request->environment_bytes - 1] == '\0');
}

/* True in a child. Who sent what is no request sees its reply socket close. */
static bool serve_request(void) {
  static struct handover_request request;
  int received[MAX_RECEIVED];
  unsigned count;
  if (take_request(&request, received, &count) && start_child(&request, received)) {
    control = -1;
    return true;
  }
  for (unsigned k = 0; k < count; k++) close(received[k]);
  return false;
}

static void collect_child(unsigned index) {
  struct child *c = &children[index];
  int status;
  if (waitpid(c->pid, &status, WNOHANG) != c->pid) return;
  answer_end(c->reply, status);
  close(c->pidfd);
  if (c->reply >= 0) close(c->reply);
  *c = children[--child_count];
}

/* Its helper has gone, or wants it to end. */
static void end_child(struct child *c) {
  kill(c->pid, SIGKILL);
  c->hung_up = true;
}

static struct pollfd *watched(void) {
  static struct pollfd *list;
  list = realloc(list, (1 + 2 * child_count) * sizeof *list);
  must(list != NULL, "watch the children");
  /* A negative number is one that poll ignores. */
  list[0] = (struct pollfd){.fd = control, .events = POLLIN};
  for (unsigned k = 0; k < child_count; k++) {
    list[1 + 2 * k] = (struct pollfd){.fd = children[k].pidfd, .events = POLLIN};
    int reply = children[k].hung_up ? -1 : children[k].reply;
    list[2 + 2 * k] = (struct pollfd){.fd = reply, .events = POLLRDHUP};
  }
  return list;
}

void template_serve(void) {
  find_rcu();
  if (threads() != expected_threads()) unsuitable("other threads", "run");
  describe_all();
  static const char ready[] = "ready\n";
  must(write(STDOUT_FILENO, ready, sizeof ready - 1) == sizeof ready - 1, "say ready");
  must(dup2(STDIN_FILENO, STDOUT_FILENO) == STDOUT_FILENO, "close standard output");
  while (control >= 0 || child_count > 0) {
    struct pollfd *list = watched();
    if (poll(list, 1 + 2 * child_count, -1) < 0) continue;
    /* From the last: a child that is collected leaves its place to the last one. */
    for (unsigned k = child_count; k-- > 0;) {
      if (list[2 + 2 * k].revents != 0) end_child(&children[k]);
      if (list[1 + 2 * k].revents != 0) collect_child(k);
    }
    if (list[0].revents != 0 && serve_request()) return;
  }
  _exit(0);
}
