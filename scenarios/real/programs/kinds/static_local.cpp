// A static variable of a function that another thread is initialising: static_local table WHERE.
#include "kinds.h"

namespace {
bool holder_stays = true;

struct PriceTable {
  PriceTable() {
    if (!holder_stays) return;
    inside();
    wait_for_events();
  }
};
}  // namespace

static void price_table() {
  static PriceTable the_price_table;
  (void)the_price_table;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (!strcmp(argv[2], "free")) holder_stays = false;
  return run_lock(argv[2], price_table, price_table);
}
