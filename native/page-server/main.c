/*
 * page-server: serves the page faults of one VM from its snapshot's memory file.
 *
 *   page-server --memory FD --sums FD|- (--vmm FD | --listen FD --peer-uid UID) --control FD
 *               [--working-set FD [--direct] [--single-read]]
 *               [--trace FD] [--handshake-ms N]
 *
 * All descriptors are inherited. The VMM sends its userfaultfd and the list of its memory regions
 * over --vmm, or connects to --listen, as user UID. From then on each page that the guest misses
 * is copied from --memory, whose blocks are compared with --sums; the pages of --working-set are
 * installed without being asked for; the first faults are recorded in --trace. The formats:
 * docs/protocol/page-server.md.
 *
 * It never installs anything else than what the file holds, or zeros where the file has zeros or
 * where the guest gave the memory back. When it cannot do that, it says why on --control and exits
 * with 1; the VMM, which must keep its own copy of the userfaultfd, stays blocked and is to be
 * ended. It exits with 0 when the VMM or the daemon is gone.
 *
 * One thread, one loop. Nothing in it waits for anybody else, except for the disk.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Time for the VMM to connect and to send its handshake. */
#define HANDSHAKE_MS 30000
/* Wait before a copy is tried again that the kernel refused though all events are read. */
#define RETRY_MS 1

static struct {
  int memory, sums, vmm, listener, control, working_set, trace;
  uint32_t peer_uid;
  bool has_peer_uid, direct, single_read, has_sums;
  int handshake_ms;
} options = {-1, -1, -1, -1, -1, -1, -1, 0, false, false, false, false, HANDSHAKE_MS};

__attribute__((noreturn)) static void usage(const char *what) {
  fprintf(stderr,
          "page-server: %s\n"
          "usage: page-server --memory FD --sums FD|- (--vmm FD | --listen FD --peer-uid UID)\n"
          "       --control FD [--working-set FD [--direct] [--single-read]] [--trace FD]\n"
          "       [--handshake-ms N]\n",
          what);
  exit(1);
}

static uint32_t number(const char *text, uint32_t largest) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > largest) usage(text);
  return (uint32_t)value;
}

static int descriptor(const char *text) {
  int fd = (int)number(text, INT32_MAX);
  if (fcntl(fd, F_GETFD) < 0) usage(text);
  return fd;
}

static void need_socket(int fd, int listening, const char *name) {
  int type = 0, accepts = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM ||
      getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length) != 0 || accepts != listening)
    usage(name);
}

static void parse_option(const char *name, const char *value) {
  if (strcmp(name, "--sums") == 0) {
    options.has_sums = true;
    options.sums = strcmp(value, "-") == 0 ? -1 : descriptor(value);
  } else if (strcmp(name, "--memory") == 0) options.memory = descriptor(value);
  else if (strcmp(name, "--vmm") == 0) options.vmm = descriptor(value);
  else if (strcmp(name, "--listen") == 0) options.listener = descriptor(value);
  else if (strcmp(name, "--control") == 0) options.control = descriptor(value);
  else if (strcmp(name, "--working-set") == 0) options.working_set = descriptor(value);
  else if (strcmp(name, "--trace") == 0) options.trace = descriptor(value);
  else if (strcmp(name, "--handshake-ms") == 0)
    options.handshake_ms = (int)number(value, INT32_MAX);
  else if (strcmp(name, "--peer-uid") == 0) {
    options.has_peer_uid = true;
    options.peer_uid = number(value, UINT32_MAX);
  } else usage(name);
}

