// The options of the command line and their environment variables as data: name, documentation and what a
// value does to the configuration. Parsing, help and the README's table are made from these rows.
#pragma once
#include <span>
#include <string>

#include "execd/config.hpp"

namespace execd {

struct OptionRow {
    OptionInfo info;
    /// Takes a value into the configuration. invalid_argument says in its detail what is wrong with it.
    Result<void> (*set)(Config&, std::string const&);
};

/// In the order of --help and of application: --host and --port shape the first listener, --listen adds more.
[[nodiscard]] std::span<OptionRow const> option_rows();

}  // namespace execd
