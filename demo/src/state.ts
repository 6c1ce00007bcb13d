/**
 * The state of the page: one object, of which the part that a link shows again is the address after "#". A photo of one's own is never
 * in it.
 */
import { useEffect, useState } from "preact/hooks";
import type { Box, Point } from "vitrail";
import type { ModelFacts, Seen } from "./model.js";

/** The part that is in the address. */
export interface Address {
  view: string;
  /** A repository of the Hub or a web address; empty for the model that comes with the page. */
  model: string;
  precision: "f32" | "f16" | "int8";
  /** A sample, by its name. */
  photo: string;
  /** The patch that is pointed at. */
  row: number;
  col: number;
  from: "patch" | "class";
  /** After how many layers; -1: three quarters of all. */
  layer: number;
  /** From 1; 0 is the mean of all. */
  head: number;
  /** How heads are joined in attention rollout; empty where one layer is shown. */
  rollout: "" | "mean" | "max" | "min";
  /** Part of the attention that rollout drops. */
  discard: number;
  /** What is drawn on the photo. */
  show: string;
  scale: "linear" | "log";
  colors: "shared" | "own";
  paint: "even" | "rgb";
  /** Half of the patches that is kept, by the first component. */
  keep: number;
  /** Which of the best names speaks. */
  name: number;
  /** What is looked for, of models that take texts. */
  texts: string;
  /** Least probability of boxes and masks. */
  threshold: number;
  /** Part of the depth that is left out, from the far end. */
  cut: number;
}

export const START: Address = {
  view: "start",
  model: "",
  precision: "f32",
  photo: "lorikeet",
  row: -1,
  col: -1,
  from: "patch",
  layer: -1,
  head: 0,
  rollout: "",
  discard: 0.9,
  show: "light",
  scale: "linear",
  colors: "shared",
  paint: "even",
  keep: 0,
  name: 0,
  texts: "",
  threshold: 0.5,
  cut: 0,
};

/** A photo that is open. */
export interface Photo {
  /** A sample's name, or a new one for each of one's own. */
  readonly id: string;
  readonly title: string;
  readonly blob: Blob;
  /** Drawn at most so large as the window ever is. */
  readonly canvas: HTMLCanvasElement;
  readonly width: number;
  readonly height: number;
}

/** The model at hand. */
export interface LoadedModel extends ModelFacts {
  /** As the page calls it. */
  readonly name: string;
  /** The file that it is from, where it is from disk. */
  readonly file?: string;
}

/** What the worker said. */
export interface Answer {
  readonly key: string;
  readonly value?: unknown;
  /** Why there is none, in a sentence, and the view that asked. */
  readonly failed?: string;
  readonly view?: string;
}

/** A model on its way. */
export interface Loading {
  /** As it is called in the menu. */
  readonly name: string;
  readonly loaded: number;
  readonly total: number;
  /** Milliseconds, as of performance.now(). */
  readonly since: number;
  cancel(): void;
}

export interface State extends Address {
  readonly facts: LoadedModel | undefined;
  readonly loading: Loading | undefined;
  /** Why a model could not be had, said in the dialog, and its name if a token may open it. */
  readonly failed: string;
  readonly gated: string;
  readonly opened: Photo | undefined;
  /** What the model saw in the photo that is open. */
  readonly seen: Seen | undefined;
  readonly busy: boolean;
  readonly dragged: boolean;
  /** One sentence over the photo. */
  readonly notice: string;
  /** Whether the pointer no longer moves the patch. */
  readonly held: boolean;
  readonly online: boolean;
  readonly dark: boolean;
  readonly dialog: "" | "models" | "run";
  /** What was pointed at and framed on the photo, for masks and poses, in its pixels. */
  readonly points: readonly Point[];
  readonly boxes: readonly Box[];
  /** True if a click takes a part away, as it does with the Alt key, which a phone has not. */
  readonly away: boolean;
  /** How many answers a view waits for. */
  readonly waiting: number;
  /** Answers of the worker that pictures wait for, the newest of each kind. */
  readonly answers: Readonly<Record<string, Answer>>;
}

function readAddress(): Address {
  const address = { ...START } as Record<string, string | number>;
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    const start = address[name];
    if (typeof start === "number" && Number.isFinite(Number(text))) address[name] = Number(text);
    if (typeof start === "string") address[name] = text;
  }
  return address as unknown as Address;
}

let state: State = {
  ...readAddress(),
  facts: undefined,
  loading: undefined,
  failed: "",
  gated: "",
  opened: undefined,
  seen: undefined,
  busy: false,
  dragged: false,
  notice: "",
  held: false,
  online: navigator.onLine,
  dark: false,
  dialog: "",
  points: [],
  boxes: [],
  away: false,
  waiting: 0,
  answers: {},
};

const listeners = new Set<() => void>();
let writing = 0;

export const get = (): State => state;

/** Changes a part of the state, and the address when it rests: browsers bound how often it may change. */
export function set(part: Partial<State>): void {
  state = { ...state, ...part };
  for (const listener of listeners) listener();
  clearTimeout(writing);
  writing = window.setTimeout(() => history.replaceState(null, "", addressOf(state)), 300);
}

/** The address of a state: what differs from the start. */
export function addressOf(state: Address): string {
  const query = new URLSearchParams();
  for (const [name, start] of Object.entries(START)) {
    const value = state[name as keyof Address];
    if (value !== start) query.set(name, String(value));
  }
  return `#${query}`;
}

/** Calls `listener` with the address that a link or the browser's buttons lead to. */
export function onAddress(listener: (address: Address) => void): void {
  window.addEventListener("hashchange", () => listener(readAddress()));
}

/** The state, for a component that is drawn anew whenever it changes. */
export function useStore(): State {
  const [now, setNow] = useState(state);
  useEffect(() => {
    const listener = () => setNow(state);
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return now;
}
