/*
 * Where an instance's pages lie.
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
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_NODES 1024u

bool blocks_exist(void)
{
	char text[256];
	if (read_file("/sys/devices/system/node/has_memory", text, sizeof text) <= 0)
		return false;
	return strcmp(text, "0\n") != 0;
}

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


void keep_to_base(void)
{
	set_policy(MPOL_BIND | MPOL_F_STATIC_NODES, "");
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
