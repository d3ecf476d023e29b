/* The end of an instance: asked for, met, or come by itself; and what is left until it is gone. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* After TIMEOUT a runtime has this long to write its stack … */
#define STACK_WAIT (200 * MS)
/* An ended instance's pipes may be held open by what could not be killed, not longer than this. */
#define GONE_WAIT (1000 * MS)
/* Its processes, and what is cached for it, are given so much more before it counts as gone. */
#define CLEAN_WAIT (4000 * MS)
/* How often it is looked whether an ended instance's cgroup is empty. */
#define LOOK_EVERY (1 * MS)

/* Its process is not there yet, or not known: it ends itself when it finds its socket closed. */
static void end_unforked(struct instance *instance)
{
	instance->ending = true;
	instance->gone_at = instance->look_at = now_ns();
	queue_clear(&instance->out);
	instance->out.fd = -1;
	reader_close(&instance->in);
}

void instance_kill(struct instance *instance)
{
	instance->kill_at = 0;
	if (instance->ending)
		return;
	instance->killed = true;
	if (instance->pid == 0)
		return end_unforked(instance);
	if (kill(-instance->pid, SIGKILL) != 0)
		kill(instance->pid, SIGKILL); /* it had no time to become its group's leader */
	cgroup_kill(instance);
}

void instance_timeout(struct instance *instance)
{
	if (instance->ending || instance->kill_at != 0)
		return;
	if (instance->pid == 0)
		return instance_kill(instance);
	/* Python answers from the signal handler, Node.js if its event loop still turns. Before they
	 * listen the signal ends them, which is right too. */
	kill(instance->pid, SIGUSR2);
	instance->killed = true;
	instance->kill_at = instance->kill_last = now_ns() + STACK_WAIT;
}

void instance_exited(const struct instance *instance, uint16_t number)
{
	char code[16] = "null", signal_number[16] = "null", limit[24] = "null";
	bool oom = instance != NULL && instance->oom, ended = instance != NULL && instance->ended;
	if (ended && WIFEXITED(instance->status))
		snprintf(code, sizeof code, "%d", WEXITSTATUS(instance->status));
	else if (ended && WIFSIGNALED(instance->status))
		snprintf(signal_number, sizeof signal_number, "%d", WTERMSIG(instance->status));
	if (oom && instance->memory_mib != 0)
		snprintf(limit, sizeof limit, "%llu", (unsigned long long)instance->memory_mib << 20);
	host_sendf(F_EXITED, number, 0, "{\"code\":%s,\"signal\":%s,\"oom\":%s,\"limitBytes\":%s}", code,
		   signal_number, oom ? "true" : "false", limit);
}

/* The process is gone and so is all that it wrote: says so and frees the slot. */
static void retire(struct instance *instance)
{
	/* Without its buffer, which is large: an exit is told by these. */
	struct instance gone = {.role = instance->role, .status = instance->status,
				.ended = instance->ended, .oom = instance->oom};
	if (instance->role == INSTANCE)
		instance_exited(instance, instance->number);
	instance_drop(instance);
	if (gone.role != INSTANCE)
		zygote_retired(&gone);
}

/* Its cgroup goes first: what comes next may be given its memory. */
void instance_retire_if_gone(struct instance *instance)
{
	if (!instance->ending || instance->in.fd >= 0 || instance->log >= 0 || instance->stack >= 0)
		return;
	if (cgroup_remove(instance))
		return retire(instance);
	instance->look_at = now_ns() + LOOK_EVERY;
}

static void reaped(struct instance *instance, int status)
{
	instance->status = status;
	kill(-instance->pid, SIGKILL); /* whatever the process left behind */
	cgroup_kill(instance);
	instance->oom = cgroup_was_oom(instance);
	instance->ended = true;
	instance->pid = 0;
	instance->ending = true; /* its state stays: frames that it sent before may still come */
	instance->kill_at = 0;
	instance->gone_at = now_ns() + GONE_WAIT;
	instance->reseeds = 0;
	instance->hold = FREE;
	queue_clear(&instance->out);
	instance_retire_if_gone(instance);
	restore_answered();
}

void instances_reap(void)
{
	int status;
	pid_t pid;
	/* Orphans come here too, as to any process 1; only instances are more than reaped. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < instance_slots; i++)
			if (instances[i].state != UNUSED && instances[i].pid == pid && !instances[i].ending)
				reaped(&instances[i], status);
}

uint64_t instances_tick(uint64_t now)
{
	uint64_t next = 0;
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (instance->state == UNUSED)
			continue;
		if (instance->kill_at != 0 && instance->kill_at <= now)
			instance_kill(instance);
		/* With the host slow to read, waiting output is not lost to this limit. */
		if (instance->ending && instance->gone_at <= now && to_host.bytes < SEND_LIMIT) {
			instance_close(instance);
			if (!cgroup_remove(instance) && now < instance->gone_at + CLEAN_WAIT) {
				instance->look_at = now + LOOK_EVERY;
			} else {
				retire(instance);
				continue;
			}
		}
		if (instance->ending && instance->look_at != 0 && instance->look_at <= now) {
			instance->look_at = 0;
			instance_retire_if_gone(instance);
			if (instance->state == UNUSED)
				continue;
		}
		uint64_t due = instance->ending ? instance->gone_at : instance->kill_at;
		if (instance->look_at != 0 && (instance->look_at < due || due <= now))
			due = instance->look_at;
		if (due != 0 && (next == 0 || due < next))
			next = due;
	}
	return next;
}
