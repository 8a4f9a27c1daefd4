// Which distribution an installed file is of, by folders made here.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "detector/symbols/packages.hpp"

using namespace forkscope;
namespace fs = std::filesystem;

namespace {

class SitePackages {
 public:
  SitePackages() {
    char name[] = "/tmp/forkscope-packages-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    root_ = name;
    fs::create_directories(folder());
  }
  ~SitePackages() { fs::remove_all(root_); }
  fs::path folder() const { return root_ / "lib/python3.11/site-packages"; }
  std::string file(const std::string& below) const { return folder() / below; }
  void write(const std::string& below, const std::string& text) const {
    fs::create_directories((folder() / below).parent_path());
    std::ofstream(folder() / below) << text;
  }

 private:
  fs::path root_;
};

}  // namespace

TEST_CASE("a package is called by its distribution's name and version", "[packages]") {
  const SitePackages site;
  site.write("polars-1.9.0.dist-info/METADATA", "");
  site.write("scikit_learn-1.5.2.dist-info/RECORD", "sklearn/__init__.py,,\nsklearn/x.so,,\n");
  site.write("PyYAML-6.0.dist-info/top_level.txt", "_yaml\nyaml\n");
  site.write("numpy-2.0.0.dist-info/METADATA", "");
  CHECK(package_of(site.file("polars/frame.py")) == "polars 1.9.0");
  CHECK(package_of(site.file("yaml/loader.py")) == "PyYAML 6.0");
  CHECK(package_of(site.file("sklearn/x.so")) == "scikit_learn 1.5.2");
  CHECK(package_of(site.file("numpy.libs/libscipy_openblas64.so")) == "numpy 2.0.0");
  // Of which nothing is known but its folder.
  CHECK(package_of(site.file("skl/x.py")) == "skl");
}

TEST_CASE("what is not installed has no package", "[packages]") {
  CHECK(package_of("/srv/app/jobs.py").empty());
  CHECK(package_of("/usr/lib/x86_64-linux-gnu/libc.so.6").empty());
  CHECK(package_of("").empty());
  CHECK(first_package_of({"/srv/app/jobs.py", "/nowhere/site-packages/cv2/cv2.so"}) == "cv2");
}

TEST_CASE("metadata that is a pipe keeps nobody waiting", "[packages]") {
  const SitePackages site;
  site.write("other-1.0.dist-info/METADATA", "");
  REQUIRE(mkfifo(site.file("other-1.0.dist-info/RECORD").c_str(), 0600) == 0);
  CHECK(package_of(site.file("strange/x.so")) == "strange");
}
