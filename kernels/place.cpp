#include "kernels/place.hpp"

#include <algorithm>

namespace execd::kernels {

std::string place_fault(Place const& place) {
    auto const is_name = [](std::string_view name) {
        auto const fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
        return !name.empty() && fits(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
            return fits(c) || (c >= '0' && c <= '9');
        });
    };
    for (auto const& [name, value] : place.env) {
        if (!is_name(name)) return "env: '" + name + "' is not a name of letters, digits and _";
        if (value.find('\0') != std::string::npos) return "env: the value of " + name + " holds a NUL byte";
    }
    if (place.cwd && (place.cwd->empty() || place.cwd->find('\0') != std::string::npos))
        return "cwd: empty, or holds a NUL byte";
    return {};
}

std::string place_handler_source() {
    return R"py(
def _execd_install():
    import os
    kernel = get_ipython().kernel
    kept = {}
    def restore():
        for name, (new, old) in kept.pop("env", {}).items():
            if os.environ.get(name) == new:
                if old is None:
                    del os.environ[name]
                else:
                    os.environ[name] = old
        new, old = kept.pop("cwd", (None, None))
        try:
            if new is not None and os.getcwd() == new:
                os.chdir(old)
        except OSError:
            pass
    async def place(stream, ident, parent):
        content = parent["content"]
        reply = {"status": "ok"}
        restore()
        try:
            if content.get("cwd") is not None:
                try:
                    old = os.getcwd()
                except OSError:
                    old = "/"
                os.chdir(content["cwd"])
                kept["cwd"] = (os.getcwd(), old)
            for name, value in content.get("env", {}).items():
                kept.setdefault("env", {})[name] = (value, os.environ.get(name))
                os.environ[name] = value
        except Exception as e:
            restore()
            reply = {"status": "error", "errno": getattr(e, "errno", None) or 0, "evalue": str(e)}
        kernel.session.send(stream, "execd_place_reply", reply, parent, ident)
    kernel.shell_handlers["execd_place_request"] = place
_execd_install()
del _execd_install
)py";
}

Json place_content(Place const& place) {
    Json out = {{"env", place.env}};
    if (place.cwd) out["cwd"] = *place.cwd;
    return out;
}

namespace {

// Control characters are keys to the terminal that some kernels type into, and what is not ASCII depends on
// their locale.
bool is_plain(char c) { return c >= 0x20 && c < 0x7f; }
bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return is_plain(c); });
}

std::string bash_word(std::string_view text) {
    if (!is_plain(text)) {
        std::string out = "$'";
        for (char c : text) {
            auto const byte = static_cast<unsigned char>(c);
            if (c == '\\' || c == '\'')
                out += {'\\', c};
            else if (is_plain(c))
                out += c;
            else  // always three digits: one may follow
                out += {'\\', char('0' + (byte >> 6)), char('0' + (byte >> 3 & 7)), char('0' + (byte & 7))};
        }
        return out + "'";
    }
    std::string out = "'";
    for (char c : text)
        if (c == '\'')
            out += "'\\''";
        else
            out += c;
    return out + "'";
}

// JSON texts are literals of JavaScript.
std::string literal(std::string_view text) {
    return Json(std::string(text)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

PlaceCode bash_code(Place const& place) {
    PlaceCode out;
    out.undo = "eval \"$__execd_undo\"; unset __execd_undo";
    out.apply = "__execd_undo=";
    std::string kept;
    for (auto const& [name, value] : place.env)
        kept += "$(declare -p " + name + " 2>/dev/null || echo unset " + name + ");";
    if (place.cwd) kept += "cd -- $(printf %q \"$PWD\")";
    out.apply += "\"" + kept + "\"";
    if (place.cwd) out.apply += "; cd -- " + bash_word(*place.cwd);
    for (auto const& [name, value] : place.env) out.apply += " && export " + name + "=" + bash_word(value);
    return out;
}

PlaceCode javascript_code(Place const& place) {
    PlaceCode out;
    out.apply = "globalThis.__execdUndo = {cwd: process.cwd(), env: {}};";
    // First of all: where it fails nothing has changed.
    if (place.cwd) out.apply += "process.chdir(" + literal(*place.cwd) + ");";
    for (auto const& [name, value] : place.env) {
        auto const key = "process.env[" + literal(name) + "]";
        out.apply += "globalThis.__execdUndo.env[" + literal(name) + "] = " + key + "; " + key + " = " +
                     literal(value) + ";";
    }
    out.undo =
        "for (const [k, v] of Object.entries(globalThis.__execdUndo.env)) "
        "{ if (v === undefined) delete process.env[k]; else process.env[k] = v; } "
        "process.chdir(globalThis.__execdUndo.cwd); delete globalThis.__execdUndo;";
    return out;
}

// JSON without \u pairs: then its texts are literals of Python and R too.
std::string plain_literal(std::string_view text) {
    return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

PlaceCode python_code(Place const& place) {
    PlaceCode out;
    out.apply = "import os as __execd_os\n__execd_undo = [__execd_os.getcwd(), {}]\n";
    if (place.cwd) out.apply += "__execd_os.chdir(" + plain_literal(*place.cwd) + ")\n";
    for (auto const& [name, value] : place.env) {
        auto const key = plain_literal(name);
        out.apply += "__execd_undo[1][" + key + "] = __execd_os.environ.get(" + key +
                     ")\n__execd_os.environ[" + key + "] = " + plain_literal(value) + "\n";
    }
    out.undo =
        "for __execd_k, __execd_v in __execd_undo[1].items():\n"
        "    if __execd_v is None:\n        __execd_os.environ.pop(__execd_k, None)\n"
        "    else:\n        __execd_os.environ[__execd_k] = __execd_v\n";
    if (place.cwd) out.undo += "__execd_os.chdir(__execd_undo[0])\n";
    return out;
}

// R reads its source in the locale's encoding; bytes made of numbers are what they are.
std::string r_text(std::string_view text) {
    if (is_plain(text)) return plain_literal(text);
    std::string out = "rawToChar(as.raw(c(";
    for (unsigned char const byte : text) out += std::to_string(byte) + ",";
    out.pop_back();
    return out + ")))";
}

PlaceCode r_code(Place const& place) {
    PlaceCode out;
    out.apply = "assign('.execd_undo', list(cwd = getwd(), env = list()), envir = globalenv());";
    for (auto const& [name, value] : place.env) {
        out.apply += "local({ u <- get('.execd_undo', globalenv()); u$env[[" + plain_literal(name) +
                     "]] <- Sys.getenv(" + plain_literal(name) +
                     ", unset = NA); assign('.execd_undo', u, envir = globalenv()) });";
        out.apply +=
            "do.call(Sys.setenv, setNames(list(" + r_text(value) + "), " + plain_literal(name) + "));";
    }
    if (place.cwd) out.apply += "setwd(" + r_text(*place.cwd) + ");";
    out.undo =
        "local({ u <- get('.execd_undo', globalenv()); for (n in names(u$env)) if (is.na(u$env[[n]])) "
        "Sys.unsetenv(n) else do.call(Sys.setenv, setNames(list(u$env[[n]]), n)); setwd(u$cwd); "
        "rm('.execd_undo', envir = globalenv()) })";
    return out;
}

}  // namespace

std::optional<PlaceCode> place_code(std::string_view language, Place const& place) {
    if (language == "bash") return bash_code(place);
    if (language == "javascript" || language == "typescript") return javascript_code(place);
    if (language == "python") return python_code(place);
    if (language == "r") return r_code(place);
    return std::nullopt;
}

}  // namespace execd::kernels
