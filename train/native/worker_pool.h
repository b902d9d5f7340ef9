// Threads that share the tasks of one kernel. Which thread computes a task never shows in its result.

#ifndef SEGEDGE_WORKER_POOL_H
#define SEGEDGE_WORKER_POOL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace segedge {

// Rounds to nearest and takes subnormal numbers as zero while it lives, as TensorFlow's own threads do: every thread
// computes alike, and none of them is slow at tiny gradients.
class FlushedSubnormals {
   public:
#if defined(__SSE__)
    FlushedSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(kDefault | kFlushToZero | kSubnormalsAreZero); }
    ~FlushedSubnormals() { _mm_setcsr(before_); }

   private:
    static constexpr unsigned kDefault = 0x1f80, kFlushToZero = 0x8000, kSubnormalsAreZero = 0x0040;
    unsigned before_;
#elif defined(__aarch64__)
    FlushedSubnormals() {
        __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
        const std::uint64_t flush_to_zero = std::uint64_t{1} << 24;
        __asm__ volatile("msr fpcr, %0" : : "r"(flush_to_zero));
    }
    ~FlushedSubnormals() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }

   private:
    std::uint64_t before_;
#endif
};

// One call of `share_tasks`: threads take the next task until there is none, and the last one to end says so.
class Job {
   public:
    Job(std::int64_t tasks, void (*run)(const void*, std::int64_t), const void* work)
        : tasks_(tasks), run_(run), work_(work), left_(tasks) {}

    // Computes tasks until all are taken.
    void help() {
        const FlushedSubnormals flushed;
        std::int64_t done = 0;
        for (std::int64_t task; (task = next_.fetch_add(1)) < tasks_; ++done) run_(work_, task);
        if (done && left_.fetch_sub(done) == done) {
            const std::lock_guard<std::mutex> lock(mutex_);
            ended_.notify_all();
        }
    }

    bool is_taken() const { return next_.load() >= tasks_; }

    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        ended_.wait(lock, [this] { return left_.load() == 0; });
    }

   private:
    const std::int64_t tasks_;
    void (*const run_)(const void*, std::int64_t);
    const void* const work_;
    std::atomic<std::int64_t> next_{0}, left_;
    std::mutex mutex_;
    std::condition_variable ended_;
};

// The threads of this process, begun when a job first asks for them. They live until the process ends.
class WorkerPool {
   public:
    static WorkerPool& of_process() {
        static WorkerPool* const pool = new WorkerPool;  // never destroyed: its threads may still wait at the exit
        return *pool;
    }

    void run(const std::shared_ptr<Job>& job, int threads) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            for (; count_ < threads - 1; ++count_) std::thread([this] { serve(); }).detach();
            jobs_.push_back(job);
        }
        for (int i = 1; i < threads; ++i) waiting_.notify_one();
        job->help();
        job->wait();
    }

   private:
    void serve() {
        for (;;) {
            std::shared_ptr<Job> job;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                for (;;) {
                    while (!jobs_.empty() && jobs_.front()->is_taken()) jobs_.pop_front();
                    if (!jobs_.empty()) break;
                    waiting_.wait(lock);
                }
                job = jobs_.front();
            }
            job->help();
        }
    }

    std::mutex mutex_;
    std::condition_variable waiting_;
    std::deque<std::shared_ptr<Job>> jobs_;
    int count_ = 0;
};

// Calls work(task) for every task from 0 on, in any order, on up to `threads` threads; returns when all are done.
template <typename Work>
void share_tasks(std::int64_t tasks, int threads, const Work& work) {
    const auto run = [](const void* any, std::int64_t task) { (*static_cast<const Work*>(any))(task); };
    if (threads <= 1 || tasks <= 1) {
        const FlushedSubnormals flushed;
        for (std::int64_t task = 0; task < tasks; ++task) work(task);
        return;
    }
    WorkerPool::of_process().run(std::make_shared<Job>(tasks, run, &work), threads);
}

}  // namespace segedge

#endif  // SEGEDGE_WORKER_POOL_H
