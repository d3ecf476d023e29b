/*
 * Feeds the page server's reader of handshakes with text that chance has made.
 *
 *   handshake-fuzz SEED ROUNDS
 *
 * Each text is a good one, changed in a few places, or cut, or put together of pieces. It is given
 * as a block of exactly its length, so that a sanitizer sees a read beyond its end. What is taken
 * must be legal. Prints how many texts were taken, incomplete, and refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../native/page-server/server.h"

#define MEMORY (64ull << 20)
#define LONGEST 4096u

static uint64_t state;

static uint32_t below(uint32_t limit) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(state >> 33) % limit;
}

static const char *const pieces[] = {
    "[", "]", "{", "}", ",", ":", "\"", " ", "\n", "0", "4096", "4", "18446744073709551615",
    "18446744073709551616", "-1", "1e3", "0x10", "\"size\":", "\"offset\":0", "\"page_size\":4096",
    "\"base_host_virt_addr\":140000000000000", "\"page_size_kib\":4", "null", "\\u0000", "\xff"};

static size_t good(char *text) {
  size_t length = 0, regions = 1 + below(4);
  text[length++] = '[';
  for (size_t i = 0; i < regions; i++) {
    unsigned long long size = (1 + below(16)) * 4096ull, at = below(64) * 4096ull;
    length += (size_t)sprintf(text + length,
                              "%s{\"base_host_virt_addr\": %llu, \"size\":%llu,\"offset\":%llu%s}",
                              i == 0 ? "" : ",", (1ull << 46) + at, size, at,
                              below(2) == 0 ? "" : ",\"page_size\":4096,\"page_size_kib\":4096");
  }
  text[length++] = ']';
  return length;
}

static size_t random_text(char *text) {
  size_t length = 0;
  for (uint32_t count = below(40); count > 0; count--) {
    const char *piece = pieces[below(sizeof pieces / sizeof pieces[0])];
    memcpy(text + length, piece, strlen(piece));
    length += strlen(piece);
  }
  return length;
}

static size_t make(char *text) {
  size_t length = below(4) == 0 ? random_text(text) : good(text);
  for (uint32_t changes = below(4); changes > 0 && length > 0; changes--) {
    size_t at = below((uint32_t)length);
    switch (below(4)) {
      case 0: text[at] = (char)below(256); break;
      case 1: length = at; break;
      case 2: memmove(text + at, text + at + 1, --length - at); break;
      default: {
        const char *piece = pieces[below(sizeof pieces / sizeof pieces[0])];
        memmove(text + at + strlen(piece), text + at, length - at);
        memcpy(text + at, piece, strlen(piece));
        length += strlen(piece);
      }
    }
  }
  return length;
}

static bool meet(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

static void check(const struct region *list, size_t count) {
  if (count == 0 || count > MAX_REGIONS) abort();
  for (size_t i = 0; i < count; i++) {
    const struct region *r = &list[i];
    if (r->size == 0 || (r->size | r->base | r->offset) % PAGE != 0) abort();
    if (r->offset > MEMORY || r->size > MEMORY || r->offset + r->size > MEMORY) abort();
    if (r->base + r->size < r->base) abort();
    for (size_t j = 0; j < i; j++)
      if (meet(r->base, r->size, list[j].base, list[j].size) ||
          meet(r->offset, r->size, list[j].offset, list[j].size))
        abort();
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  state = strtoull(argv[1], NULL, 10);
  long counts[3] = {0};
  for (long round = atol(argv[2]); round > 0; round--) {
    static char text[LONGEST];
    size_t length = make(text), count;
    char *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, text, length);
    struct region list[MAX_REGIONS];
    const char *reason = NULL;
    enum parsed parsed = parse_regions(exact, length, MEMORY, list, &count, &reason);
    if (parsed == PARSED) check(list, count);
    else if (reason == NULL) abort();
    counts[parsed]++;
    free(exact);
  }
  printf("%ld %ld %ld\n", counts[PARSED], counts[PARSED_IN_PART], counts[NOT_PARSED]);
  return 0;
}
