/*
 * Clones of one snapshot share the kernel's random pool, the clock and all that runtimes drew in
 * advance. RESTORE ends that before any user code runs: it is frozen until then. A guest that has
 * just booted is sent it as well: its clock was read from an emulated RTC, to the second.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEED_BYTES 64
/* An instance that does not reseed within this is ended. */
#define RESEED_WAIT (8000 * MS)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define OUR_BOOT_ID "/run/sparkler/boot_id"

bool restoring;
static int random_fd = -1;
static char *boot_id; /* OUR_BOOT_ID, mapped: writing it costs no system call after a restore */
static uint32_t restore_request;
static uint64_t arrived_ns;

static void set_clock(uint64_t ns)
{
	struct timespec at = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
	if (!settings.test && clock_settime(CLOCK_REALTIME, &at) != 0)
		fatal("the clock cannot be set: %s", strerror(errno));
}

/* boot_id is drawn once by the kernel and cannot be written: a file of ours is mounted over it. */
void restore_prepare(void)
{
	char id[37];
	random_fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (random_fd < 0)
		fatal("/dev/urandom: %s", strerror(errno));
	int kernel_id = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	mkdir("/run/sparkler", 0755);
	int ours = open(OUR_BOOT_ID, O_RDWR | O_CREAT | O_CLOEXEC, 0444);
	if (kernel_id < 0 || ours < 0 || read(kernel_id, id, sizeof id) != (ssize_t)sizeof id ||
	    pwrite(ours, id, sizeof id, 0) != (ssize_t)sizeof id ||
	    mount(OUR_BOOT_ID, BOOT_ID, NULL, MS_BIND, NULL) != 0)
		fatal("boot_id: %s", strerror(errno));
	boot_id = mmap(NULL, sizeof id, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ours, 0);
	if (boot_id == MAP_FAILED)
		fatal("boot_id: %s", strerror(errno));
	close(ours);
	close(kernel_id);
}

static void reseed_kernel(const uint8_t *seed)
{
	struct {
		int entropy_count, buf_size;
		uint8_t bytes[SEED_BYTES];
	} pool = {.entropy_count = SEED_BYTES * 8, .buf_size = SEED_BYTES};
	memcpy(pool.bytes, seed, SEED_BYTES);
	if (ioctl(random_fd, RNDADDENTROPY, &pool) != 0 || ioctl(random_fd, RNDRESEEDCRNG) != 0)
		fatal("the random pool cannot be reseeded: %s", strerror(errno));
}

/* A random UUID (RFC 9562, version 4) in the form of the kernel's. */
static void new_boot_id(uint8_t raw[16])
{
	static const char digits[] = "0123456789abcdef";
	raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
	raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
	char *at = boot_id;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = digits[raw[i] >> 4];
		*at++ = digits[raw[i] & 15];
	}
}

static void reseed_instances(void)
{
	static const struct header reseed = {.type = F_RESEED};
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (instance->state == UNUSED || instance->ending || instance->in.fd < 0)
			continue;
		/* What no invocation needs stands still until it is, and reseeds then. */
		if (instance->role != INSTANCE && (instance->hold == HELD || instance->state == STARTING))
			continue;
		instance->reseeds++;
		queue_send(&instance->out, &reseed, sizeof reseed);
	}
}

void restore_begin(const struct frame *frame)
{
	if (frame->head.length != 8 + SEED_BYTES)
		fatal("RESTORE of %u bytes", frame->head.length);
	uint64_t host_ns;
	arrived_ns = now_ns();
	memcpy(&host_ns, frame->payload, 8);
	restore_request = frame->head.request;
	restoring = true;
	/* What waits to be sent was meant for the VM that the snapshot was taken of. The host skips
	 * to RESTORED, so a frame cut in half here does no harm. */
	queue_clear(&to_host);
	if (!settings.test) {
		reseed_kernel(frame->payload + 8);
		uint8_t raw[16];
		if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
			fatal("getrandom: %s", strerror(errno));
		new_boot_id(raw);
	}
	set_clock(host_ns);
	reseed_instances();
	freeze_release(false);
	restore_answered();
}

/* Written by hand: every new piece of code that runs here delays a restore in emulation. */
static uint8_t *text(uint8_t *at, const char *string)
{
	while (*string != '\0')
		*at++ = (uint8_t)*string++;
	return at;
}

static uint8_t *number(uint8_t *at, unsigned value)
{
	if (value >= 10)
		at = number(at, value / 10);
	*at++ = (uint8_t)('0' + value % 10);
	return at;
}

void restore_answered(void)
{
	uint8_t answer[HEADER_BYTES + 32 + MAX_INSTANCES * 6], *at = answer + HEADER_BYTES;
	if (!restoring)
		return;
	for (int i = 0; i < instance_slots; i++)
		if (instances[i].state != UNUSED && instances[i].reseeds > 0)
			return;
	restoring = false;
	at = text(at, "{\"instances\":[");
	bool first = true;
	for (int i = 0; i < instance_slots; i++) {
		if (instances[i].state == UNUSED || instances[i].ending || instances[i].killed ||
		    instances[i].role != INSTANCE)
			continue;
		if (!first)
			*at++ = ',';
		first = false;
		at = number(at, instances[i].number);
	}
	at = text(at, "]}");
	host_send(answer, F_RESTORED, 0, restore_request, (size_t)(at - answer) - HEADER_BYTES);
}

uint64_t restore_tick(uint64_t now)
{
	if (!restoring)
		return 0;
	if (now < arrived_ns + RESEED_WAIT)
		return arrived_ns + RESEED_WAIT;
	for (int i = 0; i < instance_slots; i++) {
		if (instances[i].state == UNUSED || instances[i].reseeds == 0)
			continue;
		say("instance %u is ended: it did not reseed", instances[i].number);
		instances[i].reseeds = 0;
		instance_kill(&instances[i]);
	}
	restore_answered();
	return 0;
}
