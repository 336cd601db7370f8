// The real ipykernel, started cold and from the zygote.
#include <signal.h>

#include "harness.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

class Python : public KernelTest, public ::testing::WithParamInterface<bool> {
  protected:
    Python() : KernelTest({.env = test_env(), .home = "/nonexistent", .zygote = GetParam()}) {}
};
INSTANTIATE_TEST_SUITE_P(Starts, Python, ::testing::Values(false, true),
                         [](auto const& each) { return each.param ? "FromZygote" : "Cold"; });

TEST_P(Python, AnswersInTheFirstRun) {
    auto const context = make();
    auto const first = exec(context, "print('hello'); 1+1");
    EXPECT_EQ(first->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_EQ(text(first), "hello\n");
    EXPECT_EQ(result(first), "2");
    EXPECT_EQ(first->execution_count(), 1);
    EXPECT_EQ(result(exec(context, "_ + 40")), "42");
    EXPECT_EQ(context->state(), ContextState::idle);
    auto const py = make({.language = "py"});
    EXPECT_EQ(contexts_.list("python").size(), 2U);
    EXPECT_EQ(contexts_.list("python3").size(), 2U);
    EXPECT_TRUE(contexts_.list("r").empty());
}

TEST_P(Python, ErrorsHaveNameValueAndTraceback) {
    auto const run_ = exec(make(), "1/0");
    ASSERT_EQ(run_->outcome().kind, RunOutcome::Kind::error);
    EXPECT_EQ(run_->outcome().error->name, "ZeroDivisionError");
    EXPECT_EQ(run_->outcome().error->value, "division by zero");
    auto const errors = all<ErrorOutput>(run_);
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_FALSE(errors[0].traceback.empty());
}

TEST_P(Python, StartsInItsDirectoryAndEnvironment) {
    TempFolder const folder;
    auto const context = make({.cwd = folder.path(), .env = {{"EXECD_T", "quo\"te\nline"}}});
    EXPECT_EQ(text(exec(context, "import os; print(os.getcwd())")), folder.path() + "\n");
    EXPECT_EQ(text(exec(context, "print(os.environ['EXECD_T'])")), "quo\"te\nline\n");
}

TEST_P(Python, ARunMayHaveItsOwnPlace) {
    TempFolder const folder;
    auto const context = make();
    auto const before = text(exec(context, "import os; print(os.getcwd(), os.environ.get('A'))"));
    auto const placed = exec_spec(context, {.code = "print(os.getcwd(), os.environ['A'])",
                                            .cwd = folder.path(),
                                            .env = {{"A", "it's \"x\"\n$(id)"}}});
    EXPECT_EQ(text(placed), folder.path() + " it's \"x\"\n$(id)\n");
    EXPECT_EQ(text(exec(context, "print(os.getcwd(), os.environ.get('A'))")), before);
    auto const lost = exec_spec(context, {.code = "print(1)", .cwd = "/no/such/place"});
    EXPECT_EQ(lost->outcome().kind, RunOutcome::Kind::failed);
    EXPECT_EQ(lost->outcome().code, Code::not_found);
    EXPECT_EQ(text(lost), "");
}

TEST_P(Python, InterruptKeepsTheVariables) {
    auto const context = make();
    exec(context, "kept = 5");
    for (auto const* code :
         {"print('go', flush=True)\nwhile True: pass", "import time\nprint('go', flush=True)\ntime.sleep(60)",
          "import asyncio\nprint('go', flush=True)\nawait asyncio.sleep(60)"}) {
        auto const busy = submit(context, {.code = code});
        ASSERT_TRUE(wait_output(busy, [](Output const& o) { return std::holds_alternative<StreamText>(o); }));
        ASSERT_TRUE(run(context->interrupt()));
        ASSERT_TRUE(run(busy->wait(clock_, in(20)))) << code;
        EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled) << code;
        ASSERT_TRUE(busy->outcome().error) << code;
    }
    EXPECT_EQ(result(exec(context, "kept")), "5");
}

