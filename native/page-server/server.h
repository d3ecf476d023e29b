/* page-server: what its files offer to each other. main.c says what the program is. */
#ifndef SPARKLER_PAGE_SERVER_H
#define SPARKLER_PAGE_SERVER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");

#define PAGE 4096u
/* Bytes that one checksum covers, in the memory file and in the data of a working-set file. */
#define BLOCK 65536u
/* Regions in a handshake: Firecracker has one per hole in the guest's address space. */
#define MAX_REGIONS 64u

/* A range of the VMM's memory, and where its content begins in the memory file. All in bytes. */
struct region {
  uint64_t base, size, offset;
};

/* Counted since the start, for `stats`. In pages, except faults (events) and read_bytes. */
struct counters {
  uint64_t faults, copied, zeroed, removed, prefetched, read_bytes;
};
extern struct counters counters;

/* control.c: the channel to the daemon, and the ends of this program. */
void control_open(int fd);
struct pollfd control_poll(void);
/* Reads commands and writes what waits, as far as it goes without waiting. */
void control_handle(short events);
__attribute__((format(printf, 1, 2))) void control_say(const char *format, ...);
__attribute__((noreturn)) void leave(int status);
/* Reports an error and exits. The guest stays blocked on what it misses. */
__attribute__((noreturn, format(printf, 2, 3))) void fail(const char *code, const char *format,
                                                          ...);

/* bitmap.c: one bit per page or block. */
uint64_t *bitmap_new(uint64_t bits);
bool bitmap_get(const uint64_t *map, uint64_t bit);
/* Whether the bit was clear before. */
bool bitmap_set(uint64_t *map, uint64_t bit);
void bitmap_clear(uint64_t *map, uint64_t bit);

/* trace.c: the record of first faults. Without a descriptor nothing is recorded. */
void trace_open(int fd, uint64_t pages);
void trace_page(uint32_t page);
/* Everything recorded is in the file afterwards. Returns how many pages that is. */
uint64_t trace_flush(void);

/* source.c: the memory file. */
void source_open(int memory, int sums);
uint64_t source_bytes(void);
/* A page's content, checked; valid until the next call. */
const unsigned char *source_page(uint32_t page);
uint64_t file_bytes(int fd, const char *what);
void read_fully(int fd, void *to, size_t length, uint64_t offset, const char *what);

/* handshake.c and json.c */
enum parsed { PARSED, PARSED_IN_PART, NOT_PARSED };
/* Reads the VMM's list of regions of a memory file of `memory` bytes; `reason` if NOT_PARSED. */
enum parsed parse_regions(const char *text, size_t length, uint64_t memory,
                          struct region regions[MAX_REGIONS], size_t *count, const char **reason);
/* Takes what the VMM has sent; true once the handshake is complete. */
bool handshake_receive(int peer, struct region regions[MAX_REGIONS], size_t *count, int *uffd);
void check_peer(int peer, uint32_t uid);

/* guest.c: the VM's memory. What returns false met an event that is not yet read (EAGAIN). */
void guest_open(int fd, const struct region *list, size_t count);
void guest_read_events(void);
bool guest_serve_faults(void);
/* Installs pages of the memory file, from `data`, as far as they are still missing; adds to
 * `done` how many pages are dealt with. Nobody is woken. */
bool guest_prefetch(uint64_t page, const unsigned char *data, uint64_t pages, uint64_t *done);
void guest_wake_all(void);
/* The VMM ended, and so does this program. */
__attribute__((noreturn)) void vm_gone(void);

/* events.c: what guest.c shares with it. */
struct uffd_msg;
extern struct guest {
  int fd;
  struct region regions[MAX_REGIONS];
  size_t count;
  /* Per page of the memory file: given back by the guest (zeros from then on); put there by us. */
  uint64_t *removed, *present;
  /* Pages that somebody waits for, in order, each once. */
  uint64_t *waiting;
  uint32_t *queue;
  size_t queued, capacity;
} guest;
void handle_event(const struct uffd_msg *event);
void wake(uint64_t address, uint64_t length);

/* working-set.c: the prefetch. */
void working_set_open(int fd, bool direct, bool single_read);
void prefetch_start(void);
bool prefetch_active(void);
/* One read, or the installation of what the last one gave. */
bool prefetch_step(void);

#endif
