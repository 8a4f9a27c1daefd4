// Text of others: what steers a terminal is taken out, and what is long is shortened.
#include "detector/verdict/foreign_text.hpp"

#include <catch2/catch.hpp>

using namespace forkscope;

TEST_CASE("what steers a terminal is not printed, letters of all languages are", "[foreign]") {
  CHECK(printable("a\x1b[31mb\n\tc\x7f") == "a?[31mb??c?");
  CHECK(printable("naïve 数 🙂") == "naïve 数 🙂");
  CHECK(printable("\xff\xfe|\xc3|\xc0\xaf|\xe0\x80\xaf") == "??|?|??|???");
  CHECK(printable("a\xc2\x9b" "b") == "a??b");                  // CSI as one C1 control
  CHECK(printable("a\xe2\x80\xae" "b\xe2\x81\xa6" "c") == "a???b???c");  // U+202E, U+2066
}

TEST_CASE("a long text keeps its front and its end", "[foreign]") {
  CHECK(bounded("short", 5) == "short");
  const std::string cut = bounded(std::string(50, 'a') + std::string(50, 'b'), 33);
  CHECK(cut == std::string(20, 'a') + "..." + std::string(10, 'b'));
  const std::string wide = bounded(std::string(40, 'x') + "数数数数数数数数数数数数", 23);
  CHECK(wide == "xxxxxxxxxxxxxx...数数数数数数");
  const std::string huge = bounded(std::string(1 << 20, 'z') + "end", 63);
  CHECK(huge.size() == 63);
  CHECK(huge.ends_with("zend"));
}

TEST_CASE("a quotation fits into a line, whatever was given", "[foreign]") {
  CHECK(in_quotes("x") == "'x'");
  CHECK(in_quotes(std::string(70'000, '\x1b')).size() <= 82);
}

TEST_CASE("the byte order mark of an editor is no part of the text", "[foreign]") {
  CHECK(without_byte_order_mark("\xef\xbb\xbf*:a") == "*:a");
  CHECK(without_byte_order_mark("*:a") == "*:a");
  CHECK(without_byte_order_mark("").empty());
}
