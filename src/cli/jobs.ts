/** `vitrail index --plan` and `vitrail work`: a collection over machines. */
import process from "node:process";
import { readManifest } from "../collection/manifest.js";
import { openObjects } from "../io/objects.js";
import { enqueue, plan, type Worked, work as workOn, workQueue } from "../jobs/index.js";
import { excerpt } from "../json.js";
import { nameOf } from "../platform/web.js";
import { sleep } from "../waiting.js";
import { loadModelOf } from "./collection.js";
import { grouped, type Invocation, loadModel } from "./invocation.js";

/** Milliseconds between two looks at what is watched. */
const WATCH = 5_000;
/** Failures that are shown; the store has all. */
const SHOWN = 10;

export async function planJobs(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const { operands, out, embed, jobs: options, collection } = args;
  const { queue, shardRows, priority } = options;
  const pooling = embed.pooling === "none" ? undefined : embed.pooling;
  using model = await loadModel(invocation);
  const onProgress = ({ photos }: { photos: number }) => terminal.progress("planning", photos, undefined);
  const { jobs, ...counts } = await plan(out!, operands, {
    ...{ model, shardRows, signal, onProgress },
    ...(pooling && { pooling }),
    ...(collection.vectors && { vectors: collection.vectors }),
  });
  if (queue !== undefined) await enqueue(queue, out!, jobs, { priority });
  terminal.clear();
  if (args.json) terminal.printJson({ store: out, jobs: jobs.length, ...counts });
  else {
    const { planned, skipped, removed } = counts;
    const others = Object.entries({ skipped, removed }).filter(([, count]) => count > 0);
    const rest = others.map(([what, count]) => `, ${grouped(count)} ${what}`).join("");
    terminal.print(`${out}: ${grouped(jobs.length)} jobs to be done, ${grouped(planned)} photos planned${rest}`);
  }
}

export async function work(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const [store, other] = args.operands;
  const { queue, lease } = args.jobs;
  const { watch } = args.collection;
  if (other !== undefined || (store === undefined) === (queue === undefined)) {
    throw new Error("work takes one store, or --queue redis://HOST");
  }
  const modelOf = async (place: string) => {
    const identity = await readManifest(await openObjects(place));
    if (!identity)
      throw new Error(`jobs: ${excerpt(place)} has no plan; make one with vitrail index PHOTOS --out STORE --plan`);
    return loadModelOf(invocation, place, identity);
  };
  const show = (worked: Worked) => {
    terminal.clear();
    if (worked.failed.length > 0 || worked.failures.length > 0) process.exitCode = 1;
    if (args.json) {
      const { jobs, photos, failures, failed } = worked;
      for (const { id, error } of failures) terminal.printJson({ image: id, error });
      for (const { job, error } of failed) terminal.printJson({ job, error });
      return terminal.printJson({
        store: store ?? nameOf(queue!),
        jobs,
        photos,
        failures: failures.length,
        failed: failed.length,
      });
    }
    for (const { error } of [...worked.failed, ...worked.failures].slice(0, SHOWN)) terminal.fail(error);
    const bad = worked.failures.length > 0 ? `, ${grouped(worked.failures.length)} could not be read` : "";
    terminal.print(
      `${store ?? nameOf(queue!)}: ${grouped(worked.jobs)} jobs done here, ${grouped(worked.photos)} photos${bad}`,
    );
  };
  if (queue !== undefined) {
    const onProgress = ({ jobs, photos }: Worked) => terminal.progress(`${grouped(photos)} photos`, jobs, undefined);
    return show(await workQueue(queue, { model: modelOf, lease, watch, onProgress, signal }));
  }
  using model = await modelOf(store!);
  for (;;) {
    const begin = performance.now();
    const worked = await workOn(store!, {
      ...{ model, lease, signal },
      onProgress({ photos, job, done, total }) {
        const rate = (1000 * (photos + job.done)) / (performance.now() - begin);
        terminal.progress(`${rate.toFixed(1)} photos a second here; jobs`, done, total);
      },
    });
    if (!watch || worked.jobs > 0) show(worked);
    if (!watch) return;
    await sleep(WATCH, signal);
  }
}
