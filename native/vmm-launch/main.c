/*
 * vmm-launch: becomes a VMM process that cannot outlive the daemon.
 *
 *   vmm-launch PARENT_PID CGROUP|- UID|- PROGRAM [ARG...]
 *
 * In this order, because each step needs what the next one gives up:
 *   1. joins CGROUP (its cgroup.procs), so that no child of it can ever be outside;
 *   2. raises its oom_score_adj (proc_pid_oom_score_adj(5)): if the host runs out of memory all the
 *      same, the kernel ends a VMM and not the daemon, whose value it would else inherit;
 *   3. becomes user and group UID, without supplementary groups, if one is given;
 *   4. gives up the right to gain privileges (no_new_privs);
 *   5. can no longer make or connect a socket, so that a VMM that was taken over cannot call the
 *      daemon's API, which listens on this host (QEMU's own sandbox allows sockets);
 *   6. asks to be killed when the daemon dies; the kernel forgets this on a change of user, hence
 *      after 3, and it came too late if the daemon is gone already, hence the look at the parent;
 *   7. executes PROGRAM with the descriptors and the environment that it inherited.
 *
 * Exit status 125 with a line on stderr when a step fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_LAUNCH_FAILED 125

/* As if it used 300/1000 of the host's memory more than it does: before all else on an idle host. */
#define OOM_SCORE_ADJ "300"

static void die(const char *step, const char *what) {
  fprintf(stderr, "vmm-launch: %s %s: %s\n", step, what, strerror(errno));
  exit(EXIT_LAUNCH_FAILED);
}

static long parse_number(const char *text) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || *end != '\0' || value <= 0) {
    errno = EINVAL;
    die("not a number:", text);
  }
  return value;
}

static void join_cgroup(const char *cgroup) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s/cgroup.procs", cgroup) >= (int)sizeof path) {
    errno = ENAMETOOLONG;
    die("cgroup", cgroup);
  }
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) die("join cgroup", cgroup);
  close(fd);
}

static void raise_oom_score(void) {
  static const char value[] = OOM_SCORE_ADJ;
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  /* Anybody may raise it. */
  if (fd < 0 || write(fd, value, sizeof value - 1) != (ssize_t)(sizeof value - 1)) {
    die("raise", "oom_score_adj");
  }
  close(fd);
}

static void become_user(long uid) {
  if (setgroups(0, NULL) != 0) die("drop", "groups");
  if (setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) != 0) die("become", "group");
  if (setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) != 0) die("become", "user");
}

/* seccomp(2): EACCES for socket, connect and io_uring, which can do both; other architectures' calls end the process. */
static void forbid_sockets(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
      /* The x32 numbering is another way to the same calls. */
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) die("forbid", "sockets");
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fputs("usage: vmm-launch PARENT_PID CGROUP|- UID|- PROGRAM [ARG...]\n", stderr);
    return EXIT_LAUNCH_FAILED;
  }
  pid_t parent = (pid_t)parse_number(argv[1]);
  if (strcmp(argv[2], "-") != 0) join_cgroup(argv[2]);
  raise_oom_score();
  if (strcmp(argv[3], "-") != 0) become_user(parse_number(argv[3]));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("set", "no_new_privs");
  forbid_sockets();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("set", "parent-death signal");
  if (getppid() != parent) {
    errno = ESRCH;
    die("parent", argv[1]);
  }
  execvp(argv[4], argv + 4);
  die("execute", argv[4]);
}
