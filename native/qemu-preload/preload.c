/*
 * qemu-preload: lets the daemon decide how a stock QEMU maps its guest's memory.
 *
 * QEMU is told that guest memory is a shared file (memory-backend-file, share=on,
 * mem-path=/sparkler/memory), so that it leaves memory out of the device state that it saves
 * (capability x-ignore-shared). This library
 *   - answers the opening of that path with a descriptor that the process inherited: the VMM needs
 *     no right to any path, and a snapshot's memory file can be one opened for reading only;
 *   - maps it for a clone in the way that the daemon says (memory.c): the file privately, in layers
 *     of two files, or as anonymous memory whose pages a page server brings;
 *   - on the daemon's word turns a shared mapping into a private one in place: what the guest wrote
 *     until then is in the file, which thereby is a finished snapshot without a byte copied, and
 *     what the guest writes from then on is not;
 *   - keeps a balloon's hands off a snapshot's file: QEMU punches holes into a file that it believes
 *     to be shared. What is private it gives back by madvise alone, which it does in any case.
 *
 * Environment, set by the daemon and removed here:
 *   SPARKLER_MEMORY_FD   descriptor of the memory file
 *   SPARKLER_READ_FD     the same file opened for reading only; what is left after 'P'
 *   SPARKLER_MEMORY_MODE `shared` or `unnamed` (a booting VM; its memory is the file, or a memfd
 *                        that is made here, `sparkler-memory`); `private`, `layers` or `userfault` (a clone)
 *   SPARKLER_PAGES_FD, SPARKLER_USERFAULT_FD, SPARKLER_PLAN_FD, SPARKLER_WORKING_SET_FD
 *                        what these modes need; see memory.h
 *   SPARKLER_CONTROL_FD  a stream socket: the daemon sends one byte, the answer is one byte
 *       'P' make the mapping private; the VM must be paused.   answers 'p', or 'e' when it failed
 *       'A' where is guest memory?                             answers 'a', then address and length,
 *                                                              two 64-bit little-endian integers
 *       'S' what has been populated?                           answers 's', then struct populated
 *       'W' wait until all is populated.                       answers 'w'
 *       'F', 'D', 'B' are about memory beside the memory file: blocks.c
 */
#include "blocks.h"
#include "memory.h"
#include "template.h"
#include "vmfork.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define MEMORY_PATH "/sparkler/memory"
#define CONTROL_STACK_BYTES (64 * 1024)
#define EXIT_USAGE 125
/* All else is hidden: QEMU exports its own names, and ours would come first. */
#define EXPORTED __attribute__((visibility("default")))

static struct memory_descriptors descriptors = {-1, -1, -1, -1, -1};
static int read_fd = -1;
static int control_fd = -1;
static enum memory_mode memory_mode = MEMORY_SHARED;

/* The descriptor that QEMU holds for MEMORY_PATH, and where it mapped it: one region, since the
   machine has one memory backend. Written before the guest runs, read by the control thread. */
static int qemu_fd = -1;
static void *region_address;
static size_t region_length;
static off_t region_offset;
/* Guest memory was shared and is no more. */
static bool is_private;

typedef int (*open_function)(const char *, int, ...);
typedef int (*fallocate_function)(int, int, off_t, off_t);
static open_function next_open;
static mmap_function next_mmap;
static fallocate_function next_fallocate;

/* The file is the memory: what the guest writes is in it. */
static bool is_written(enum memory_mode mode) {
  return mode == MEMORY_SHARED || mode == MEMORY_UNNAMED;
}

static bool make_private(void) {
  if (region_address == NULL) return false;
  is_private = true;
  void *at = next_mmap(region_address, region_length, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, read_fd, region_offset);
  /* The file is a snapshot's from now on: nothing here may write to it any more. */
  return at == region_address && dup2(read_fd, descriptors.memory) >= 0 && dup2(read_fd, qemu_fd) >= 0;
}

static bool send_all(const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t sent = write(control_fd, at, length);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    length -= (size_t)sent;
  }
  return true;
}