TEST_P(Python, AnInterruptAtTheVeryBeginningIsNotLost) {
    auto const context = make();
    for (int i = 0; i < 5; ++i) {
        auto const busy = submit(context, {.code = "import time\nwhile True: time.sleep(0.01)"});
        ASSERT_TRUE(until(context->changed(), [&] { return busy->state() != RunState::queued; }));
        ASSERT_TRUE(run(context->interrupt()));
        ASSERT_TRUE(run(busy->wait(clock_, in(20))));
        EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled);
    }
}

TEST_P(Python, TheTimeOfARunIsLimited) {
    auto const context = make();
    auto const slow = exec_spec(context, {.code = "import time; time.sleep(60)", .timeout = 300ms});
    EXPECT_EQ(slow->outcome().kind, RunOutcome::Kind::timed_out);
    EXPECT_EQ(result(exec(context, "7")), "7");
    // Deaf to the interrupt: the kernel goes, and the next run says so.
    auto const deaf =
        exec_spec(context, {.code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                                    "time.sleep(60)",
                            .timeout = 100ms,
                            .grace = 100ms});
    EXPECT_EQ(deaf->outcome().kind, RunOutcome::Kind::timed_out);
    auto const next = exec(context, "8");
    EXPECT_EQ(result(next), "8");
    EXPECT_EQ(all<Notice>(next).size(), 1U);
    EXPECT_EQ(context->generation(), 2);
}

TEST_P(Python, DeathEndsTheRunAtOnceWithItsCause) {
    auto const context = make();
    auto const gone = exec(context, "import os; os._exit(3)");
    EXPECT_EQ(gone->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(gone->outcome().why.find("3"), std::string::npos) << gone->outcome().why;
    EXPECT_EQ(context->state(), ContextState::dead);
    auto const killed = exec(context, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)");
    EXPECT_EQ(killed->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(killed->outcome().why.find("killed"), std::string::npos) << killed->outcome().why;
    // Between runs.
    exec(context, "1");
    ::kill(context->kernel()->pid(), SIGKILL);
    ASSERT_TRUE(until(context->changed(), [&] { return context->state() == ContextState::dead; }));
    EXPECT_NE(context->death().find("killed"), std::string::npos);
}

TEST_P(Python, InputIsAsked) {
    auto const context = make();
    auto const asking =
        submit(context, {.code = "name = input('Who? ')\nprint('hi', name)", .allow_stdin = true});
    ASSERT_TRUE(wait_output(asking, [](Output const& o) { return std::holds_alternative<InputRequest>(o); }));
    EXPECT_EQ(asking->input()->prompt, "Who? ");
    ASSERT_TRUE(context->answer_input(asking->id(), "Zoë"));
    ASSERT_TRUE(run(asking->wait(clock_, in(20))));
    EXPECT_EQ(text(asking), "hi Zoë\n");
    EXPECT_EQ(context->answer_input(asking->id(), "late").error().code, Code::conflict);
    auto const refused = exec(context, "input()");
    EXPECT_EQ(refused->outcome().kind, RunOutcome::Kind::error);
    EXPECT_EQ(refused->outcome().error->name, "StdinNotImplementedError");
}

TEST_P(Python, TheQueueIsSeenAndCancelled) {
    auto const context = make();
    auto const first = submit(context, {.code = "print('go', flush=True)\nimport time\ntime.sleep(60)"});
    auto const second = submit(context, {.code = "2"});
    auto const third = submit(context, {.code = "3"});
    ASSERT_TRUE(wait_output(first, [](Output const& o) { return std::holds_alternative<StreamText>(o); }));
    EXPECT_EQ(context->position(first->id()), 0U);
    EXPECT_EQ(context->position(third->id()), 2U);
    ASSERT_TRUE(context->cancel(second->id()));
    EXPECT_EQ(second->outcome().kind, RunOutcome::Kind::cancelled);
    EXPECT_EQ(context->position(third->id()), 1U);
    ASSERT_TRUE(context->cancel(first->id()));
    // Python loses a KeyboardInterrupt that strikes in a callback: like a person, press again.
    for (int presses = 1; presses < 5 && !run(first->wait(clock_, in(3))); ++presses)
        (void)context->cancel(first->id());
    ASSERT_TRUE(run(third->wait(clock_, in(20))));
    EXPECT_EQ(first->outcome().kind, RunOutcome::Kind::cancelled);
    EXPECT_EQ(result(third), "3");
    EXPECT_EQ(context->cancel(third->id()).error().code, Code::gone);
    EXPECT_EQ(context->cancel("no").error().code, Code::not_found);
}

TEST_P(Python, RichOutputs) {
    auto const context = make();
    auto const rich = exec(context,
                           "from IPython.display import display, update_display, clear_output, HTML\n"
                           "d = display(HTML('<b>x</b>'), display_id='one')\n"
                           "d.update(HTML('<i>y</i>'))\nclear_output(wait=True)\nimport sys\n"
                           "print('err', file=sys.stderr)");
    auto const shown = all<DisplayData>(rich);
    ASSERT_EQ(shown.size(), 2U);
    EXPECT_EQ(text_of(shown[0].data, "text/html"), "<b>x</b>");
    EXPECT_EQ(shown[0].display_id, "one");
    EXPECT_TRUE(shown[1].update);
    ASSERT_EQ(all<ClearOutput>(rich).size(), 1U);
    EXPECT_TRUE(all<ClearOutput>(rich)[0].wait);
    EXPECT_EQ(text(rich, true), "err\n");
}

TEST_P(Python, CompletesInspectsAndRemembers) {
    auto const context = make();
    exec(context, "import math");
    auto const completed = run(context->complete("math.sq", 7, in(20)));
    ASSERT_TRUE(completed);
    EXPECT_NE(completed->dump().find("sqrt"), std::string::npos);
    auto const inspected = run(context->inspect("math.sqrt", 5, 0, in(20)));
    ASSERT_TRUE(inspected);
    EXPECT_TRUE((*inspected)["found"].get<bool>());
    auto const history = run(context->history(5, in(20)));
    ASSERT_TRUE(history);
    EXPECT_NE(history->dump().find("import math"), std::string::npos);
}

TEST_P(Python, RestartForgets) {
    auto const context = make();
    exec(context, "x = 1");
    auto const busy = submit(context, {.code = "import time; time.sleep(60)"});
    auto const waiting = submit(context, {.code = "'x' in globals()"});
    ASSERT_TRUE(run(context->restart(in(60))));
    EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled);
    ASSERT_TRUE(run(waiting->wait(clock_, in(20))));
    EXPECT_EQ(result(waiting), "False");
}

TEST_P(Python, DeletingEndsTheProcessAndItsRuns) {
    auto const context = make();
    auto const pid = context->kernel()->pid();
    auto const busy = submit(context, {.code = "import time; time.sleep(60)"});
    auto const waiting = submit(context, {.code = "1"});
    ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled);
    EXPECT_EQ(waiting->outcome().kind, RunOutcome::Kind::cancelled);
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(context->submit({.code = "1"}).error().code, Code::gone);
    EXPECT_EQ(run(contexts_.remove(context->id())).error().code, Code::not_found);
}

