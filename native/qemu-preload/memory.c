/*
 * Building a clone's guest memory.
 *
 * MEMORY_LAYERS: a base (the memory file, or anonymous memory) and over it the plan's regions, each
 * a private mapping of the memory file or of the working-set file. Regions that the plan marks are
 * then populated, in the plan's order, by a thread of this process while QEMU goes on and while the
 * guest already runs: their pages are entered in the page tables before the guest asks for them.
 *
 * MEMORY_USERFAULT: anonymous memory under a userfaultfd, which is handed to the page server in
 * Firecracker's form (docs/protocol/page-server.md). This process keeps its own copy of it: if the
 * page server dies, a guest that waits for a page goes on waiting instead of reading zeros.
 *
 * The plan file, little-endian, written by src/vmm/qemu/plan.ts:
 *   0   8 bytes  magic "SPKLMAP1"
 *   8   u32      number of regions
 *   12  u32      base: 0 the memory file, 1 anonymous
 *   16  u64      bytes of guest memory
 *   then for each region 32 bytes:
 *   0   u64      first guest page
 *   8   u64      pages
 *   16  u64      first page of the file
 *   24  u32      file: 0 memory, 1 working set, 2 none: no mapping of its own, only populated
 *   28  u32      populate: 0 no, 1 for reading (stays shared), 2 for writing (becomes private)
 */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef USERFAULTFD_IOC_NEW /* linux/userfaultfd.h since 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef MADV_POPULATE_READ /* since 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE_BYTES 4096ull
#define MAX_REGIONS 60000u /* below the kernel's vm.max_map_count of 65530 */
#define POPULATE_STACK_BYTES (64 * 1024)
#define EXIT_MEMORY_FAILED 125

enum { FROM_MEMORY, FROM_WORKING_SET, FROM_NOTHING };
enum { POPULATE_NO, POPULATE_READ, POPULATE_WRITE };

struct plan_header {
  char magic[8];
  uint32_t regions;
  uint32_t anonymous;
  uint64_t bytes;
};

struct plan_region {
  uint64_t page;
  uint64_t pages;
  uint64_t file_page;
  uint32_t file;
  uint32_t populate;
};
_Static_assert(sizeof(struct plan_header) == 24 && sizeof(struct plan_region) == 32,
               "the structures are the file's");

static struct {
  char *memory;
  const struct plan_region *regions;
  uint32_t count;
} work;
static struct populated progress;
static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_signal = PTHREAD_COND_INITIALIZER;

static _Noreturn void give_up(const char *what) {
  fprintf(stderr, "qemu-preload: guest memory: %s: %s\n", what, strerror(errno));
  _exit(EXIT_MEMORY_FAILED);
}

static _Noreturn void bad_plan(const char *what) {
  errno = EINVAL;
  give_up(what);
}

bool memory_parse_mode(const char *text, enum memory_mode *mode) {
  static const char *names[] = {"shared", "private", "layers", "userfault", "unnamed"};
  for (unsigned i = 0; text != NULL && i < sizeof names / sizeof *names; i++)
    if (strcmp(text, names[i]) == 0) {
      *mode = (enum memory_mode)i;
      return true;
    }
  return false;
}

/* ---- layers ---- */

/* The plan in memory; it stays, since the populating thread reads it. */
static const struct plan_region *read_plan(int fd, size_t length, struct plan_header *header) {
  struct stat status;
  if (fstat(fd, &status) != 0) give_up("the plan");
  size_t size = (size_t)status.st_size;
  if (size < sizeof *header) bad_plan("the plan is too short");
  char *bytes = malloc(size);
  if (bytes == NULL || pread(fd, bytes, size, 0) != (ssize_t)size) give_up("reading the plan");
  memcpy(header, bytes, sizeof *header);
  if (memcmp(header->magic, "SPKLMAP1", sizeof header->magic) != 0) bad_plan("this is no plan");
  if (header->bytes != length) bad_plan("the plan is for another size of memory");
  if (header->regions > MAX_REGIONS) bad_plan("the plan has too many regions");
  if (size != sizeof *header + header->regions * sizeof(struct plan_region))
    bad_plan("the plan has another size than it says");
  return (const struct plan_region *)(const void *)(bytes + sizeof *header);
}

static uint64_t file_pages(int fd) {
  struct stat status;
  return fd >= 0 && fstat(fd, &status) == 0 ? (uint64_t)status.st_size / PAGE_BYTES : 0;
}

