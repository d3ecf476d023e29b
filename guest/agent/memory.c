/* What the guest's memory is used for, by its kernel's own counters, and the proof that some is free. */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_REPORTED 256
#define REPORT_BYTES (64u << 10)
/*
 * Free pages that a CPU keeps for itself go back to the allocator when its counters are refreshed,
 * some each time. So often it is tried, and given up when nothing more has come for some times.
 */
#define REFRESHES 256
#define IDLE_REFRESHES 8

struct node {
	unsigned number;
	uint64_t managed, unused; /* pages */
};

static char text[64 << 10];
static struct node nodes[MAX_REPORTED];

static struct node *find(unsigned number, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (nodes[i].number == number)
			return &nodes[i];
	return NULL;
}

/* Of all nodes with memory, from /proc/zoneinfo; returns how many. */
static size_t read_nodes(void)
{
	size_t count = 0;
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
				*node = (struct node){.number = number};
			}
		} else if (node != NULL && sscanf(line, " pages free %llu", &pages) == 1) {
			node->unused += pages;
		} else if (node != NULL && sscanf(line, " managed %llu", &pages) == 1) {
			node->managed += pages;
		}
	}
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (nodes[i].managed > 0)
			nodes[kept++] = nodes[i];
	return kept;
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
	char limit[24] = "null";
	cgroup_number(instance, "/memory.peak", &peak);
	if (instance->memory_mib != 0)
		snprintf(limit, sizeof limit, "%llu", (unsigned long long)instance->memory_mib << 20);
	int n = snprintf(at, size,
			 "{\"instance\":%u,\"currentBytes\":%llu,\"peakBytes\":%llu,\"limitBytes\":%s,"
			 "\"nodes\":[%s]},",
			 instance->number, (unsigned long long)used, (unsigned long long)peak, limit,
			 instance->nodes);
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
			       nodes[i].number, kib(nodes[i].managed), kib(nodes[i].unused));
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

/* Pages that CPUs have collected, on their way to the lists of used ones, go there. */
static void drain_lists(unsigned node)
{
	unsigned long from[1024 / (8 * sizeof(long))] = {0}, to[1024 / (8 * sizeof(long))] = {1};
	/* This does it before it moves our own pages: there are none on a block. */
	if (node == 0 || node >= 1024)
		return;
	from[node / (8 * sizeof(long))] = 1ul << node % (8 * sizeof(long));
	syscall(SYS_migrate_pages, 0, 1025ul, from, to);
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
	struct node *node;
	uint32_t number;
	bool bound = false;
	if (frame->head.length != sizeof number)
		fatal("PROVE of %u bytes", frame->head.length);
	memcpy(&number, frame->payload, sizeof number);
	for (int i = 0; i < instance_slots; i++)
		bound |= instances[i].state != UNUSED && is_bound(&instances[i], number);
	if ((node = find(number, read_nodes())) == NULL)
		return host_sendf(F_PROVED, 0, frame->head.request, "{\"error\":\"it has no node %u\"}",
				  number);
	if (!bound)
		drain_lists(number);
	for (int i = 0, idle = 0; !bound && i < REFRESHES && idle < IDLE_REFRESHES; i++) {
		uint64_t before = node->unused;
		refresh_counters();
		node = find(number, read_nodes());
		if (node == NULL || node->unused == node->managed)
			break;
		idle = node->unused > before ? 0 : idle + 1;
	}
	uint64_t used = node == NULL || node->managed < node->unused ? 0 : node->managed - node->unused;
	host_sendf(F_PROVED, 0, frame->head.request, "{\"free\":%s,\"usedKiB\":%llu}",
		   used == 0 && !bound ? "true" : "false", kib(used));
}
