// Prints what listing, name search, small and large writes and small reads cost against the plain system
// calls. Ratios count: both sides run alternately in one process. Usage: fs_bench [directory]
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/scope.hpp"
#include "fs/executor.hpp"
#include "fs/writer.hpp"

namespace {

using namespace execd;
using namespace execd::fs;
using Steady = std::chrono::steady_clock;

template <class F>
double millis(F work) {
    auto const from = Steady::now();
    work();
    return std::chrono::duration<double, std::milli>(Steady::now() - from).count();
}

template <class A, class B>
void show(char const* name, int rounds, A raw, B ours) {
    std::vector<double> a;
    std::vector<double> b;
    for (int i = 0; i < rounds; ++i) {
        a.push_back(millis(raw));
        b.push_back(millis(ours));
    }
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    double const x = a[a.size() / 2];
    double const y = b[b.size() / 2];
    std::printf("%-42s raw %9.2f ms  ours %9.2f ms  %.2fx\n", name, x, y, y / x);
}

std::size_t raw_walk(std::string const& path, std::vector<std::string>& found) {
    DIR* const dir = ::opendir(path.c_str());
    std::size_t n = 0;
    std::vector<std::string> below;
    while (auto const* entry = ::readdir(dir)) {
        std::string const name = entry->d_name;
        if (name == "." || name == "..") continue;
        ++n;
        if (entry->d_type == DT_DIR)
            below.push_back(path + "/" + name);
        else if (name.find("777") != std::string::npos)
            found.push_back(path + "/" + name);
    }
    ::closedir(dir);
    for (auto const& next : below) n += raw_walk(next, found);
    return n;
}

Task<void> upload(fs::Executor& files, std::string path, std::size_t size, std::size_t chunk, int times) {
    std::string const bytes(chunk, 'x');
    for (int i = 0; i < times; ++i) {
        WriteOptions options(path + std::to_string(i % 64));
        Writer writer(files, std::move(options));
        for (std::size_t done = 0; done < size; done += chunk) {
            auto ok = co_await writer.write(bytes);
            if (!ok) std::printf("%s\n", ok.error().message().c_str());
        }
        auto ok = co_await writer.commit();
        if (!ok) std::printf("%s\n", ok.error().message().c_str());
    }
}

Task<void> read_small(fs::Executor& files, std::string path, int times) {
    for (int i = 0; i < times; ++i) {
        auto file = co_await open_for_read(files, path);
        auto text = co_await read_whole(files, *file, 1 << 20);
        if (!text || text->size() != 1024) std::printf("short read\n");
    }
}

void raw_write(std::string const& path, std::size_t size, std::size_t chunk, int times) {
    std::string const bytes(chunk, 'x');
    for (int i = 0; i < times; ++i) {
        int const fd =
            ::open((path + std::to_string(i % 64)).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        for (std::size_t done = 0; done < size; done += chunk)
            if (::write(fd, bytes.data(), chunk) < 0) std::perror("write");
        ::close(fd);
    }
}

void make_trees(std::string const& root) {
    ::mkdir((root + "/list").c_str(), 0755);
    ::mkdir((root + "/tree").c_str(), 0755);
    for (int i = 0; i < 10'000; ++i)
        ::close(::open((root + "/list/entry-" + std::to_string(i)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC,
                       0644));
    for (int d = 0; d < 500; ++d) {
        auto const dir = root + "/tree/d" + std::to_string(d);
        ::mkdir(dir.c_str(), 0755);
        for (int i = 0; i < 100; ++i)
            ::close(::open((dir + "/f" + std::to_string(d * 100 + i) + ".txt").c_str(),
                           O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
}

void raw_list(std::string const& path) {
    DIR* const dir = ::opendir(path.c_str());
    while (auto const* entry = ::readdir(dir)) {
        struct ::stat stat {};
        ::lstat((path + "/" + entry->d_name).c_str(), &stat);
    }
    ::closedir(dir);
}

void bench(std::string const& root, asio::io_context& io, Scope& scope, fs::Executor& files) {
    auto const run = [&](Task<void> task) {
        scope.spawn("bench", std::move(task));
        io.restart();
        io.run();
    };
    show(
        "list 10,000 (readdir + lstat)", 15, [&] { raw_list(root + "/list"); },
        [&] { static_cast<void>(List(ListOptions(root + "/list")).run()); });
    show(
        "name search in 50,000 (one-thread walk)", 15,
        [&] {
            std::vector<std::string> found;
            raw_walk(root + "/tree", found);
        },
        [&] { static_cast<void>(Find(FindOptions(root + "/tree", "*777*.txt")).run()); });
    show(
        "2,000 writes of 1 KiB (open, write, close)", 9, [&] { raw_write(root + "/raw", 1024, 1024, 2000); },
        [&] { run(upload(files, root + "/our", 1024, 1024, 2000)); });
    show(
        "2,000 reads of 1 KiB (open, read, close)", 9,
        [&] {
            char buffer[1024];
            for (int i = 0; i < 2000; ++i) {
                int const fd = ::open((root + "/raw0").c_str(), O_RDONLY | O_CLOEXEC);
                if (::read(fd, buffer, sizeof buffer) != 1024) std::perror("read");
                ::close(fd);
            }
        },
        [&] { run(read_small(files, root + "/raw0", 2000)); });
    show(
        "1 GiB in parts of 64 KiB (write)", 5, [&] { raw_write(root + "/big", 1U << 30U, 65536, 1); },
        [&] { run(upload(files, root + "/big", 1U << 30U, 65536, 1)); });
    show(
        "1 GiB in parts of 256 KiB (write)", 5, [&] { raw_write(root + "/big", 1U << 30U, 262144, 1); },
        [&] { run(upload(files, root + "/big", 1U << 30U, 262144, 1)); });
}

}  // namespace

int main(int count, char** words) {
    std::string root = std::string(count > 1 ? words[1] : "/dev/shm") + "/fs-bench-XXXXXX";
    if (::mkdtemp(root.data()) == nullptr) return 1;
    make_trees(root);
    asio::io_context io;
    RealClock clock(io);
    WorkPool pool;
    Loop loop(io, clock, pool);
    fs::Executor files(loop);
    {
        Scope scope(loop, "bench");
        bench(root, io, scope, files);
    }
    static_cast<void>(Remove(root, true).run());
}
