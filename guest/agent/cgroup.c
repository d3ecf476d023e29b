/*
 * An instance's processes are those of its cgroup: what they may use, where it lies, and their end.
 *
 * Blocks are memory-only NUMA nodes for movable pages. An instance that is bound to some has two
 * things: a cpuset of them and node 0, which keeps it out of all others; and a memory policy, by
 * which its pages come from its blocks alone. The cpuset holds node 0 since much that the kernel
 * allocates for a process cannot be moved, and so cannot lie in a block: a pipe's buffers, for one,
 * would be refused. The policy's nodes are relative to the cpuset (set_mempolicy(2)), so the kernel
 * itself turns it to the blocks, in all threads, when a process that was started ahead in a cpuset
 * of node 0 becomes an instance. Pages that it shares with others by then are not moved: node 0 is
 * in both cpusets.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_NODES 1024u
/* Page cache of an ended instance is given up in such steps, other work between them. */
#define RECLAIM_STEP "16M"
/* … as long as this many bring anything. What is left then is for the proof to deal with. */
#define RECLAIM_STEPS 64

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return n >= 0;
}

ssize_t read_file(const char *path, char *text, size_t size)
{
	size_t have = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	if (fd >= 0)
		close(fd);
	text[have] = '\0';
	return fd < 0 || n < 0 ? -1 : (ssize_t)have;
}

void cgroup_path(const struct instance *instance, const char *file, char *path, size_t size)
{
	snprintf(path, size, "%s/i%u%s", settings.cgroup, instance->group, file);
}

static bool cgroup_write(const struct instance *instance, const char *file, const char *text)
{
	char path[512];
	if (settings.cgroup == NULL)
		return false;
	cgroup_path(instance, file, path, sizeof path);
	return write_file(path, text);
}

static bool cgroup_has(const struct instance *instance, const char *file)
{
	char path[512];
	if (settings.cgroup == NULL)
		return false;
	cgroup_path(instance, file, path, sizeof path);
	return access(path, F_OK) == 0;
}

bool cgroup_number(const struct instance *instance, const char *file, uint64_t *value)
{
	char path[512], text[64], *end;
	if (settings.cgroup == NULL)
		return false;
	cgroup_path(instance, file, path, sizeof path);
	if (read_file(path, text, sizeof text) <= 0)
		return false;
	*value = strtoull(text, &end, 10);
	return end != text;
}

bool blocks_exist(void)
{
	char text[256];
	if (read_file("/sys/devices/system/node/has_memory", text, sizeof text) <= 0)
		return false;
	return strcmp(text, "0\n") != 0;
}

/* ---- where pages lie ---- */

static void set_policy(int mode, const char *nodes)
{
	unsigned long mask[MAX_NODES / (8 * sizeof(long))] = {0};
	size_t others = 1;
	for (const char *at = nodes; (at = strchr(at, ',')) != NULL; at++)
		others++;
	/* By their place in the cpuset, whatever nodes it has: all but the first. What is out of its
	 * range counts again from its start, so 1 and 5 are right for one, two and three nodes. */
	if ((mode & MPOL_F_RELATIVE_NODES) == 0)
		mask[0] = 1;
	else if (others <= 2)
		mask[0] = 1 << 1 | 1 << 5;
	else
		for (size_t i = 1; i <= others && i < MAX_NODES; i++)
			mask[i / (8 * sizeof(long))] |= 1ul << i % (8 * sizeof(long));
	if (syscall(SYS_set_mempolicy, mode, mask, MAX_NODES + 1) != 0)
		say("no memory policy: %s", strerror(errno));
}

/* A function must not undo the policy: it would fill node 0, which is everybody's. */
static void keep_policy(void)
{
#define REFUSE(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), \
		     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
	static struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_set_mempolicy), REFUSE(SYS_mbind), REFUSE(SYS_migrate_pages),
		REFUSE(SYS_move_pages), REFUSE(SYS_set_mempolicy_home_node),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
#undef REFUSE
	struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		say("a function may change its memory policy: %s", strerror(errno));
}

void follow_nodes(const char *nodes)
{
	if (!blocks_exist())
		return;
	set_policy(MPOL_BIND | MPOL_F_RELATIVE_NODES, nodes);
	keep_policy();
}


/* ---- what it may use ---- */

/* One at a time: one that the kernel has not must not keep the others away. */
static bool enable(const char *controller)
{
	char path[512];
	snprintf(path, sizeof path, "%s/cgroup.subtree_control", settings.cgroup);
	return write_file(path, controller);
}

void cgroup_make(struct instance *instance, bool behind)
{
	static uint32_t last;
	static bool kept_to_base;
	char path[512];
	bool blocks = blocks_exist();
	instance->group = ++last;
	if (settings.cgroup == NULL)
		return;
	if (blocks)
		enable("+cpuset");
	if (blocks && !kept_to_base && !settings.test) {
		kept_to_base = true;
		set_policy(MPOL_BIND | MPOL_F_STATIC_NODES, ""); /* the agent itself */
	}
	if (instance->role != INSTANCE) {
		enable("+memory");
		enable("+cpu");
	}
	cgroup_path(instance, "", path, sizeof path);
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		say("no cgroup for instance %u: %s", instance->number, strerror(errno));
	if (blocks && !cgroup_write(instance, "/cpuset.mems", "0"))
		say("instance %u may use any memory: %s", instance->number, strerror(errno));
	cgroup_behind(instance, behind);
}

