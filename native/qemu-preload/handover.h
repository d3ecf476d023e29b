/*
 * What vmm-handover asks of a template and what it is answered; both are built from this file.
 * Written down in docs/protocol/handover.md.
 */
#ifndef SPARKLER_HANDOVER_H
#define SPARKLER_HANDOVER_H

#include <stdint.h>

#define HANDOVER_MAGIC 0x314b5053u
#define HANDOVER_MAX_SLOTS 64
/* SPARKLER_NAME=value, each ended by a zero byte. */
#define HANDOVER_ENVIRONMENT_BYTES 4096

#define HANDOVER_HAS_USER 1u
#define HANDOVER_HAS_CGROUP 2u

/*
 * One message, with these descriptors: the reply socket; cgroup.procs of the VM's cgroup, open for
 * writing, if HANDOVER_HAS_CGROUP; then one for each slot, in the order that the template was given.
 */
struct handover_request {
  uint32_t magic;
  uint32_t flags;
  uint32_t uid;
  uint32_t slots;
  uint32_t environment_bytes;
  char environment[HANDOVER_ENVIRONMENT_BYTES];
};

/* What comes back over the reply socket. */
enum handover_tag {
  HANDOVER_STARTED = 's', /* value: the child's pid. It is confined and goes on as a VMM. */
  HANDOVER_ENDED = 'e',   /* value: its status, as wait(2) tells it. Nothing follows. */
};

struct handover_reply {
  uint32_t tag;
  int32_t value;
};

#endif
