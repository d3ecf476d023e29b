/* A copy's identity, and what it gives up. */
#include "confine.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "say.h"

void confine_become_user(uint32_t uid) {
  must(setgroups(0, NULL) == 0, "drop groups");
  must(setresgid(uid, uid, uid) == 0, "become group");
  must(setresuid(uid, uid, uid) == 0, "become user");
  /* As after an execve: /proc/self belongs to the user itself. */
  must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "set dumpable");
}

#define DENY(call) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

void confine_die_with(pid_t parent) {
  must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "set parent-death signal");
  if (getppid() != parent) _exit(EXIT_FAILED);
}

/* What `elevateprivileges=deny,spawn=deny` denies. Threads are made with clone: clone3, whose flags
   a filter cannot read, is said not to exist. All threads get the filter. */
void confine_forbid_processes(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      /* The x32 numbering is another way to the same calls. */
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      DENY(setuid), DENY(setgid), DENY(setreuid), DENY(setregid), DENY(setresuid),
      DENY(setresgid), DENY(setfsuid), DENY(setfsgid), DENY(setgroups), DENY(setpgid),
      DENY(setsid), DENY(fork), DENY(vfork), DENY(execve), DENY(execveat),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0,
       "forbid processes");
}
