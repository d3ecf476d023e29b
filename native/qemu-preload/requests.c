/*
 * Serving requests for copies of the process, and what becomes of the copies: each has a helper
 * (vmm-handover) that is told when it is there and how it ended, and that ends it by hanging up.
 */
#include "requests.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "say.h"

/* The reply socket and cgroup.procs come before the slots. */
#define MAX_RECEIVED (HANDOVER_MAX_SLOTS + 2)

struct child {
  pid_t pid;
  int pidfd;
  int reply;
  bool hung_up; /* It was killed since its helper hung up; its end may still be asked for. */
};

static int control = -1;
static unsigned expected_slots;
static struct child *children;
static unsigned child_count;
/* With the request that is being served. */
static int received[MAX_RECEIVED];
static unsigned received_count;

void requests_open(int fd, unsigned slots) {
  control = fd;
  expected_slots = slots;
}

unsigned requests_descriptors(int *list, unsigned size) {
  unsigned count = 0;
  if (count < size) list[count++] = control;
  for (unsigned k = 0; k < child_count; k++) {
    if (count < size) list[count++] = children[k].pidfd;
    if (count < size) list[count++] = children[k].reply;
  }
  for (unsigned k = 0; k < received_count; k++) {
    if (count < size) list[count++] = received[k];
  }
  return count;
}

static void answer_end(int reply, int status) {
  struct handover_reply ended = {HANDOVER_ENDED, status};
  /* A helper that is gone has nobody to tell. */
  if (reply >= 0) send(reply, &ended, sizeof ended, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void requests_started(const struct given *given) {
  struct handover_reply started = {HANDOVER_STARTED, getpid()};
  must(send(given->reply, &started, sizeof started, MSG_NOSIGNAL) == sizeof started, "say the pid");
}

/* True in the copy. */
static bool start_child(pid_t (*copy)(void)) {
  struct child *more = realloc(children, (child_count + 1) * sizeof *children);
  must(more != NULL, "remember a child");
  children = more;
  pid_t pid = copy();
  if (pid == 0) return true;
  int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) {
    dprintf(STDERR_FILENO, "handover: no copy: %s\n", strerror(errno));
    if (pid > 0 && kill(pid, SIGKILL) == 0) waitpid(pid, NULL, 0);
    answer_end(received[0], EXIT_FAILED << 8);
    return false;
  }
  children[child_count++] = (struct child){pid, pidfd, fcntl(received[0], F_DUPFD_CLOEXEC, 0), false};
  return false;
}

/* Takes one message and its descriptors; false when it is none, or there will be no more. */
static bool take_request(struct handover_request *request) {
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
  received_count = 0;
  if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
    received_count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(received, CMSG_DATA(header), received_count * sizeof(int));
  }
  if (got == 0) {
    close(control);
    control = -1;
  }
  unsigned expected = expected_slots + ((request->flags & HANDOVER_HAS_CGROUP) != 0 ? 2 : 1);
  return got == sizeof *request && request->magic == HANDOVER_MAGIC &&
         request->slots == expected_slots && received_count == expected &&
         request->environment_bytes <= HANDOVER_ENVIRONMENT_BYTES &&
         (request->environment_bytes == 0 ||
          request->environment[request->environment_bytes - 1] == '\0');
}

/* True in a copy. Who sent what is no request sees its reply socket close. */
static bool serve_request(pid_t (*copy)(void), struct given *given) {
  static struct handover_request request;
  pid_t self = getpid();
  if (take_request(&request) && start_child(copy)) {
    bool has_cgroup = (request.flags & HANDOVER_HAS_CGROUP) != 0;
    *given = (struct given){.request = &request,
                            .cgroup = has_cgroup ? received[1] : -1,
                            .descriptors = received + (has_cgroup ? 2 : 1),
                            .reply = received[0],
                            .parent = self};
    return true;
  }
  for (unsigned k = 0; k < received_count; k++) close(received[k]);
  received_count = 0;
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

bool requests_serve(pid_t (*copy)(void), struct given *given) {
  while (control >= 0 || child_count > 0) {
    struct pollfd *list = watched();
    if (poll(list, 1 + 2 * child_count, -1) < 0) continue;
    /* From the last: a child that is collected leaves its place to the last one. */
    for (unsigned k = child_count; k-- > 0;) {
      if (list[2 + 2 * k].revents != 0) end_child(&children[k]);
      if (list[1 + 2 * k].revents != 0) collect_child(k);
    }
    if (list[0].revents != 0 && serve_request(copy, given)) return true;
  }
  return false;
}
