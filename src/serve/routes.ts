/** All routes, and how a request finds its own. */
import type { Route } from "./protocol.js";
import { state } from "./protocols/health.js";
import { huggingFace } from "./protocols/hugging-face.js";
import { immich } from "./protocols/immich.js";
import { openai } from "./protocols/openai.js";
import { weaviate } from "./protocols/weaviate.js";

/** Routes in the order in which they are compared with a path. */
export const ROUTES: readonly Route[] = [...openai, ...huggingFace, ...weaviate, ...immich, ...state];

const PATTERNS = ROUTES.map(({ path }) => {
  const pattern = path.replace(/[.]/g, "\\$&").replace("{name}", "(?<name>.+)").replace("{task}", "(?<task>[^/]+)");
  return new RegExp(`^${pattern}$`);
});

export interface Found {
  readonly route: Route;
  readonly parts: Readonly<Record<string, string>>;
}

/** The route of a request; where the path is known but not the method, those that it has. */
export function findRoute(method: string, path: string): Found | { readonly methods: readonly string[] } {
  const asked = method === "HEAD" ? "GET" : method;
  const methods = new Set<string>();
  for (const [i, route] of ROUTES.entries()) {
    const match = PATTERNS[i]!.exec(path);
    if (!match) continue;
    if (route.method === asked) return { route, parts: decoded(match.groups) };
    methods.add(route.method);
  }
  return { methods: [...methods] };
}

/** Parts of a path as they are meant: clients write a model's slash as %2F, or as it is. */
function decoded(parts: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, decode(part)]));
}
