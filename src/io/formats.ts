/** Formats of files of weights by their first bytes, and the other files that people save under their names. */
import { latin1 } from "../platform/bytes.js";

/** Bytes that tell: a tar's mark lies at 257. */
export const TELLING_BYTES = 512;

/** Formats that are read; the last two are archives, read from their end or as a whole, not as they arrive. */
export type Format = "safetensors" | "zip" | "pickle";

const starting =
  (...starts: string[]) =>
  (text: string): boolean =>
    starts.some((start) => text.startsWith(start));

const matching = (pattern: RegExp) => (text: string) => pattern.test(text);

/** A protobuf whose first field is a version, followed by a producer, a model's version or a graph. */
const isOnnx = (text: string): boolean =>
  text[0] === "\b" && text.charCodeAt(1) <= 32 && "\x12\x28:B".includes(text[2]!);

/** A pickle of protocol 0 or 1, which has no mark of its own: a dict, a list or an import. */
const isPlainPickle = (text: string): boolean => /^(\(?[dl]p\d|c[\w.]+\n\w+\n|[}\]]q)/.test(text);

/** Other kinds of files, by how they begin. */
const OTHERS: readonly (readonly [is: (text: string) => boolean, what: string])[] = [
  [
    starting("version https://git-lfs"),
    "a Git LFS pointer, not the file that it stands for, which git lfs pull fetches",
  ],
  [matching(/^\s*<(!doct|html|head|body)/i), "an HTML page, as a server sends in place of a file"],
  [matching(/^\s*<\?xml/i), "XML, as a server sends in place of a file"],
  [matching(/^\s*[{[]/), "JSON, such as a config or a server's answer, and not the weights beside it"],
  [starting("\x1f\x8b"), "gzip; gunzip gives the file in it"],
  [starting("\x89HDF\r\n"), "HDF5, as Keras and TensorFlow save; transformers reads it with from_tf=True"],
  [isPlainPickle, "a pickle of something else: in Python, torch.save it as a state_dict"],
  [isOnnx, "an ONNX graph; the checkpoint that it was made of is needed"],
  [starting("\x93NUMPY"), "one array of NumPy; its savez makes an .npz of several"],
  [starting("GGUF"), "GGUF; the checkpoint that it was made of is needed"],
  [
    starting("7z\xbc\xaf", "Rar!", "\xfd7zXZ", "\x28\xb5\x2f\xfd", "BZh"),
    "a compressed archive; the file in it is needed",
  ],
  [
    (text) => text.startsWith("ustar", 257),
    "a tar, as PyTorch 0.1 wrote: in Python, torch.save(torch.load(path, weights_only=False), path)",
  ],
];

/**
 * Says what a file is that is none of weights; undefined if nothing tells.
 * @param first up to {@link TELLING_BYTES}.
 */
export function describe(first: Uint8Array): string | undefined {
  if (first.length === 0) return "empty";
  const isUtf16 = (first[0] === 0xff && first[1] === 0xfe) || (first[0] === 0xfe && first[1] === 0xff);
  const text = latin1(first).replace(/^\xef\xbb\xbf/, "");
  const found = OTHERS.find(([is]) => is(text))?.[1];
  if (found !== undefined) return found;
  const printable = first.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d));
  return isUtf16 || printable ? "text, as a server sends in place of a file" : undefined;
}

/** The format of a file by its first 9 bytes; undefined for what is none of them. */
export function formatOf(first: Uint8Array): Format | undefined {
  // Its header's length is less than 2^32, and the header an object.
  if (first[8] === 0x7b && first.subarray(4, 8).every((byte) => byte === 0)) return "safetensors";
  if (first[0] === 0x50 && first[1] === 0x4b) return "zip";
  if (first[0] === 0x80 && first[1]! >= 1 && first[1]! <= 5) return "pickle";
  return undefined;
}
