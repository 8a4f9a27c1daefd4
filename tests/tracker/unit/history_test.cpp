// What the history counts, and for which lock.
#include "detector/tracker/history.hpp"

#include <pthread.h>

#include <catch2/catch.hpp>

#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;

TEST_CASE("a thread's own record that is out of date counts for no other lock") {
  static pthread_mutex_t locks[64];
  test::together(2, [](int index) {
    if (index != 0) return;
    history::start();
    ThreadRecord& self = *current();
    const pthread_mutex_t* kept = &locks[0];
    const pthread_mutex_t* dropped = kept + 1;
    while ((history::seen_index(dropped) | 1) == (history::seen_index(kept) | 1)) ++dropped;
    const auto release = [&](const pthread_mutex_t* lock) {
      history::note_release(self, {lock, record::LockType::kMutexNormal, 0, nullptr, 0x1010});
    };
    release(kept);
    const std::uint32_t offset = self.seen_uses[history::seen_index(kept)];
    // As when another thread freed `dropped`, and its place in the store went to `kept`.
    const std::uint32_t place = history::seen_index(dropped);
    self.seen[place].word.store(history::seen_word(dropped, 0));
    self.seen[place].left = 1;
    self.seen[place].times = 1000;
    self.seen_uses[place] = offset;
    release(dropped);
    CHECK(offset != 0);
    CHECK(self.seen_uses[place] != 0);
    CHECK(self.seen_uses[place] != offset);
    self.seen[place].word.store(0);
    self.seen[history::seen_index(kept)].word.store(0);
  });
}
