/*
 * page-server: the list of regions in a handshake, the JSON text that Firecracker writes.
 *
 *   [{"base_host_virt_addr":N,"size":N,"offset":N,"page_size":N,"page_size_kib":N}, ...]
 *
 * Only this is read: a list of objects with these fields, whole numbers, no escapes. A field that
 * is not known is refused, as it could change what the others mean. The page size may be absent.
 * `page_size_kib` is its older name; some versions put bytes into it.
 */
#include "server.h"

#include <string.h>

enum field { BASE, SIZE, OFFSET, PAGE_SIZE, PAGE_SIZE_KIB, FIELDS };

static const char *const names[FIELDS] = {"base_host_virt_addr", "size", "offset", "page_size",
                                          "page_size_kib"};

struct text {
  const char *at, *end;
  /* Set by what fails: the reason, or that the text ended too early. */
  const char *reason;
  bool ended;
};

static bool refuse(struct text *text, const char *reason) {
  text->reason = reason;
  return false;
}

static bool ended(struct text *text) {
  text->ended = true;
  return refuse(text, "the text ends early");
}

static void skip_space(struct text *text) {
  while (text->at < text->end && memchr(" \t\r\n", *text->at, 4) != NULL) text->at++;
}

static bool expect(struct text *text, char wanted, const char *reason) {
  skip_space(text);
  if (text->at == text->end) return ended(text);
  if (*text->at != wanted) return refuse(text, reason);
  text->at++;
  return true;
}

/* Whether another element follows; what ends the list is taken. */
static bool another(struct text *text, char end, bool *more) {
  skip_space(text);
  if (text->at == text->end) return ended(text);
  if (*text->at != ',' && *text->at != end) return refuse(text, "no comma and no end of a list");
  *more = *text->at++ == ',';
  return true;
}

static bool read_number(struct text *text, uint64_t *number) {
  skip_space(text);
  const char *start = text->at;
  *number = 0;
  for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
    uint64_t digit = (uint64_t)(*text->at - '0');
    if (*number > (UINT64_MAX - digit) / 10) return refuse(text, "a number is too large");
    *number = *number * 10 + digit;
  }
  if (text->at == text->end) return ended(text);
  if (text->at == start) return refuse(text, "no whole number");
  if (*start == '0' && text->at - start > 1) return refuse(text, "a number begins with 0");
  return true;
}

static bool read_name(struct text *text, size_t *field) {
  if (!expect(text, '"', "no name of a field")) return false;
  const char *start = text->at;
  const char *quote = memchr(start, '"', (size_t)(text->end - start));
  if (quote == NULL) return ended(text);
  text->at = quote + 1;
  size_t length = (size_t)(quote - start);
  for (*field = 0; *field < FIELDS; ++*field)
    if (strlen(names[*field]) == length && memcmp(names[*field], start, length) == 0) return true;
  return refuse(text, "a field is unknown");
}

static bool read_fields(struct text *text, uint64_t values[FIELDS], bool given[FIELDS]) {
  if (!expect(text, '{', "a region is no object")) return false;
  for (bool more = true; more;) {
    size_t field;
    if (!read_name(text, &field)) return false;
    if (given[field]) return refuse(text, "a field is given twice");
    given[field] = true;
    if (!expect(text, ':', "no colon after a name")) return false;
    if (!read_number(text, &values[field])) return false;
    if (!another(text, '}', &more)) return false;
  }
  return true;
}

static const char *check_region(const struct region *region, uint64_t memory) {
  if (region->size == 0) return "a region is empty";
  if ((region->base | region->size | region->offset) % PAGE != 0)
    return "a region is not aligned to pages";
  if (region->base == 0 || region->size > UINT64_MAX - region->base)
    return "a region is at no possible address";
  if (region->size > memory || region->offset > memory - region->size)
    return "a region ends after the memory file";
  return NULL;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b ? b - a < a_size : a - b < b_size;
}

static bool read_region(struct text *text, uint64_t memory, struct region *list, size_t count) {
  uint64_t values[FIELDS] = {0};
  bool given[FIELDS] = {false};
  if (!read_fields(text, values, given)) return false;
  if (!given[BASE] || !given[SIZE] || !given[OFFSET])
    return refuse(text, "base_host_virt_addr, size or offset is missing");
  if (given[PAGE_SIZE] && values[PAGE_SIZE] != PAGE)
    return refuse(text, "page_size: only pages of 4096 bytes are served");
  if (given[PAGE_SIZE_KIB] && values[PAGE_SIZE_KIB] != PAGE && values[PAGE_SIZE_KIB] != PAGE / 1024)
    return refuse(text, "page_size_kib: only pages of 4096 bytes are served");
  struct region region = {values[BASE], values[SIZE], values[OFFSET]};
  const char *wrong = check_region(&region, memory);
  if (wrong != NULL) return refuse(text, wrong);
  for (size_t i = 0; i < count; i++)
    if (overlap(region.base, region.size, list[i].base, list[i].size) ||
        overlap(region.offset, region.size, list[i].offset, list[i].size))
      return refuse(text, "two regions overlap");
  list[count] = region;
  return true;
}

static bool read_list(struct text *text, uint64_t memory, struct region *list, size_t *count) {
  if (!expect(text, '[', "no list of regions")) return false;
  for (bool more = true; more; ++*count) {
    if (*count == MAX_REGIONS) return refuse(text, "too many regions");
    if (!read_region(text, memory, list, *count)) return false;
    if (!another(text, ']', &more)) return false;
  }
  skip_space(text);
  return text->at == text->end || refuse(text, "something follows the list");
}

enum parsed parse_regions(const char *bytes, size_t length, uint64_t memory,
                          struct region regions[MAX_REGIONS], size_t *count, const char **reason) {
  struct text text = {.at = bytes, .end = bytes + length};
  *count = 0;
  if (read_list(&text, memory, regions, count)) return PARSED;
  *reason = text.reason;
  return text.ended ? PARSED_IN_PART : NOT_PARSED;
}
