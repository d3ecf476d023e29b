#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* After TIMEOUT a runtime has this long to write its stack … */
#define STACK_WAIT (200 * MS)
/* … and is ended earlier when nothing more of it came for this long. */
#define STACK_QUIET (40 * MS)
/* An ended instance's pipes may be held open by what could not be killed, not longer than this. */
#define GONE_WAIT (1000 * MS)
/* Its processes, and what is cached for it, are given so much more before it counts as gone. */
#define CLEAN_WAIT (4000 * MS)
#define PIPE_BYTES (64u << 10)
/* How often it is looked whether an ended instance's cgroup is empty. */
#define LOOK_EVERY (1 * MS)

struct instance instances[MAX_INSTANCES];
int instance_slots;

struct instance *instance_find(uint16_t number)
{
	for (int i = 0; i < instance_slots; i++)
		if (instances[i].state != UNUSED && instances[i].role == INSTANCE &&
		    instances[i].number == number)
			return &instances[i];
	return NULL;
}

struct instance *instance_new(enum role role)
{
	for (int i = 0; i < MAX_INSTANCES; i++) {
		struct instance *instance = &instances[i];
		if (instance->state != UNUSED)
			continue;
		memset(instance, 0, offsetof(struct instance, in));
		instance->state = STARTING;
		instance->role = role;
		instance->log = instance->stack = instance->in.fd = instance->out.fd = -1;
		instance->freezer = instance->events = -1;
		instance->started = now_ns();
		if (i >= instance_slots)
			instance_slots = i + 1;
		return instance;
	}
	return NULL;
}

void instance_open(struct instance *instance, int sock, int log, int stack)
{
	instance->log = log;
	instance->stack = stack;
	reader_open(&instance->in, sock);
	instance->out = (struct queue){.fd = sock};
}

static void close_all(struct instance *instance)
{
	queue_clear(&instance->out);
	reader_close(&instance->in);
	if (instance->log >= 0)
		close(instance->log);
	if (instance->stack >= 0)
		close(instance->stack);
	instance->log = instance->stack = -1;
}

void instance_drop(struct instance *instance)
{
	close_all(instance);
	freeze_close(instance);
	instance->state = UNUSED;
	while (instance_slots > 0 && instances[instance_slots - 1].state == UNUSED)
		instance_slots--;
}

/* ---- ending ---- */

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

void instance_failed(uint16_t number, uint32_t request, const char *why)
{
	host_sendf(F_FAILED, number, request,
		   "{\"errorType\":\"Sparkler.CannotStart\",\"message\":\"%s\",\"stack\":\"\",\"kind\":\"runtime\"}",
		   why);
}