TEST_P(Python, DefaultContextIsMadeOnce) {
    auto const one = run(contexts_.default_for("python"));
    auto const two = run(contexts_.default_for("py"));
    ASSERT_TRUE(one);
    ASSERT_TRUE(two);
    EXPECT_EQ((*one)->id(), (*two)->id());
    ASSERT_TRUE(run(contexts_.remove((*one)->id())));
    auto const three = run(contexts_.default_for("python"));
    ASSERT_TRUE(three);
    EXPECT_NE((*one)->id(), (*three)->id());
}

TEST_P(Python, BadTextsDoNotLoseTheOutput) {
    auto const odd = exec(make(), "print('a\\udcffb'); 'end'");
    EXPECT_EQ(odd->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_NE(text(odd).find("a\xEF\xBF\xBD"), std::string::npos) << text(odd);
    EXPECT_EQ(result(odd), "'end'");
}

TEST_P(Python, WhatIsMissingIsNamed) {
    auto const unknown = run(contexts_.create({.language = "cobol"}));
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::not_found);
    EXPECT_NE(unknown.error().message().find("python3 (python)"), std::string::npos)
        << unknown.error().message();
    auto const nowhere = run(contexts_.create({.cwd = "/no/such/place"}));
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().code, Code::not_found) << nowhere.error().message();
    EXPECT_EQ(contexts_.size(), 0U);
}

}  // namespace
}  // namespace execd::kernels
