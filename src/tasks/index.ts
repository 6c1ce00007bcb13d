/** The tasks: the methods of a model on images, and the commands that do them. A row each. */

import type { Config } from "../checkpoint/config.js";
import type { Clip } from "../image/clip.js";
import type { ImageInput } from "../image/source.js";
import { type Classify, classify } from "./classify.js";
import { type Depth, depth } from "./depth.js";
import { type Detect, detect } from "./detect.js";
import { type Embed, embed } from "./embed.js";
import { type Matting, matte } from "./matte.js";
import { type Posing, pose } from "./pose.js";
import { type Segmenting, segment } from "./segment.js";
import type { Task } from "./task.js";
import { type ZeroShot, zeroShot } from "./zero-shot.js";

/** Methods of a model that do tasks. */
export interface TaskMethods extends Classify, Embed, ZeroShot, Detect, Depth, Segmenting, Posing, Matting {}

export type TaskName = keyof TaskMethods;

/** Tasks by the names of their methods. */
export const TASKS: Readonly<Record<TaskName, Task<object, readonly unknown[], unknown, unknown>>> = {
  classify,
  embed,
  zeroShot,
  detect,
  depth,
  segment,
  pose,
  matte,
};

export const TASK_NAMES = Object.keys(TASKS) as readonly TaskName[];

/** The tasks that a checkpoint can do. */
export const tasksOf = (config: Config): readonly TaskName[] =>
  TASK_NAMES.filter((name) => TASKS[name].lacks?.(config) === undefined);

/** An image, a clip, or a list of them. */
export type Given = ImageInput | Clip | readonly (ImageInput | Clip)[];

/** The methods, each of which does its task by `perform`. */
export const taskMethods = (
  perform: (name: TaskName, images: Given, ...rest: unknown[]) => Promise<unknown>,
): TaskMethods =>
  Object.fromEntries(TASK_NAMES.map((name) => [name, perform.bind(undefined, name)])) as unknown as TaskMethods;