/* A mapping past a file's end would end the VM at the first touch. */
static void check_region(const struct plan_region *region, uint64_t memory_pages,
                         uint64_t source_pages) {
  if (region->pages == 0 || region->page >= memory_pages ||
      region->pages > memory_pages - region->page)
    bad_plan("a region lies outside of guest memory");
  if (region->file > FROM_NOTHING || region->populate > POPULATE_WRITE)
    bad_plan("a region is not understood");
  if (region->file != FROM_NOTHING &&
      (region->file_page >= source_pages || region->pages > source_pages - region->file_page))
    bad_plan("a region lies outside of its file");
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void say_done(void) {
  pthread_mutex_lock(&done_lock);
  __atomic_store_n(&progress.done, 1, __ATOMIC_RELEASE);
  pthread_cond_broadcast(&done_signal);
  pthread_mutex_unlock(&done_lock);
}

void memory_wait_populated(void) {
  pthread_mutex_lock(&done_lock);
  while (progress.done == 0) pthread_cond_wait(&done_signal, &done_lock);
  pthread_mutex_unlock(&done_lock);
}

static void *populate(void *unused) {
  (void)unused;
  uint64_t began = now_ns();
  for (uint32_t i = 0; i < work.count; i++) {
    const struct plan_region *region = &work.regions[i];
    if (region->populate == POPULATE_NO) continue;
    int advice = region->populate == POPULATE_READ ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
    char *at = work.memory + region->page * PAGE_BYTES;
    /* What cannot be populated faults when the guest touches it, as it would have anyway. */
    if (madvise(at, region->pages * PAGE_BYTES, advice) != 0)
      __atomic_add_fetch(&progress.failures, 1, __ATOMIC_RELAXED);
    else
      __atomic_add_fetch(&progress.pages, region->pages, __ATOMIC_RELAXED);
  }
  __atomic_store_n(&progress.ns, now_ns() - began, __ATOMIC_RELAXED);
  say_done();
  return NULL;
}

static void start_populating(void) {
  sigset_t all, before;
  pthread_attr_t attributes;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, POPULATE_STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (pthread_create(&thread, &attributes, populate, NULL) != 0) say_done();
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *map_base(const struct wanted *wanted, bool anonymous, int memory, mmap_function map) {
  int flags = MAP_PRIVATE | MAP_NORESERVE | wanted->fixed | (anonymous ? MAP_ANONYMOUS : 0);
  void *at = map(wanted->address, wanted->length, wanted->protection, flags,
                 anonymous ? -1 : memory, anonymous ? 0 : wanted->offset);
  if (at == MAP_FAILED) give_up("mapping");
  return at;
}

static void *map_layers(const struct wanted *wanted, const struct memory_descriptors *from,
                        mmap_function map) {
  struct plan_header header;
  size_t length = wanted->length;
  const struct plan_region *regions = read_plan(from->plan, length, &header);
  char *memory = map_base(wanted, header.anonymous != 0, from->memory, map);
  uint64_t pages[] = {file_pages(from->memory), file_pages(from->working_set), 0};
  bool any = false;
  for (uint32_t i = 0; i < header.regions; i++) {
    const struct plan_region *region = &regions[i];
    check_region(region, length / PAGE_BYTES, pages[region->file > FROM_NOTHING ? 2 : region->file]);
    any = any || region->populate != POPULATE_NO;
    if (region->file == FROM_NOTHING) continue;
    int fd = region->file == FROM_MEMORY ? from->memory : from->working_set;
    void *at = map(memory + region->page * PAGE_BYTES, region->pages * PAGE_BYTES,
                   wanted->protection, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd,
                   (off_t)(region->file_page * PAGE_BYTES));
    if (at == MAP_FAILED) give_up("mapping a region");
    /* A page that the working set missed is one page: read-ahead around it would bring megabytes of
       what the working set left out on purpose. */
    if (fd == from->memory && pages[FROM_WORKING_SET] > 0)
      madvise(at, region->pages * PAGE_BYTES, MADV_RANDOM);
  }
  work.memory = memory;
  work.regions = regions;
  work.count = header.regions;
  if (any)
    start_populating();
  else
    say_done();
  return memory;
}

/* ---- userfaultfd ---- */

static int open_userfault(int device, void *memory, size_t length) {
  /* A descriptor of the device serves faults of the kernel too, also for a process without rights. */
  int fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) give_up("/dev/userfaultfd");
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMOVE};
  if (ioctl(fd, UFFDIO_API, &api) != 0) give_up("the userfaultfd's features");
  struct uffdio_register range = {
      .range = {.start = (uint64_t)(uintptr_t)memory, .len = length},
      .mode = UFFDIO_REGISTER_MODE_MISSING,
  };
  if (ioctl(fd, UFFDIO_REGISTER, &range) != 0) give_up("registering guest memory");
  return fd;
}

static void hand_over(int socket, int userfault, void *memory, size_t length) {
  char text[256];
  int size = snprintf(text, sizeof text,
                      "[{\"base_host_virt_addr\":%llu,\"size\":%zu,\"offset\":0,\"page_size\":4096,"
                      "\"page_size_kib\":4}]",
                      (unsigned long long)(uintptr_t)memory, length);
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control = {{0}};
  struct iovec vector = {.iov_base = text, .iov_len = (size_t)size};
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &userfault, sizeof userfault);
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent != size) give_up("the page server");
}

static void *map_userfault(const struct wanted *wanted, const struct memory_descriptors *from,
                           mmap_function map) {
  size_t length = wanted->length;
  void *memory = map_base(wanted, true, -1, map);
  /* Copies are of 4 KiB pages: a huge page would bring zeros beside the one that was asked for. */
  madvise(memory, length, MADV_NOHUGEPAGE);
  hand_over(from->pages, open_userfault(from->userfault, memory, length), memory, length);
  say_done();
  return memory;
}

void *memory_map(enum memory_mode mode, const struct wanted *wanted,
                 const struct memory_descriptors *from, mmap_function map) {
  if (mode == MEMORY_LAYERS) return map_layers(wanted, from, map);
  if (mode == MEMORY_USERFAULT) return map_userfault(wanted, from, map);
  say_done();
  return map_base(wanted, false, from->memory, map);
}

struct populated memory_populated(void) {
  struct populated now;
  now.done = __atomic_load_n(&progress.done, __ATOMIC_ACQUIRE);
  now.pages = __atomic_load_n(&progress.pages, __ATOMIC_RELAXED);
  now.ns = __atomic_load_n(&progress.ns, __ATOMIC_RELAXED);
  now.failures = __atomic_load_n(&progress.failures, __ATOMIC_RELAXED);
  return now;
}
