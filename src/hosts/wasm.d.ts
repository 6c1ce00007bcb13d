/** What a host's bundler makes of the import of a file. */
declare module "*.wasm?module" {
  const module: WebAssembly.Module;
  export default module;
}
declare module "*.wasm" {
  const path: string;
  export default path;
}
