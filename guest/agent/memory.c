/* What the guest's memory is used for, by its kernel's own counters, and the proof that some is free. */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_REPORTED 256
#define REPORT_BYTES (64u << 10)
/*
 * Free pages that a CPU keeps for itself go back to the allocator when its counters are refreshed:
 * a batch of them at the third time after something changed there. More than one batch takes
 * several changes; what a CPU keeps is at most some batches.
 */
#define IDLE_REFRESHES 5
#define MAX_CHANGES 32

/*
 * The host counts blocks from 1 in the order of their addresses. The kernel numbers nodes in the
 * order in which the firmware's tables name them, which is another one: what the host says and is
 * told are blocks, what the kernel is told are nodes. 0 is 0 to both.
 */
struct node {
	unsigned number, block;
	uint64_t managed, unused, start; /* pages */
};

static char text[64 << 10];
static struct node nodes[MAX_REPORTED];
static size_t node_count;

static struct node *find(unsigned number, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (nodes[i].number == number)
			return &nodes[i];
	return NULL;
}

static int by_address(const void *a, const void *b)
{
	const struct node *left = a, *right = b;
	if ((left->number == 0) != (right->number == 0))
		return left->number == 0 ? -1 : 1;
	return (left->start > right->start) - (left->start < right->start);
}

/* Of all nodes with memory, from /proc/zoneinfo; returns how many. */
static size_t read_nodes(void)
{
	size_t count = 0;
	node_count = 0;
	if (read_file("/proc/zoneinfo", text, sizeof text) <= 0)
		return 0;
	struct node *node = NULL; /* whose zone the lines are about */
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned number;
		unsigned long long pages;
		if (sscanf(line, "Node %u, zone", &number) == 1) {
			node = find(number, count);
			if (node == NULL && count < MAX_REPORTED) {
				node = &nodes[count++];
				*node = (struct node){.number = number, .start = UINT64_MAX};
			}
		} else if (node != NULL && sscanf(line, " pages free %llu", &pages) == 1) {
			node->unused += pages;
		} else if (node != NULL && sscanf(line, " managed %llu", &pages) == 1) {
			node->managed += pages;
		} else if (node != NULL && sscanf(line, " start_pfn: %llu", &pages) == 1) {
			if (pages < node->start)
				node->start = pages;
		}
	}
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (nodes[i].managed > 0)
			nodes[kept++] = nodes[i];
	qsort(nodes, kept, sizeof *nodes, by_address);
	for (size_t i = 0; i < kept; i++)
		nodes[i].block = nodes[i].number == 0 ? 0 : (unsigned)(i + (nodes[0].number != 0));
	return node_count = kept;
}

static const struct node *find_block(unsigned block, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (nodes[i].block == block)
			return &nodes[i];
	return NULL;
}

/* A node that no kernel has: it refuses to bind anything to it. */
#define NO_NODE 99999u

static unsigned node_of(unsigned block)
{
	const struct node *node = find_block(block, node_count);
	if (node == NULL)
		node = find_block(block, read_nodes());
	return node == NULL ? NO_NODE : node->number;
}

static unsigned block_of(unsigned number)
{
	const struct node *node = find(number, node_count);
	return node == NULL ? number : node->block;
}

/* A list like 1,2,3 with each number turned into another. False: it does not fit. */
static bool turn_list(const char *list, unsigned (*turn)(unsigned), char *to, size_t size)
{
	size_t used = 0;
	to[0] = '\0';
	for (const char *at = list; *at != '\0';) {
		char *end;
		unsigned number = (unsigned)strtoul(at, &end, 10);
		if (end == at)
			return false;
		int n = snprintf(to + used, size - used, used == 0 ? "%u" : ",%u", turn(number));
		if (n < 0 || (size_t)n >= size - used)
			return false;
		used += (size_t)n;
		at = end + (*end == ',');
	}
	return true;
}

bool nodes_of_blocks(const char *blocks, char *list, size_t size)
{
	return turn_list(blocks, node_of, list, size);
}

static void refresh_counters(void)
{
	write_file("/proc/sys/vm/stat_refresh", "1");
}

static unsigned long long kib(uint64_t pages)
{
	return pages * ((uint64_t)sysconf(_SC_PAGESIZE) >> 10);
}

static unsigned long long meminfo(const char *name)
{
	const char *line = strstr(text, name);
	return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10);
}

static size_t describe(const struct instance *instance, uint64_t used, char *at, size_t size)
{
	uint64_t peak = 0;
	char limit[24] = "null", blocks[NODES_BYTES];
	turn_list(instance->nodes, block_of, blocks, sizeof blocks);
	cgroup_number(instance, "/memory.peak", &peak);
	if (instance->memory_mib != 0)
		snprintf(limit, sizeof limit, "%llu", (unsigned long long)instance->memory_mib << 20);
	int n = snprintf(at, size,
			 "{\"instance\":%u,\"currentBytes\":%llu,\"peakBytes\":%llu,\"limitBytes\":%s,"
			 "\"nodes\":[%s]},",
			 instance->number, (unsigned long long)used, (unsigned long long)peak, limit,
			 blocks);
	return n < 0 ? 0 : (size_t)n;
}

