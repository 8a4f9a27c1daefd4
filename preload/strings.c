/* The memory and string functions of this library, for itself alone (hidden).

   libc's would be reached through the program's own wrappers of them, if it has such: a statically
   linked sanitizer's are not ready while constructors run. The compiler calls some by itself. Only
   for what happens seldom, hence short rather than fast. Async-signal-safe. */
#include <stddef.h>

#pragma GCC visibility push(hidden)

void* memcpy(void* restrict to, const void* restrict from, size_t size) {
  void* start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return start;
}

void* memmove(void* to, const void* from, size_t size) {
  if ((size_t)to - (size_t)from >= size) return memcpy(to, from, size);
  for (size_t i = size; i-- > 0;) ((char*)to)[i] = ((const char*)from)[i];
  return to;
}

void* memset(void* at, int value, size_t size) {
  void* start = at;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
  return start;
}

int memcmp(const void* left, const void* right, size_t size) {
  const unsigned char *a = left, *b = right;
  for (; size > 0; --size, ++a, ++b)
    if (*a != *b) return *a - *b;
  return 0;
}

size_t strlen(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

int strncmp(const char* left, const char* right, size_t size) {
  for (; size > 0; --size, ++left, ++right) {
    if (*left != *right) return (unsigned char)*left - (unsigned char)*right;
    if (*left == '\0') break;
  }
  return 0;
}

int strcmp(const char* left, const char* right) { return strncmp(left, right, (size_t)-1); }

char* stpcpy(char* restrict to, const char* restrict from) {
  while ((*to = *from++) != '\0') ++to;
  return to;
}

char* strcpy(char* restrict to, const char* restrict from) {
  stpcpy(to, from);
  return to;
}

char* strncpy(char* restrict to, const char* restrict from, size_t size) {
  size_t i = 0;
  for (; i < size && from[i] != '\0'; ++i) to[i] = from[i];
  for (; i < size; ++i) to[i] = '\0';
  return to;
}

char* strchr(const char* text, int wanted) {
  for (;; ++text) {
    if (*text == (char)wanted) return (char*)text;
    if (*text == '\0') return NULL;
  }
}

char* strrchr(const char* text, int wanted) {
  char* last = NULL;
  for (char* found = strchr(text, wanted); found != NULL; found = strchr(found + 1, wanted)) {
    last = found;
    if (*found == '\0') break;
  }
  return last;
}

size_t strspn(const char* text, const char* accepted) {
  size_t length = 0;
  while (text[length] != '\0' && strchr(accepted, text[length]) != NULL) ++length;
  return length;
}

size_t strcspn(const char* text, const char* rejected) {
  size_t length = 0;
  while (text[length] != '\0' && strchr(rejected, text[length]) == NULL) ++length;
  return length;
}

char* strstr(const char* text, const char* wanted) {
  size_t length = strlen(wanted);
  for (;; ++text) {
    if (strncmp(text, wanted, length) == 0) return (char*)text;
    if (*text == '\0') return NULL;
  }
}

#pragma GCC visibility pop
