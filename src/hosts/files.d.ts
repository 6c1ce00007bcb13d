/** Types of what hosts make of the import of a file; paths are those of what is compiled, in dist/. */
declare module "*.wasm?module" {
  const module: WebAssembly.Module;
  export default module;
}
declare module "*.safetensors" {
  const file: string | Uint8Array;
  export default file;
}
declare module "*.json" {
  const value: unknown;
  export default value;
}