void memory_report(const struct frame *frame)
{
	static uint8_t bytes[HEADER_BYTES + REPORT_BYTES];
	char *start = (char *)bytes + HEADER_BYTES, *at = start, *end = start + REPORT_BYTES - 64;
	uint64_t used, zygote = 0;
	bool counted = false;
	refresh_counters();
	read_file("/proc/meminfo", text, sizeof text);
	at += snprintf(at, (size_t)(end - at),
		       "{\"totalKiB\":%llu,\"freeKiB\":%llu,\"availableKiB\":%llu,\"nodes\":[",
		       meminfo("MemTotal:"), meminfo("MemFree:"), meminfo("MemAvailable:"));
	size_t count = read_nodes();
	for (size_t i = 0; i < count && end - at > 128; i++)
		at += snprintf(at, (size_t)(end - at), "{\"node\":%u,\"managedKiB\":%llu,\"freeKiB\":%llu},",
			       nodes[i].block, kib(nodes[i].managed), kib(nodes[i].unused));
	at -= at[-1] == ',';
	at += snprintf(at, (size_t)(end - at), "],\"instances\":[");
	for (int i = 0; i < instance_slots && end - at > NODES_BYTES + 256; i++) {
		const struct instance *instance = &instances[i];
		if (instance->state == UNUSED || !cgroup_number(instance, "/memory.current", &used))
			continue;
		if (instance->role == INSTANCE) {
			at += describe(instance, used, at, (size_t)(end - at));
			continue;
		}
		counted = true;
		zygote += used;
	}
	at -= at[-1] == ',';
	at += counted ? snprintf(at, 64, "],\"zygoteBytes\":%llu}", (unsigned long long)zygote)
		      : snprintf(at, 64, "],\"zygoteBytes\":null}");
	host_send(bytes, F_REPORT, 0, frame->head.request, (size_t)(at - start));
}

/* ---- the proof ---- */

/* Moves what processes have mapped of a node's pages; files, since no instance is bound to it. */
static void move_mapped(unsigned node)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	while (processes != NULL && (entry = readdir(processes)) != NULL)
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			move_pages_of((int)strtol(entry->d_name, NULL, 10), node);
	if (processes != NULL)
		closedir(processes);
}

/* Changes something on every CPU: takes a page of the node there and gives it back. */
static void change(unsigned node)
{
	cpu_set_t all, one;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (sched_getaffinity(0, sizeof all, &all) != 0)
		return;
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (!CPU_ISSET(cpu, &all) || sched_setaffinity(0, sizeof one, &one) != 0)
			continue;
		char *bytes = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (bytes == MAP_FAILED)
			continue;
		if (bind_to_node(bytes, page, node))
			*(volatile char *)bytes = 1;
		munmap(bytes, page);
	}
	sched_setaffinity(0, sizeof all, &all);
}

/* Until all is with the allocator or nothing more comes there; NULL: there is no such node. */
static const struct node *settle(unsigned number)
{
	/* Until then, what a CPU has taken may not be counted yet: a used node would look free. */
	refresh_counters();
	const struct node *node = find(number, read_nodes());
	for (int changes = 0, idle = 0; node != NULL && node->unused < node->managed;) {
		uint64_t before = node->unused;
		refresh_counters();
		node = find(number, read_nodes());
		idle = node != NULL && node->unused > before ? 0 : idle + 1;
		if (idle < IDLE_REFRESHES)
			continue;
		if (changes++ == MAX_CHANGES)
			break;
		change(number);
		idle = 0;
	}
	return node;
}

/*
 * What an ended instance has read stays cached in its block if others use it as well, or if a CPU
 * had it in hand when the instance's cgroup was emptied. It is little, and rare.
 */
static const struct node *empty(unsigned number)
{
	if (number == 0)
		return find(number, read_nodes());
	move_pages_of(0, number);
	const struct node *node = settle(number);
	if (node == NULL || node->unused == node->managed)
		return node;
	move_mapped(number);
	node = settle(number);
	if (node == NULL || node->unused == node->managed)
		return node;
	write_file("/proc/sys/vm/drop_caches", "1");
	return settle(number);
}

static bool is_bound(const struct instance *instance, unsigned node)
{
	for (const char *at = instance->nodes; *at != '\0'; at += strspn(at, ",")) {
		char *end;
		if (strtoul(at, &end, 10) == node)
			return true;
		at = end;
	}
	return false;
}

void memory_prove(const struct frame *frame)
{
	uint32_t number;
	bool bound = false;
	if (frame->head.length != sizeof number)
		fatal("PROVE of %u bytes", frame->head.length);
	memcpy(&number, frame->payload, sizeof number);
	const struct node *node = find_block(number, read_nodes());
	unsigned own = node == NULL ? NO_NODE : node->number;
	for (int i = 0; i < instance_slots; i++)
		bound |= instances[i].state != UNUSED && is_bound(&instances[i], own);
	if (node != NULL && !bound)
		node = empty(own);
	if (node == NULL)
		return host_sendf(F_PROVED, 0, frame->head.request, "{\"error\":\"it has no node %u\"}",
				  number);
	uint64_t used = node->managed > node->unused ? node->managed - node->unused : 0;
	host_sendf(F_PROVED, 0, frame->head.request, "{\"free\":%s,\"usedKiB\":%llu}",
		   used == 0 && !bound ? "true" : "false", kib(used));
}
