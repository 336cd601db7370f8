// Contexts on fake kernels (fake_kernel.py does what its name or the code says).
#pragma once
#include <signal.h>

#include "harness.hpp"

namespace execd::kernels {

using namespace std::chrono_literals;

// Kernelspecs "fake", "fake-late" ... in a JUPYTER_PATH of their own.
class FakeSpecs {
  public:
    FakeSpecs() {
        auto const script = std::filesystem::path(__FILE__).parent_path() / "fake_kernel.py";
        for (std::string const how :
             {"", "late", "die_at_start", "silent", "stubborn", "once", "port_lost", "lingering"}) {
            Json const spec = {{"argv", {test_python(), script.string(), "{connection_file}", how}},
                               {"language", "fake" + how},
                               {"display_name", "Fake"}};
            folder_.write("kernels/fake" + how + "/kernel.json", spec.dump());
        }
        Json const gone = {{"argv", {"/no/such/kernel"}}, {"language", "gone"}};
        folder_.write("kernels/gone/kernel.json", gone.dump());
    }
    [[nodiscard]] Contexts::Options options() const {
        Contexts::Options out{.env = test_env(), .home = "/nonexistent"};
        out.env["JUPYTER_PATH"] = folder_.path();
        out.start_timeout = 20s;
        return out;
    }

  private:
    TempFolder folder_;
};

class Fake : private FakeSpecs, public KernelTest {
  protected:
    Fake() : KernelTest(options()) {}
    explicit Fake(void (*change)(Contexts::Options&)) : KernelTest(changed(options(), change)) {}
    explicit Fake(shell::Executions::Options executions) : KernelTest(options(), std::move(executions)) {}
    static Contexts::Options changed(Contexts::Options options, void (*change)(Contexts::Options&)) {
        change(options);
        return options;
    }
    std::shared_ptr<Context> fake(std::string language = "fake") {
        return make({.language = std::move(language), .end_grace = 1500ms});
    }
};

}  // namespace execd::kernels
