/*
 * vmfork: a VM that stands restored and paused, its guest's first steps behind it, is copied for each
 * clone: memory copy-on-write, devices, and what the emulator has translated. A thread beside QEMU's
 * serves the requests (handover.h), so that nothing of QEMU takes part.
 *
 * A copy gets the descriptors of its request in place of this VM's (its monitor, channel, console,
 * control socket, and files), its own cgroup, and a filter that denies processes. It keeps the user:
 * the VM itself has no right to change it. So that clones of one VM, which share that user, cannot
 * reach each other's memory, they are not dumpable.
 *
 * The daemon asks only while the VM is paused and nothing is under way in its monitor and devices.
 *
 * Environment, set by the daemon and removed here:
 *   SPARKLER_FORK_FD  stream socket on which requests come; its end means: no more. The highest
 *                     number of all that are inherited
 *   SPARKLER_SLOTS    numbers of the descriptors that each copy gets for itself: 2,3,4
 */
#include "vmfork.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "confine.h"
#include "descriptors.h"
#include "requests.h"
#include "say.h"
#include "threads.h"

#define STACK_BYTES (256 * 1024)
#define MAX_OWN 256
#define EXPORTED __attribute__((visibility("default")))

static bool has_clones;

/* QEMU asks that guest memory be left out of a fork. */
EXPORTED int madvise(void *address, size_t length, int advice) {
  if (has_clones && advice == MADV_DONTFORK) return 0;
  return (int)syscall(SYS_madvise, address, length, advice);
}

static pid_t copy(void) {
  int own[MAX_OWN];
  const char *why = descriptors_describe(own, requests_descriptors(own, MAX_OWN));
  if (why != NULL) {
    dprintf(STDERR_FILENO, "vmfork: %s\n", why);
    errno = ENOTSUP;
    return -1;
  }
  if (!threads_stop()) return -1;
  /* Not fork(): the C library would take the other threads' stacks for free. */
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid != 0) threads_release();
  return pid;
}

/* Any of the other threads may hold the allocator's locks until they go on. */
static _Noreturn void become_clone(const struct given *given) {
  if (given->cgroup >= 0) must(write(given->cgroup, "0", 1) == 1, "join cgroup");
  descriptors_replace(given->descriptors);
  must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "set not dumpable");
  confine_die_with(given->parent);
  confine_forbid_processes();
  requests_started(given);
  descriptors_close_others();
  threads_continue();
}

static void *serve(void *unused) {
  (void)unused;
  struct given given;
  if (requests_serve(copy, &given)) become_clone(&given);
  return NULL;
}

void vmfork_prepare(void) {
  const char *fd = getenv("SPARKLER_FORK_FD");
  const char *numbers = getenv("SPARKLER_SLOTS");
  if (fd == NULL || numbers == NULL) return;
  requests_open(atoi(fd), descriptors_take_slots(numbers));
  must(close_range((unsigned)atoi(fd) + 1, ~0u, 0) == 0, "close descriptors");
  unsetenv("SPARKLER_FORK_FD");
  unsetenv("SPARKLER_SLOTS");
  threads_prepare();
  has_clones = true;
  /* It stops the others and is not stopped itself. */
  sigset_t all, before;
  pthread_attr_t attributes;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  must(pthread_create(&thread, &attributes, serve, NULL) == 0, "start a thread");
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}
