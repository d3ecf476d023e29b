/* page-server: the record of first faults, u32 page numbers in the order of their faults. */
#include "server.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Page numbers kept before they are written. */
#define BUFFERED 1024u

static int file = -1;
static uint64_t *seen;
static uint32_t buffer[BUFFERED];
static size_t buffered;
static uint64_t written;

void trace_open(int fd, uint64_t pages) {
  file = fd;
  seen = bitmap_new(pages);
}

uint64_t trace_flush(void) {
  const char *at = (const char *)buffer;
  size_t left = buffered * sizeof buffer[0];
  while (left > 0) {
    ssize_t put = write(file, at, left);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail("trace-io", "trace: %s", put < 0 ? strerror(errno) : "nothing is written");
    at += put;
    left -= (size_t)put;
  }
  written += buffered;
  buffered = 0;
  return written;
}

void trace_page(uint32_t page) {
  if (file < 0 || !bitmap_set(seen, page)) return;
  buffer[buffered++] = page;
  if (buffered == BUFFERED) trace_flush();
}
