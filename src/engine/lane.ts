/** The thread of lanes.ts, apart from all that it does (lane-jobs.ts), as in remote/worker.ts. */
import("./lane-jobs.js").catch((error) => {
  setTimeout(() => {
    throw error;
  });
});