void cgroup_behind(const struct instance *instance, bool behind)
{
	if (cgroup_has(instance, "/cpu.idle"))
		cgroup_write(instance, "/cpu.idle", behind ? "1" : "0");
}

bool cgroup_join(const struct instance *instance, pid_t pid)
{
	char text[16];
	snprintf(text, sizeof text, "%d", (int)pid);
	return settings.cgroup == NULL || cgroup_write(instance, "/cgroup.procs", text);
}

const char *cgroup_limit(struct instance *instance)
{
	char text[NODES_BYTES + 32];
	if (instance->nodes[0] != '\0') {
		snprintf(text, sizeof text, "0,%s", instance->nodes);
		if (settings.cgroup == NULL || !enable("+cpuset") ||
		    !cgroup_write(instance, "/cpuset.mems", text))
			return "the kernel cannot bind it to these nodes";
	}
	if (instance->memory_mib == 0 || settings.cgroup == NULL)
		return NULL;
	/* All of it ends when one of its processes meets the limit. */
	snprintf(text, sizeof text, "%llu", (unsigned long long)instance->memory_mib << 20);
	bool limited = enable("+memory") && cgroup_write(instance, "/memory.oom.group", "1") &&
		       cgroup_write(instance, "/memory.max", text);
	if (!limited && !settings.test)
		return "the kernel cannot limit its memory";
	/* Faascale's kernel takes the memory from the host here, and waits for it. */
	snprintf(text, sizeof text, "%uM", instance->memory_mib);
	if (cgroup_has(instance, "/memory.faascale.size") &&
	    !cgroup_write(instance, "/memory.faascale.size", text))
		return "the kernel has no memory for it (memory.faascale.size)";
	return NULL;
}

void move_pages_of(pid_t pid, unsigned node)
{
	unsigned long from[MAX_NODES / (8 * sizeof(long))] = {0}, to[MAX_NODES / (8 * sizeof(long))] = {1};
	if (node == 0 || node >= MAX_NODES)
		return;
	from[node / (8 * sizeof(long))] = 1ul << node % (8 * sizeof(long));
	syscall(SYS_migrate_pages, pid, (unsigned long)MAX_NODES + 1, from, to);
}

bool bind_to_node(void *at, size_t size, unsigned node)
{
	unsigned long mask[MAX_NODES / (8 * sizeof(long))] = {0};
	if (node >= MAX_NODES)
		return false;
	mask[node / (8 * sizeof(long))] = 1ul << node % (8 * sizeof(long));
	return syscall(SYS_mbind, at, size, MPOL_BIND | MPOL_F_STATIC_NODES, mask, (unsigned long)MAX_NODES + 1,
		       0u) == 0;
}

/* ---- the end ---- */

void cgroup_kill(const struct instance *instance)
{
	cgroup_write(instance, "/cgroup.kill", "1");
}

static unsigned long long count_in(const char *text, const char *name)
{
	const char *line = strstr(text, name);
	return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10);
}

bool cgroup_was_oom(const struct instance *instance)
{
	static char text[16384];
	static unsigned long long seen;
	char path[512];
	if (instance->killed || !WIFSIGNALED(instance->status) || WTERMSIG(instance->status) != SIGKILL)
		return false;
	if (settings.cgroup != NULL) {
		cgroup_path(instance, "/memory.events", path, sizeof path);
		if (read_file(path, text, sizeof text) > 0)
			return count_in(text, "\noom_kill ") > 0;
	}
	/* Its memory is not counted: did the kernel end anything for want of memory since last time? */
	if (read_file("/proc/vmstat", text, sizeof text) < 0)
		return false;
	unsigned long long before = seen;
	seen = count_in(text, "\noom_kill ");
	return seen > before;
}

static bool populated(const struct instance *instance)
{
	char text[128];
	if (instance->events < 0)
		return false;
	ssize_t n = pread(instance->events, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "populated 1") != NULL;
}

/* Whether files that it has read are cached beside node 0. */
static bool caches_in_blocks(const struct instance *instance)
{
	static char text[32768];
	char path[512];
	if (instance->nodes[0] == '\0')
		return false;
	cgroup_path(instance, "/memory.numa_stat", path, sizeof path);
	if (read_file(path, text, sizeof text) <= 0)
		return false;
	char *line = strstr(text, "\nfile "), *end = line == NULL ? NULL : strchr(line + 1, '\n');
	if (end == NULL)
		return false;
	*end = '\0';
	for (char *save = NULL, *word = strtok_r(line + 1, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		char *bytes = strchr(word, '=');
		if (bytes != NULL && strncmp(word, "N0=", 3) != 0 && strcmp(bytes, "=0") != 0)
			return true;
	}
	return false;
}

bool cgroup_remove(struct instance *instance)
{
	char path[512];
	if (settings.cgroup == NULL)
		return true;
	if (populated(instance)) {
		cgroup_kill(instance);
		return false;
	}
	/* What cannot be given up, since others use it too, stays: a later proof will say so. */
	if (instance->reclaims < RECLAIM_STEPS && caches_in_blocks(instance)) {
		instance->reclaims++;
		move_pages_of(0, (unsigned)strtoul(instance->nodes, NULL, 10));
		if (cgroup_write(instance, "/memory.reclaim", RECLAIM_STEP))
			return false;
	}
	if (cgroup_has(instance, "/memory.faascale.free"))
		cgroup_write(instance, "/memory.faascale.free", "1");
	cgroup_path(instance, "", path, sizeof path);
	return rmdir(path) == 0 || errno != EBUSY;
}
