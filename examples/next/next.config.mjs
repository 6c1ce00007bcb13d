/** On the server the package is imported, not bundled: its threads are files of it. */
export default { serverExternalPackages: ["vitrail"] };
