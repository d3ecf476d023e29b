/* page-server: receives the VMM's handshake, its regions as text and its userfaultfd with it. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A region takes at most 170 bytes of text. */
#define TEXT_BYTES 16384u
/* Descriptors for which there is room in one message; more are cut off, which is noticed. */
#define MAX_DESCRIPTORS 4u

static char text[TEXT_BYTES];
static size_t text_used;
static int descriptor = -1;

void check_peer(int peer, uint32_t uid) {
  struct ucred who;
  socklen_t length = sizeof who;
  if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0)
    fail("peer", "who connected is unknown: %s", strerror(errno));
  if (who.uid != uid) fail("peer", "user %u connected, not user %u", who.uid, uid);
}

static void take_descriptors(struct msghdr *message) {
  bool several = (message->msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (count > 1 || descriptor >= 0) several = true;
    memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
  }
  if (several) fail("handshake", "several descriptors; only the userfaultfd is expected");
}

static void check_descriptor(const struct region *regions, size_t count) {
  if (descriptor < 0) fail("handshake", "no descriptor with the regions");
  char path[40], target[40] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  if (readlink(path, target, sizeof target - 1) < 0 ||
      strcmp(target, "anon_inode:[userfaultfd]") != 0)
    fail("handshake", "the descriptor is no userfaultfd");
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
    fail("handshake", "the userfaultfd cannot be made non-blocking: %s", strerror(errno));
  for (size_t i = 0; i < count; i++) {
    struct uffdio_range range = {.start = regions[i].base, .len = regions[i].size};
    if (ioctl(descriptor, UFFDIO_WAKE, &range) != 0)
      fail("handshake", "the userfaultfd does not know region %zu: %s", i, strerror(errno));
  }
}

/* False if nothing is there yet. */
static bool receive(int peer) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
  } control;
  struct iovec part = {.iov_base = text + text_used, .iov_len = TEXT_BYTES - text_used};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t got = recvmsg(peer, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0 && errno != ECONNRESET) fail("handshake", "%s", strerror(errno));
  if (got <= 0) {
    if (text_used > 0) fail("handshake", "the VMM ended within its handshake");
    vm_gone();
  }
  text_used += (size_t)got;
  take_descriptors(&message);
  return true;
}

bool handshake_receive(int peer, struct region regions[MAX_REGIONS], size_t *count, int *uffd) {
  if (!receive(peer)) return false;
  const char *reason = NULL;
  enum parsed parsed = parse_regions(text, text_used, source_bytes(), regions, count, &reason);
  if (parsed == NOT_PARSED) fail("handshake", "%s", reason);
  if (parsed == PARSED_IN_PART) {
    if (text_used == TEXT_BYTES) fail("handshake", "more than %u bytes", TEXT_BYTES);
    return false;
  }
  check_descriptor(regions, *count);
  *uffd = descriptor;
  return true;
}
