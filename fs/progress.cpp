#include "fs/progress.hpp"

namespace execd::fs {

namespace {
thread_local Steps* counted = nullptr;
}

CountSteps::CountSteps(Steps& steps) { counted = &steps; }
CountSteps::~CountSteps() { counted = nullptr; }

void count_step() {
    if (counted != nullptr) counted->fetch_add(1, std::memory_order_relaxed);
}

}  // namespace execd::fs
