/** Code of a thread of the pool (threads.ts): an instance of the kernels on the model's memory, until it is ended. */
import { receive } from "../../platform/workers.js";
import { instantiate } from "./instance.js";
import type { ThreadStart } from "./threads.js";

receive(async (message, post) => {
  const { module, memory, thread, threads } = message as ThreadStart;
  const { kernels } = await instantiate(module, memory, { thread, threads });
  post("ready");
  // Never returns: from here on the thread takes its orders from the memory.
  kernels.work();
});
