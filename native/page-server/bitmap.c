/* page-server: one bit per page or block. */
#include "server.h"

#include <stdlib.h>

uint64_t *bitmap_new(uint64_t bits) {
  uint64_t *map = calloc((size_t)(bits / 64 + 1), sizeof *map);
  if (map == NULL) fail("resources", "no memory for a table of pages");
  return map;
}

bool bitmap_get(const uint64_t *map, uint64_t bit) {
  return (map[bit / 64] >> (bit % 64) & 1) != 0;
}

bool bitmap_set(uint64_t *map, uint64_t bit) {
  bool was_clear = !bitmap_get(map, bit);
  map[bit / 64] |= 1ull << (bit % 64);
  return was_clear;
}

void bitmap_clear(uint64_t *map, uint64_t bit) { map[bit / 64] &= ~(1ull << (bit % 64)); }
