// free, realloc, munmap, mremap, dlclose: where memory ends, what is known of the locks in it ends.
// A lock at the same address later is another one (see detector/tracker/history.hpp).
//
// On the path of every free(): one test, then a jump, until a lock on the heap is known; then the
// size of the block, and a bit for each of its pages. ld.so itself calls free() from here
// on, before the constructor runs, and dlsym may: it is looked up alone, first.
#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>

#include <cstdarg>
#include <cstring>

#include "detector/record/module_kind.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/unsafe_calls.hpp"
#include "preload/heap.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

[[gnu::noinline]] decltype(&::free) real_free() {
  auto* found = reinterpret_cast<decltype(&::free)>(dlsym(RTLD_NEXT, "free"));
  __atomic_store_n(&real_functions.free, found, __ATOMIC_RELAXED);
  return found;
}

/// A block may begin pages before the lock in it.
[[gnu::noinline]] void forget_block(void* block) {
  if (block != nullptr && history::watches_heap)
    history::forget_range(block, real().malloc_usable_size(block));
}

/// As the kernel takes it.
std::size_t whole_pages(std::size_t size) {
  constexpr std::size_t kPage = 4096;
  return (size + kPage - 1) / kPage * kPage;
}

/// What the program calls by this name. An executable that is not position-independent gives a
/// function that it takes the address of one in its own procedure linkage table: then it is what
/// comes after this library.
const void* called_as(const char* name) {
  const void* found = dlsym(RTLD_DEFAULT, name);
  Dl_info info{};
  const ElfW(Sym)* symbol = nullptr;
  if (found != nullptr &&
      dladdr1(found, &info, const_cast<void**>(reinterpret_cast<const void**>(&symbol)),
              RTLD_DL_SYMENT) != 0 &&
      symbol != nullptr && symbol->st_shndx == SHN_UNDEF)
    return nullptr;
  return found;
}

/// The C++ library's operator delete calls free(); an allocator's own does not.
bool deletes_by_free() {
  constexpr const char* kDelete = "_ZdlPv";
  const void* operator_delete = called_as(kDelete);
  if (operator_delete == nullptr) operator_delete = dlsym(RTLD_NEXT, kDelete);
  if (operator_delete == nullptr) return true;
  const link_map* object = object_of(operator_delete);
  return object != nullptr && is_cxx_runtime(object->l_name);
}

}  // namespace

namespace forkscope {

bool sees_all_frees() {
  const void* first = called_as("free");
  return (first == nullptr || first == reinterpret_cast<const void*>(&::free)) &&
         deletes_by_free() &&
         object_of(reinterpret_cast<const void*>(real().free)) ==
             object_of(reinterpret_cast<const void*>(real().malloc_usable_size));
}

}  // namespace forkscope

FORKSCOPE_EXPORT void free(void* block) noexcept {
  if (history::any_on_heap.load(std::memory_order_relaxed)) [[unlikely]]
    forget_block(block);
  auto* next = real_functions.free;
  if (next == nullptr) [[unlikely]]
    next = real_free();
  next(block);
}

FORKSCOPE_EXPORT void* realloc(void* block, std::size_t size) noexcept {
  if (history::any_on_heap.load(std::memory_order_relaxed)) [[unlikely]]
    forget_block(block);
  if (inject::lock_points() && detail::self != nullptr) [[unlikely]]
    inject::inside(*detail::self, __builtin_return_address(0));
  auto* next = real_functions.realloc;
  if (next == nullptr) [[unlikely]]
    next = reinterpret_cast<decltype(&::realloc)>(dlsym(RTLD_NEXT, "realloc"));
  return next(block, size);
}

FORKSCOPE_EXPORT int munmap(void* address, std::size_t size) noexcept {
  history::forget_range(address, whole_pages(size));
  return real().munmap(address, size);
}

FORKSCOPE_EXPORT void* mremap(void* address, std::size_t size, std::size_t new_size, int flags,
                              ...) noexcept {
  va_list more;
  va_start(more, flags);
  void* target = (flags & MREMAP_FIXED) != 0 ? va_arg(more, void*) : nullptr;
  va_end(more);
  history::forget_range(address, whole_pages(size));
  if (target != nullptr) history::forget_range(target, whole_pages(new_size));
  return real().mremap(address, size, new_size, flags, target);
}

FORKSCOPE_EXPORT int dlclose(void* handle) noexcept {
  const void* caller = __builtin_return_address(0);
  if (ThreadRecord* thread = detail::self)
    unsafe_calls::note(*thread, record::UnsafeCall::dlclose, caller);
  int result = real().dlclose(handle);
  history::forget_unloaded();
  return result;
}
