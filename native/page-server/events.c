/* page-server: what the VM's userfaultfd tells: faults, and memory given back or moved. */
#include "server.h"

#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <unistd.h>

/* The region at an address; NULL if the VMM named none. */
static struct region *region_at(uint64_t address) {
  for (size_t i = 0; i < guest.count; i++) {
    struct region *region = &guest.regions[i];
    if (address >= region->base && address - region->base < region->size) return region;
  }
  return NULL;
}

static void enqueue(uint32_t page) {
  if (!bitmap_set(guest.waiting, page)) return;
  if (guest.queued == guest.capacity) {
    size_t capacity = guest.capacity * 2 + 64;
    uint32_t *larger = realloc(guest.queue, capacity * sizeof larger[0]);
    if (larger == NULL) fail("resources", "no memory for %zu faults", capacity);
    guest.queue = larger;
    guest.capacity = capacity;
  }
  guest.queue[guest.queued++] = page;
}

static void handle_fault(uint64_t address, uint64_t flags) {
  counters.faults++;
  if ((flags & ~(uint64_t)UFFD_PAGEFAULT_FLAG_WRITE) != 0)
    fail("userfaultfd", "a fault of an unknown kind: flags %llx", (unsigned long long)flags);
  const struct region *region = region_at(address);
  if (region == NULL)
    fail("userfaultfd", "a fault outside of the regions: %llx", (unsigned long long)address);
  uint32_t page = (uint32_t)((address - region->base + region->offset) / PAGE);
  trace_page(page);
  enqueue(page);
}

/* Zeros from now on: nothing of the memory file may appear in [start, end) again. */
static void handle_remove(uint64_t start, uint64_t end) {
  for (size_t i = 0; i < guest.count; i++) {
    const struct region *region = &guest.regions[i];
    uint64_t from = start > region->base ? start : region->base;
    uint64_t region_end = region->base + region->size, to = end < region_end ? end : region_end;
    for (uint64_t address = from; address < to; address += PAGE) {
      uint64_t page = (address - region->base + region->offset) / PAGE;
      if (bitmap_set(guest.removed, page)) counters.removed++;
      bitmap_clear(guest.present, page);
    }
  }
}

/* An address means one page only: the VMM moved region `moved` over another one. */
static void check_apart(size_t moved) {
  const struct region *a = &guest.regions[moved];
  for (size_t i = 0; i < guest.count; i++) {
    const struct region *b = &guest.regions[i];
    if (i != moved && a->base < b->base + b->size && b->base < a->base + a->size)
      fail("userfaultfd", "the VMM moved region %zu over region %zu", moved, i);
  }
}

/* Whole regions keep their pages at their new address. Who waits at the old one finds nothing. */
static void handle_remap(uint64_t from, uint64_t to, uint64_t length) {
  for (size_t i = 0; i < guest.count; i++) {
    struct region *region = &guest.regions[i];
    uint64_t end = region->base + region->size;
    if (end <= from || region->base >= from + length) continue;
    if (region->base < from || end > from + length)
      fail("userfaultfd", "the VMM moved a part of region %zu", i);
    wake(region->base, region->size);
    region->base = region->base - from + to;
    check_apart(i);
  }
}

void handle_event(const struct uffd_msg *event) {
  switch (event->event) {
    case UFFD_EVENT_PAGEFAULT:
      handle_fault(event->arg.pagefault.address, event->arg.pagefault.flags);
      return;
    case UFFD_EVENT_REMOVE:
    case UFFD_EVENT_UNMAP:
      handle_remove(event->arg.remove.start, event->arg.remove.end);
      return;
    case UFFD_EVENT_REMAP:
      handle_remap(event->arg.remap.from, event->arg.remap.to, event->arg.remap.len);
      return;
    case UFFD_EVENT_FORK:
      /* The VMM's child is not the guest and gets no pages. */
      close((int)event->arg.fork.ufd);
      return;
    default: fail("userfaultfd", "an unknown event: %u", event->event);
  }
}
