/*
 * A zygote's fork: it is sent the descriptors of the new process, which then says itself that it is
 * there. The kernel says who it is (SCM_CREDENTIALS), so nobody can pass another process off.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool send_descriptors(int to, const int descriptors[3])
{
	struct header fork_one = {.type = F_FORK};
	char control[CMSG_SPACE(3 * sizeof(int))] = {0};
	struct iovec bytes = {.iov_base = &fork_one, .iov_len = sizeof fork_one};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof control};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(3 * sizeof(int));
	memcpy(CMSG_DATA(head), descriptors, 3 * sizeof(int));
	return sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)sizeof fork_one;
}

bool fork_request(struct instance *zygote)
{
	int sock[2], log[2], stack[2];
	freeze_wake(zygote);
	if (zygote->in.fd < 0 || zygote->out.first != NULL || !open_pipes(sock, log, stack))
		return false;
	/* The kernel says who it is that answers there. */
	setsockopt(sock[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
	struct instance *spare = instance_new(SPARE);
	if (spare == NULL || !send_descriptors(zygote->in.fd, (int[]){sock[1], log[1], stack[1]})) {
		close_pipes(sock, log, stack);
		if (spare != NULL)
			instance_drop(spare);
		return false;
	}
	close(sock[1]);
	close(log[1]);
	close(stack[1]);
	spare->loaded = true;
	cgroup_make(spare, false);
	freeze_open(spare);
	instance_open(spare, sock[0], log[0], stack[0]);
	return true;
}

static bool is_new(pid_t pid)
{
	for (int i = 0; i < instance_slots; i++)
		if (instances[i].state != UNUSED && instances[i].pid == pid)
			return false;
	return pid > 1 && pid != getpid();
}

void fork_arrived(struct instance *instance)
{
	struct header head;
	char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec bytes = {.iov_base = &head, .iov_len = sizeof head};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof control};
	static const struct header begin = {.type = F_BEGIN};
	struct ucred who = {.pid = 0};
	ssize_t n = recvmsg(instance->in.fd, &message, MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct cmsghdr *control_head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (n == (ssize_t)sizeof head && head.type == F_FORKED && control_head != NULL &&
	    control_head->cmsg_type == SCM_CREDENTIALS)
		memcpy(&who, CMSG_DATA(control_head), sizeof who);
	/* A process that is gone already cannot be moved. */
	if (is_new(who.pid) && kill(who.pid, 0) == 0 && cgroup_join(instance, who.pid)) {
		instance->pid = who.pid;
		queue_send(&instance->out, &begin, sizeof begin);
	} else {
		zygote_lost_fork(instance);
	}
	zygote_settled(instance);
}
