/** Counts of what was done, in the text format of Prometheus. */

/** Upper bounds of a histogram's buckets, seconds. */
const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

interface Histogram {
  /** Requests of each bucket, by itself. */
  readonly counts: number[];
  sum: number;
  count: number;
}

/** A value that is asked for when it is shown: its name, what it is, and the value, or values by a label. */
export type Gauge = readonly [name: string, help: string, value: () => number | Readonly<Record<string, number>>];

export interface Metrics {
  /** Counts a request that was answered, by its route: not by its path, of which there is no end. */
  request(route: string, status: number, seconds: number): void;
  /** Counts an image or a text that went through a model. */
  input(kind: "image" | "text"): void;
  text(gauges: readonly Gauge[]): string;
}

const escaped = (label: string): string => label.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n");

export function createMetrics(): Metrics {
  const requests = new Map<string, number>();
  const histograms = new Map<string, Histogram>();
  const inputs = { image: 0, text: 0 };

  function* lines(gauges: readonly Gauge[]): Generator<string> {
    yield* head("vitrail_requests_total", "Requests that were answered.", "counter");
    for (const [labels, count] of requests) yield `vitrail_requests_total{${labels}} ${count}`;
    yield* head("vitrail_request_seconds", "Time from a request's head to its answer.", "histogram");
    for (const [route, { counts, sum, count }] of histograms) {
      let below = 0;
      for (const [i, bound] of BUCKETS.entries()) {
        below += counts[i]!;
        yield `vitrail_request_seconds_bucket{route="${route}",le="${bound}"} ${below}`;
      }
      yield `vitrail_request_seconds_bucket{route="${route}",le="+Inf"} ${count}`;
      yield `vitrail_request_seconds_sum{route="${route}"} ${sum}`;
      yield `vitrail_request_seconds_count{route="${route}"} ${count}`;
    }
    yield* head("vitrail_images_total", "Images that went through a model.", "counter");
    yield `vitrail_images_total ${inputs.image}`;
    yield* head("vitrail_texts_total", "Texts that went through a model.", "counter");
    yield `vitrail_texts_total ${inputs.text}`;
    for (const [name, help, value] of gauges) {
      yield* head(name, help, "gauge");
      const found = value();
      if (typeof found === "number") yield `${name} ${found}`;
      else for (const [model, bytes] of Object.entries(found)) yield `${name}{model="${escaped(model)}"} ${bytes}`;
    }
  }

  return {
    request(route, status, seconds) {
      const labels = `route="${route}",status="${status}"`;
      requests.set(labels, (requests.get(labels) ?? 0) + 1);
      const histogram = histograms.get(route) ?? { counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
      histograms.set(route, histogram);
      const bucket = BUCKETS.findIndex((bound) => seconds <= bound);
      if (bucket >= 0) histogram.counts[bucket]!++;
      histogram.sum += seconds;
      histogram.count++;
    },
    input(kind) {
      inputs[kind]++;
    },
    text: (gauges) => `${[...lines(gauges)].join("\n")}\n`,
  };
}

function* head(name: string, help: string, type: string): Generator<string> {
  yield `# HELP ${name} ${help}`;
  yield `# TYPE ${name} ${type}`;
}
