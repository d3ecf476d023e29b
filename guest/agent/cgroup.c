/* An instance's processes are those of its cgroup: what they may use, and their end. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum controller { MEMORY, CPUSET, CPU, CONTROLLERS };
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

/* One at a time: one that the kernel has not must not keep the others away. */
static bool enable(enum controller controller)
{
	static const char *const names[CONTROLLERS] = {"+memory", "+cpuset", "+cpu"};
	static bool enabled[CONTROLLERS];
	char path[512];
	snprintf(path, sizeof path, "%s/cgroup.subtree_control", settings.cgroup);
	/* Once: the kernel lets this wait until the cgroups that were removed are gone. */
	if (!enabled[controller])
		enabled[controller] = write_file(path, names[controller]);
	return enabled[controller];
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
		enable(CPUSET);
	if (blocks && !kept_to_base && !settings.test) {
		kept_to_base = true;
		keep_to_base();
	}
	if (instance->role != INSTANCE) {
		enable(MEMORY);
		enable(CPU);
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
		if (settings.cgroup == NULL || !enable(CPUSET) ||
		    !cgroup_write(instance, "/cpuset.mems", text))
			return "the kernel cannot bind it to these nodes";
	}
	if (instance->memory_mib == 0 || settings.cgroup == NULL)
		return NULL;
	/* All of it ends when one of its processes meets the limit. */
	snprintf(text, sizeof text, "%llu", (unsigned long long)instance->memory_mib << 20);
	bool limited = enable(MEMORY) && cgroup_write(instance, "/memory.oom.group", "1") &&
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
	if (!WIFSIGNALED(instance->status) || WTERMSIG(instance->status) != SIGKILL)
		return false;
	if (settings.cgroup != NULL) {
		cgroup_path(instance, "/memory.events", path, sizeof path);
		if (read_file(path, text, sizeof text) > 0)
			return count_in(text, "\noom_kill ") > 0;
	}
	/* Its memory is not counted: did the kernel end anything for want of memory since last time? */
	if (instance->killed || read_file("/proc/vmstat", text, sizeof text) < 0)
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
