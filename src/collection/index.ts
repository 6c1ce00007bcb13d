/** vitrail/collection: classifiers of a few photos, by the features of any checkpoint. */
export type { Assessment, Share, Suspect } from "./assessment.js";
export type { Features } from "./examples.js";
export { type FewShotHead, type FewShotOptions, fewShot } from "./few-shot.js";
export type { Head, HeadOptions } from "./head.js";
export { loadHead } from "./head-file.js";
export { type NearestOptions, nearestNeighbors } from "./nearest.js";
