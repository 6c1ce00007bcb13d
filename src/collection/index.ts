/**
 * vitrail/collection: photos by their vectors, on disk and in memory: found by a text or an image, grouped by their likeness, sorted
 * into classes that a few examples show.
 */
export type { Added, AddOptions, AddProgress } from "./add.js";
export type { Assessment, Share, Suspect } from "./assessment.js";
export { type Collection, type CollectionOptions, openCollection, type Query } from "./collection.js";
export type { DuplicateOptions, Group } from "./duplicates.js";
export type { Features } from "./examples.js";
export { type FewShotHead, type FewShotOptions, fewShot } from "./few-shot.js";
export type { Head, HeadOptions } from "./head.js";
export { loadHead } from "./head-file.js";
export type { Archive, Photo, Source } from "./items.js";
export { type NearestOptions, nearestNeighbors } from "./nearest.js";
export type { KnownPhoto } from "./photos.js";
export type { Hit, SearchOptions } from "./search.js";
export type { Failure } from "./store.js";
