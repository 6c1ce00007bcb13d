/**
 * `npm run build && npm run test:hosts -- queue && node dist/bench/queue.js`: the long trial of `vitrail work --queue`, with the folder of hosts
 * as VITRAIL_HOSTS: 4 workers, 20 kills, Redis restarted twice, poison among 4,000 photos (tests/queue.ts).
 */
import { createProject } from "../tests/project.js";
import { trial } from "../tests/queue.js";

const begin = performance.now();
const project = createProject("queue");
await trial({ project, photos: 4000, poison: 100, shard: 16, workers: 4, kills: 20, restarts: 2, note: console.log });
console.log(`nothing lost, nothing twice, in ${((performance.now() - begin) / 1000).toFixed(0)} s`);
