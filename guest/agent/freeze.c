/*
 * A snapshot is taken of a guest in which no user code runs, so that none runs in its clones before
 * they are reseeded. Two means, since each alone leaves a gap:
 *
 *   - PREPARE tells a runtime to stop itself where its interpreter can run nothing else: when it is
 *     continued it reseeds its generators first.
 *   - The freezer of the instance's cgroup holds what else the function has started.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often it is looked whether a process has stopped or a cgroup has frozen. */
#define LOOK_EVERY (1 * MS)

bool freeze_waits;
static bool freezing; /* FREEZE is being answered */
bool freeze_wanted;
static uint32_t freeze_request;
static uint64_t freeze_end;

/* Opened when the instance starts: at a restore a write is all that is left to do. */
void freeze_open(struct instance *instance)
{
	char path[512];
	instance->freezer = instance->events = -1;
	if (settings.cgroup == NULL)
		return;
	cgroup_path(instance, "/cgroup.freeze", path, sizeof path);
	instance->freezer = open(path, O_WRONLY | O_CLOEXEC);
	cgroup_path(instance, "/cgroup.events", path, sizeof path);
	instance->events = open(path, O_RDONLY | O_CLOEXEC);
}

void freeze_close(struct instance *instance)
{
	if (instance->freezer >= 0)
		close(instance->freezer);
	if (instance->events >= 0)
		close(instance->events);
	instance->freezer = instance->events = -1;
}

static bool present(const struct instance *instance)
{
	return instance->state != UNUSED && !instance->ending && instance->in.fd >= 0;
}

static void let_go(struct instance *instance)
{
	/* Children first: the runtime, stopped, is not woken by this. */
	if (instance->freezer >= 0 && pwrite(instance->freezer, "0", 1, 0) != 1)
		fatal("instance %u cannot be thawed: %s", instance->number, strerror(errno));
	kill(instance->pid, SIGCONT);
	instance->hold = FREE;
}

void freeze_release(bool all)
{
	freeze_wanted = freezing = false;
	for (int i = 0; i < instance_slots; i++)
		if (present(&instances[i]) && instances[i].hold >= FREEZING &&
		    (all || instances[i].role == INSTANCE))
			let_go(&instances[i]); /* one that is not so far is when it has stopped */
}

void freeze_wake(struct instance *instance)
{
	static const struct header reseed = {.type = F_RESEED};
	if (instance->hold != HELD || freeze_wanted)
		return;
	instance->reseeds++;
	queue_send(&instance->out, &reseed, sizeof reseed);
	let_go(instance);
}

static void fail(const struct instance *instance, const char *why)
{
	freeze_release(true);
	if (instance->role == INSTANCE)
		host_sendf(F_FROZEN, 0, freeze_request, "{\"error\":\"instance %u %s\"}", instance->number, why);
	else
		host_sendf(F_FROZEN, 0, freeze_request, "{\"error\":\"the zygote %s\"}", why);
}

static bool has_stopped(const struct instance *instance)
{
	siginfo_t info = {.si_pid = 0};
	return waitid(P_PID, (id_t)instance->pid, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid != 0;
}

static bool has_frozen(const struct instance *instance)
{
	char text[128];
	ssize_t n = pread(instance->events, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "frozen 1") != NULL;
}

/* Takes the instance as far as it can be taken now. */
static void advance(struct instance *instance)
{
	if (instance->hold == STOPPING && has_stopped(instance)) {
		if (!freeze_wanted)
			return let_go(instance); /* a rehearsal; or too late: FREEZE was given up */
		if (instance->freezer >= 0 && pwrite(instance->freezer, "1", 1, 0) != 1)
			return fail(instance, "has a cgroup that cannot be frozen");
		instance->hold = instance->freezer >= 0 ? FREEZING : HELD;
	}
	if (instance->hold == FREEZING && has_frozen(instance))
		instance->hold = HELD;
}

static void ask(struct instance *instance)
{
	static const struct header prepare = {.type = F_PREPARE};
	if (instance->hold != FREE)
		return; /* a PREPARE is still to be answered: its freeze was given up, or is this one */
	instance->hold = ASKED;
	queue_send(&instance->out, &prepare, sizeof prepare);
}

/*
 * In emulation the first freeze is slow: all its code is translated. So an instance that is ready
 * stops and goes on once, long before somebody waits for its snapshot.
 */
void freeze_rehearse(struct instance *instance)
{
	/* A fork of what has done it needs it not. */
	if (instance->loaded && !freeze_wanted)
		return;
	ask(instance);
}

static void answer_if_frozen(void)
{
	for (int i = 0; i < instance_slots; i++)
		if (present(&instances[i]) && instances[i].hold != HELD)
			return;
	if (!freezing)
		return;
	freezing = false;
	host_sendf(F_FROZEN, 0, freeze_request, "{\"error\":null}");
}

static void look(void)
{
	freeze_waits = freezing;
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (!present(instance))
			continue;
		advance(instance);
		freeze_waits |= instance->hold == STOPPING || instance->hold == FREEZING;
	}
	answer_if_frozen();
}

void freeze_prepared(struct instance *instance)
{
	instance->hold = STOPPING;
	look();
}

void freeze_begin(const struct frame *frame)
{
	uint32_t limit_ms;
	if (frame->head.length != sizeof limit_ms)
		fatal("FREEZE of %u bytes", frame->head.length);
	memcpy(&limit_ms, frame->payload, sizeof limit_ms);
	freeze_request = frame->head.request;
	freeze_end = now_ns() + limit_ms * MS;
	freezing = freeze_wanted = true;
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (!present(instance))
			continue;
		if (instance->role != INSTANCE && instance->state == STARTING)
			continue; /* it is held as soon as it is ready */
		if (instance->state != IDLE)
			return fail(instance, "is busy");
		if (!settings.test && (instance->freezer < 0 || instance->events < 0))
			return fail(instance, "has no cgroup that could be frozen");
		ask(instance);
	}
	look();
}

void freeze_finish(const struct frame *frame)
{
	freeze_release(true);
	host_send(frame->bytes, F_THAWED, 0, frame->head.request, 0);
}

uint64_t freeze_tick(uint64_t now)
{
	if (!freeze_waits)
		return 0;
	look();
	if (freezing && now >= freeze_end)
		for (int i = 0; i < instance_slots; i++)
			if (present(&instances[i]) && instances[i].hold != HELD) {
				fail(&instances[i], instances[i].state == STARTING ? "is still loading"
						    : instances[i].hold == FREEZING
							    ? "has processes that did not freeze in time"
							    : "did not hold still in time");
				break;
			}
	return freeze_waits ? now + LOOK_EVERY : 0;
}
