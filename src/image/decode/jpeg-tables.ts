/** The Huffman tables of ITU-T T.81, K.3, as a DHT segment has them: 16 counts of codes by length, then the symbols. */

/** @param counts of the lengths from 1 on. @param symbols hexadecimal. */
function table(counts: number[], symbols: string): Uint8Array {
  const spec = new Uint8Array(272);
  spec.set(counts);
  for (let i = 0; 2 * i < symbols.length; i++) spec[16 + i] = Number.parseInt(symbols.slice(2 * i, 2 * i + 2), 16);
  return spec;
}

const DC = "000102030405060708090a0b";
const AC_LUMA = [
  "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a",
  "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394",
  "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8",
  "e9eaf1f2f3f4f5f6f7f8f9fa",
];
const AC_CHROMA = [
  "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728",
  "292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92",
  "939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7",
  "e8e9eaf2f3f4f5f6f7f8f9fa",
];

/** Tables of DC and of AC, for luma and for chroma. */
export const standardTables = {
  dc: [table([0, 1, 5, 1, 1, 1, 1, 1, 1], DC), table([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1], DC)],
  ac: [
    table([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125], AC_LUMA.join("")),
    table([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119], AC_CHROMA.join("")),
  ],
} as const;
