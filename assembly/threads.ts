// One op on several threads. All threads hold instances of the same module on the same memory; an op is published as a
// function and the address of its job, every thread runs that function, reads the job where it lies, and takes tasks from a
// common counter until there are none. The single build compiles all of this to a plain call.
//
// Threads that wait spin first (SPINS reads, about 100 µs: an op follows the other within a few) and then sleep, so that a
// model that is not in use takes no time. A round trip costs 0.3 µs spinning and 15 µs asleep. With a fifth of SPINS a
// ViT-Ti on two threads took 30.4 ms in place of 27.7, with four times as many 28.0 (medians; 50.2 on one thread).
//
// The main thread must not wait for a thread that is gone: it sleeps a second at a time, and when nothing has come from
// the others for PATIENCE seconds it calls the host's `stalled`, which throws. The host also sets LOST when it learns that a
// thread has ended; the next op then stalls at once.
// Each word that threads write has a cache line of its own.

/** Seconds without a sign of the others after which they count as gone. */
const PATIENCE: i32 = 10;
const SPINS: i32 = 100000;
const SECOND: i64 = 1000000000;

/** Bytes of the words below. */
const SYNC_BYTES: usize = 512;
/** Counts the ops; a thread that sees it change runs the new one. */
const EPOCH: usize = 0;
/** Tasks handed out of the current op. */
const NEXT: usize = 64;
/** Threads that have finished it. */
const ARRIVED: usize = 128;
/** Threads asleep until EPOCH changes. */
const SLEEPERS: usize = 192;
/** Tells whether the main thread sleeps until ARRIVED changes. */
const WAITING: usize = 256;
/** Set by the host. */
const LOST: usize = 320;
/** Threads beside the main one that are there. */
const PRESENT: usize = 384;
/** The function of the op, and the address of its job. */
const OP: usize = 448;
const JOB: usize = 452;

/** A field of a job that is true or false; all fields are words. */
export type Flag = u32;

/**
 * Where these words are. Not among the constants, which every new instance writes again: it would reset them under the
 * threads that are at work.
 */
let sync: usize = 0;
/** Which thread this instance runs on; 0 is the main one. */
let self: usize = 0;
/** How many an op runs on, all of them as soon as they are there, and how many that is: what scratch memory has room for. */
let count: i32 = 1;
let most: usize = 1;

// @ts-ignore: decorator
@external("env", "stalled")
declare function stalled(): void;

/**
 * To be called first. at: syncBytes of zeros, 64-byte aligned, the same for all instances; thread: which one this is, of which
 * any but the main one must call `work` next; threads: how many there will be at most.
 */
export function attach(at: usize, thread: usize, threads: usize): void {
  sync = at;
  self = thread;
  most = threads;
  if (ASC_FEATURE_THREADS && thread > 0) atomic.add<u32>(at + PRESENT, 1);
}

export function syncBytes(): usize {
  return SYNC_BYTES;
}

/** The address of the word that the host sets to 1 when a thread has ended. */
export function lostWord(): usize {
  return sync + LOST;
}

// @ts-ignore: decorator
@inline
export function threads(): usize {
  return most;
}

/** This thread's part of scratch memory that has `bytes` for each. */
// @ts-ignore: decorator
@inline
export function share(scratch: usize, bytes: usize): usize {
  return scratch + self * bytes;
}

/** A task that no thread has taken yet; more than there are when all are taken. */
// @ts-ignore: decorator
@inline
export function nextTask(): usize {
  if (ASC_FEATURE_THREADS) return atomic.add<u32>(sync + NEXT, 1);
  const task = load<u32>(sync + NEXT);
  store<u32>(sync + NEXT, task + 1);
  return task;
}

/** Runs `op` on all threads with this job, and waits for them. */
export function fork<Job>(job: Job, op: (job: Job) => void): void {
  store<u32>(sync + NEXT, 0);
  // Seen here and not told by the host: one that awaits pass after pass gets no message of a thread in between.
  if (ASC_FEATURE_THREADS && <usize>count < most && atomic.load<u32>(sync + PRESENT) == <u32>most - 1) count = <i32>most;
  if (ASC_FEATURE_THREADS && count > 1) {
    if (atomic.load<i32>(sync + LOST)) stalled();
    store<i32>(sync + OP, op.index);
    store<usize>(sync + JOB, changetype<usize>(job));
    atomic.store<i32>(sync + ARRIVED, 0);
    atomic.add<i32>(sync + EPOCH, 1);
    if (atomic.load<i32>(sync + SLEEPERS) > 0) atomic.notify(sync + EPOCH, -1);
    op(job);
    join(count - 1);
  } else {
    op(job);
  }
}

function join(others: i32): void {
  for (let spin = 0; spin < SPINS; spin++) if (atomic.load<i32>(sync + ARRIVED) == others) return;
  atomic.store<i32>(sync + WAITING, 1);
  let silence = 0;
  for (let seen = atomic.load<i32>(sync + ARRIVED); seen != others; seen = atomic.load<i32>(sync + ARRIVED)) {
    // 2: timed out. Each wait ends with the next thread that arrives.
    if (atomic.wait<i32>(sync + ARRIVED, seen, SECOND) == 2 && ++silence == PATIENCE) stalled();
  }
  atomic.store<i32>(sync + WAITING, 0);
}

/** The life of a thread other than the main one: runs op after op. Ends only with its worker. */
export function work(): void {
  if (ASC_FEATURE_THREADS) serve();
}

function serve(): void {
  let epoch = 0;
  while (sync) {
    let spin = 0;
    while (atomic.load<i32>(sync + EPOCH) == epoch && spin < SPINS) spin++;
    if (spin == SPINS) {
      atomic.add<i32>(sync + SLEEPERS, 1);
      while (atomic.load<i32>(sync + EPOCH) == epoch) atomic.wait<i32>(sync + EPOCH, epoch, -1);
      atomic.sub<i32>(sync + SLEEPERS, 1);
    }
    epoch++;
    call_indirect<void>(load<u32>(sync + OP), load<usize>(sync + JOB));
    atomic.add<i32>(sync + ARRIVED, 1);
    if (atomic.load<i32>(sync + WAITING)) atomic.notify(sync + ARRIVED, 1);
  }
}
