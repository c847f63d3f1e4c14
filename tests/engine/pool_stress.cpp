// Loops of the engine's pool from several threads at once, in forked children too, and with more threads than cores. Every
// unit must be taken exactly once. `make sanitize-threads` compiles it with ThreadSanitizer, which finds races.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../../src/distilbert/engine/kernels/pool.h"

namespace {

constexpr int CALLERS = 4, LOOPS = 3000;

// One loop whose units write to plain memory: two takers of a unit would race. The sum is read after the loop.
void run_loop(int number) {
    const int64_t count = 1 + number * 37 % 501, at_once = 1 + number % 7;
    const int threads = 1 + number % 6;
    std::vector<int> taken(count, 0);
    share(count, at_once, threads, [&](Units& units) {
        for (int64_t unit; units.take(unit);) {
            taken[unit]++;
            if (unit % 100 == 99) std::this_thread::yield();
        }
    });
    for (int64_t unit = 0; unit < count; unit++)
        if (taken[unit] != 1) {
            std::fprintf(stderr, "unit %ld of loop %d was taken %d times\n", long(unit), number, taken[unit]);
            std::abort();
        }
}

void run_loops(int first) {
    for (int number = first; number < first + LOOPS; number++) {
        run_loop(number);
        if (number % 500 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));  // so that workers sleep
    }
}

void run_callers() {
    std::vector<std::thread> callers;
    for (int caller = 0; caller < CALLERS; caller++) callers.emplace_back(run_loops, caller * LOOPS);
    for (auto& caller : callers) caller.join();
}

void check_child(int number) {
    const pid_t child = fork();
    if (child == 0) {
        run_loop(number);
        run_loop(number + 5);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
        std::fprintf(stderr, "the forked child %d ended with %d\n", number, status);
        std::abort();
    }
}

}  // namespace

int main() {
    check_child(3);  // before the pool has been used
    run_callers();
    for (int number = 0; number < 20; number++) check_child(number);
    run_callers();  // the parent's pool still works
    std::puts("no race, no unit lost or taken twice");
}
