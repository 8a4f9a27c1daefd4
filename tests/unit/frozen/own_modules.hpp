// The modules of the test process itself, as the tracker would record them.
#pragma once

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "detector/record/session.hpp"

namespace frozen {

inline std::vector<forkscope::ModuleRecord> own_modules() {
  std::vector<forkscope::ModuleRecord> modules;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        forkscope::ModuleRecord module;
        module.start = UINT64_MAX;
        module.bias = info->dlpi_addr;
        module.path = info->dlpi_name;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          module.start = std::min(module.start, info->dlpi_addr + segment.p_vaddr);
          module.end = std::max(module.end, info->dlpi_addr + segment.p_vaddr + segment.p_memsz);
        }
        if (module.path.empty()) {
          char path[4096];
          const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
          module.path.assign(path, length > 0 ? std::size_t(length) : 0);
        }
        static_cast<std::vector<forkscope::ModuleRecord>*>(out)->push_back(module);
        return 0;
      },
      &modules);
  return modules;
}

}  // namespace frozen
