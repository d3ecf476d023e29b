/*
 * template: a QEMU that was started ahead, with the command line of a restore, stops where it opens
 * its memory, and forks a VMM for each request. What lies before (linking, types, options, the
 * translator) is done once for all of them.
 *
 * A fork shares what it should not: open files, event counters, the identity, the right to fork.
 * Each child therefore gets, before it goes on:
 *   - the descriptors of its request in place of the template's placeholders, whatever number QEMU
 *     has given them in the meantime: a placeholder is recognized by its inode;
 *   - event descriptors of its own with the same counter, and epoll descriptors of its own that
 *     watch the same numbers;
 *   - its cgroup, user, parent-death signal, and a filter that denies what QEMU's own sandbox
 *     would have denied (a template's sandbox allows it, since the template needs it).
 * Whatever else is open or runs and cannot be given away so makes the template unsuitable: it says
 * that and ends, and the daemon starts its VMMs directly.
 *
 * Environment, set by the daemon and removed here:
 *   SPARKLER_TEMPLATE_FD  stream socket on which requests come (handover.h); its end means: no more
 *   SPARKLER_SLOTS        numbers of the descriptors that each child gets anew: 2,3,4,7
 * On standard output it says once `ready`, or `unsuitable: ` and why.
 */
#include "template.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>

#include "confine.h"
#include "descriptors.h"
#include "requests.h"
#include "say.h"

static bool is_waiting;
static int control = -1;

/* QEMU's: its RCU thread is started again in a child only if this was asked for, and callbacks that
   the thread has counted but not run would be lost. NULL in a program without RCU. */
static void (*rcu_enable_atfork)(void);
static void (*drain_call_rcu)(void);

static void unsuitable(const char *why, const char *what) {
  dprintf(STDOUT_FILENO, "unsuitable: %s %s\n", why, what);
  _exit(EXIT_FAILED);
}

void template_prepare(void) {
  const char *fd = getenv("SPARKLER_TEMPLATE_FD");
  const char *numbers = getenv("SPARKLER_SLOTS");
  if (fd == NULL || numbers == NULL) return;
  control = atoi(fd);
  is_waiting = true;
  requests_open(control, descriptors_take_slots(numbers));
  /* The daemon's own parent may have left it more; the numbers that are meant end here. */
  must(close_range((unsigned)control + 1, ~0u, 0) == 0, "close descriptors");
  unsetenv("SPARKLER_TEMPLATE_FD");
  unsetenv("SPARKLER_SLOTS");
}

bool template_is_waiting(void) { return is_waiting; }

static int threads(void) { return count_numbers("/proc/self/task"); }

static int expected_threads(void) { return rcu_enable_atfork == NULL ? 1 : 2; }

static void find_rcu(void) {
  /* Not a cast of the result: ISO C knows no conversion from an object's address to a function's. */
  *(void **)&rcu_enable_atfork = dlsym(RTLD_DEFAULT, "rcu_enable_atfork");
  *(void **)&drain_call_rcu = dlsym(RTLD_DEFAULT, "drain_call_rcu");
  if (rcu_enable_atfork == NULL) return;
  if (drain_call_rcu == NULL) unsuitable("no", "drain_call_rcu");
  drain_call_rcu();
  rcu_enable_atfork();
}

static void set_environment(const struct handover_request *request) {
  const char *at = request->environment;
  const char *end = at + request->environment_bytes;
  for (; at < end; at += strlen(at) + 1) {
    const char *equals = strchr(at, '=');
    must(equals != NULL && equals != at, "environment");
    char *name = strndup(at, (size_t)(equals - at));
    must(name != NULL && setenv(name, equals + 1, 1) == 0, "environment");
    free(name);
  }
}

/* Each step before those that take away what it needs. */
static void become_vmm(const struct given *given) {
  const struct handover_request *request = given->request;
  if (given->cgroup >= 0) must(write(given->cgroup, "0", 1) == 1, "join cgroup");
  descriptors_replace(given->descriptors);
  set_environment(request);
  if ((request->flags & HANDOVER_HAS_USER) != 0) confine_become_user(request->uid);
  confine_die_with(given->parent);
  if (threads() != expected_threads()) _exit(EXIT_FAILED);
  confine_forbid_processes();
  requests_started(given);
  descriptors_close_others();
}

void template_serve(void) {
  find_rcu();
  if (threads() != expected_threads()) unsuitable("other threads", "run");
  const char *why = descriptors_describe(&control, 1);
  if (why != NULL) unsuitable(why, "");
  static const char ready[] = "ready\n";
  must(write(STDOUT_FILENO, ready, sizeof ready - 1) == sizeof ready - 1, "say ready");
  must(dup2(STDIN_FILENO, STDOUT_FILENO) == STDOUT_FILENO, "close standard output");
  struct given given;
  if (!requests_serve(fork, &given)) _exit(0);
  is_waiting = false;
  become_vmm(&given);
}
