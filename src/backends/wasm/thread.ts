/** Code of a thread of the pool (threads.ts): an instance of the kernels on the model's memory, until it is ended. */
import { receive } from "../../platform/workers.js";
import { instantiate } from "./instance.js";

export interface ThreadStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Its number, from 1. */
  readonly thread: number;
  /** Number of threads. */
  readonly threads: number;
}

receive(async (message, post) => {
  const { module, memory, thread, threads } = message as ThreadStart;
  const { kernels } = await instantiate(module, memory, { thread, threads });
  post("ready");
  // Never returns: from here on the thread takes its orders from the memory.
  kernels.work();
});
