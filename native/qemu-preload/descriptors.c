/*
 * Open files across a copy of the process. What a copy gets for itself is recognized by its inode,
 * under whatever number QEMU has duplicated it to. Event descriptors get the same counter, and epoll
 * descriptors watch the same numbers. What else is open is shared if nobody moves its position.
 */
#include "descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "handover.h"
#include "say.h"

#define MAX_FDS 256

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

static struct slot slots[HANDOVER_MAX_SLOTS];
static unsigned slot_count;
static struct descriptor descriptors[MAX_FDS];
static unsigned descriptor_count;
static struct watch watches[MAX_FDS];
static unsigned watch_count;
/* Why not, the first that was found. */
static char reason[512];

static void refuse(const char *why, const char *what) {
  if (reason[0] == '\0') snprintf(reason, sizeof reason, "%s %.400s", why, what);
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

unsigned descriptors_take_slots(const char *numbers) {
  for (char *end; *numbers != '\0'; numbers = *end == ',' ? end + 1 : end) {
    long number = strtol(numbers, &end, 10);
    must(end != numbers, "SPARKLER_SLOTS");
    add_slot((int)number);
  }
  return slot_count;
}

/* ---- what is open ---- */

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
    if (twin) refuse("two numbers for one", "event descriptor");
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
    if (watch_count == MAX_FDS) {
      refuse("too many", "watched descriptors");
      break;
    }
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
  if (descriptor_count == MAX_FDS) return refuse("too many", "descriptors");
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
    refuse("cannot be shared:", target);
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

static bool is_one_of(int fd, const int *list, unsigned count) {
  for (unsigned k = 0; k < count; k++) {
    if (list[k] == fd) return true;
  }
  return false;
}

const char *descriptors_describe(const int *kept, unsigned count) {
  descriptor_count = watch_count = 0;
  reason[0] = '\0';
  DIR *dir = open_own("/proc/self/fd");
  for (int fd; (fd = next_number(dir)) >= 0;) {
    if (fd != dirfd(dir) && !is_one_of(fd, kept, count)) describe(fd);
  }
  closedir(dir);
  return reason[0] == '\0' ? NULL : reason;
}

int count_numbers(const char *folder) {
  int found = 0;
  DIR *dir = open_own(folder);
  while (next_number(dir) >= 0) found++;
  closedir(dir);
  return found;
}

/* ---- in the copy ---- */

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

void descriptors_replace(const int *received) {
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
void descriptors_close_others(void) {
  unsigned from = 0;
  for (unsigned k = 0; k < descriptor_count; k++) {
    unsigned fd = (unsigned)descriptors[k].fd;
    if (fd > from) must(close_range(from, fd - 1, 0) == 0, "close descriptors");
    from = fd + 1;
  }
  must(close_range(from, ~0u, 0) == 0, "close descriptors");
}
