// Every carrier of every dialect with anything in it: nobody gets in who does not hold the secret, no text
// that is scrubbed shows it. And the keys of repeated starts.
#include "base/check.hpp"
#include "base/log.hpp"
#include "base/work_pool.hpp"
#include "execd/auth/authenticator.hpp"
#include "execd/idempotency.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::auth {
namespace {

constexpr std::string_view kToken = "a-secret-of-the-fuzzer";
constexpr Dialect kAll[] = {Dialect::open_sandbox,  Dialect::agentrun, Dialect::aio, Dialect::sandbox_sdk,
                            Dialect::cloud_sandbox, Dialect::e2b,      Dialect::own};

Secrets secrets() {
    Secrets out;
    out.tokens.emplace_back(kToken);
    return out;
}

void ask(Authenticator& auth, std::string_view input) {
    auto const dialect = kAll[fuzz::take_byte(input) % std::size(kAll)];
    auto const carriers = carriers_of(dialect);
    auto const& carrier = carriers[fuzz::take_byte(input) % carriers.size()];
    unsigned const how = fuzz::take_byte(input);
    std::string value(input);
    if ((how & 1U) != 0 && !carrier.scheme.empty()) value = std::string(carrier.scheme) + " " + value;
    Asked asked;
    asked.dialect = dialect;
    asked.method = (how & 2U) != 0 ? "GET" : "POST";
    asked.target = asked.path = "/x";
    asked.upgrade = (how & 4U) != 0;
    asked.find = [&](Place place, std::string_view name) -> std::optional<std::string_view> {
        if (place == carrier.place && name == carrier.name) return value;
        return std::nullopt;
    };
    auto const who = auth.check(asked);
    if (who) {
        EXECD_REQUIRE(value.find(kToken) != std::string::npos);
    } else {
        EXECD_REQUIRE(who.error().code == Code::permission_denied);
        // What is said of another value too is our own text, which a fuzzer learns.
        std::string const given(input);
        value.replace(value.size() - given.size(), given.size(), given.size(), 'x');
        bool const ours = auth.check(asked).error().message().find(given) != std::string::npos;
        EXECD_REQUIRE(given.size() < 8 || ours || who.error().message().find(given) == std::string::npos);
    }
    EXECD_REQUIRE(auth.knows(input) == (input == kToken));
    EXECD_REQUIRE(!auth.is_ticket(input));
}

void scrub(Authenticator const& auth, std::string_view input) {
    std::string const text = std::string(input) + std::string(kToken) + std::string(input);
    EXECD_REQUIRE(auth.redactor().scrub(text).find(kToken) == std::string::npos);
    EXECD_REQUIRE(auth.redactor().scrub_target(text).find(kToken) == std::string::npos);
}

void hash(Clock& clock, std::string_view input) {
    Authenticator other(clock, {});
    auto const added = other.add_token_hash(input);
    EXECD_REQUIRE(other.protected_() == added.has_value());
    if (added) EXECD_REQUIRE(input.size() == 7 + 64 && input.starts_with("sha256:"));
}

void repeated_start(std::string_view input) {
    auto const line = fuzz::take_line(input);
    http::Head head;
    head.raw = "POST /a HTTP/1.1\r\nHost: x\r\nIdempotency-Key: " + std::string(line) + "\r\n\r\n";
    if (http::parse_head(head)) return;  // not a head any more
    http::Call call;
    call.head = &head;
    call.path = head.path;
    auto const key = start_key(call, input);
    if (!key || !*key) return;
    EXECD_REQUIRE((*key)->id.size() == 32 && !(*key)->digest.empty());
    auto const again = start_key(call, input);
    EXECD_REQUIRE((*again)->id == (*key)->id && (*again)->digest == (*key)->digest);
    auto const other = start_key(call, std::string(input) + "x");
    EXECD_REQUIRE((*other)->id == (*key)->id && (*other)->digest != (*key)->digest);
    call.path = "/b";
    EXECD_REQUIRE((**start_key(call, input)).id != (*key)->id);
}

void run(std::string_view input) {
    static asio::io_context io{1};
    static VirtualClock clock{io};
    static Authenticator auth(clock, secrets());
    switch (fuzz::take_byte(input) % 4) {
        case 0: return ask(auth, input);
        case 1: return scrub(auth, input);
        case 2: return hash(clock, input);
        default: return repeated_start(input);
    }
}

fuzz::Target const kTarget("credentials", run);

}  // namespace
}  // namespace execd::auth
