// Compares text with a file in tests/data/golden. With FORKSCOPE_UPDATE_GOLDEN=1 in the environment
// the file is rewritten instead; read the difference before committing it.
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace forkscope::test {

inline void check_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(FORKSCOPE_TEST_DATA) + "/golden/" + name;
  if (const char* update = std::getenv("FORKSCOPE_UPDATE_GOLDEN"); update && *update == '1') {
    std::ofstream(path, std::ios::binary) << text;
    WARN("rewrote " << path);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  INFO("golden file " << path);
  REQUIRE(file.good());
  std::ostringstream expected;
  expected << file.rdbuf();
  CHECK(text == expected.str());
}

}  // namespace forkscope::test
