#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct queue to_host = {.fd = -1};

/* ---- reading ---- */

void reader_open(struct reader *reader, int fd)
{
	reader->fd = fd;
	reader->start = reader->end = reader->large_size = 0;
	reader->large = NULL;
}

static void drop_large(struct reader *reader)
{
	if (reader->large == NULL)
		return;
	munmap(reader->large, reader->large_size);
	reader->large = NULL;
	reader->large_size = 0;
}

void reader_close(struct reader *reader)
{
	drop_large(reader);
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
}

static uint8_t *buffer_of(struct reader *reader, size_t *size)
{
	*size = reader->large ? reader->large_size : READER_BYTES;
	return reader->large ? reader->large : reader->small;
}

enum fill reader_fill(struct reader *reader)
{
	size_t size;
	uint8_t *buffer = buffer_of(reader, &size);
	if (reader->start == reader->end)
		reader->start = reader->end = 0;
	if (reader->end == size) { /* cannot be full of one frame: reader_next made room for it */
		memmove(buffer, buffer + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	ssize_t n = read(reader->fd, buffer + reader->end, size - reader->end);
	if (n > 0) {
		reader->end += (size_t)n;
		return FILL_MORE;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return FILL_DRY;
	return FILL_END;
}

/* Moves what is left into a buffer that can hold `size` bytes. */
static void make_room(struct reader *reader, size_t size)
{
	size_t old_size, have = reader->end - reader->start;
	uint8_t *old = buffer_of(reader, &old_size);
	if (size <= old_size - reader->start)
		return;
	if (size <= READER_BYTES || size <= old_size) {
		memmove(old, old + reader->start, have);
	} else {
		uint8_t *large = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (large == MAP_FAILED)
			fatal("no memory for a frame of %zu bytes", size);
		memcpy(large, old + reader->start, have);
		drop_large(reader);
		reader->large = large;
		reader->large_size = size;
	}
	reader->start = 0;
	reader->end = have;
}

/* Back to the small buffer once the long frame was taken and what is left fits there. */
static void shrink(struct reader *reader)
{
	size_t have = reader->end - reader->start;
	if (reader->start == 0 || have > READER_BYTES)
		return;
	memcpy(reader->small, reader->large + reader->start, have);
	drop_large(reader);
	reader->start = 0;
	reader->end = have;
}

int reader_next(struct reader *reader, struct frame *frame)
{
	size_t have = reader->end - reader->start, unused;
	if (have < HEADER_BYTES) {
		make_room(reader, HEADER_BYTES);
		return 0;
	}
	if (reader->large != NULL)
		shrink(reader);
	uint8_t *bytes = buffer_of(reader, &unused) + reader->start;
	memcpy(&frame->head, bytes, HEADER_BYTES);
	if (frame->head.length > MAX_PAYLOAD || frame->head.zero != 0)
		return -1;
	frame->size = HEADER_BYTES + frame->head.length;
	if (have < frame->size) {
		make_room(reader, frame->size);
		return 0;
	}
	frame->bytes = bytes;
	frame->payload = bytes + HEADER_BYTES;
	reader->start += frame->size;
	return 1;
}

/* ---- writing ---- */

struct block {
	struct block *next;
	size_t start, end;
	uint8_t bytes[];
};

static void keep(struct queue *queue, const uint8_t *bytes, size_t size)
{
	struct block *block = malloc(sizeof *block + size);
	if (block == NULL)
		fatal("no memory to queue %zu bytes", size);
	block->next = NULL;
	block->start = 0;
	block->end = size;
	memcpy(block->bytes, bytes, size);
	if (queue->last != NULL)
		queue->last->next = block;
	else
		queue->first = block;
	queue->last = block;
	queue->bytes += size;
}

bool queue_send(struct queue *queue, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	while (queue->first == NULL && size > 0) {
		ssize_t n = write(queue->fd, bytes, size);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN)
				break;
			return false;
		}
		bytes += n;
		size -= (size_t)n;
	}
	if (size > 0)
		keep(queue, bytes, size);
	return true;
}

bool queue_flush(struct queue *queue)
{
	while (queue->first != NULL) {
		struct block *block = queue->first;
		ssize_t n = write(queue->fd, block->bytes + block->start, block->end - block->start);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN;
		}
		block->start += (size_t)n;
		queue->bytes -= (size_t)n;
		if (block->start < block->end)
			continue;
		queue->first = block->next;
		if (queue->first == NULL)
			queue->last = NULL;
		free(block);
	}
	return true;
}

void queue_clear(struct queue *queue)
{
	while (queue->first != NULL) {
		struct block *next = queue->first->next;
		free(queue->first);
		queue->first = next;
	}
	queue->last = NULL;
	queue->bytes = 0;
}

void host_send(uint8_t *bytes, uint8_t type, uint16_t instance, uint32_t request, size_t payload)
{
	struct header head = {
		.length = (uint32_t)payload, .type = type, .instance = instance, .request = request};
	memcpy(bytes, &head, HEADER_BYTES);
	if (!queue_send(&to_host, bytes, HEADER_BYTES + payload))
		fatal("the channel cannot be written: %s", strerror(errno));
}

void host_sendf(uint8_t type, uint16_t instance, uint32_t request, const char *format, ...)
{
	uint8_t bytes[HEADER_BYTES + 1024];
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf((char *)bytes + HEADER_BYTES, sizeof bytes - HEADER_BYTES, format, arguments);
	va_end(arguments);
	size_t length = n < 0 ? 0 : (size_t)n;
	if (length >= sizeof bytes - HEADER_BYTES)
		length = sizeof bytes - HEADER_BYTES - 1;
	host_send(bytes, type, instance, request, length);
}
