// A pool of threads that share out the units of a loop.
//
// OpenMP's threads spin while they wait. Where other work needs the cores, they take time from it and from each other, and
// each loop waits for the thread that got no core. Here a waiting thread spins briefly and then sleeps, and a loop is
// over when its units are done: a thread that the system does not run holds up the unit it has begun and no other.

#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

namespace {

constexpr std::chrono::microseconds SPIN{50};  // longer than Python takes from one kernel to the next

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Number>
void wait_for_change(std::atomic<Number>& number, Number old) {
    const auto end = std::chrono::steady_clock::now() + SPIN;
    do {
        for (int i = 0; i < 16; i++) {
            if (number.load(std::memory_order_acquire) != old) return;
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    number.wait(old, std::memory_order_acquire);
}

// The units of a loop from 0 to end. Each thread takes a chunk at a time.
class Units {
    std::atomic<int64_t>& next;
    const int64_t end, chunk;
    int64_t unit = 0, stop = 0;

public:
    Units(std::atomic<int64_t>& next, int64_t end, int64_t chunk) : next(next), end(end), chunk(chunk) {}

    // Takes a unit, or returns false if none is left.
    bool take(int64_t& taken) {
        if (unit == stop) {
            unit = next.fetch_add(chunk, std::memory_order_relaxed);
            stop = unit + chunk < end ? unit + chunk : end;
            if (unit >= end) {
                unit = stop = 0;
                return false;
            }
        }
        taken = unit++;
        return true;
    }
};

class Pool {
    static constexpr int CLOSED = 1 << 30;

    std::mutex in_use;  // by one loop at a time
    int workers = 0;
    std::atomic<uint32_t> loops{0};   // begun so far; workers wait for a change
    std::atomic<int> joined{CLOSED};  // workers in the current loop, and CLOSED when no more may join
    std::atomic<int> most_workers{0};
    // The current loop. A worker reads it after it has joined.
    void (*body)(const void*, Units&) = nullptr;
    const void* context = nullptr;
    int64_t end = 0, chunk = 1;
    std::atomic<int64_t> next{0};

    void work(uint32_t seen) {
        for (;;) {
            wait_for_change(loops, seen);
            seen = loops.load(std::memory_order_acquire);
            int count = joined.load(std::memory_order_relaxed);
            bool joins = false;
            while (!joins && !(count & CLOSED) && count < most_workers.load(std::memory_order_relaxed))
                joins = joined.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel);
            if (!joins) continue;
            Units units(next, end, chunk);
            body(context, units);
            if (joined.fetch_sub(1, std::memory_order_acq_rel) == CLOSED + 1) joined.notify_one();
        }
    }

    void grow(int count) {
        try {
            for (; workers < count; workers++)
                std::thread(&Pool::work, this, loops.load(std::memory_order_relaxed)).detach();
        } catch (const std::system_error&) {  // the system has no thread left; those that are there do the work
        }
    }

public:
    // Calls run(units) once on each of at most so many threads, this one among them. Together they take all units. A
    // second thread of the program that comes meanwhile does its loop alone.
    template <class Run>
    void share(int64_t count, int64_t at_once, int threads, const Run& run) {
        std::unique_lock<std::mutex> lock(in_use, std::defer_lock);
        if (threads <= 1 || count <= at_once || !lock.try_lock()) {
            std::atomic<int64_t> from{0};
            Units units(from, count, count);
            return run(units);
        }
        grow(threads - 1);
        body = [](const void* run, Units& units) { (*static_cast<const Run*>(run))(units); };
        context = &run;
        end = count;
        chunk = at_once;
        next.store(0, std::memory_order_relaxed);
        most_workers.store(threads - 1, std::memory_order_relaxed);
        joined.store(0, std::memory_order_release);
        loops.fetch_add(1, std::memory_order_release);
        loops.notify_all();
        Units units(next, end, chunk);
        run(units);
        joined.fetch_or(CLOSED, std::memory_order_acq_rel);
        for (int count; (count = joined.load(std::memory_order_acquire)) != CLOSED;) wait_for_change(joined, count);
    }
};

// The pool is never destroyed: its threads may outlive everything else. A forked child has none of the threads, and gets
// a pool of its own.
inline Pool& pool() {
    static Pool* current = nullptr;
    static std::once_flag once;
    std::call_once(once, [] {
        current = new Pool;
        pthread_atfork(nullptr, nullptr, [] { current = new Pool; });
    });
    return *current;
}

// Shares out units from 0 to count, so many at a time; see Pool::share().
template <class Run>
void share(int64_t count, int64_t at_once, int threads, const Run& run) {
    pool().share(count, at_once < 1 ? 1 : at_once, threads, run);
}

}  // namespace
