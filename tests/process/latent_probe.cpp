// latent_probe MODE: a thread takes a lock and lives on, the process forks, the child takes a lock.
// The modes differ in whether that is the same one, and in what protects it. Exit status 0 when the
// child came to its end.
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "scenarios/support/holder.hpp"

using forkscope::scenario::Holder;

namespace {

using Action = std::function<void()>;

[[gnu::noinline]] void use(pthread_mutex_t* mutex) {
  pthread_mutex_lock(mutex);
  pthread_mutex_unlock(mutex);
}

int child_does(const Action& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

/// Another thread has done `before` and lives on when the child does `in_child`.
int beside(const Action& before, const Action& in_child, const Action& meanwhile = [] {}) {
  const Holder other = Holder::that_had("other", before, [] {});
  meanwhile();
  return child_does(in_child);
}

pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;

/// The same address again, as malloc gives it: the lock that was there is gone.
int reused(const std::function<void*(void*)>& renew) {
  void* block = std::calloc(1, 512);
  auto* mutex = static_cast<pthread_mutex_t*>(block);
  return beside([&] { use(mutex); }, [&] { use(mutex); },
                [&] {
                  void* again = renew(block);
                  if (again != block) std::exit(77);
                  std::memset(again, 0, sizeof(pthread_mutex_t));
                });
}

int recent(const std::string&) {
  return beside([] { use(&plain); }, [] { use(&plain); });
}
int trylocked_by_thread(const std::string&) {
  return beside(
      [] {
        pthread_mutex_trylock(&plain);
        pthread_mutex_unlock(&plain);
      },
      [] { use(&plain); });
}
int in_condition_wait(const std::string&) {
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static bool waits = false, over = false;
  std::thread waiter([] {
    pthread_mutex_lock(&plain);
    waits = true;
    while (!over) pthread_cond_wait(&condition, &plain);
    pthread_mutex_unlock(&plain);
  });
  for (bool seen = false; !seen;) {
    pthread_mutex_lock(&plain);
    seen = waits;
    pthread_mutex_unlock(&plain);
  }
  const int status = child_does([] { use(&plain); });
  pthread_mutex_lock(&plain);
  over = true;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&plain);
  waiter.join();
  return status;
}
/// An assignment is no call: whether the lock was repaired is not to be seen.
int assigned_by_handler(const std::string&) {
  pthread_atfork(nullptr, nullptr, [] { plain = PTHREAD_MUTEX_INITIALIZER; });
  return beside([] { use(&plain); }, [] { use(&plain); });
}

/// More locks than the history has room for where memory is limited.
int too_many_locks(const std::string&) {
  const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
  setrlimit(RLIMIT_AS, &limit);
  std::vector<pthread_mutex_t> locks(40'000, pthread_mutex_t PTHREAD_MUTEX_INITIALIZER);
  return beside([&] { for (auto& lock : locks) use(&lock); }, [] {});
}

int many_locks(const std::string&) {
  static pthread_mutex_t all[500];
  return beside(
      [] {
        for (int round = 0; round < 3; ++round)
          for (auto& one : all) use(&one);
      },
      [] { use(&all[333]); });
}
int grandchild(const std::string&) {
  return beside([] { use(&plain); }, [] { _exit(child_does([] { use(&plain); })); });
}
/// The child has a thread of its own, which takes the lock before and after the child's first.
int grandchild_of_threads(const std::string&) {
  const pid_t child = fork();
  if (child == 0) {
    const int status = beside([] { use(&plain); }, [] { use(&plain); }, [] { use(&plain); });
    _exit(status);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}
/// The child of a process with threads has found the lock free so often that it is not asked about any
/// more; its own child is another process.
int grandchild_of_a_worker(const std::string&) {
  return beside([] { use(&second); }, [] {
    for (int i = 0; i < 100; ++i) use(&plain);
    _exit(beside([] { use(&plain); }, [] { use(&plain); }));
  });
}
int tried_often_before(const std::string&) {
  return beside([] { use(&plain); }, [] {
    for (int i = 0; i < 100; ++i)
      if (pthread_mutex_trylock(&plain) == 0) pthread_mutex_unlock(&plain);
    use(&plain);
  });
}
int busy_worker(const std::string&) {
  return beside([] { use(&second); }, [] {
    for (int i = 0; i < 100; ++i) use(&plain);
  });
}
int read_then_write(const std::string&) {
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const auto read = [] {
    pthread_rwlock_rdlock(&lock);
    pthread_rwlock_unlock(&lock);
  };
  return beside(read, [read] {
    read();
    pthread_rwlock_wrlock(&lock);
    pthread_rwlock_unlock(&lock);
  });
}
int forked_by_a_thread(const std::string&) {
  // The main thread took it; another forks.
  const Holder idle("idle");
  use(&plain);
  int status = -1;
  std::thread([&] { status = child_does([] { use(&plain); }); }).join();
  return status;
}

// -- nothing to say

int other_lock(const std::string&) {
  return beside([] { use(&plain); }, [] { use(&second); });
}
int only_tries(const std::string&) {
  return beside([] { use(&plain); },
                [] {
                  if (pthread_mutex_trylock(&plain) == 0) pthread_mutex_unlock(&plain);
                });
}
int ended_thread(const std::string&) {
  const Holder idle("idle");
  Holder(
      "taker", [] { use(&plain); }, [] {})
      .finish();
  return child_does([] { use(&plain); });
}
int before_threads(const std::string&) {
  use(&plain);
  int status = -1;
  std::thread([&] { status = child_does([] { use(&plain); }); }).join();
  return status;
}
int freed(const std::string&) {
  return reused([](void* block) {
    std::free(block);
    return std::malloc(512);
  });
}
/// Far from where the block begins.
int freed_pages(const std::string&) {
  constexpr std::size_t kSize = 16384, kInside = 8000;
  auto* block = static_cast<char*>(std::malloc(kSize));
  const auto lock = [&] { use(reinterpret_cast<pthread_mutex_t*>(block + kInside)); };
  std::memset(block, 0, kSize);
  return beside(lock, lock, [&] {
    const char* old = block;
    std::free(block);
    block = static_cast<char*>(std::malloc(kSize));
    if (block != old) std::exit(77);
    std::memset(block, 0, kSize);
  });
}
int reallocated(const std::string&) {
  return reused([](void* block) { return std::realloc(block, 512); });
}
int deleted(const std::string&) {
  struct Object {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  };
  auto object = std::make_unique<Object>();
  Object* old = object.get();
  return beside([&] { use(&object->mutex); }, [&] { use(&object->mutex); },
                [&] {
                  object.reset();
                  object = std::make_unique<Object>();
                  if (object.get() != old) std::exit(77);
                });
}
int destroyed(const std::string&) {
  return beside([] { use(&plain); }, [] { use(&plain); },
                [] {
                  pthread_mutex_destroy(&plain);
                  plain = PTHREAD_MUTEX_INITIALIZER;
                });
}
int initialised_in_child(const std::string&) {
  return beside([] { use(&plain); },
                [] {
                  pthread_mutex_init(&plain, nullptr);
                  use(&plain);
                });
}
int unmapped(const std::string&) {
  const auto map = [](void* where) {
    return mmap(where, 4096, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | (where != nullptr ? MAP_FIXED : 0), -1, 0);
  };
  auto* mutex = static_cast<pthread_mutex_t*>(map(nullptr));
  return beside([&] { use(mutex); }, [&] { use(mutex); },
                [&] {
                  munmap(mutex, 4096);
                  map(mutex);
                });
}
[[gnu::noinline]] int with_lock_on_stack(const std::function<int(pthread_mutex_t*)>& work) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  const int result = work(&mutex);
  pthread_mutex_destroy(&second);  // not of this one: nobody says that it ends
  return result;
}
int on_stack(const std::string&) {
  pthread_mutex_t* first = nullptr;
  std::unique_ptr<Holder> other;
  int status = 0;
  for (int turn = 0; turn < 2; ++turn)
    status = with_lock_on_stack([&](pthread_mutex_t* mutex) {
      if (turn == 1) return mutex == first ? child_does([mutex] { use(mutex); }) : 77 << 8;
      first = mutex;
      other = std::make_unique<Holder>(
          "other", [mutex] { use(mutex); }, [] {});
      return 0;
    });
  return status == 77 << 8 ? 77 : status;
}
int unloaded(const std::string& plugin) {
  void* loaded = dlopen(plugin.c_str(), RTLD_NOW);
  auto* mutex = static_cast<pthread_mutex_t*>(dlsym(loaded, "plugin_lock"));
  if (mutex == nullptr) return -1;
  return beside([&] { use(mutex); }, [&] { use(mutex); },
                [&] {
                  dlclose(loaded);
                  loaded = dlopen(plugin.c_str(), RTLD_NOW);
                  if (dlsym(loaded, "plugin_lock") != mutex) std::exit(77);
                });
}
/// The lock of one plugin, then of another at its place, then one in memory at the place of both.
int replaced(const std::string& plugin) {
  const std::string folder = plugin.substr(0, plugin.rfind('/') + 1);
  pthread_mutex_t* place = nullptr;
  for (const std::string name : {"latent_plugin", "second_plugin"}) {
    void* loaded = dlopen((folder + "lib" + name + ".so").c_str(), RTLD_NOW);
    auto* mutex = static_cast<pthread_mutex_t*>(dlsym(loaded, "plugin_lock"));
    const auto take = reinterpret_cast<void (*)()>(dlsym(loaded, (name + "_use").c_str()));
    if (take == nullptr) return -1;
    if (place != nullptr && mutex != place) return 77;
    place = mutex;
    if (const int status = beside(take, take); status != 0) return status;
    dlclose(loaded);
  }
  constexpr std::uintptr_t kPage = 4096;
  void* page = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(place) / kPage * kPage);
  if (mmap(page, kPage, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
    return 77;
  return beside([&] { use(place); }, [&] { use(place); });
}
int protected_by_handlers(const std::string&) {
  pthread_atfork([] { pthread_mutex_lock(&plain); }, [] { pthread_mutex_unlock(&plain); },
                 [] { pthread_mutex_unlock(&plain); });
  return beside([] { use(&plain); }, [] { use(&plain); });
}
int made_anew_by_handlers(const std::string&) {
  pthread_atfork([] { pthread_mutex_lock(&plain); }, [] { pthread_mutex_unlock(&plain); },
                 [] { pthread_mutex_init(&plain, nullptr); });
  return beside([] { use(&plain); }, [] { use(&plain); });
}
/// As an allocator does it: more locks than a thread's table has room for.
pthread_mutex_t arenas[300];
int held(const Action& in_child) {
  const Holder other(
      "other", [] { pthread_mutex_lock(&plain); }, [] { pthread_mutex_unlock(&plain); });
  return child_does(in_child);
}
int held_untouched(const std::string&) {
  return held([] {});
}
int held_made_anew(const std::string&) {
  return held([] {
    pthread_mutex_init(&plain, nullptr);
    use(&plain);
  });
}
int held_made_anew_by_handler(const std::string&) {
  pthread_atfork(nullptr, nullptr, [] { pthread_mutex_init(&plain, nullptr); });
  return held([] {});
}
int held_assigned_by_handler(const std::string&) {
  pthread_atfork(nullptr, nullptr, [] { plain = PTHREAD_MUTEX_INITIALIZER; });
  return held([] {});
}
int many_protected(const std::string&) {
  const auto all = [](int (*what)(pthread_mutex_t*)) {
    for (auto& one : arenas) what(&one);
  };
  static const auto lock = [all] { all(pthread_mutex_lock); };
  static const auto unlock = [all] { all(pthread_mutex_unlock); };
  pthread_atfork([] { lock(); }, [] { unlock(); }, [] { unlock(); });
  const auto use_all = [] {
    for (auto& one : arenas) use(&one);
  };
  return beside(use_all, use_all);
}
int shared_memory(const std::string&) {
  auto* mutex = static_cast<pthread_mutex_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return beside([&] { use(mutex); }, [&] { use(mutex); });
}
int posted_by_another(const std::string&) {
  static sem_t ready;
  sem_init(&ready, 0, 0);
  return beside([] { sem_post(&ready); }, [] { sem_wait(&ready); });
}
/// One thread cannot have all of them.
int permits(const std::string&) {
  static sem_t free_places;
  sem_init(&free_places, 0, 4);
  const auto visit = [] {
    sem_wait(&free_places);
    sem_post(&free_places);
  };
  return beside(visit, visit);
}
int child_execs(const std::string&) {
  return beside([] { use(&plain); }, [] { execl("/bin/true", "true", nullptr); });
}

const std::map<std::string, int (*)(const std::string&)> kModes = {
    {"recent", recent},
    {"trylocked-by-thread", trylocked_by_thread},
    {"in-condition-wait", in_condition_wait},
    {"assigned-by-handler", assigned_by_handler},
    {"too-many-locks", too_many_locks},
    {"many-locks", many_locks},
    {"grandchild", grandchild},
    {"forked-by-a-thread", forked_by_a_thread},
    {"grandchild-of-a-worker", grandchild_of_a_worker},
      {"tried-often-before", tried_often_before},
      {"busy-worker", busy_worker},
      {"grandchild-of-threads", grandchild_of_threads},
    {"read-then-write", read_then_write},
    {"other-lock", other_lock},
    {"only-tries", only_tries},
    {"ended-thread", ended_thread},
    {"before-threads", before_threads},
    {"freed", freed},
    {"freed-pages", freed_pages},
    {"permits", permits},
    {"reallocated", reallocated},
    {"deleted", deleted},
    {"destroyed", destroyed},
    {"initialised-in-child", initialised_in_child},
    {"unmapped", unmapped},
    {"on-stack", on_stack},
    {"unloaded", unloaded},
    {"replaced", replaced},
    {"protected-by-handlers", protected_by_handlers},
    {"made-anew-by-handlers", made_anew_by_handlers},
    {"many-protected", many_protected},
    {"held-untouched", held_untouched},
    {"held-made-anew", held_made_anew},
    {"held-made-anew-by-handler", held_made_anew_by_handler},
    {"held-assigned-by-handler", held_assigned_by_handler},
    {"shared-memory", shared_memory},
    {"posted-by-another", posted_by_another},
    {"child-execs", child_execs},
};

}  // namespace

int main(int argc, char** argv) {
  const auto mode = argc > 1 ? kModes.find(argv[1]) : kModes.end();
  if (mode == kModes.end()) return 2;
  return mode->second(argc > 2 ? argv[2] : "");
}
