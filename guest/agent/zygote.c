/*
 * START, and what is kept ready for it. A zygote has loaded the handler. Where its runtime forks
 * (Python, unless it has threads, which a fork would lose) it forks a spare: a process with a cgroup
 * of its own that waits. Else the zygote itself is the spare. A START of the same order is answered
 * by making the spare an instance: it is given its number, its limit and its nodes, and nothing has
 * to run for that. Then the next spare is made behind it.
 *
 * What a spare shares with its zygote stays charged to the zygote's cgroup; what it touches itself
 * is charged to its own.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The next spare is made so much later: the new instance's first invocation goes first. */
#define REFILL_WAIT (50 * MS)
/* A zygote that ends so often without a spare that became ready is not started again. */
#define MAX_FAILURES 3
/* Nodes beside node 0 that a process which was started without them can follow; see cgroup.c. */
#define MAX_FOLLOWED 2

static struct {
	bool wanted;
	bool ending;  /* the host is told when nothing is left of it */
	bool asked;   /* the host waits until it is ready */
	uint32_t request;
	unsigned failures;
	uint64_t refill_at; /* ns, 0: nothing to do */
	uint8_t *payload;
	struct order order; /* in payload */
} kept;

bool zygote_waits;

static void plan(uint64_t at)
{
	kept.refill_at = at;
	zygote_waits = at != 0;
}

/* One that can be counted on. */
static struct instance *find(enum role role)
{
	struct instance *found = NULL;
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (instance->state == UNUSED || instance->role != role || instance->ending || instance->killed ||
		    instance->in.fd < 0)
			continue;
		if (instance->state == IDLE)
			return instance;
		found = instance;
	}
	return found;
}

static bool nothing_left(void)
{
	for (int i = 0; i < instance_slots; i++)
		if (instances[i].state != UNUSED &&
		    (instances[i].role != INSTANCE || (instances[i].pid == 0 && !instances[i].ending)))
			return false;
	return true;
}

void zygote_settled(const struct instance *instance)
{
	if (!kept.ending || !nothing_left())
		return;
	kept.ending = false;
	instance_exited(instance, 0);
}

/* ---- making spares ---- */

static const char *launch_kept(bool behind)
{
	const struct runtime *runtime = runtime_named(kept.order.runtime);
	struct instance *instance = instance_new(runtime != NULL && runtime->forks ? ZYGOTE : SPARE);
	if (instance == NULL)
		return "too many instances";
	cgroup_make(instance, behind);
	freeze_open(instance);
	const char *why = launch(instance, &kept.order);
	if (why != NULL) {
		cgroup_remove(instance);
		instance_drop(instance);
	}
	return why;
}

static void refill(void)
{
	plan(0);
	if (!kept.wanted || find(SPARE) != NULL)
		return;
	struct instance *zygote = find(ZYGOTE);
	if (zygote != NULL && zygote->state != IDLE)
		return; /* it is loading */
	if (zygote != NULL) {
		if (!fork_request(zygote))
			plan(now_ns() + REFILL_WAIT);
		return;
	}
	const char *why = launch_kept(true);
	if (why == NULL)
		return;
	say("no zygote: %s", why);
	kept.wanted = false;
}

uint64_t zygote_tick(uint64_t now)
{
	if (kept.refill_at == 0)
		return 0;
	if (freeze_wanted || restoring) {
		plan(now + REFILL_WAIT);
		return 0; /* what ends either wakes the loop */
	}
	if (kept.refill_at <= now)
		refill();
	return kept.refill_at;
}

/* Its process will not come. One that the host waits for is started as if there were no zygote. */
void zygote_lost_fork(struct instance *instance)
{
	if (instance->role != INSTANCE)
		return instance_kill(instance);
	close(instance->log);
	close(instance->stack);
	reader_close(&instance->in);
	instance->log = instance->stack = -1;
	instance->loaded = false;
	const char *why = launch(instance, &kept.order);
	if (why == NULL)
		return;
	instance_failed(instance->number, instance->request, why);
	instance_kill(instance);
}

/* ---- the zygote's life ---- */

void zygote_ready(struct instance *instance, const struct frame *frame)
{
	bool forks = frame->head.length > 0 && frame->payload[0] == 1;
	if (instance->role == ZYGOTE && !forks)
		instance->role = SPARE;
	if (instance->role == SPARE)
		kept.failures = 0;
	cgroup_behind(instance, false);
	if (kept.asked) {
		kept.asked = false;
		instance->request = kept.request;
		instance_ready(instance);
	}
	freeze_rehearse(instance);
	if (find(SPARE) == NULL && kept.refill_at == 0)
		plan(now_ns());
}

void zygote_failed(struct frame *frame)
{
	if (kept.asked)
		host_send(frame->bytes, F_FAILED, 0, kept.request, frame->head.length);
}

