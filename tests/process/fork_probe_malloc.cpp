// What fork_probe_test runs: a program with an allocator of its own that knows nothing of fork, and
// a thread that keeps its lock.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

namespace {

pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t other_lock = PTHREAD_MUTEX_INITIALIZER;
sem_t has_it, may_end;
alignas(64) char pool[8 << 20];
size_t used = 0;

[[gnu::noinline]] void* take(size_t size, size_t alignment) {
  pthread_mutex_lock(&pool_lock);
  const size_t begin = (used + 16 + alignment - 1) / alignment * alignment;
  void* memory = nullptr;
  if (begin + size <= sizeof pool) {
    memory = pool + begin;
    used = begin + size;
    static_cast<size_t*>(memory)[-1] = size;
  }
  pthread_mutex_unlock(&pool_lock);
  return memory;
}

void* keep_pool(void*) {
  pthread_mutex_lock(&pool_lock);
  sem_post(&has_it);
  while (sem_wait(&may_end) != 0) {
  }
  pthread_mutex_unlock(&pool_lock);
  return nullptr;
}

}  // namespace

extern "C" {
void* malloc(size_t size) { return take(size, 16); }
void free(void*) {}
void* calloc(size_t count, size_t size) { return take(count * size, 16); }  // never used before
void* realloc(void* old, size_t size) {
  auto* memory = static_cast<char*>(take(size, 16));
  if (old != nullptr && memory != nullptr)
    for (size_t i = 0; i < size && i < static_cast<size_t*>(old)[-1]; ++i)
      memory[i] = static_cast<char*>(old)[i];
  return memory;
}
void* memalign(size_t alignment, size_t size) { return take(size, alignment); }
void* aligned_alloc(size_t alignment, size_t size) { return take(size, alignment); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = take(size, alignment);
  return *memory == nullptr ? ENOMEM : 0;
}
}

int main() {
  sem_init(&has_it, 0, 0);
  sem_init(&may_end, 0, 0);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, keep_pool, nullptr) != 0) return 1;
  while (sem_wait(&has_it) != 0) {
  }
  for (int i = 0; i < 5; ++i) {
    pthread_mutex_lock(&other_lock);
    pthread_mutex_unlock(&other_lock);
  }
  sem_post(&may_end);
  return pthread_join(thread, nullptr);
}
