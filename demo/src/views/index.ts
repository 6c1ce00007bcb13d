/** The views, in the order of the rail. */
import { anatomy } from "./anatomy.js";
import { boxes } from "./boxes.js";
import { depth } from "./depth.js";
import { features } from "./features.js";
import { layers } from "./layers.js";
import { look } from "./look.js";
import { masks } from "./masks.js";
import { poses } from "./poses.js";
import { start } from "./start.js";
import type { View } from "./view.js";
import { words } from "./words.js";

export const VIEWS: readonly View[] = [start, look, layers, features, anatomy, words, depth, boxes, masks, poses];

export const viewOf = (name: string): View => VIEWS.find((view) => view.name === name) ?? VIEWS[0]!;
