/*
 * fork(2) copies one thread. Here the others are stopped first, by a signal whose handler keeps where
 * they are (all of it lies on their own stacks and in their thread-local storage, which a fork copies
 * as memory), and the copy starts a thread for each, which returns from that handler. A wait for a
 * futex begins again then, on memory that is as it was; a poll ends with EINTR, as with any signal.
 *
 * The C library believes throughout that the threads are the ones that it started: a copy is made by
 * the system call itself, so that no stack is taken back. What it cannot know is their new numbers:
 * nothing may join, signal or cancel a thread that is older than the copy. QEMU does none of this
 * in software emulation, except at its orderly end, which a VMM never comes to.
 *
 * QEMU's threads block all signals; `pthread_sigmask` and `sigprocmask` are therefore ours, and leave
 * this one out.
 */
#include "threads.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

#define EXPORTED __attribute__((visibility("default")))

#define MAX_THREADS 64
/* What a thread of the copy needs until it is on its own stack again. */
#define START_STACK_BYTES 8192
/* A thread that blocks all signals does so for moments only. */
#define STOP_LIMIT_MS 1000
#define STOP_LOOK_NS 200000

struct stopped {
  /* __builtin_setjmp: its stack and where it is on it. */
  void *context[5];
  void *storage; /* its thread-local storage */
  stack_t signal_stack;
  pid_t number;
};

static struct stopped threads[MAX_THREADS];
/* How many have begun to stop, and have stopped. */
static uint32_t begun, stopped;
/* They wait while it stays the same. */
static uint32_t turn;
static pid_t main_number;

typedef int (*mask_function)(int, const sigset_t *, sigset_t *);

static int stop_signal(void) { return SIGRTMAX - 2; }

static void wait_while(uint32_t *word, uint32_t value) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
  }
}

static void stop_here(int number) {
  (void)number;
  /* Volatile: read again in a thread that has other registers. */
  volatile int error = errno;
  uint32_t now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
  uint32_t index = __atomic_fetch_add(&begun, 1, __ATOMIC_ACQ_REL);
  if (index < MAX_THREADS) {
    struct stopped *self = &threads[index];
    self->number = (pid_t)syscall(SYS_gettid);
    self->storage = __builtin_thread_pointer();
    sigaltstack(NULL, &self->signal_stack);
    if (__builtin_setjmp(self->context) == 0) {
      __atomic_add_fetch(&stopped, 1, __ATOMIC_ACQ_REL);
      wait_while(&turn, now);
    }
  }
  errno = error;
}

static bool is_new(const pid_t *seen, unsigned count, pid_t number) {
  for (unsigned k = 0; k < count; k++) {
    if (seen[k] == number) return false;
  }
  return true;
}

/* Signals those that were not there before; false when there are too many. */
static bool signal_threads(pid_t *seen, unsigned *count) {
  pid_t self = (pid_t)syscall(SYS_gettid);
  DIR *dir = opendir("/proc/self/task");
  must(dir != NULL, "list the threads");
  bool fits = true;
  struct dirent *entry;
  while (fits && (entry = readdir(dir)) != NULL) {
    pid_t number = entry->d_name[0] == '.' ? self : atoi(entry->d_name);
    if (number == self || !is_new(seen, *count, number)) continue;
    fits = *count < MAX_THREADS;
    if (!fits) break;
    /* One that has ended meanwhile does not stop; the next look does not find it. */
    if (syscall(SYS_tgkill, getpid(), number, stop_signal()) == 0) seen[(*count)++] = number;
  }
  closedir(dir);
  return fits;
}

void threads_prepare(void) {
  struct sigaction action = {.sa_handler = stop_here, .sa_flags = SA_RESTART};
  sigfillset(&action.sa_mask);
  must(sigaction(stop_signal(), &action, NULL) == 0, "handle the signal to stop");
}

bool threads_stop(void) {
  pid_t seen[MAX_THREADS];
  unsigned count = 0;
  main_number = getpid();
  begun = stopped = 0;
  const struct timespec look = {.tv_nsec = STOP_LOOK_NS};
  for (int left = STOP_LIMIT_MS * 1000000 / STOP_LOOK_NS; left > 0; left--) {
    unsigned before = count;
    if (!signal_threads(seen, &count)) break;
    bool all = __atomic_load_n(&stopped, __ATOMIC_ACQUIRE) == count;
    /* Nobody is left who could start another one. */
    if (all && count == before) return true;
    if (!all) nanosleep(&look, NULL);
  }
  threads_release();
  errno = EBUSY;
  return false;
}

void threads_release(void) {
  __atomic_add_fetch(&turn, 1, __ATOMIC_ACQ_REL);
  syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* ---- in the copy ---- */

static int go_on(void *argument) {
  struct stopped *self = argument;
  if ((self->signal_stack.ss_flags & SS_DISABLE) == 0) sigaltstack(&self->signal_stack, NULL);
  __builtin_longjmp(self->context, 1);
}

static void start_again(struct stopped *thread, char *stack) {
  int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
              CLONE_SETTLS;
  int number = clone(go_on, stack + START_STACK_BYTES, flags, thread, NULL, thread->storage, NULL);
  must(number > 0, "start a thread again");
}

_Noreturn void threads_continue(void) {
  static char stacks[MAX_THREADS][START_STACK_BYTES] __attribute__((aligned(16)));
  struct stopped *main_thread = NULL;
  for (uint32_t k = 0; k < stopped; k++) {
    if (threads[k].number == main_number) main_thread = &threads[k];
  }
  if (main_thread == NULL) _exit(EXIT_FAILED);
  for (uint32_t k = 0; k < stopped; k++) {
    if (&threads[k] != main_thread) start_again(&threads[k], stacks[k]);
  }
  must(syscall(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, main_thread->storage) == 0,
       "take over the main thread");
  go_on(main_thread);
  __builtin_unreachable();
}

/* ---- the signal stays open ---- */

static int set_mask(const char *name, int how, const sigset_t *set, sigset_t *old) {
  mask_function next;
  /* Not a cast: ISO C knows no conversion from an object's address to a function's. */
  *(void **)&next = dlsym(RTLD_NEXT, name);
  if (set == NULL || how == SIG_UNBLOCK) return next(how, set, old);
  sigset_t ours = *set;
  sigdelset(&ours, stop_signal());
  return next(how, &ours, old);
}

EXPORTED int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  return set_mask("pthread_sigmask", how, set, old);
}

EXPORTED int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
  return set_mask("sigprocmask", how, set, old);
}
