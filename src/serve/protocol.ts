/** A protocol: rows of routes, each a file in protocols/. */
import type { Call } from "./call.js";

export interface Route {
  readonly method: "GET" | "POST";
  /** A path, in which {name} stands for one or more parts of it, and {task} for one. */
  readonly path: string;
  /** True if it is answered without a token, as it tells no more than that the server is there. */
  readonly open?: boolean;
  answer(call: Call): Promise<Response> | Response;
  /** The body of an error, as the protocol's clients read it. */
  failure(status: number, message: string): object;
}

/** The body in which most clients look for an error. */
export const plainFailure = (_: number, message: string): object => ({ error: message });
