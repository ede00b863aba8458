// Long computations ask, now and then, whether their caller wants them to end (Ctrl-C, a signal).
//
// The core knows no Python: the bindings install the question for the calling thread (AskScope), and loops
// call poll_interrupt(), some 25 ns where nothing is due. The question throws to end the computation; the
// exception travels as any other, also out of parallel_for, whose other threads stop at their next poll.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <limits>
#include <mutex>

namespace fastin {

using InterruptQuestion = void (*)();  // returns, or throws to end the computation

namespace detail {

// What other threads of a parallel region throw to leave their item; never leaves the region.
class RegionStopped : public std::exception {};

struct PollState {
  InterruptQuestion ask = nullptr;  // none in threads that the caller did not come from
  const std::atomic<bool>* stop = nullptr;
  bool fired = false;  // the question has thrown
  std::chrono::steady_clock::time_point due{};
};
inline thread_local PollState poll_state;

}  // namespace detail

constexpr std::chrono::milliseconds kAskEvery{100};

inline void poll_interrupt() {
  detail::PollState& state = detail::poll_state;
  if (state.stop != nullptr && state.stop->load(std::memory_order_relaxed)) throw detail::RegionStopped();
  if (state.ask == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < state.due) return;
  state.due = now + kAskEvery;
  state.fired = true;
  state.ask();
  state.fired = false;
}

// For loops whose passes take less than a microsecond: asks every 256th time.
class SparsePoll {
 public:
  void operator()() {
    if ((++count_ & 255u) == 0) poll_interrupt();
  }

 private:
  unsigned count_ = 0;
};

// Installs the question for this thread while the object lives.
class AskScope {
 public:
  explicit AskScope(InterruptQuestion ask) : before_(detail::poll_state.ask) {
    detail::poll_state.ask = ask;
    detail::poll_state.fired = false;
  }
  ~AskScope() { detail::poll_state.ask = before_; }
  AskScope(const AskScope&) = delete;
  AskScope& operator=(const AskScope&) = delete;

 private:
  InterruptQuestion before_;
};

// What the threads of one parallel region share: the first exception by index, and the caller's wish to end.
class Region {
 public:
  // For the other threads: polls end their item once the caller's wish is known.
  class Watch {
   public:
    explicit Watch(const Region& region) : before_(detail::poll_state.stop) {
      detail::poll_state.stop = &region.stopped_;
    }
    ~Watch() { detail::poll_state.stop = before_; }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    const std::atomic<bool>* before_;
  };

  // Runs item i; what it throws is kept.
  template <class Body>
  void run(std::size_t i, int thread, Body& body) {
    if (stopped_.load(std::memory_order_relaxed)) return;
    try {
      poll_interrupt();
      body(i, thread);
    } catch (const detail::RegionStopped&) {
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (detail::poll_state.fired) {
        wish_ = std::current_exception();
        stopped_.store(true, std::memory_order_relaxed);
      } else if (i < index_) {
        index_ = i;
        error_ = std::current_exception();
      }
    }
  }

  // To be called by the caller's thread once all have finished.
  void rethrow() const {
    if (wish_) std::rethrow_exception(wish_);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::size_t index_ = std::numeric_limits<std::size_t>::max();
  std::exception_ptr error_, wish_;
};

}  // namespace fastin