void instance_refuse(uint16_t number, uint32_t request, const char *why)
{
	instance_failed(number, request, why);
	instance_exited(NULL, number);
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
static void retire_if_gone(struct instance *instance)
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
	retire_if_gone(instance);
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
			close_all(instance);
			if (!cgroup_remove(instance) && now < instance->gone_at + CLEAN_WAIT) {
				instance->look_at = now + LOOK_EVERY;
			} else {
				retire(instance);
				continue;
			}
		}
		if (instance->ending && instance->look_at != 0 && instance->look_at <= now) {
			instance->look_at = 0;
			retire_if_gone(instance);
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

/* ---- frames ---- */

static void broken(struct instance *instance, const char *what)
{
	say("instance %u is ended: %s", instance->number, what);
	instance_kill(instance);
	reader_close(&instance->in);
	instance->out.fd = -1;
	queue_clear(&instance->out);
	retire_if_gone(instance);
}

void instance_invoke(struct instance *instance, const struct frame *frame)
{
	if (instance->ending)
		return; /* EXITED is on its way */
	if (instance->state != IDLE) {
		host_sendf(F_ERROR, instance->number, frame->head.request,
			   "{\"errorType\":\"Sparkler.Busy\",\"message\":\"the instance is busy\",\"stack\":\"\","
			   "\"kind\":\"agent\",\"handlerNs\":0}");
		return;
	}
	instance->state = BUSY;
	instance->request = frame->head.request;
	/* A runtime that closed its end is about to be reaped: EXITED answers. */
	if (instance->in.fd >= 0)
		queue_send(&instance->out, frame->bytes, frame->size);
}

static bool expected(const struct instance *instance, const struct header *head)
{
	switch (head->type) {
	case F_READY:
	case F_FAILED:
		return instance->state == STARTING;
	case F_RESULT:
	case F_ERROR:
		return instance->state == BUSY && head->request == instance->request;
	case F_RESEEDED:
		return instance->reseeds > 0;
	case F_PREPARED:
		return instance->hold == ASKED;
	default:
		return false;
	}
}

void instance_ready(const struct instance *instance)
{
	host_sendf(F_READY, instance->number, instance->request, "{\"initMs\":%llu,\"fromZygote\":%s}",
		   (unsigned long long)((now_ns() - instance->started) / MS),
		   instance->loaded ? "true" : "false");
}

static void pass_on(struct instance *instance, struct frame *frame)
{
	struct header *head = &frame->head;
	if (head->type == F_RESEEDED) {
		instance->reseeds--;
		restore_answered();
		return;
	}
	if (head->type == F_PREPARED)
		return freeze_prepared(instance);
	if (head->type == F_READY) {
		instance->state = IDLE;
		if (instance->role != INSTANCE)
			return zygote_ready(instance, frame);
		instance_ready(instance);
		return freeze_rehearse(instance);
	}
	if (head->type == F_FAILED && instance->role != INSTANCE)
		return zygote_failed(frame);
	if (head->type != F_FAILED && instance->state == BUSY)
		instance->state = IDLE;
	host_send(frame->bytes, head->type, instance->number, instance->request, head->length);
}

void instance_readable(struct instance *instance)
{
	struct frame frame;
	int got;
	if (instance->pid == 0 && !instance->ending)
		return zygote_forked(instance);
	for (;;) {
		enum fill fill = reader_fill(&instance->in);
		if (fill == FILL_DRY)
			return;
		while ((got = reader_next(&instance->in, &frame)) > 0) {
			if (!expected(instance, &frame.head))
				return broken(instance, "its runtime sent an unexpected frame");
			pass_on(instance, &frame);
		}
		if (got < 0)
			return broken(instance, "its runtime sent no frame");
		if (fill == FILL_END) {
			reader_close(&instance->in);
			instance->out.fd = -1;
			queue_clear(&instance->out);
			instance_kill(instance); /* no use without its socket */
			return retire_if_gone(instance);
		}
		if (instance->in.start == instance->in.end)
			return;
	}
}

/* Sends what `fd` holds as one frame. */
static enum fill copy_pipe(int fd, uint8_t type, uint16_t number)
{
	static uint8_t bytes[HEADER_BYTES + READER_BYTES];
	ssize_t n = read(fd, bytes + HEADER_BYTES, READER_BYTES);
	if (n > 0)
		host_send(bytes, type, number, 0, (size_t)n);
	if (n == READER_BYTES)
		return FILL_MORE;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)) ? FILL_DRY : FILL_END;
}

void instance_log_readable(struct instance *instance, bool answered)
{
	/* What the function printed before it answered goes to the host before the answer: all that
	 * the pipe can hold. */
	size_t reads = answered ? PIPE_BYTES / READER_BYTES : 1;
	while (reads-- > 0) {
		switch (copy_pipe(instance->log, F_LOG, instance->number)) {
		case FILL_MORE:
			break;
		case FILL_DRY:
			return;
		case FILL_END:
			close(instance->log);
			instance->log = -1;
			return retire_if_gone(instance);
		}
	}
}

void instance_stack_readable(struct instance *instance)
{
	if (copy_pipe(instance->stack, F_STACK, instance->number) != FILL_END) {
		if (instance->kill_at != 0) {
			uint64_t quiet = now_ns() + STACK_QUIET;
			instance->kill_at = quiet < instance->kill_last ? quiet : instance->kill_last;
		}
		return;
	}
	close(instance->stack);
	instance->stack = -1;
	retire_if_gone(instance);
}
