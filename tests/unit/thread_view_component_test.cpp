// Which part of a program a stack is in.
#include <catch2/catch.hpp>

#include "detector/verdict/outside/component.hpp"
#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

std::vector<Frame> stack(std::initializer_list<const char*> frames) {
  std::vector<Frame> result;
  for (const char* text : frames) result.push_back(frame(text));
  return result;
}

}  // namespace

TEST_CASE("the outermost namespace or crate of a function", "[thread_view][component]") {
  CHECK(namespace_of("rayon_core::latch::LockLatch::wait") == "rayon_core");
  CHECK(namespace_of("<rayon_core::latch::LockLatch>::wait") == "rayon_core");
  CHECK(namespace_of("main").empty());
  CHECK(namespace_of("f(std::string)").empty());
  CHECK(namespace_of("void app::run<int>(int)") == "app");
  CHECK(namespace_of("app::Table::read(std::vector<long>&)") == "app");
  CHECK(namespace_of("").empty());
}

TEST_CASE("a namespace in template arguments or a return type is not the function's",
          "[thread_view][component]") {
  CHECK(namespace_of("process<std::string>(int)").empty());
  CHECK(namespace_of("std::vector<int> app::load<int>(int)") == "app");
}

TEST_CASE("who waits is the first that is no library of locks and threads",
          "[thread_view][component]") {
  const auto found =
      waiting_component(stack({"syscall@libc", "std::sys::sync::condvar::futex::Condvar::wait@pool",
                               "parking_lot::condvar::Condvar::wait@pool",
                               "tokio::runtime::park::Inner::park@pool", "main@app"}));
  REQUIRE(found);
  CHECK(found->module == kPool);
  CHECK(found->name == "tokio");
  CHECK(found->words() == "tokio in libpool.so.1");
  CHECK_FALSE(waiting_component(stack({"read@libc", "start_thread@libc"})));
  CHECK_FALSE(waiting_component({}));
  const auto plain = waiting_component(stack({"pthread_cond_wait@libc", "take_job@pool"}));
  REQUIRE(plain);
  CHECK(plain->name.empty());
  CHECK(plain->words() == "libpool.so.1");
}

TEST_CASE("a stack runs a part if any frame is of its module and namespace",
          "[thread_view][component]") {
  const Component rayon{kPool, "rayon_core"}, pool{kPool, ""};
  const auto worker = stack({"syscall@libc", "rayon_core::sleep::Sleep::sleep@pool"});
  const auto reactor = stack({"epoll_wait@libc", "tokio::runtime::io::Driver::turn@pool"});
  CHECK(runs(worker, rayon));
  CHECK_FALSE(runs(reactor, rayon));
  CHECK(runs(reactor, pool));
  CHECK_FALSE(runs(stack({"rayon_core::sleep::Sleep::sleep@app"}), rayon));
  CHECK_FALSE(runs({}, pool));
}
