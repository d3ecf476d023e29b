/*
 * page-server: the channel to the daemon. Lines of JSON go out, one-word lines come in.
 *
 * Nothing here waits for the daemon: what the socket does not take stays in a buffer, and while
 * that is half full no further command is read. Only an ending program waits, for LAST_WORDS_MS.
 */
#include "server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUTPUT_BYTES 16384u
#define LINE_BYTES 512u
#define COMMAND_BYTES 32u
#define LAST_WORDS_MS 1000

struct counters counters;

static int channel = -1;
static char output[OUTPUT_BYTES];
static size_t output_used;
static char command[COMMAND_BYTES];
static size_t command_used;

void control_open(int fd) { channel = fd; }

struct pollfd control_poll(void) {
  int events = POLLRDHUP;
  if (output_used < OUTPUT_BYTES / 2) events |= POLLIN;
  if (output_used > 0) events |= POLLOUT;
  return (struct pollfd){.fd = channel, .events = (short)events};
}

/* False if the daemon is gone. */
static bool push(void) {
  while (output_used > 0) {
    ssize_t sent = send(channel, output, output_used, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    output_used -= (size_t)sent;
    memmove(output, output + sent, output_used);
  }
  return true;
}

void leave(int status) {
  struct pollfd writable = {.fd = channel, .events = POLLOUT};
  while (channel >= 0 && push() && output_used > 0)
    if (poll(&writable, 1, LAST_WORDS_MS) <= 0) break;
  exit(status);
}

void control_say(const char *format, ...) {
  char line[LINE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof line - 1) abort();
  line[length++] = '\n';
  /* Half of the buffer is kept for what is said without being asked. */
  if (output_used + (size_t)length > OUTPUT_BYTES) abort();
  memcpy(output + output_used, line, (size_t)length);
  output_used += (size_t)length;
  /* That nobody listens any more is met when the channel is handled next. */
  (void)push();
}

void fail(const char *code, const char *format, ...) {
  char message[LINE_BYTES / 2];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  for (char *at = message; *at != '\0'; at++)
    if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\') *at = '?';
  control_say("{\"event\":\"error\",\"code\":\"%s\",\"message\":\"%s\"}", code, message);
  leave(1);
}

#define N(value) ((unsigned long long)(value))

static void obey(const char *word) {
  if (strcmp(word, "stats") == 0) {
    control_say("{\"event\":\"stats\",\"faults\":%llu,\"copied\":%llu,\"zeroed\":%llu,"
                "\"removed\":%llu,\"prefetched\":%llu,\"readBytes\":%llu}",
                N(counters.faults), N(counters.copied), N(counters.zeroed), N(counters.removed),
                N(counters.prefetched), N(counters.read_bytes));
  } else if (strcmp(word, "flush") == 0) {
    control_say("{\"event\":\"flushed\",\"pages\":%llu}", N(trace_flush()));
  } else {
    fail("control", "unknown command");
  }
}

static void take(const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    bool ended = bytes[i] == '\n';
    command[command_used++] = ended ? '\0' : bytes[i];
    if (ended) {
      command_used = 0;
      obey(command);
    } else if (command_used == COMMAND_BYTES) {
      fail("control", "a command of more than %u bytes", COMMAND_BYTES - 1);
    }
  }
}

/* The daemon is gone, and with it whoever would end this program. */
__attribute__((noreturn)) static void daemon_gone(void) {
  trace_flush();
  leave(0);
}

void control_handle(short events) {
  if ((events & POLLNVAL) != 0) exit(1);
  if (!push()) daemon_gone();
  if (output_used >= OUTPUT_BYTES / 2) {
    if ((events & (POLLRDHUP | POLLHUP | POLLERR)) != 0) daemon_gone();
    return;
  }
  char bytes[COMMAND_BYTES];
  ssize_t got = recv(channel, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got > 0) take(bytes, (size_t)got);
  else if (got == 0 || (errno != EAGAIN && errno != EINTR)) daemon_gone();
}