void zygote_retired(const struct instance *instance)
{
	if (kept.asked) {
		kept.asked = kept.wanted = false;
		kept.ending = true;
	}
	if (kept.ending || !kept.wanted)
		return zygote_settled(instance);
	if (++kept.failures < MAX_FAILURES)
		return plan(now_ns());
	say("the zygote ended %u times: it is given up", kept.failures);
	kept.wanted = false;
}

static bool same_order(const struct order *order)
{
	const struct order *other = &kept.order;
	if (strcmp(order->runtime, other->runtime) != 0 || strcmp(order->handler, other->handler) != 0 ||
	    strcmp(order->cwd, other->cwd) != 0 || order->variables != other->variables)
		return false;
	for (size_t i = 0; i < order->variables; i++)
		if (strcmp(order->environment[i], other->environment[i]) != 0)
			return false;
	return true;
}

/* It exists already, or is being started again. */
static void join_zygote(const struct frame *frame, const struct order *order)
{
	if (kept.ending || kept.asked || !same_order(order))
		return host_sendf(F_ERROR, 0, frame->head.request,
				  "{\"errorType\":\"Sparkler.OtherZygote\",\"message\":\"there is a zygote of "
				  "something else\",\"stack\":\"\",\"kind\":\"agent\",\"handlerNs\":0}");
	struct instance *ready = find(ZYGOTE) != NULL ? find(ZYGOTE) : find(SPARE);
	if (ready != NULL && ready->state == IDLE)
		return host_sendf(F_READY, 0, frame->head.request, "{\"initMs\":0,\"fromZygote\":false}");
	kept.asked = true;
	kept.request = frame->head.request;
}

void zygote_start(const struct frame *frame)
{
	struct order order;
	if (!order_parse(frame->payload, frame->head.length, &order))
		return instance_refuse(0, frame->head.request, "ZYGOTE is not understood");
	if (kept.wanted || kept.ending)
		return join_zygote(frame, &order);
	free(kept.payload);
	kept.payload = malloc(frame->head.length);
	if (kept.payload == NULL)
		fatal("no memory for a zygote's order");
	memcpy(kept.payload, frame->payload, frame->head.length);
	order_parse(kept.payload, frame->head.length, &kept.order);
	kept.failures = 0;
	const char *why = launch_kept(false);
	if (why != NULL)
		return instance_refuse(0, frame->head.request, why);
	kept.wanted = kept.asked = true;
	kept.request = frame->head.request;
}

void zygote_end(bool timeout)
{
	plan(0);
	kept.wanted = kept.asked = false;
	kept.ending = true;
	for (int i = 0; i < instance_slots; i++) {
		struct instance *instance = &instances[i];
		if (instance->state == UNUSED || instance->role == INSTANCE)
			continue;
		if (timeout)
			instance_timeout(instance);
		else
			instance_kill(instance);
	}
	zygote_settled(NULL);
}

/* ---- START ---- */

static size_t nodes_of(const struct order *order)
{
	size_t n = order->nodes[0] != '\0';
	for (const char *at = order->nodes; (at = strchr(at, ',')) != NULL; at++)
		n++;
	return n;
}

/* What can become an instance of this order, now or soon. */
static struct instance *spare_for(const struct order *order)
{
	if (!kept.wanted || kept.asked || nodes_of(order) > MAX_FOLLOWED || !same_order(order))
		return NULL;
	if (find(SPARE) == NULL)
		refill();
	return find(SPARE);
}

static void become_instance(struct instance *spare)
{
	const char *why = cgroup_limit(spare);
	spare->role = INSTANCE;
	spare->loaded |= spare->state == IDLE;
	spare->started = now_ns();
	if (!spare->loaded)
		cgroup_behind(spare, false);
	plan(spare->started + REFILL_WAIT);
	if (why != NULL) {
		instance_failed(spare->number, spare->request, why);
		return instance_kill(spare);
	}
	freeze_wake(spare);
	if (spare->state == IDLE)
		instance_ready(spare);
}

void instance_start(const struct frame *frame)
{
	struct order order;
	uint16_t number = frame->head.instance;
	uint32_t request = frame->head.request;
	if (number == 0 || instance_find(number) != NULL)
		return instance_refuse(number, request, "the number is in use");
	if (!order_parse(frame->payload, frame->head.length, &order))
		return instance_refuse(number, request, "START is not understood");
	struct instance *spare = spare_for(&order);
	struct instance *instance = spare != NULL ? spare : instance_new(INSTANCE);
	if (instance == NULL)
		return instance_refuse(number, request, "too many instances");
	instance->number = number;
	instance->request = request;
	instance->memory_mib = order.memory_mib;
	memcpy(instance->nodes, order.nodes, strlen(order.nodes) + 1);
	if (spare != NULL)
		return become_instance(spare);
	cgroup_make(instance, false);
	freeze_open(instance);
	const char *why = cgroup_limit(instance);
	if (why == NULL)
		why = launch(instance, &order);
	if (why == NULL)
		return;
	cgroup_remove(instance);
	instance_drop(instance);
	instance_refuse(number, request, why);
}