static void parse_options(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--direct") == 0) {
      options.direct = true;
    } else if (strcmp(argv[i], "--single-read") == 0) {
      options.single_read = true;
    } else {
      if (i + 1 == argc) usage(argv[i]);
      parse_option(argv[i], argv[i + 1]);
      i++;
    }
  }
  if (options.memory < 0 || options.control < 0 || !options.has_sums)
    usage("--memory, --sums and --control are needed");
  if ((options.vmm < 0) == (options.listener < 0)) usage("either --vmm or --listen is needed");
  if ((options.listener >= 0) != options.has_peer_uid) usage("--peer-uid belongs to --listen");
  need_socket(options.control, 0, "--control is no connected stream socket");
  if (options.vmm >= 0) need_socket(options.vmm, 0, "--vmm is no connected stream socket");
  if (options.listener >= 0) need_socket(options.listener, 1, "--listen is no listening socket");
  if ((options.direct || options.single_read) && options.working_set < 0)
    usage("--direct and --single-read belong to --working-set");
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for the daemon, whose wishes are done, for the guest and for `fd`. Returns what `fd` is
 * ready for. */
static short wait_for(int fd, int guest_fd, int timeout) {
  struct pollfd fds[3] = {
      control_poll(), {.fd = fd, .events = POLLIN}, {.fd = guest_fd, .events = POLLIN}};
  int ready = poll(fds, 3, timeout);
  if (ready < 0 && errno != EINTR) fail("resources", "poll: %s", strerror(errno));
  if (ready <= 0) return 0;
  if (fds[0].revents != 0) control_handle(fds[0].revents);
  if ((fds[2].revents & (POLLERR | POLLNVAL)) != 0) fail("userfaultfd", "it is of no use any more");
  return fds[1].revents;
}

static short wait_until(int fd, int64_t deadline) {
  int64_t left = deadline - now_ms();
  if (left <= 0)
    fail("timeout", "no complete handshake of a VMM within %d ms", options.handshake_ms);
  return wait_for(fd, -1, (int)left);
}

static int accept_peer(int64_t deadline) {
  /* A connection that is given up before it is accepted must not let accept wait. */
  int flags = fcntl(options.listener, F_GETFL);
  if (flags < 0 || fcntl(options.listener, F_SETFL, flags | O_NONBLOCK) != 0)
    fail("handshake", "the listening socket: %s", strerror(errno));
  for (;;) {
    if (wait_until(options.listener, deadline) == 0) continue;
    int peer = accept4(options.listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)) continue;
    if (peer < 0) fail("handshake", "accept: %s", strerror(errno));
    check_peer(peer, options.peer_uid);
    close(options.listener);
    return peer;
  }
}

static int shake_hands(void) {
  int64_t deadline = now_ms() + options.handshake_ms;
  int peer = options.vmm >= 0 ? options.vmm : accept_peer(deadline), uffd = -1;
  struct region regions[MAX_REGIONS];
  size_t count = 0;
  while (wait_until(peer, deadline) == 0 || !handshake_receive(peer, regions, &count, &uffd))
    continue;
  guest_open(uffd, regions, count);
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += regions[i].size;
  control_say("{\"event\":\"connected\",\"regions\":%zu,\"bytes\":%llu}", count,
              (unsigned long long)bytes);
  return peer;
}

/* The VMM says nothing more; it only ends. */
static void handle_peer(int peer) {
  char byte;
  ssize_t got = recv(peer, &byte, 1, MSG_DONTWAIT);
  if (got > 0) fail("handshake", "the VMM sent more than its handshake");
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  vm_gone();
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  control_open(options.control);
  source_open(options.memory, options.sums);
  if (options.trace >= 0) trace_open(options.trace, source_bytes() / PAGE);
  if (options.working_set >= 0) working_set_open(options.working_set, options.direct, options.single_read);
  int peer = shake_hands();
  prefetch_start();
  for (bool stalled = false;;) {
    int timeout = stalled ? RETRY_MS : prefetch_active() ? 0 : -1;
    if (wait_for(peer, guest.fd, timeout) != 0) handle_peer(peer);
    guest_read_events();
    stalled = !guest_serve_faults();
    if (!stalled && prefetch_active()) stalled = !prefetch_step();
  }
}
