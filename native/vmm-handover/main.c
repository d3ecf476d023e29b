/*
 * vmm-handover: has a template fork a VMM, and stands in for it in the daemon's eyes.
 *
 *   vmm-handover PARENT_PID CGROUP|- UID|- TEMPLATE_FD SLOT[,SLOT...]
 *
 * The daemon cannot send descriptors, but a child inherits them. So this program is started with
 * those that the VMM is to have, under the same numbers (SLOT), and:
 *   1. asks to be killed when the daemon dies, and joins CGROUP;
 *   2. sends the descriptors, UID, CGROUP and its own SPARKLER_... environment to the template
 *      (../qemu-preload/template.c, handover.h), and closes all it does not need any more;
 *   3. writes the VMM's pid and a newline to standard output when the VMM is there, and closes it;
 *   4. ends as the VMM ends: with its exit code, or by its signal.
 * SIGTERM, or this program's end, ends the VMM; after SIGTERM this program ends when the VMM is gone.
 *
 * Exit status 125 with a line on stderr when there is no VMM.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../qemu-preload/handover.h"

#define EXIT_HANDOVER_FAILED 125
#define MAX_SENT (HANDOVER_MAX_SLOTS + 2)
/* How long the template may be busy with other requests before it takes this one. */
#define SEND_LIMIT_MS 5000

extern char **environ;

/* Our end of the reply socket, once it is there. */
static volatile sig_atomic_t reply = -1;

static void die(const char *step, const char *what) {
  fprintf(stderr, "vmm-handover: %s %s: %s\n", step, what, strerror(errno));
  exit(EXIT_HANDOVER_FAILED);
}

static long parse_number(const char *text) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || *end != '\0' || value <= 0) {
    errno = EINVAL;
    die("not a number:", text);
  }
  return value;
}

/* The template ends the VMM when it sees this, and then says how it ended. */
static void on_term(int number) {
  (void)number;
  if (reply < 0) _exit(EXIT_HANDOVER_FAILED);
  shutdown(reply, SHUT_WR);
}

static void die_with_parent(pid_t parent, const char *text) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("set", "parent-death signal");
  if (getppid() != parent) {
    errno = ESRCH;
    die("parent", text);
  }
}

/* Its cgroup.procs, for the VMM; this program is inside from now on. */
static int join_cgroup(const char *cgroup) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s/cgroup.procs", cgroup) >= (int)sizeof path) {
    errno = ENAMETOOLONG;
    die("cgroup", cgroup);
  }
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) die("join cgroup", cgroup);
  return fd;
}

static void add_environment(struct handover_request *request) {
  for (char **entry = environ; *entry != NULL; entry++) {
    size_t length = strlen(*entry) + 1;
    if (strncmp(*entry, "SPARKLER_", strlen("SPARKLER_")) != 0) continue;
    if (length > sizeof request->environment - request->environment_bytes) {
      errno = E2BIG;
      die("environment", *entry);
    }
    memcpy(request->environment + request->environment_bytes, *entry, length);
    request->environment_bytes += (uint32_t)length;
  }
}

static uint32_t parse_slots(const char *text, int *fds) {
  uint32_t count = 0;
  char *copy = strdup(text), *rest = NULL;
  for (char *part = strtok_r(copy, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
    if (count == HANDOVER_MAX_SLOTS) {
      errno = E2BIG;
      die("slots", text);
    }
    int fd = (int)parse_number(part);
    /* Else what this program opens next would have the number. */
    if (fcntl(fd, F_GETFD) < 0) die("descriptor", part);
    fds[count++] = fd;
  }
  free(copy);
  return count;
}

static void send_request(int template, struct handover_request *request, const int *fds, size_t n) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * MAX_SENT)];
    struct cmsghdr align;
  } ancillary;
  memset(&ancillary, 0, sizeof ancillary);
  struct iovec part = {request, sizeof *request};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = ancillary.bytes,
                           .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * n);
  memcpy(CMSG_DATA(header), fds, sizeof(int) * n);
  struct pollfd writable = {.fd = template, .events = POLLOUT};
  ssize_t sent;
  do {
    if (poll(&writable, 1, SEND_LIMIT_MS) == 0) errno = ETIMEDOUT, die("the template", "is busy");
    sent = sendmsg(template, &message, MSG_NOSIGNAL);
  } while (sent < 0 && (errno == EAGAIN || errno == EINTR));
  if (sent != sizeof *request) die("send the request to", "the template");
}

static struct handover_reply receive(void) {
  struct handover_reply got;
  ssize_t bytes;
  do {
    bytes = recv(reply, &got, sizeof got, MSG_WAITALL);
  } while (bytes < 0 && errno == EINTR);
  /* The template is gone. What it started is killed with it. */
  if (bytes != sizeof got) got = (struct handover_reply){HANDOVER_ENDED, SIGKILL};
  return got;
}

static void end_as(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  int number = WTERMSIG(status);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(number, SIG_DFL);
  raise(number);
  _exit(128 + number);
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fputs("usage: vmm-handover PARENT_PID CGROUP|- UID|- TEMPLATE_FD SLOT[,SLOT...]\n", stderr);
    return EXIT_HANDOVER_FAILED;
  }
  die_with_parent((pid_t)parse_number(argv[1]), argv[1]);
  signal(SIGTERM, on_term);
  static struct handover_request request = {.magic = HANDOVER_MAGIC};
  int fds[MAX_SENT], slots[HANDOVER_MAX_SLOTS], ends[2];
  size_t count = 0;
  /* Before anything is opened: what is not inherited must not be there. */
  request.slots = parse_slots(argv[5], slots);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("make", "a socket pair");
  fds[count++] = ends[1];
  if (strcmp(argv[2], "-") != 0) {
    fds[count++] = join_cgroup(argv[2]);
    request.flags |= HANDOVER_HAS_CGROUP;
  }
  if (strcmp(argv[3], "-") != 0) {
    request.uid = (uint32_t)parse_number(argv[3]);
    request.flags |= HANDOVER_HAS_USER;
  }
  memcpy(fds + count, slots, request.slots * sizeof *slots);
  add_environment(&request);
  send_request((int)parse_number(argv[4]), &request, fds, count + request.slots);
  /* Whoever reads from the VMM must see its end, not ours. */
  dup2(ends[0], STDERR_FILENO + 1);
  reply = STDERR_FILENO + 1;
  if (close_range(STDERR_FILENO + 2, ~0u, 0) != 0) die("close", "descriptors");
  struct handover_reply got = receive();
  if (got.tag == HANDOVER_STARTED) {
    dprintf(STDOUT_FILENO, "%d\n", got.value);
    close(STDOUT_FILENO);
    got = receive();
  }
  end_as(got.value);
}
