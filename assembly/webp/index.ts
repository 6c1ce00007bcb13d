// WebP's two decoders, of VP8 (lossy) and VP8L (lossless), as a module of their own: bit for bit what Pillow 12 and 13 show,
// that is libwebp 1.6 with its defaults, corrupt files included. src/image/decode/webp.ts reads the container and calls them.
//
//   bits, prefix, pixels, inverse, lossless    VP8L, from bits to rows
//   alpha    that of VP8, which is stored as VP8L
//   boolean, header, modes, tokens, predict, transform, filter, frame    VP8, likewise
//   rgb, memory, status    of both
//
// reset(limit), then allot(...) for the data and the picture, then *_begin and a *_row or *_step until it is DONE.
// The module imports nothing; after a failure, its state is nobody's, and it is to be dropped.
export { lossy_begin, lossy_row } from "./frame";
export { alpha_begin, alpha_blend_begin, lossless_begin, lossless_step } from "./lossless";
export { allot, reset } from "./memory";
