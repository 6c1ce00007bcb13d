/**
 * vitrail/jobs: the shards of a collection as jobs for any number of processes and machines, by leases in the store itself or by a
 * queue on Redis.
 */
export type { JobProgress } from "./job.js";
export { type Planned, type PlanOptions, plan } from "./plan.js";
export { type EnqueueOptions, enqueue, type QueueProgress, type QueueWorkOptions, workQueue } from "./queue.js";
export { type Status, status, type Worked, type WorkOptions, type WorkProgress, work } from "./work.js";
