// Scenario parquet-lock: a worker is forked while a reader thread holds the file lock of a table.
//
// This models the mechanism that the multiprocessing page of the Polars user guide describes: a
// thread of the parent holds a file lock while it decodes a Parquet file, the process is forked,
// and the worker calls read_parquet() in its turn. The lock here is a real pthread mutex,
// `orders.file_lock`. Real Polars hangs in the same program without any lock held: it waits for
// pool threads that were not copied. That is the twin scenario, worker-pool.
//
//   reader-0: read_parquet > read_row_group [file_lock] > decode_page ...............> unlock
//   main:                                                             fork ... join the worker
//   worker (a copy of main alone):                                     read_row_group > lock
//                                                                       for ever: its copy of the
//                                                                       mutex has no thread to
//                                                                       unlock it
//
// The fork always meets the reader inside its critical section: the first page a reader decodes
// stops it until the worker has been started.
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <latch>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "parquet-lock",
    .title = "fork while a reader thread holds a table's file lock",
    .cause =
        "A reader thread of the parent holds the file lock of a table while it decodes a row "
        "group. "
        "fork() copies the locked lock, but not the thread that would unlock it. The worker calls "
        "the same reader, asks for the lock and waits for ever.",
    .mechanism =
        "Models what the multiprocessing page of the Polars user guide describes, with a real "
        "pthread mutex (orders.file_lock). The first page that a reader decodes stops it inside "
        "its "
        "critical section until the worker has been started, so every fork meets it there. Real "
        "Polars hangs without a lock held; the scenario worker-pool shows how.",
    .cure =
        "Start workers with posix_spawn of a fresh image or through a fork server started before "
        "the "
        "first thread (Python: multiprocessing.get_context(\"spawn\") or \"forkserver\"). A "
        "library "
        "can make its reader survive fork with pthread_atfork: lock file_lock in the prepare "
        "handler, "
        "unlock it in the parent and in the child handler.",
    .source = "scenarios/parquet_lock.cpp",
    .methods = {
        hangs("fork", "orphaned-lock",
              "forked while a reader is inside read_row_group; the worker reads the table"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        silent("forkserver",
               "the same moment, but forked by a server that never had a second thread"),
        completes("fork-without-read", {},
                  "control: forked at the same moment; the worker filters rows it inherited, reads "
                  "nothing"),
        lucky("fork-lucky",
              "all readers have read the table before the fork, and live on; the worker reads it")
            .as_timing_of("fork"),
        silent("fork-after-idle",
               "control: all readers have finished before the fork; the worker reads the table"),
    }};

// ---- a table file and its reader ----------------------------------------------------------------
// A small relative of Parquet: row groups of pages, the values of a page as zigzag varint deltas.

using Frame = std::vector<std::int64_t>;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kRowGroups = 4, kPages = 4, kRowsPerPage = 2048;

struct RowGroup {
  std::uint64_t offset, size;
};

struct TableReader {
  std::mutex file_lock;  ///< one row group at a time: guards `buffer`
  Bytes buffer;          ///< encoded bytes of the row group being decoded
  Descriptor file;
  std::vector<RowGroup> row_groups;

  using OnPage = std::function<void()>;

  void open(const std::string& path);
  Frame read_parquet(const OnPage& on_page = {});

 private:
  void read_row_group(const RowGroup& group, Frame& frame, const OnPage& on_page);
  std::span<const std::uint8_t> decode_page(std::span<const std::uint8_t> bytes, Frame& frame,
                                            const OnPage& on_page);
};

TableReader orders;

void encode(std::uint64_t value, Bytes& to) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<std::uint8_t>(value | 0x80));
  to.push_back(static_cast<std::uint8_t>(value));
}

std::uint64_t decode(std::span<const std::uint8_t>& from) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const std::uint8_t byte = from.front();
    from = from.subspan(1);
    value |= std::uint64_t(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw std::runtime_error("the table file is damaged");
}

void write_all(int file, const void* data, std::size_t size) {
  if (write(file, data, size) != static_cast<ssize_t>(size)) throw_errno("cannot write the table");
}

/// The order amounts: positive and negative, the same in every run.
void write_table(int file) {
  std::vector<RowGroup> index;
  Bytes body;
  std::uint64_t random = 1;
  for (std::size_t group = 0; group < kRowGroups; ++group) {
    const std::size_t start = body.size();
    for (std::size_t page = 0; page < kPages; ++page) {
      encode(kRowsPerPage, body);
      std::int64_t last = 0;
      for (std::size_t row = 0; row < kRowsPerPage; ++row) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const auto amount = static_cast<std::int64_t>(random >> 48) - 32768;
        const std::int64_t delta = amount - last;
        encode((std::uint64_t(delta) << 1) ^ std::uint64_t(delta >> 63), body);
        last = amount;
      }
    }
    index.push_back({kRowGroups * sizeof(RowGroup) + start, body.size() - start});
  }
  write_all(file, index.data(), index.size() * sizeof(RowGroup));
  write_all(file, body.data(), body.size());
}

void TableReader::open(const std::string& path) {
  file = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw_errno("cannot open the table " + path);
  row_groups.resize(kRowGroups);
  const std::size_t size = kRowGroups * sizeof(RowGroup);
  if (pread(file.get(), row_groups.data(), size, 0) != static_cast<ssize_t>(size))
    throw std::runtime_error("the table file is damaged: " + path);
}

