// What ends a launch early: a fault that the shim found, or a signal of the machine, told in words.
#pragma once
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace shim {

constexpr int SECONDS = 120;  // of the processor, for one launch

class Faults {
 public:
  sigjmp_buf back;      // where a launch goes on after a fault
  char text[512];       // what the shim found
  int signal = 0;       // or the signal that came
  void* address = nullptr;

  [[noreturn]] void leave() { siglongjmp(back, 1); }

  // Between these two, signals of the machine end the launch instead of the process.
  void watch() {
    signal = 0;
    text[0] = 0;
    stack_t own = {};
    own.ss_sp = stack_;
    own.ss_size = sizeof stack_;
    sigaltstack(&own, &before_);
    struct sigaction action = {};
    action.sa_sigaction = [](int number, siginfo_t* info, void*) {
      Faults& faults = only();
      faults.signal = number;
      faults.address = info->si_addr;
      faults.leave();
    };
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int n = 0; n < SIGNALS; ++n) sigaction(NUMBERS[n], &action, &actions_[n]);
    itimerval limit = {};
    limit.it_value.tv_sec = SECONDS;
    setitimer(ITIMER_VIRTUAL, &limit, nullptr);
  }

  void ignore() {
    itimerval none = {};
    setitimer(ITIMER_VIRTUAL, &none, nullptr);
    for (int n = 0; n < SIGNALS; ++n) sigaction(NUMBERS[n], &actions_[n], nullptr);
    sigaltstack(&before_, nullptr);
  }

  static Faults& only() {
    static Faults faults;
    return faults;
  }

 private:
  static constexpr int SIGNALS = 5;
  static constexpr int NUMBERS[SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
  alignas(16) char stack_[64 * 1024];
  stack_t before_ = {};
  struct sigaction actions_[SIGNALS];
};

}  // namespace shim
