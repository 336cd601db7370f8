// A run's own working directory and environment. They travel as data, never inside the user's source:
//  - ipykernel: a message type of our own on the shell channel, `execd_place_request`, whose handler one
//  silent cell
//    installs at first use. It is ordered with the run that follows and gives back what is to be restored.
//  - bash, R, JavaScript, Python without ipykernel: a silent cell whose values are literals of the language,
//  quoted here.
//  - others cannot: Code::not_supported.
// Pure.
#pragma once
#include <optional>
#include <string>

#include "kernels/kernelspec.hpp"

namespace execd::kernels {

struct Place {
    std::optional<std::string> cwd;
    Env env;
    [[nodiscard]] bool empty() const { return !cwd && env.empty(); }
};

/// Empty when every language can be given it: names are letters, digits and _, no text holds a NUL.
[[nodiscard]] std::string place_fault(Place const& place);

inline constexpr char kPlaceRequest[] = "execd_place_request";
/// The cell that installs the handler in ipykernel.
[[nodiscard]] std::string place_handler_source();
/// Content of the request; the next request with an empty place restores what this one changed.
[[nodiscard]] Json place_content(Place const& place);

/// Source for the other languages, or empty when the language cannot. `undo` restores.
struct PlaceCode {
    std::string apply;
    std::string undo;
};
[[nodiscard]] std::optional<PlaceCode> place_code(std::string_view language, Place const& place);

}  // namespace execd::kernels
