/** The views, in the order of the rail. */
import { look } from "./look.js";
import { start } from "./start.js";
import type { View } from "./view.js";

export const VIEWS: readonly View[] = [start, look];

export const viewOf = (name: string): View => VIEWS.find((view) => view.name === name) ?? VIEWS[0]!;
