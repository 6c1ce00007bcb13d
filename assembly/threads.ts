// One op on several threads. All threads hold instances of the same module on the same memory; an op is published as a
// function and its arguments, every thread runs that function, and its loop takes tasks from a common counter until there
// are none. The single build compiles all of this to a plain call.
//
// Threads that wait spin first (SPINS reads, 20 to 50 µs: an op follows the other within a few) and then sleep, so that a
// model that is not in use takes no time. A round trip costs 0.3 µs spinning and 15 µs asleep.
//
// The main thread must not wait for a thread that is gone: it sleeps a second at a time, and when nothing has come from
// the others for PATIENCE seconds it calls the host's `stalled`, which throws. The host also sets LOST when it learns that a
// thread has ended; the next op then stalls at once.
// Each word that threads write has a cache line of its own. The host never reads these words, except through exports.

/** Seconds without a sign of the others after which they count as gone. */
const PATIENCE: i32 = 10;
const SPINS: i32 = 20000;
const SECOND: i64 = 1000000000;

const SYNC: usize = memory.data(448, 64);
/** Counts the ops; a thread that sees it change runs the new one. */
const EPOCH: usize = SYNC;
/** Tasks handed out of the current op. */
const NEXT: usize = SYNC + 64;
/** Threads that have finished it. */
const ARRIVED: usize = SYNC + 128;
/** Threads asleep until EPOCH changes. */
const SLEEPERS: usize = SYNC + 192;
/** Whether the main thread sleeps until ARRIVED changes. */
const WAITING: usize = SYNC + 256;
/** Set by the host. */
const LOST: usize = SYNC + 320;
/** The op: its function's index and the number of threads. */
const OP: usize = SYNC + 384;

/** Arguments of the current op, written by the thread that publishes it; read as a class of the op. */
export const JOB: usize = memory.data(128, 64);

/** Which thread this instance runs on; 0 is the main one. */
let self: usize = 0;
/** How many there are. */
let count: i32 = 1;

// @ts-ignore: decorator
@external("env", "stalled")
declare function stalled(): void;

/** The address of the word that the host sets to 1 when a thread has ended. */
export function lostWord(): usize {
  return LOST;
}

/** Threads that an op runs on from now on, the main one included. */
export function setThreads(threads: i32): void {
  count = threads;
}

// @ts-ignore: decorator
@inline
export function threads(): usize {
  return count;
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
  if (ASC_FEATURE_THREADS) return atomic.add<u32>(NEXT, 1);
  const task = load<u32>(NEXT);
  store<u32>(NEXT, task + 1);
  return task;
}

/** Runs `op` on all threads, with the arguments in JOB, and waits for them. */
export function fork(op: () => void): void {
  store<u32>(NEXT, 0);
  if (ASC_FEATURE_THREADS && count > 1) {
    if (atomic.load<i32>(LOST)) stalled();
    store<i32>(OP, op.index);
    atomic.store<i32>(ARRIVED, 0);
    atomic.add<i32>(EPOCH, 1);
    if (atomic.load<i32>(SLEEPERS) > 0) atomic.notify(EPOCH, -1);
    op();
    join(count - 1);
  } else {
    op();
  }
}

function join(others: i32): void {
  for (let spin = 0; spin < SPINS; spin++) if (atomic.load<i32>(ARRIVED) == others) return;
  atomic.store<i32>(WAITING, 1);
  let silence = 0;
  for (let seen = atomic.load<i32>(ARRIVED); seen != others; seen = atomic.load<i32>(ARRIVED)) {
    // 2: timed out. Each wait ends with the next thread that arrives.
    if (atomic.wait<i32>(ARRIVED, seen, SECOND) == 2 && ++silence == PATIENCE) stalled();
  }
  atomic.store<i32>(WAITING, 0);
}

/** The life of a thread other than the main one: runs op after op. Ends only with its worker. */
export function work(thread: usize): void {
  self = thread;
  if (ASC_FEATURE_THREADS) serve();
}

function serve(): void {
  let epoch = 0;
  while (true) {
    let spin = 0;
    while (atomic.load<i32>(EPOCH) == epoch && spin < SPINS) spin++;
    if (spin == SPINS) {
      atomic.add<i32>(SLEEPERS, 1);
      while (atomic.load<i32>(EPOCH) == epoch) atomic.wait<i32>(EPOCH, epoch, -1);
      atomic.sub<i32>(SLEEPERS, 1);
    }
    epoch++;
    call_indirect<void>(load<u32>(OP));
    atomic.add<i32>(ARRIVED, 1);
    if (atomic.load<i32>(WAITING)) atomic.notify(ARRIVED, 1);
  }
}