// The three functions below stay functions, so that stacks tell the story at every optimisation.

[[gnu::noinline]] std::span<const std::uint8_t> TableReader::decode_page(
    std::span<const std::uint8_t> bytes, Frame& frame, const OnPage& on_page) {
  std::int64_t value = 0;
  for (std::uint64_t rows = decode(bytes); rows > 0; --rows) {
    const std::uint64_t delta = decode(bytes);
    value += static_cast<std::int64_t>((delta >> 1) ^ (~(delta & 1) + 1));
    frame.push_back(value);
  }
  if (on_page) on_page();
  return bytes;
}

[[gnu::noinline]] void TableReader::read_row_group(const RowGroup& group, Frame& frame,
                                                   const OnPage& on_page) {
  const std::lock_guard lock(file_lock);
  buffer.resize(group.size);
  if (pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(group.offset)) !=
      static_cast<ssize_t>(buffer.size()))
    throw std::runtime_error("the table file is damaged");
  for (std::span<const std::uint8_t> rest(buffer); !rest.empty();)
    rest = decode_page(rest, frame, on_page);
}

[[gnu::noinline]] Frame TableReader::read_parquet(const OnPage& on_page) {
  Frame frame;
  for (const RowGroup& group : row_groups) read_row_group(group, frame, on_page);
  return frame;
}

// ---- the program
// ----------------------------------------------------------------------------------

/// The table as a file, removed at the end.
class TableFile {
 public:
  TableFile() : path_(std::filesystem::temp_directory_path() / "orders.XXXXXX") {
    const Descriptor file(mkostemp(path_.data(), O_CLOEXEC));
    if (file.get() < 0) throw_errno("cannot create the table " + path_);
    write_table(file.get());
  }
  TableFile(const TableFile&) = delete;
  TableFile& operator=(const TableFile&) = delete;
  ~TableFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Where the readers are when the process forks.
enum class Readers { kInside, kDone };

/// Threads that read the table. Readers::kInside: the first to have decoded a page waits there,
/// inside read_row_group and so with orders.file_lock, until release(); the others come as far as
/// the lock. kDone: all have read the table, and wait for release() with nothing in their hands.
class ReaderThreads {
 public:
  explicit ReaderThreads(Readers stay) {
    for (int number = 0; number < kReaders; ++number)
      threads_.emplace_back([this, number, stay] {
        pthread_setname_np(pthread_self(), ("reader-" + std::to_string(number)).c_str());
        if (stay == Readers::kInside) return void(orders.read_parquet([this] { page_decoded(); }));
        orders.read_parquet();
        done_.count_down();
        released_.wait();
      });
    if (stay == Readers::kInside)
      inside_.wait();
    else
      done_.wait();
  }
  ~ReaderThreads() { join(); }

  void release() {
    if (!threads_.empty() && !released_.try_wait()) released_.count_down();
  }
  void join() {
    release();
    threads_.clear();  // std::jthread joins
  }

 private:
  void page_decoded() {
    if (stopped_.test_and_set()) return;
    inside_.count_down();
    released_.wait();
  }

  // Latches wait on a futex of their own: no mutex but the one the scenario is about.
  static constexpr int kReaders = 3;
  std::latch inside_{1}, done_{kReaders}, released_{1};
  std::atomic_flag stopped_;
  std::vector<std::jthread> threads_;
};

/// What the guide's worker does: filter the positive rows (and add them up, to have an answer).
std::int64_t filter_and_sum(const Frame& frame) {
  std::int64_t sum = 0;
  for (const std::int64_t amount : frame)
    if (amount > 0) sum += amount;
  return sum;
}

/// The worker with the reader it inherited.
std::int64_t inherited_worker() { return filter_and_sum(orders.read_parquet()); }

/// The worker that inherited nothing: a fresh image, or a child of the fork server.
std::int64_t fresh_worker(const std::string& path) {
  orders.open(path);
  return inherited_worker();
}

int parent(const Options& options) {
  const std::string& method = options.method;
  const TableFile table;
  std::optional<ForkServer> server;
  if (method == "forkserver") server.emplace(fresh_worker);  // before the first thread

  orders.open(table.path());
  const Frame frame = orders.read_parquet();
  const std::int64_t expected = filter_and_sum(frame);

  // One after the other, as in the guide, whose program would stay in join() at the first that
  // hangs.
  for (int number = 1; number <= options.workers; ++number) {
    const bool lucky = method == "fork-lucky";
    ReaderThreads readers(lucky ? Readers::kDone : Readers::kInside);
    if (method == "fork-after-idle") readers.join();
    std::printf("parent: %s\n", lucky || method == "fork-after-idle"
                                    ? "the readers have finished, orders.file_lock is free"
                                    : "a reader decodes a page and holds orders.file_lock");
    Worker worker = method == "spawn"        ? spawn_worker(table.path())
                    : method == "forkserver" ? server->start(table.path())
                    : method == "fork-without-read"
                        ? fork_worker([&] { return filter_and_sum(frame); })
                        : fork_worker(inherited_worker);
    readers.release();  // here the lock becomes free again; a forked worker's copy does not
    const int status = follow(std::move(worker), number, options.patience, expected);
    if (status != kAllDone) return status;
  }
  return kAllDone;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, {parent, fresh_worker});
}
