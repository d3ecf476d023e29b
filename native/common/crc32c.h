/*
 * CRC32C (Castagnoli, reflected, begun and ended with ~0, as in iSCSI: RFC 3720, appendix B.4).
 *
 * `crc32c(0, data, length)` is the checksum of data; `crc32c(crc, more, length)` goes on with a
 * checksum, so that crc32c(crc32c(0, a), b) is that of a followed by b. The processor's own
 * instruction (SSE4.2) is used where there is one, else a table that the first call fills: call it
 * once before threads are started.
 *
 * For use in one source file of a program; everything is static.
 */
#ifndef SPARKLER_CRC32C_H
#define SPARKLER_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 0x1EDC6F41 with its bits reversed. */
#define CRC32C_POLYNOMIAL 0x82F63B78u

/* `crc` and the result are without the final inversion. */
static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *at, size_t length) {
  static uint32_t table[256];
  if (table[1] == 0) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++)
        value = (value & 1) != 0 ? (value >> 1) ^ CRC32C_POLYNOMIAL : value >> 1;
      table[i] = value;
    }
  }
  while (length-- > 0) crc = table[(crc ^ *at++) & 0xFF] ^ (crc >> 8);
  return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_instruction(uint32_t crc,
                                                                        const unsigned char *at,
                                                                        size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; at += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = (uint32_t)wide;
  while (length-- > 0) crc = __builtin_ia32_crc32qi(crc, *at++);
  return crc;
}

static bool crc32c_has_instruction(void) { return __builtin_cpu_supports("sse4.2") != 0; }
#else
static uint32_t crc32c_by_instruction(uint32_t crc, const unsigned char *at, size_t length) {
  return crc32c_by_table(crc, at, length);
}

static bool crc32c_has_instruction(void) { return false; }
#endif

static uint32_t crc32c(uint32_t crc, const void *data, size_t length) {
  return ~(crc32c_has_instruction() ? crc32c_by_instruction(~crc, data, length)
                                    : crc32c_by_table(~crc, data, length));
}

#endif
