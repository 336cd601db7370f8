#include "kernels/zygote.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "base/log.hpp"
#include "shell/channels.hpp"

namespace execd::kernels {

namespace {

using namespace std::chrono_literals;

// The source comes through a pipe: as an argument it would fill every process list.
constexpr char kBoot[] =
    "import os\nwith os.fdopen(4) as f: source = f.read()\nexec(compile(source, 'execd-zygote', 'exec'))";

Result<UniqueFd> pipe_with(std::string_view text) {
    auto pipe = shell::open_pipe(false);
    if (!pipe) return tl::unexpected(pipe.error());
    // Fits: a pipe takes 64 KiB before a write would wait.
    if (::write(pipe->write.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return fail_errno("zygote.source", errno);
    return std::move(pipe->read);
}

struct Outputs {
    shell::PipePair out;
    shell::PipePair err;
};

Result<Outputs> open_outputs() {
    auto out = shell::open_pipe(true);
    if (!out) return tl::unexpected(out.error());
    auto err = shell::open_pipe(true);
    if (!err) return tl::unexpected(err.error());
    for (int fd : {out->read.get(), err->read.get()})
        if (auto set = shell::set_nonblocking(fd); !set) return tl::unexpected(set.error());
    return Outputs{*std::move(out), *std::move(err)};
}

Failure refusal(Json const& event) {
    auto const number = event.value("errno", 0);
    auto const what = text_of(event, "what");
    if (number != 0) return fail_errno("kernel.start", number, what);
    return fail(Code::unavailable, "kernel.start", what.empty() ? "unexpected answer of the zygote" : what);
}

}  // namespace

Zygote::Zygote(Loop& loop, shell::Executions& executions, shell::Reaper& reaper,
               std::shared_ptr<shell::Execution> process, PacketSocket socket)
    : loop_(&loop),
      executions_(&executions),
      reaper_(&reaper),
      process_(std::move(process)),
      socket_(std::move(socket)) {}

Zygote::~Zygote() { process_->request_stop(Duration::zero()); }

Task<Result<std::unique_ptr<Zygote>>> Zygote::start(Loop& loop, shell::Executions& executions,
                                                    shell::Reaper& reaper, ZygoteSpec spec,
                                                    Deadline deadline) {
    auto pair = PacketSocket::make_pair(loop);
    if (!pair) co_return tl::unexpected(pair.error());
    auto source = pipe_with(zygote_source());
    if (!source) co_return tl::unexpected(source.error());
    shell::ExecutionSpec start;
    start.argv = {spec.python};
    start.argv.insert(start.argv.end(), spec.options.begin(), spec.options.end());
    start.argv.insert(start.argv.end(), {"-c", kBoot});
    start.argv.insert(start.argv.end(), spec.preload.begin(), spec.preload.end());
    start.env = env_list(spec.env);
    start.cwd = spec.dir;
    start.label = "zygote";
    start.text = spec.python;
    start.journal.spill = 0;
    start.journal.ring = 64 << 10;
    start.fds = {{pair->theirs.get(), 3}, {source->get(), 4}};
    start.owned.push_back(std::move(pair->theirs));
    start.owned.push_back(*std::move(source));
    auto process = co_await executions.start(std::move(start));
    if (!process) co_return tl::unexpected(process.error());
    std::unique_ptr<Zygote> zygote(new Zygote(loop, executions, reaper, *process, std::move(pair->ours)));
    auto ready = co_await zygote->socket_.receive(deadline);
    if (ready && text_of(*ready, "ev") == "ready") {
        log::info("zygote.ready", {{"pid", zygote->pid()}, {"threads", ready->value("threads", 0)}});
        auto const failed = ready->find("failed");
        if (failed != ready->end() && failed->is_array())
            for (auto const& why : *failed)
                if (why.is_string())
                    log::warn("zygote.preload_failed", {{"why", why.get<std::string>().substr(0, 300)}});
        co_return zygote;
    }
    (void)co_await (*process)->ended(Deadline::in(loop.clock(), 100ms));
    co_return fail(Code::unavailable, "zygote.start",
                   (ready ? "unexpected first words" : ready.error().message()) + ": " +
                       process_of(*process)->log_tail());
}

Task<Result<pid_t>> Zygote::ask(Json request, std::vector<int> fds, Deadline deadline) {
    while (asking_) {
        bool const told = co_await free_.wait(loop_->clock(), deadline);
        if (!told) co_return fail(Code::timed_out, "zygote.fork", "the zygote is busy");
    }
    struct Asking {
        Zygote& self;
        explicit Asking(Zygote& z) : self(z) { self.asking_ = true; }
        ~Asking() {
            self.asking_ = false;
            self.free_.notify_one();
        }
    } const asking(*this);
    auto const id = text_of(request, "id");
    if (auto sent = socket_.send(request, fds); !sent) co_return tl::unexpected(sent.error());
    auto const until = earliest(deadline, Deadline::in(loop_->clock(), answer_time_));
    for (;;) {
        auto reply = co_await socket_.receive(until);
        if (!reply) {
            broken_ = true;
            process_->request_stop(Duration::zero());  // it may be stopped or stuck: its kernels live on
            co_return tl::unexpected(reply.error());
        }
        // Another id: of a request whose caller went away. Its kernel ends by itself, nobody tells it to go.
        if (text_of(*reply, "id") != id) continue;
        if (!reply->contains("pid")) co_return refusal(*reply);
        co_return static_cast<pid_t>(reply->value("pid", 0));
    }
}

Task<Result<ForkedKernel>> Zygote::fork(Connection connection, LaunchPlace place, std::string label,
                                        Deadline deadline) {
    auto control = PacketSocket::make_pair(*loop_);
    if (!control) co_return tl::unexpected(control.error());
    auto outputs = open_outputs();
    if (!outputs) co_return tl::unexpected(outputs.error());
    shell::ExecutionSpec record;
    record.id = uuid_hex();
    record.argv = {label};
    record.owner = place.owner;
    record.label = "kernel";
    record.text = label;
    record.journal.spill = 0;
    record.journal.ring = 256 << 10;
    place.env["EXECD_EXECUTION"] = record.id;

    shell::Reaper::Flight flight(*reaper_);
    Json const request = {
        {"id", record.id}, {"connection_file", connection.file}, {"cwd", place.cwd}, {"env", place.env}};
    std::vector<int> fds{outputs->out.write.get(), outputs->err.write.get(), control->theirs.get()};
    auto pid = co_await ask(request, std::move(fds), deadline);
    if (!pid) co_return tl::unexpected(pid.error());
    // Only the child holds the other ends from here on: their closing means its end.
    control->theirs.reset();
    outputs->out.write.reset();
    outputs->err.write.reset();
    auto hello = co_await control->ours.receive(deadline);
    if (!hello) co_return tl::unexpected(hello.error());
    auto execution = executions_->adopt(std::move(record), reaper_->adopt(*pid), std::move(outputs->out.read),
                                        std::move(outputs->err.read));
    flight.land();
    if (!execution) co_return tl::unexpected(execution.error());
    // Moving it into its group takes milliseconds, in which it can begin: it has no children and runs no code
    // of the user's before it hears "contained". Its memory counts from the move on.
    Json const go = {{"op", "go"}};
    Json const in = {{"op", "contained"}};
    bool const limited = place.resources.any() || !place.owner.empty();
    if (!limited)
        if (auto sent = control->ours.send(go); !sent) co_return tl::unexpected(sent.error());
    auto contained = co_await executions_->contain(*execution, place.resources);
    if (!contained) co_return tl::unexpected(contained.error());
    if (limited)
        if (auto sent = control->ours.send(go); !sent) co_return tl::unexpected(sent.error());
    if (auto sent = control->ours.send(in); !sent) co_return tl::unexpected(sent.error());
    auto bound = co_await control->ours.receive(deadline);
    if (bound && text_of(*bound, "ev") == "bound")
        co_return ForkedKernel{*execution, std::move(control->ours)};
    (*execution)->request_stop(Duration::zero());
    if (bound) co_return refusal(*bound);
    co_return tl::unexpected(bound.error());
}

Task<Result<void>> adopt(PacketSocket control, LaunchPlace place, Deadline deadline) {
    Json const request = {{"op", "adopt"}, {"cwd", place.cwd}, {"env", place.env}};
    if (auto sent = control.send(request); !sent) co_return tl::unexpected(sent.error());
    auto reply = co_await control.receive(deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    if (text_of(*reply, "ev") != "adopted") co_return refusal(*reply);
    co_return Result<void>{};
}

}  // namespace execd::kernels
