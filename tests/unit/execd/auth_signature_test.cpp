#include "execd/auth/signature.hpp"

#include <gtest/gtest.h>

#include <map>

namespace execd::auth {
namespace {

using namespace std::chrono_literals;

// Made with the original SDK (agentrun-sdk 0.0.54) for the key "LTAIexample" / "example-key-secret" at
// 2026-03-09T12:30:45Z.
struct Vector {
    char const* method;
    char const* target;
    std::map<std::string, std::string> headers;
};
std::string authorization(std::string const& region, std::string const& names, std::string const& signature) {
    return "AGENTRUN4-HMAC-SHA256 Credential=LTAIexample/20260309/" + region +
           "/agentrun/aliyun_v4_request,SignedHeaders=" + names + ",Signature=" + signature;
}
constexpr char const* kDate = "2026-03-09T12:30:45Z";

std::vector<Vector> vectors() {
    return {{"GET",
             "/contexts",
             {{"host", "127.0.0.1:8080"},
              {"x-acs-date", kDate},
              {"x-acs-content-sha256", "UNSIGNED-PAYLOAD"},
              {"Agentrun-Authorization",
               authorization("cn-hangzhou", "host;x-acs-content-sha256;x-acs-date",
                             "7c9301e16dd115eee2efed48ad16d75581ff2bb9332e860a381dc3d378be2bf2")}}},
            {"get",
             "/filesystem?path=%2Ftmp%2Fa+b%7E.txt&depth=2&empty=&a=1&a=2&bare",
             {{"host", "box.example:8080"},
              {"x-acs-date", kDate},
              {"x-acs-content-sha256", "UNSIGNED-PAYLOAD"},
              {"x-acs-security-token", "STS.tok"},
              {"Agentrun-Authorization",
               authorization("cn-hangzhou", "host;x-acs-content-sha256;x-acs-date;x-acs-security-token",
                             "6816655b4c533834375eddac3d3f2e95abd2151a87c37348b5aab8f062fe66fa")}}},
            {"POST",
             "/files/%E4%BD%A0",
             {{"host", "h"},
              {"x-acs-date", kDate},
              {"x-acs-content-sha256", "UNSIGNED-PAYLOAD"},
              {"content-type", "application/json"},
              {"Agentrun-Authorization",
               authorization("cn-shanghai", "content-type;host;x-acs-content-sha256;x-acs-date",
                             "6ae68b9ac9fce403afe712956ae6318a8c652914e1c5084a2ae6c9b6a29697ea")}}}};
}

WallTime signed_at() {
    return WallTime(std::chrono::sys_days(std::chrono::year(2026) / 3 / 9) + 12h + 30min + 45s);
}

class AgentRunSignature : public testing::Test {
  protected:
    AgentRunKey key_{"LTAIexample", Secret("example-key-secret")};
    Result<std::string> verify(Vector const& v, WallTime now) const {
        return verify_agentrun({v.method, v.target,
                                [&v](std::string_view name) -> std::optional<std::string_view> {
                                    auto const at = v.headers.find(std::string(name));
                                    if (at == v.headers.end()) return std::nullopt;
                                    return at->second;
                                }},
                               key_, now);
    }
};

TEST_F(AgentRunSignature, AcceptsWhatTheSdkSigns) {
    for (auto const& v : vectors()) {
        auto const result = verify(v, signed_at() + 1min);
        ASSERT_TRUE(result) << v.target << ": " << result.error().message();
        EXPECT_EQ(*result, "LTAIexample");
    }
}

TEST_F(AgentRunSignature, CanonicalRequestIsAsDocumented) {
    auto const v = vectors()[1];
    SignedRequest const request{v.method, v.target,
                                [&v](std::string_view name) -> std::optional<std::string_view> {
                                    return v.headers.at(std::string(name));
                                }};
    EXPECT_EQ(agentrun_canonical_request(request, "host;x-acs-date"),
              "GET\n/filesystem\na=2&depth=2&empty=&path=%2Ftmp%2Fa%20b~.txt\nhost:box.example:8080\n"
              "x-acs-date:2026-03-09T12:30:45Z\n\nhost;x-acs-date\nUNSIGNED-PAYLOAD");
}

TEST_F(AgentRunSignature, WindowOfFifteenMinutesBothWays) {
    auto const v = vectors()[0];
    EXPECT_TRUE(verify(v, signed_at() + 15min));
    EXPECT_TRUE(verify(v, signed_at() - 15min));
    EXPECT_FALSE(verify(v, signed_at() + 15min + 1s));
    EXPECT_FALSE(verify(v, signed_at() - 15min - 1s));
}

// 2^64 ns after the signature: what counts nanoseconds is there where it began.
TEST_F(AgentRunSignature, ADateBeyondTheClockIsRefused) {
    for (auto const* date :
         {"2610-09-28T12:05:18Z", "4054-01-15T08:00:00Z", "9999-12-31T23:59:60Z", "0000-01-01T00:00:00Z"}) {
        auto v = vectors()[0];
        v.headers["x-acs-date"] = date;
        auto const result = verify(v, signed_at());
        ASSERT_FALSE(result) << date;
        EXPECT_NE(result.error().message().find("time window"), std::string::npos)
            << result.error().message();
    }
}

TEST_F(AgentRunSignature, AnyChangeIsRefused) {
    for (auto const& good : vectors()) {
        auto v = good;
        v.method = "DELETE";
        EXPECT_FALSE(verify(v, signed_at()));
        v = good;
        v.target = "/other";
        EXPECT_FALSE(verify(v, signed_at()));
        for (auto const& [name, value] : good.headers) {
            v = good;
            v.headers[name] = value + "x";
            EXPECT_FALSE(verify(v, signed_at())) << name;
            v.headers.erase(name);
            EXPECT_FALSE(verify(v, signed_at())) << name;
        }
        std::string const header = good.headers.at("Agentrun-Authorization");
        for (std::size_t n = 0; n < header.size(); n += 3) {
            v = good;
            v.headers["Agentrun-Authorization"] = header.substr(0, n);
            ASSERT_FALSE(verify(v, signed_at()));
        }
    }
    key_.secret = Secret("another");
    EXPECT_FALSE(verify(vectors()[0], signed_at()));
    key_.secret = Secret();
    EXPECT_FALSE(verify(vectors()[0], signed_at()));
}

TEST_F(AgentRunSignature, MalformedDates) {
    for (char const* date :
         {"", "2026-03-09", "2026-03-09T12:30:45", "2026-13-09T12:30:45Z", "2026-02-30T12:30:45Z",
          "2026-03-09T24:30:45Z", "2026-03-09 12:30:45Z", "20x6-03-09T12:30:45Z"}) {
        auto v = vectors()[0];
        v.headers["x-acs-date"] = date;
        EXPECT_FALSE(verify(v, signed_at())) << date;
    }
}

// Values of a small script after the contract's formula.
TEST(E2bSignature, FormulaExpiryAndUser) {
    Secret const token("tok");
    EXPECT_EQ(e2b_signature({"/a b", "read", "user", std::nullopt}, token),
              "v1_cDBbVx4OFeTfc039TEq86uOXWNOUawaaYVIpCzB4iG8");
    EXPECT_EQ(e2b_signature({"rel.txt", "write", "", 1800000000}, token),
              "v1_mPywEG/6rrvg8/YQBIaqvJQ2VGIPZmUH9vlazYhsbI4");
    WallTime const then{std::chrono::seconds(1800000000)};
    auto const signature = e2b_signature({"rel.txt", "write", "", 1800000000}, token);
    EXPECT_TRUE(verify_e2b({"rel.txt", "write", "", 1800000000}, token, signature, then));
    EXPECT_FALSE(verify_e2b({"rel.txt", "write", "", 1800000000}, token, signature, then + 1s));
    EXPECT_FALSE(verify_e2b({"rel.txt", "read", "", 1800000000}, token, signature, then));
    EXPECT_FALSE(verify_e2b({"rel.txt", "write", "", std::nullopt}, token, signature, then));
    EXPECT_FALSE(verify_e2b({"rel.txt", "write", "", 1800000000}, Secret(), signature, then));
}

}  // namespace
}  // namespace execd::auth
