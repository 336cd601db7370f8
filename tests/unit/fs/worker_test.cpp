#include "fs/worker.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "fs/channel.hpp"
#include "fs/writer.hpp"
#include "shell/reaper.hpp"
#include "shell/spawner.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::put;
using testing::Reactor;
using testing::TempDir;

/// This test program is its own worker: started with "fs-worker" it never comes to main.
bool const kAmWorker = [] {
    std::ifstream in("/proc/self/cmdline", std::ios::binary);
    std::string line{std::istreambuf_iterator<char>(in), {}};
    if (line.find(std::string("\0fs-worker", 10)) != std::string::npos) ::_exit(worker_main(kWorkerSocket));
    return false;
}();

TEST(Wire, ThereAndBack) {
    Copy op("/a", std::string("/b\0\xff", 4), true);
    auto packet = encode_operation(op);
    Decoder decoder(packet);
    std::uint16_t number = 0;
    decoder.get(number);
    EXPECT_EQ(number, OperationNumber<Copy>::value);
    Copy back;
    back.visit(decoder);
    EXPECT_TRUE(decoder.good());
    EXPECT_EQ(back.destination, op.destination);
    EXPECT_TRUE(back.tree);
    Result<Listing> failed = fail_errno("open", ENOENT, "/x");
    auto answer = encode_result(failed);
    auto const error = decode_result<Listing>(answer);
    EXPECT_EQ(error.error().message(), failed.error().message());
}

TEST(Wire, AnyBrokenBytesAreRefused) {
    Result<Listing> listing = Listing{};
    listing->entries.resize(3);
    listing->entries[1].target = "t";
    auto const packet = encode_result(listing);
    for (std::size_t cut = 0; cut < packet.bytes.size(); ++cut) {
        Packet broken;
        broken.bytes = packet.bytes.substr(0, cut);
        EXPECT_FALSE(decode_result<Listing>(broken));
    }
    std::mt19937 random(2);
    for (int i = 0; i < 5000; ++i) {
        Packet broken;
        broken.bytes = packet.bytes;
        broken.bytes[random() % broken.bytes.size()] = static_cast<char>(random());
        static_cast<void>(decode_result<Listing>(broken));
    }
}

TEST(Channel, LargePacketsAndDescriptors) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    UniqueFd a(pair[0]);
    UniqueFd b(pair[1]);
    Packet packet;
    packet.bytes.assign(5 << 20, 'x');
    packet.descriptors.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::thread sender([&] { EXPECT_TRUE(send_packet(a.get(), packet)); });
    auto received = receive_packet(b.get());
    sender.join();
    ASSERT_TRUE(received);
    EXPECT_EQ(received->bytes.size(), packet.bytes.size());
    ASSERT_EQ(received->descriptors.size(), 1U);
    EXPECT_NE(::fcntl(received->descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    ASSERT_EQ(::write(a.get(), "garbage that is no header", 25), 25);
    EXPECT_EQ(receive_packet(b.get()).error().sys, EPROTO);
    a.reset();
}

class WorkerTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        self.reset(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
        WorkerOptions options;
        options.program_fd = self.get();
        options.metadata_deadline = std::chrono::seconds(20);
        workers = std::make_unique<Workers>(reactor.loop, spawner, options);
    }
    TempDir dir;
    Reactor reactor;
    shell::Reaper reaper{reactor.loop};
    shell::Spawner spawner{reactor.loop, reaper};
    UniqueFd self;
    std::unique_ptr<Workers> workers;
};

Task<Result<Written>> upload(Executor& files, WriteOptions options, std::string content) {
    Writer writer(files, std::move(options));
    if (auto ok = co_await writer.write(content); !ok) co_return Failure(ok.error());
    co_return co_await writer.commit();
}

TEST_F(WorkerTest, WorksAsThatUserAndKeepsTheProcess) {
    auto const files = workers->as(12345, 54321);
    auto const small = reactor.run(upload(*files, WriteOptions(dir / "mine/small"), "hello"));
    ASSERT_TRUE(small) << small.error().message();
    ASSERT_TRUE(reactor.run(upload(*files, WriteOptions(dir / "mine/large"), std::string(1 << 20, 'y'))));
    auto const entry = reactor.run(files->run(Stat(dir / "mine/large")));
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->uid, 12345U);
    EXPECT_EQ(entry->gid, 54321U);
    EXPECT_EQ(entry->size, 1U << 20U);
    EXPECT_EQ(workers->processes(), 1U);
    auto file = reactor.run(open_for_read(*files, dir / "mine/small"));
    ASSERT_TRUE(file);
    EXPECT_EQ(*reactor.run(read_whole(*files, *file, 100)), "hello");
    ListOptions list(dir / "mine");
    EXPECT_EQ(reactor.run(files->run(List(list)))->entries.size(), 2U);
    EXPECT_EQ(::geteuid(), 0U);
}

TEST_F(WorkerTest, PermissionsAreTheUsers) {
    put(dir / "secret", "root's");
    ASSERT_EQ(::chmod((dir / "secret").c_str(), 0600), 0);
    auto const files = workers->as(12345, 54321);
    EXPECT_EQ(reactor.run(open_for_read(*files, dir / "secret")).error().code, Code::permission_denied);
    EXPECT_EQ(reactor.run(upload(*files, WriteOptions(dir / "secret"), "x")).error().code,
              Code::permission_denied);
    EXPECT_EQ(get(dir / "secret"), "root's");
    SetPermissions chown(dir / "secret", std::nullopt, Ownership("12345"));
    EXPECT_EQ(reactor.run(files->run(std::move(chown))).error().code, Code::permission_denied);
    auto const other = workers->as(0, 0);
    EXPECT_TRUE(reactor.run(open_for_read(*other, dir / "secret")));
    EXPECT_EQ(workers->processes(), 2U);
}

TEST_F(WorkerTest, AGroupWritableFileKeepsItsOwner) {
    put(dir / "shared", "old");
    ASSERT_EQ(::chown((dir / "shared").c_str(), 0, 54321), 0);
    ASSERT_EQ(::chmod((dir / "shared").c_str(), 0664), 0);
    auto const files = workers->as(12345, 54321);
    auto const done = reactor.run(upload(*files, WriteOptions(dir / "shared"), "new"));
    ASSERT_TRUE(done) << done.error().message();
    struct ::stat stat {};
    ASSERT_EQ(::stat((dir / "shared").c_str(), &stat), 0);
    EXPECT_EQ(stat.st_uid, 0U);
    EXPECT_EQ(stat.st_mode & 07777U, 0664U);
    EXPECT_EQ(get(dir / "shared"), "new");
}

TEST_F(WorkerTest, WithoutAProgramItIsUnavailable) {
    WorkerOptions options;
    options.argv = {"/no/such/program"};
    Workers broken(reactor.loop, spawner, options);
    auto const files = broken.as(12345, 54321);
    auto const failed = reactor.run(files->run(Stat("/")));
    EXPECT_EQ(failed.error().code, Code::unavailable);
    EXPECT_EQ(failed.error().where, "fs.identity");
    EXPECT_EQ(broken.processes(), 0U);
}

}  // namespace
}  // namespace execd::fs
