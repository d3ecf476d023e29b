/*
 * page-server: the VM's memory, page by page.
 *
 * While an event of the VM (memory given back, moved, a fork) is not read, or what caused it has
 * not gone on, the kernel refuses every copy with EAGAIN, and the VM's thread waits for the event
 * to be read. So nothing here tries a copy again by itself: it says so to the loop in main.c,
 * which reads events first. Source: userfaultfd(2), ioctl_userfaultfd(2), mm/userfaultfd.c.
 */
#include "server.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Events of one read, and reads before faults are served. */
#define EVENTS_PER_READ 64u
#define READS_PER_TURN 16u

struct guest guest;

void guest_open(int fd, const struct region *list, size_t count) {
  guest.fd = fd;
  memcpy(guest.regions, list, count * sizeof list[0]);
  guest.count = count;
  uint64_t pages = source_bytes() / PAGE;
  guest.removed = bitmap_new(pages);
  guest.present = bitmap_new(pages);
  guest.waiting = bitmap_new(pages);
}

void vm_gone(void) {
  trace_flush();
  control_say("{\"event\":\"gone\"}");
  leave(0);
}

void wake(uint64_t address, uint64_t length) {
  struct uffdio_range range = {.start = address, .len = length};
  if (ioctl(guest.fd, UFFDIO_WAKE, &range) == 0) return;
  if (errno == ESRCH) vm_gone();
  fail("userfaultfd", "wake: %s", strerror(errno));
}

void guest_wake_all(void) {
  for (size_t i = 0; i < guest.count; i++) wake(guest.regions[i].base, guest.regions[i].size);
}

/* The region that holds a page of the memory file. */
static const struct region *region_of(uint64_t page) {
  uint64_t offset = page * PAGE;
  for (size_t i = 0; i < guest.count; i++) {
    const struct region *region = &guest.regions[i];
    if (offset >= region->offset && offset - region->offset < region->size) return region;
  }
  return NULL;
}

enum installed { INSTALLED, THERE_ALREADY, NOT_NOW, NOWHERE };

/* What became of an ioctl that installs pages; `bytes` is what it says to have done. */
static enum installed outcome(int result, int64_t bytes) {
  if (result == 0 || (errno == EAGAIN && bytes > 0)) return INSTALLED;
  switch (errno) {
    case EAGAIN: return NOT_NOW;
    case EEXIST: return THERE_ALREADY;
    case ENOENT: return NOWHERE;
    case ESRCH: vm_gone();
    default: fail("userfaultfd", "a page cannot be installed: %s", strerror(errno));
  }
}

/* `pages` becomes how many were installed. */
static enum installed copy(uint64_t to, const unsigned char *from, uint64_t *pages, uint64_t mode) {
  struct uffdio_copy request = {
      .dst = to, .src = (uint64_t)(uintptr_t)from, .len = *pages * PAGE, .mode = mode};
  enum installed done = outcome(ioctl(guest.fd, UFFDIO_COPY, &request), request.copy);
  *pages = done == INSTALLED ? (uint64_t)request.copy / PAGE : 0;
  return done;
}

static enum installed zero(uint64_t to, uint64_t mode) {
  struct uffdio_zeropage request = {.range = {.start = to, .len = PAGE}, .mode = mode};
  return outcome(ioctl(guest.fd, UFFDIO_ZEROPAGE, &request), request.zeropage);
}

void guest_read_events(void) {
  for (unsigned turn = 0; turn < READS_PER_TURN; turn++) {
    struct uffd_msg events[EVENTS_PER_READ];
    ssize_t got = read(guest.fd, events, sizeof events);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) fail("userfaultfd", "read: %s", strerror(errno));
    if (got == 0 || (size_t)got % sizeof events[0] != 0)
      fail("userfaultfd", "read: %zd bytes are no events", got);
    for (size_t i = 0; i < (size_t)got / sizeof events[0]; i++) handle_event(&events[i]);
  }
}

static bool is_zero(const unsigned char *page) {
  return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* A page that we put there is missing, though nobody gave it back: what was written to it is
 * lost, and the memory file's content would be old. Whoever misses it is not woken. */
__attribute__((noreturn)) static void vanished(uint32_t page) {
  fail("userfaultfd", "page %u vanished without an event", page);
}

/* False if it must be tried again after reading events. */
static bool serve(uint32_t page) {
  const struct region *region = region_of(page);
  uint64_t to = region->base + ((uint64_t)page * PAGE - region->offset), pages = 1;
  bool removed = bitmap_get(guest.removed, page), present = bitmap_get(guest.present, page);
  uint64_t mode = present ? UFFDIO_COPY_MODE_DONTWAKE : 0;
  const unsigned char *data = removed ? NULL : source_page(page);
  bool zeros = removed || is_zero(data);
  switch (zeros ? zero(to, mode) : copy(to, data, &pages, mode)) {
    case NOT_NOW: return false;
    case NOWHERE:
      if (!removed) fail("userfaultfd", "page %u is at no registered address", page);
      wake(to, PAGE);
      return true;
    case THERE_ALREADY: wake(to, PAGE); break;
    case INSTALLED:
      if (present) vanished(page);
      if (zeros) counters.zeroed++;
      else counters.copied++;
      break;
  }
  /* Of a page that was given back nothing old is left: it may vanish again. */
  if (!removed) bitmap_set(guest.present, page);
  return true;
}

bool guest_serve_faults(void) {
  /* Before the first fault there is no queue at all. */
  if (guest.queued == 0) return true;
  size_t served = 0;
  while (served < guest.queued && serve(guest.queue[served]))
    bitmap_clear(guest.waiting, guest.queue[served++]);
  guest.queued -= served;
  memmove(guest.queue, guest.queue + served, guest.queued * sizeof guest.queue[0]);
  return guest.queued == 0;
}

/* How many of `pages` from `page` on can be installed with one copy. */
static uint64_t run_length(const struct region *region, uint64_t page, uint64_t pages) {
  uint64_t end = (region->offset + region->size) / PAGE, length = 0;
  while (length < pages && page + length < end && !bitmap_get(guest.removed, page + length) &&
         !bitmap_get(guest.present, page + length))
    length++;
  return length;
}

bool guest_prefetch(uint64_t page, const unsigned char *data, uint64_t pages, uint64_t *done) {
  for (uint64_t end = page + pages; page < end;) {
    const struct region *region = region_of(page);
    uint64_t run = region == NULL ? 0 : run_length(region, page, end - page), step = run;
    if (run > 0) {
      uint64_t to = region->base + (page * PAGE - region->offset);
      enum installed result = copy(to, data, &step, UFFDIO_COPY_MODE_DONTWAKE);
      if (result == NOT_NOW) return false;
      if (result == NOWHERE)
        fail("userfaultfd", "page %llu is at no registered address", (unsigned long long)page);
      counters.prefetched += step;
    }
    /* There already, given back, or in no region: nothing to install, on to the next. */
    if (step == 0) step = 1;
    for (uint64_t i = 0; run > 0 && i < step; i++) bitmap_set(guest.present, page + i);
    page += step;
    data += step * PAGE;
    *done += step;
  }
  return true;
}