static bool answer(char command) {
  struct __attribute__((packed)) {
    char tag;
    uint64_t address;
    uint64_t length;
  } where = {'a', (uint64_t)(uintptr_t)region_address, region_length};
  struct __attribute__((packed)) {
    char tag;
    struct populated populated;
  } what = {'s', memory_populated()};
  char verdict;
  switch (command) {
    case 'P':
      verdict = make_private() ? 'p' : 'e';
      return send_all(&verdict, 1);
    case 'A':
      return send_all(&where, sizeof where);
    case 'W':
      memory_wait_populated();
      verdict = 'w';
      return send_all(&verdict, 1);
    case 'S':
      return send_all(&what, sizeof what);
    default:
      return blocks_answer(command, control_fd);
  }
}

/* Ends when the daemon closes its end; the VMM itself dies with the daemon by other means. */
static void *serve_control(void *unused) {
  (void)unused;
  char command;
  for (;;) {
    ssize_t got = read(control_fd, &command, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got != 1 || !answer(command)) return NULL;
  }
}

static int take_descriptor(const char *name) {
  const char *text = getenv(name);
  if (text == NULL) return -1;
  int fd = atoi(text);
  unsetenv(name);
  return fd;
}

static void start_control_thread(void) {
  /* QEMU's own threads handle its signals; this one takes none. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, CONTROL_STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, serve_control, NULL) != 0) _exit(EXIT_USAGE);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A template has nothing of this: its children get it with their requests. */
static void take_environment(void) {
  const char *asked = getenv("SPARKLER_MEMORY_MODE");
  if (asked != NULL && !memory_parse_mode(asked, &memory_mode)) _exit(EXIT_USAGE);
  descriptors.memory = take_descriptor("SPARKLER_MEMORY_FD");
  descriptors.pages = take_descriptor("SPARKLER_PAGES_FD");
  descriptors.userfault = take_descriptor("SPARKLER_USERFAULT_FD");
  descriptors.plan = take_descriptor("SPARKLER_PLAN_FD");
  descriptors.working_set = take_descriptor("SPARKLER_WORKING_SET_FD");
  read_fd = take_descriptor("SPARKLER_READ_FD");
  control_fd = take_descriptor("SPARKLER_CONTROL_FD");
  unsetenv("SPARKLER_MEMORY_MODE");
  if (control_fd >= 0) start_control_thread();
}

__attribute__((constructor)) static void start(void) {
  next_open = (open_function)dlsym(RTLD_NEXT, "open");
  next_mmap = (mmap_function)dlsym(RTLD_NEXT, "mmap");
  next_fallocate = (fallocate_function)dlsym(RTLD_NEXT, "fallocate");
  unsetenv("LD_PRELOAD");
  template_prepare();
  vmfork_prepare();
  take_environment();
}

static int open_any(const char *path, int flags, mode_t mode) {
  if (template_is_waiting() && strcmp(path, MEMORY_PATH) == 0) {
    template_serve();
    take_environment();
  }
  if (descriptors.memory >= 0 && strcmp(path, MEMORY_PATH) == 0) {
    qemu_fd = memory_mode == MEMORY_UNNAMED ? memfd_create("sparkler-memory", MFD_CLOEXEC)
                                            : fcntl(descriptors.memory, F_DUPFD_CLOEXEC, 0);
    return qemu_fd;
  }
  if (blocks_own(path)) return blocks_open(path);
  return next_open(path, flags, mode);
}

EXPORTED int open(const char *path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return open_any(path, flags, mode);
}

/* The names that fortified and large-file builds call; on x86-64 all are the same function. */
EXPORTED int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORTED int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) { return open_any(path, flags, 0); }
EXPORTED int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

EXPORTED void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  bool is_memory = fd >= 0 && fd == qemu_fd && (flags & MAP_SHARED) != 0;
  struct wanted wanted = {address, length, protection, flags & MAP_FIXED, offset};
  void *at = is_memory && !is_written(memory_mode)
                 ? memory_map(memory_mode, &wanted, &descriptors, next_mmap)
                 : next_mmap(address, length, protection, flags, fd, offset);
  if (is_memory && at != MAP_FAILED) {
    region_address = at;
    region_length = length;
    region_offset = offset;
  }
  if (at != MAP_FAILED) blocks_mapped(fd, at, length);
  return at;
}

EXPORTED void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

EXPORTED int fallocate(int fd, int mode, off_t offset, off_t length) {
  bool keeps_file = fd >= 0 && fd == qemu_fd && (!is_written(memory_mode) || is_private);
  return keeps_file ? 0 : next_fallocate(fd, mode, offset, length);
}

EXPORTED int fallocate64(int fd, int mode, off_t offset, off_t length)
    __attribute__((alias("fallocate")));
