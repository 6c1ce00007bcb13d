// How a step of decoding ends; src/image/decode/webp.ts has the sentences for what is wrong.

export const MORE: i32 = 0;
export const DONE: i32 = 1;
/** The data end before the last pixel. */
export const ENDS_EARLY: i32 = -1;
/** A prefix code is not complete, or has more symbols than there are. */
export const BAD_CODE: i32 = -2;
/** A copy begins before the first pixel or ends behind the last. */
export const BAD_COPY: i32 = -3;
/** A transform comes twice. */
export const BAD_TRANSFORM: i32 = -4;
/** The color cache is not of 1 to 11 bits. */
export const BAD_CACHE: i32 = -5;
/** Prefix codes take more memory than the picture's size allows. */
export const TOO_LARGE: i32 = -6;
