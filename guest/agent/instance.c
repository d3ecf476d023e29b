#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* After TIMEOUT an instance is ended when nothing more of its stack came for this long. */
#define STACK_QUIET (40 * MS)
#define PIPE_BYTES (64u << 10)

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

void instance_close(struct instance *instance)
{
	queue_clear(&instance->out);
	reader_close(&instance->in);
	if (instance->log >= 0)
		close(instance->log);
	if (instance->stack >= 0)
		close(instance->stack);
	instance->log = instance->stack = instance->out.fd = -1;
}

void instance_drop(struct instance *instance)
{
	instance_close(instance);
	freeze_close(instance);
	instance->state = UNUSED;
	while (instance_slots > 0 && instances[instance_slots - 1].state == UNUSED)
		instance_slots--;
}

/* ---- what the host is told ---- */

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

/* ---- frames ---- */

static void broken(struct instance *instance, const char *what)
{
	say("instance %u is ended: %s", instance->number, what);
	instance_kill(instance);
	reader_close(&instance->in);
	instance->out.fd = -1;
	queue_clear(&instance->out);
	instance_retire_if_gone(instance);
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
		return fork_arrived(instance);
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
			/* No use without its socket. It may have ended for want of memory just now, which is
			 * told by how it ended: that counts as nobody's kill. */
			bool killed = instance->killed;
			instance_kill(instance);
			instance->killed = killed;
			return instance_retire_if_gone(instance);
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
			return instance_retire_if_gone(instance);
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
	instance_retire_if_gone(instance);
}
